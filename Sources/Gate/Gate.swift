internal import CNFTables
internal import Glibc
public import Policy
internal import SystemIO

/// Packets and bytes that a gate dropped.
public struct GateCount: Equatable, Sendable {
    /// Packets.
    public var packets: UInt64
    /// Their bytes, IP header included.
    public var bytes: UInt64

    /// A count of its parts.
    public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
        self.packets = packets
        self.bytes = bytes
    }
}

/// A table of nf_tables that, while closed, drops the packets that would do harm before the flows are in the kernel.
///
/// Why: a virtual address moves to this router before, or while, the flows are committed. A packet that arrives in
/// between finds no flow, so the router's own stack answers it with a reset, or it is forwarded untranslated; and the
/// connection that had been replicated is gone. Dropped, the packet is sent again by whoever sent it.
///
/// What: packets that arrive by one of the gate's interfaces, belong to no known flow (`ct state new,invalid`), and are
/// to be forwarded or addressed to a floating address, which is each address of this host that is not among its own
/// ones. All others pass: those of known flows and those related to them, untracked ones, those to one of this router's
/// own addresses, to multicast, broadcast and anycast addresses (VRRP, OSPF, DHCP), and IPv6's neighbour discovery. A
/// flow passes as soon as it is committed, the gate being closed or not.
///
/// How it never stays closed by itself: the table belongs to this value's netlink socket (`NFT_TABLE_F_OWNER`, Linux
/// 5.12), and nobody else can change it, not even `nft flush ruleset`. When the socket closes, because this value goes
/// or the process ends in whatever way, the kernel removes the table before the process is gone.
///
/// With traffic groups there is a gate for each, with a table and a socket of its own; its scope says which packets it
/// is for. No two of them are for the same packet, and none knows of another.
///
/// A closed gate asks for flows, so the kernel tracks connections from then on, if it did not before.
///
/// All calls block until the kernel has done its work: well below a millisecond with a hundred addresses, some tens of
/// milliseconds with ten thousand, and longer only while another program is changing a large ruleset.
public struct Gate: ~Copyable, Sendable {
    /// The most times that a change is asked for again after its answers were lost.
    private static let attemptCountMax = 3

    private let table: GateTable
    private let receiveBufferByteCount: Int
    /// Nil after it had to be closed to open the gate.
    private var socket: GateSocket?
    private var sequence: UInt32 = 1
    /// Whether the gate is closed: since `close` and until `open`.
    public private(set) var isClosed = false

    /// An open gate for packets that arrive by these interfaces, at least one, each a valid name; they need not exist.
    ///
    /// It belongs to the network namespace of the calling thread. Nothing is changed in the kernel yet.
    ///
    /// - Parameters:
    ///   - table: The name of its table of the family `inet`, which must be no other gate's.
    ///   - scope: For which packets it is.
    /// - Throws: `kernelLacks(.tables)` on a kernel without netfilter's netlink, or `system`.
    public static func make(
        interfaces: [String],
        table: String = "flowsync",
        scope: GateScope = GateScope()
    ) throws(GateError) -> Gate {
        // The kernel takes about 1 KiB of the buffer for each answer.
        try make(
            GateTable(name: table, interfaces: interfaces, scope: scope),
            receiveBufferByteCount: 1 << 20
        )
    }

    static func make(_ table: GateTable, receiveBufferByteCount: Int) throws(GateError) -> Gate {
        precondition(!table.interfaces.isEmpty, "a gate without an interface lets everything pass")
        var gate = Gate(table: table, receiveBufferByteCount: receiveBufferByteCount)
        _ = try gate.openSocket()
        return gate
    }

    private init(table: GateTable, receiveBufferByteCount: Int) {
        self.table = table
        self.receiveBufferByteCount = receiveBufferByteCount
    }

    /// Closes the gate in one transaction, except for packets to these addresses.
    ///
    /// If it is closed already, the addresses take the place of the earlier ones, in one transaction too: there is no
    /// moment in which the gate is open or knows only some of them, and the count goes on.
    ///
    /// - Throws: Why the gate is as it was before.
    public mutating func close(ownAddresses: [HostAddress]) throws(GateError) {
        for _ in 0..<Self.attemptCountMax {
            let batch =
                isClosed
                ? table.replacement(ownAddresses: ownAddresses, base: sequence)
                : table.creation(ownAddresses: ownAddresses, base: sequence)
            switch try perform(batch) {
            case .done:
                isClosed = true
                return
            case .failed(let part, let errno):
                let state = try tableState(after: errno)
                throw GateError(part: part, errno: errno, table: table.name, state: state)
            case .unknown:
                // The table being there, the transaction was done. Replacing addresses can be done twice.
                if !isClosed, try tableState() == .own {
                    isClosed = true
                    return
                }
            }
        }
        throw .answersLost(table: table.name)
    }

