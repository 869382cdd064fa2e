internal import Glibc
public import SystemIO

/// Why a gate could not be closed, opened or counted.
public enum GateError: Error, Equatable, CustomStringConvertible {
    /// The process may not change nf_tables.
    case missingPrivilege
    /// A table of the gate's name exists that nobody owns: an operator's, or one of a saved ruleset.
    case foreignTable(table: String)
    /// The table belongs to a process that still runs, by another netlink socket.
    case ownedByAnother(table: String)
    /// The kernel cannot do what the gate is made of.
    case kernelLacks(KernelFeature)
    /// The kernel refused a part of the change for another reason; nothing of the change was done.
    case refused(part: String, table: String, errno: Int32)
    /// The kernel's answers were lost again and again for want of room (`ENOBUFS`): it is not known what it did.
    case answersLost(table: String)
    /// A system call on the socket failed.
    case system(SystemError)

    /// A part of the kernel that a gate needs.
    public enum KernelFeature: Sendable, CaseIterable {
        /// nf_tables itself.
        case tables
        /// Tables that go with the process that made them (`NFT_TABLE_F_OWNER`).
        case ownedTables
        /// Filter chains for IPv4 and IPv6 in one (`inet`).
        case inetChains
        /// Sets of addresses and names.
        case sets
        /// Named counters, and rules that use one.
        case counters
        /// Rules that ask for a flow's state (`ct state`).
        case connectionState
        /// Conntrack zones, and rules that ask for a flow's one (`ct zone`).
        case zones
        /// Rules that ask what an address is to this host (`fib daddr type`).
        case addressType
    }

    /// What is wrong and what to do.
    public var description: String {
        switch self {
        case .missingPrivilege:
            "not allowed to change nf_tables, in which the gate is made: run as root or give the service CAP_NET_ADMIN "
                + "(AmbientCapabilities=CAP_NET_ADMIN)"
        case .foreignTable(let table):
            "the table inet \(table), which is the gate's, exists already and is not ours: remove it with "
                + "`nft delete table inet \(table)`, also from the ruleset that is loaded at boot"
        case .ownedByAnother(let table):
            "the table inet \(table), which is the gate's, belongs to another process that runs, most likely a "
                + "second flowsyncd: stop that one; `nft list table inet \(table)` shows it"
        case .kernelLacks(let feature):
            "this kernel lacks \(feature.phrase), which the gate needs: \(feature.remedy), or remove gate-interfaces "
                + "from [takeover]"
        case .refused(let part, let table, let errno):
            "the kernel refused \(part) of the table inet \(table): \(SystemError.text(of: errno)) "
                + "(\(SystemError.name(of: errno))); nothing of this change was done"
        case .answersLost(let table):
            "the kernel's answers about the table inet \(table) were lost for want of room (ENOBUFS), again and "
                + "again: `nft list table inet \(table)` shows what is in force"
        case .system(let error):
            "the gate's netlink socket: \(error)"
        }
    }
}

extension GateError.KernelFeature {
    fileprivate var phrase: String {
        switch self {
        case .tables: "nf_tables"
        case .ownedTables: "tables with an owner (flags owner)"
        case .inetChains: "nf_tables chains of the family inet"
        case .sets: "nf_tables sets"
        case .counters: "nf_tables' named counters"
        case .connectionState: "nf_tables' ct state"
        case .zones: "conntrack zones (nf_tables' ct zone)"
        case .addressType: "nf_tables' fib daddr type"
        }
    }

    fileprivate var remedy: String {
        switch self {
        case .tables: Self.remedy(module: "nf_tables", option: "CONFIG_NF_TABLES")
        case .ownedTables: "use Linux 5.12 or later"
        case .inetChains: "use one built with CONFIG_NF_TABLES_INET"
        case .sets: Self.remedy(module: "nf_tables_set", option: "CONFIG_NF_TABLES")
        case .counters: Self.remedy(module: "nft_objref", option: "CONFIG_NFT_OBJREF")
        case .connectionState: Self.remedy(module: "nft_ct", option: "CONFIG_NFT_CT")
        case .zones: "use one built with CONFIG_NF_CONNTRACK_ZONES"
        case .addressType: Self.remedy(module: "nft_fib_inet", option: "CONFIG_NFT_FIB_INET")
        }
    }

    private static func remedy(module: String, option: String) -> String {
        "load it with `modprobe \(module)` or use one built with \(option)"
    }
}

extension GateError {
    /// What the kernel's refusal of a part means.
    ///
    /// - Parameter state: Whose table of the gate's name there is, if that was asked.
    init(part: GateBatch.Part, errno: Int32, table: String, state: Gate.TableState?) {
        switch (part, errno) {
        case (_, EPERM): self = state == .ownedByAnother ? .ownedByAnother(table: table) : .missingPrivilege
        case (.table, EEXIST):
            self = state == .ownedByAnother ? .ownedByAnother(table: table) : .foreignTable(table: table)
        case (.batch, EOPNOTSUPP), (.batch, EINVAL): self = .kernelLacks(.tables)
        // Before 5.12 the flag was an unknown one.
        case (.table, EOPNOTSUPP), (.table, EINVAL): self = .kernelLacks(.ownedTables)
        case (.set, EOPNOTSUPP): self = .kernelLacks(.sets)
        case (.counter, ENOENT), (.counter, EOPNOTSUPP): self = .kernelLacks(.counters)
        case (.chain, ENOENT), (.chain, EOPNOTSUPP): self = .kernelLacks(.inetChains)
        case (.rule(let feature?), ENOENT), (.rule(let feature?), EOPNOTSUPP):
            self = .kernelLacks(feature)
        default: self = .refused(part: part.phrase, table: table, errno: errno)
        }
    }
}

extension GateBatch.Part {
    fileprivate var phrase: String {
        switch self {
        case .batch: "the change"
        case .table: "the creation"
        case .set: "a set"
        case .elements: "a set's elements"
        case .counter: "the counter"
        case .chain: "the chain"
        case .rule: "a rule"
        case .removal: "the removal"
        }
    }
}
