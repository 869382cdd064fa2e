internal import Flow
internal import Glibc
public import SystemIO

/// The state of connection tracking in the calling thread's network namespace: what stands in the way of replication.
public struct KernelTable: Sendable, Equatable {
    /// When the kernel makes events (`net.netfilter.nf_conntrack_events`).
    public enum EventMode: Int, Sendable {
        /// Never: nothing can be replicated.
        case never = 0
        /// For every flow.
        case always = 1
        /// For flows that began while somebody listened.
        case whenListening = 2
    }

    /// Why connection tracking cannot be used at all.
    public enum Failure: Error, CustomStringConvertible, Sendable {
        /// The kernel has no connection tracking, or its module is not loaded.
        case absent
        /// The process may not do what it must.
        case missingPrivilege(SystemError)
        /// A system call failed.
        case system(SystemError)

        /// What is wrong and what mends it.
        public var description: String {
            switch self {
            case .absent:
                "this kernel does not track connections: load the modules with `modprobe nf_conntrack_netlink`"
            case .missingPrivilege(let error):
                "not allowed to use conntrack's netlink socket (\(error)): run as root or give the service "
                    + "CAP_NET_ADMIN (AmbientCapabilities=CAP_NET_ADMIN)"
            case .system(let error):
                "conntrack's netlink socket: \(error)"
            }
        }
    }

    /// Entries in the table.
    public let count: Int
    /// Entries the table takes; one limit for all namespaces.
    public let countMax: Int
    /// When the kernel makes events.
    public let eventMode: EventMode

    private static let directory = "/proc/sys/net/netfilter/"

    /// Reads the state.
    public static func read() throws(Failure) -> KernelTable {
        guard let count = integer("nf_conntrack_count"), let max = integer("nf_conntrack_max") else {
            throw .absent
        }
        // A kernel built without events has no such file.
        let mode = EventMode(rawValue: integer("nf_conntrack_events") ?? 0) ?? .always
        return KernelTable(count: count, countMax: max, eventMode: mode)
    }

    /// What an operator should mend, worst first, each with the command that does.
    public var warnings: [String] {
        var warnings: [String] = []
        switch eventMode {
        case .never:
            warnings.append(
                "the kernel sends no conntrack events, so nothing is replicated: "
                    + "run `sysctl -w net.netfilter.nf_conntrack_events=1`"
            )
        case .whenListening:
            // Seen on 6.18: such a flow's end is not reported either. A listener in any namespace counts.
            warnings.append(
                "flows that began while flowsyncd was not running send no conntrack events: "
                    + "run `sysctl -w net.netfilter.nf_conntrack_events=1`"
            )
        case .always:
            break
        }
        if countMax > 0, count >= countMax / 10 * 9 {
            warnings.append(
                "conntrack's table holds \(count) of at most \(countMax) entries, and a full one refuses flows: "
                    + "run `sysctl -w net.netfilter.nf_conntrack_max=\(countMax * 2)`"
            )
        }
        return warnings
    }

    /// What to say when `isTracking` finds nothing.
    public static let notTrackingWarning =
        "no packet has been tracked in this network namespace so far: the kernel starts with the first rule that uses "
        + "connection tracking, such as `nft add rule inet filter forward ct state established,related accept`"

    /// Checks that the process may read and write the table.
    public static func checkPrivilege() throws(Failure) {
        do throws(SystemError) {
            // The kernel checks the capability at each request: the cheapest one is a get of what cannot exist.
            _ = try find(probeTuple(port: 0, .ipv4))
        } catch {
            throw error.errno == EPERM || error.errno == EACCES ? .missingPrivilege(error) : .system(error)
        }
    }

    /// Whether packets in this namespace are tracked; nil if that cannot be told.
    ///
    /// The kernel tracks nothing until a rule asks for it. A table with entries is proof; else a datagram is sent to
    /// the loopback address and looked for in the table. Not finding it proves nothing where rules exempt loopback.
    public static func isTracking() throws(SystemError) -> Bool? {
        if let count = integer("nf_conntrack_count"), count > 0 { return true }
        for family in [AddressFamily.ipv4, .ipv6] {
            if let port = sendToSelf(family), try find(probeTuple(port: port, family)) { return true }
        }
        return nil
    }

    private static func integer(_ name: String) -> Int? {
        guard let bytes = try? SystemFile.read(directory + name) else { return nil }
        return Int(String(decoding: bytes.prefix { $0 >= UInt8(ascii: "0") }, as: UTF8.self))
    }

    /// The tuple of a datagram from a loopback port to itself.
    private static func probeTuple(port: UInt16, _ family: AddressFamily) -> Tuple {
        let loopback = family == .ipv4 ? Address(ipv4: (127, 0, 0, 1)) : Address(ipv6High: 0, low: 1)
        return Tuple(
            source: loopback,
            destination: loopback,
            key: ProtocolKey(sourcePort: port, destinationPort: port),
            protocolNumber: IPProtocol.udp,
            family: family
        )
    }

    /// Whether the table has an entry of this original tuple.
    private static func find(_ tuple: Tuple) throws(SystemError) -> Bool {
        try KernelLookup.open().entry(of: Flow(original: tuple)) != nil
    }

    /// Sends a datagram from a loopback port to itself and returns the port; nil where loopback is not up.
    private static func sendToSelf(_ family: AddressFamily) -> UInt16? {
        let number = socket(family == .ipv4 ? AF_INET : AF_INET6, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { return nil }
        let descriptor = OwnedDescriptor(adopting: number)
        var storage = sockaddr_storage()
        // SAFETY: the storage is as large as any address; the kernel writes no more than `size`.
        return unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
                unsafe address.pointee.sa_family = sa_family_t(family == .ipv4 ? AF_INET : AF_INET6)
                let bound = unsafe setLoopback(UnsafeMutableRawPointer(address), family)
                guard unsafe bind(descriptor.rawValue, address, bound) == 0,
                    unsafe getsockname(descriptor.rawValue, address, &size) == 0,
                    unsafe sendto(descriptor.rawValue, "", 0, 0, address, size) == 0
                else { return nil }
                // sin_port and sin6_port lie at the same place.
                return unsafe UInt16(bigEndian: UnsafeRawPointer(address).load(fromByteOffset: 2, as: UInt16.self))
            }
        }
    }

    /// Writes the loopback address into a zeroed socket address and returns its size.
    private static func setLoopback(_ address: UnsafeMutableRawPointer, _ family: AddressFamily) -> socklen_t {
        // SAFETY: as above; the offsets are those of sin_addr and of sin6_addr's last byte.
        switch family {
        case .ipv4:
            unsafe address.storeBytes(of: UInt32(0x7f00_0001).bigEndian, toByteOffset: 4, as: UInt32.self)
            return socklen_t(MemoryLayout<sockaddr_in>.size)
        case .ipv6:
            unsafe address.storeBytes(of: 1, toByteOffset: 23, as: UInt8.self)
            return socklen_t(MemoryLayout<sockaddr_in6>.size)
        }
    }
}