    /// Opens the gate in one transaction, and returns what it dropped while it was closed.
    ///
    /// Opening an open gate does nothing. However this ends, the gate is open: if the kernel refuses to remove the
    /// table, the socket is closed, with which the table goes.
    ///
    /// - Throws: Why it is not known how much was dropped.
    public mutating func open() throws(GateError) -> GateCount {
        guard isClosed else { return GateCount() }
        let counted: Result<GateCount, GateError>
        do throws(GateError) { counted = .success(try count()) } catch { counted = .failure(error) }
        if !remove() { socket = nil }
        isClosed = false
        return try counted.get()
    }

    /// What the gate has dropped since it was closed; nothing if it is open.
    public mutating func count() throws(GateError) -> GateCount {
        guard isClosed else { return GateCount() }
        for _ in 0..<Self.attemptCountMax {
            guard let answer = try ask(table.counterQuery) else { continue }
            if let count = GateTable.count(in: answer) { return count }
            throw .refused(
                part: "the counter",
                table: table.name,
                errno: answer.errorNumber ?? EBADMSG
            )
        }
        throw .answersLost(table: table.name)
    }

    // MARK: - The kernel

    /// Whose table of the gate's name there is.
    enum TableState: Equatable {
        case absent
        case own
        case foreign
        case ownedByAnother
    }

    private mutating func tableState() throws(GateError) -> TableState {
        for _ in 0..<Self.attemptCountMax {
            guard let answer = try ask(table.query) else { continue }
            switch answer.errorNumber {
            case ENOENT: return .absent
            case EPERM: throw .missingPrivilege
            case .some(let errno): throw .refused(part: "the listing", table: table.name, errno: errno)
            case nil: break
            }
            guard let owner = GateTable.owner(in: answer) else { return .foreign }
            return owner == socket?.portID ? .own : .ownedByAnother
        }
        throw .answersLost(table: table.name)
    }

    /// The table's state where an errno does not tell it.
    private mutating func tableState(after errno: Int32) throws(GateError) -> TableState? {
        errno == EEXIST || errno == EPERM ? try tableState() : nil
    }

    /// Removes the table; false if the kernel does not say that it is gone.
    private mutating func remove() -> Bool {
        for _ in 0..<Self.attemptCountMax {
            switch try? perform(table.removal(base: sequence)) {
            case .done: return true
            case .unknown where (try? tableState()) == .absent: return true
            case .unknown: continue
            case .failed, nil: return false
            }
        }
        return false
    }

    private mutating func perform(_ batch: GateBatch) throws(GateError) -> GateBatch.Outcome {
        sequence &+= batch.sequenceCount
        let reception = try exchange(batch.finished())
        return batch.outcome(of: reception.answers, isComplete: !reception.hasOverrun)
    }

    /// The answer to a request, or nil if it was lost.
    private mutating func ask(_ request: (UInt32) -> [UInt8]) throws(GateError) -> NetlinkAnswer? {
        let sequence = sequence
        self.sequence &+= 1
        return try exchange(request(sequence)).answers.first { $0.sequence == sequence }
    }

    /// Sends and takes what the kernel has answered when that returns, which is all it will answer.
    private mutating func exchange(_ bytes: [UInt8]) throws(GateError) -> GateSocket.Reception {
        let socket = try openSocket()
        do throws(SystemError) {
            try socket.send(bytes)
            return try socket.receive()
        } catch {
            throw .system(error)
        }
    }

    private mutating func openSocket() throws(GateError) -> GateSocket {
        if let socket { return socket }
        do throws(SystemError) {
            let socket = try GateSocket(receiveBufferByteCount: receiveBufferByteCount)
            self.socket = socket
            return socket
        } catch {
            throw error.errno == EPROTONOSUPPORT ? .kernelLacks(.tables) : .system(error)
        }
    }
}
