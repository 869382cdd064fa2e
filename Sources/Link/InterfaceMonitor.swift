internal import CLinux
public import SystemIO

/// One network interface, as it stood when it was looked at.
public struct Interface: Equatable, Sendable {
    /// Its name, such as `eth2`.
    public let name: String
    /// The kernel's number for it; a re-created interface gets a new one.
    public let index: UInt32
    /// Whether the administrator switched it on.
    public let isUp: Bool
    /// Whether it can carry packets: up, and with a carrier.
    public let isRunning: Bool
    /// The longest packet it takes, in bytes, IP header included.
    public let mtu: Int
    /// Its IPv4 and IPv6 addresses, tentative ones included.
    public var addresses: [IPAddress]

    /// An interface of these properties.
    public init(name: String, index: UInt32, isUp: Bool, isRunning: Bool, mtu: Int, addresses: [IPAddress]) {
        self.name = name
        self.index = index
        self.isUp = isUp
        self.isRunning = isRunning
        self.mtu = mtu
        self.addresses = addresses
    }
}

/// Tells when interfaces or addresses of this network namespace change, and how they are now.
///
/// The rtnetlink messages are a trigger and nothing else; the state is read anew each time. So neither a lost message
/// nor one that is not understood can leave a wrong picture behind.
public struct InterfaceMonitor: ~Copyable {
    private let socket: OwnedDescriptor

    private init(adopting socket: consuming OwnedDescriptor) {
        self.socket = socket
    }

    /// Starts watching the calling thread's network namespace.
    public static func open() throws(SystemError) -> InterfaceMonitor {
        let result = clinux_interface_monitor_open()
        guard result >= 0 else { throw SystemError(call: "socket", errno: -result, context: "rtnetlink") }
        return InterfaceMonitor(adopting: OwnedDescriptor(adopting: result))
    }

    /// The descriptor to watch; readable after a change.
    public var descriptor: Int32 { socket.rawValue }

    /// Makes the descriptor quiet and says whether anything may have changed.
    ///
    /// Take the snapshot after this call, not before.
    public func drain() throws(SystemError) -> Bool {
        let result = clinux_interface_monitor_drain(socket.rawValue)
        guard result >= 0 else { throw SystemError(call: "recv", errno: -result, context: "rtnetlink") }
        return result > 0
    }

    /// All interfaces of the calling thread's network namespace, sorted by index.
    public func snapshot() throws(SystemError) -> [Interface] {
        var entries = [clinux_interface_entry](repeating: clinux_interface_entry(), count: 256)
        while true {
            // SAFETY: at most `count` elements are written, and the storage outlives the call.
            let result = unsafe entries.withUnsafeMutableBufferPointer { buffer in
                unsafe clinux_interfaces(buffer.baseAddress, Int32(buffer.count))
            }
            guard result >= 0 else { throw SystemError(call: "getifaddrs", errno: -result) }
            if Int(result) <= entries.count {
                return InterfaceMonitor.merged(entries[..<Int(result)])
            }
            entries = Array(repeating: clinux_interface_entry(), count: Int(result) * 2)
        }
    }

    private static func merged(_ entries: ArraySlice<clinux_interface_entry>) -> [Interface] {
        var interfaces: [String: Interface] = [:]
        for entry in entries where entry.address.family == 0 {
            let name = text(of: entry)
            interfaces[name] = Interface(
                name: name,
                index: entry.index,
                isUp: entry.is_up != 0,
                isRunning: entry.is_running != 0,
                mtu: Int(entry.mtu),
                addresses: []
            )
        }
        for entry in entries {
            guard let address = IPAddress(entry.address) else { continue }
            interfaces[text(of: entry)]?.addresses.append(address)
        }
        return interfaces.values.sorted { $0.index < $1.index }
    }

    private static func text(of entry: clinux_interface_entry) -> String {
        var entry = entry
        // SAFETY: the bytes are copied into the string while the local lives.
        return unsafe withUnsafeBytes(of: &entry.name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
