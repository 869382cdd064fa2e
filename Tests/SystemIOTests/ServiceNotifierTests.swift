import Glibc
import Testing

@testable import SystemIO

/// The service manager's end of the notification socket.
private struct Manager: ~Copyable {
    let socket: OwnedDescriptor

    /// `name` is a path, or begins with '@'.
    init(_ name: String) throws {
        socket = OwnedDescriptor(adopting: Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        let isAbstract = bytes[0] == UInt8(ascii: "@")
        if isAbstract { bytes[0] = 0 } else { bytes.append(0) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket.rawValue, $0, length) }
        }
        if result != 0 { throw SystemError(call: "bind", errno: errno, context: name) }
    }

    func receive() -> String? {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = recv(socket.rawValue, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }
}

@Suite struct ServiceNotifierTests {
    @Test(arguments: ["path", "abstract"])
    func messagesArriveAsTheManagerReadsThem(kind: String) throws {
        let directory = try TemporaryDirectory()
        let name = kind == "path" ? directory.path + "/notify" : "@flowsync-test-\(getpid())"
        let manager = try Manager(name)
        let notifier = try ServiceNotifier(socketPath: name, watchdogMicroseconds: nil, watchdogProcess: nil)

        notifier.ready(status: "primary, in sync")
        #expect(manager.receive() == "READY=1\nSTATUS=primary, in sync")
        notifier.status("two\nlines")
        #expect(manager.receive() == "STATUS=two lines")
        notifier.watchdog()
        #expect(manager.receive() == "WATCHDOG=1")
        notifier.reloading()
        let reloading = manager.receive() ?? ""
        #expect(reloading.hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        let microseconds = try #require(UInt64(reloading.split(separator: "=").last ?? ""))
        #expect(microseconds <= MonotonicClock.nanoseconds() / 1_000)
        #expect(microseconds + 10_000_000 > MonotonicClock.nanoseconds() / 1_000)
        notifier.stopping()
        #expect(manager.receive() == "STOPPING=1")
        #expect(manager.receive() == nil)
    }

    @Test func withoutAManagerNothingHappens() throws {
        let alone = try ServiceNotifier(socketPath: nil, watchdogMicroseconds: nil, watchdogProcess: nil)
        alone.ready(status: "up")
        let deaf = try ServiceNotifier(socketPath: "/nowhere/notify", watchdogMicroseconds: nil, watchdogProcess: nil)
        deaf.ready(status: "up")
        #expect(alone.watchdogIntervalNanoseconds == nil)
        #expect(deaf.watchdogIntervalNanoseconds == nil)
    }

    @Test func theWatchdogConcernsOnlyTheProcessItNames() throws {
        func interval(_ microseconds: String?, _ process: String?) throws -> UInt64? {
            try ServiceNotifier(socketPath: nil, watchdogMicroseconds: microseconds, watchdogProcess: process)
                .watchdogIntervalNanoseconds
        }
        #expect(try interval("30000000", nil) == 30_000_000_000)
        #expect(try interval("30000000", "\(getpid())") == 30_000_000_000)
        #expect(try interval("30000000", "1") == nil)
        #expect(try interval("30000000", "me") == nil)
        #expect(try interval("0", nil) == nil)
        #expect(try interval("soon", nil) == nil)
        #expect(try interval("18446744073709551615", nil) == nil)
        #expect(try interval(nil, nil) == nil)
    }
}
