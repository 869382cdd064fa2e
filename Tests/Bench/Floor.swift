internal import Glibc
internal import Lab

/// Programs that do the least that can be done; they run until they are killed, or until they are through.
public enum Floor: String, CaseIterable, Sendable {
    /// Receives all events once per millisecond and drops them.
    case receive
    /// Receives what comes over the sync link once per millisecond and drops it.
    case datagrams
}

extension BenchLab {
    /// Starts a floor program and waits until it is at work.
    func startFloor(_ floor: Floor, on router: LabNode) throws(LabError) -> ChildProcess {
        let process = try lab.start(on: router, [Self.program, "floor", floor.rawValue], output: .pipe)
        guard try process.readLine(timeoutSeconds: 20) == "ready" else {
            throw LabError("the floor program \(floor) is not ready")
        }
        return process
    }
}

extension Floor {
    /// Does it, in this process's network namespace; calls `ready` when it is at work.
    public func run(ready: () -> Void) throws {
        try sleepPrecisely()
        switch self {
        case .receive: try receiveEvents(ready)
        case .datagrams: try receiveDatagrams(ready)
        }
    }

    private func sleepOneMillisecond() {
        var time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
        nanosleep(&time, nil)
    }

    private func receiveEvents(_ ready: () -> Void) throws {
        // NF_NETLINK_CONNTRACK_NEW, _UPDATE, _DESTROY.
        let pipe = try NetlinkPipe(groups: 7, receiveBufferByteCount: 64 << 20)
        ready()
        while true {
            reception: while true {
                switch try pipe.receive() {
                case .bytes: continue
                case .nothing: break reception
                case .overrun: continue
                }
            }
            sleepOneMillisecond()
            _ = pipe.wait(milliseconds: -1)
        }
    }

    private func receiveDatagrams(_ ready: () -> Void) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw LabError(call: "socket", errno: errno) }
        defer { close(descriptor) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var size: Int32 = 64 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
        var request = ip_mreqn()
        inet_pton(AF_INET, "225.0.0.50", &request.imr_multiaddr)
        request.imr_ifindex = Int32(if_nametoindex("sync"))
        guard
            setsockopt(
                descriptor,
                Int32(IPPROTO_IP),
                IP_ADD_MEMBERSHIP,
                &request,
                socklen_t(MemoryLayout<ip_mreqn>.size)
            ) == 0
        else { throw LabError(call: "setsockopt", errno: errno, "IP_ADD_MEMBERSHIP") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(LabAddress.syncPort).bigEndian
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, 16) }
        }
        guard bound == 0 else { throw LabError(call: "bind", errno: errno, "port \(LabAddress.syncPort)") }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        ready()
        while true {
            while recv(descriptor, &buffer, buffer.count, 0) >= 0 {}
            sleepOneMillisecond()
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&waiting, 1, -1)
        }
    }
}
