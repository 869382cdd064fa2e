import Glibc
import Synchronization
import SystemIO
import Testing

@Suite struct ThreadAndSignalTests {
    @Test func aThreadRunsUnderItsNameWithAllSignalsBlocked() throws {
        let seen = Mutex<(name: String, isBlocked: Bool)>(("", false))
        let thread = try SystemThread.start(name: "writer-with-a-long-name") {
            let name = try? SystemFile.read("/proc/thread-self/comm")
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            let isBlocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1
            seen.withLock { $0 = (String(decoding: name ?? [], as: UTF8.self), isBlocked) }
        }
        thread.join()
        #expect(seen.withLock { $0.name } == "writer-with-a-l\n")
        #expect(seen.withLock { $0.isBlocked })
    }

    @Test func startingAThreadLeavesTheCreatorsMaskAlone() throws {
        var before = sigset_t()
        var after = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &before)
        try SystemThread.start(name: "short") {}.join()
        pthread_sigmask(SIG_BLOCK, nil, &after)
        for signal in [SIGTERM, SIGHUP, SIGINT, SIGCHLD] {
            #expect(sigismember(&before, signal) == sigismember(&after, signal))
        }
    }

    @Test func signalsAreReadOneByOne() throws {
        let result = Mutex<[Int32]>([])
        let thread = try SystemThread.start(name: "signals") {
            guard let signals = try? SignalDescriptor.open([SIGHUP, SIGTERM]) else { return }
            guard var loop = try? EventLoop.open() else { return }
            try? loop.add(signals.descriptor, token: 1, interest: .readable)
            var seen: [Int32] = [Int32((try? loop.wait(timeoutMilliseconds: 0)) ?? -1)]
            pthread_kill(pthread_self(), SIGTERM)
            pthread_kill(pthread_self(), SIGHUP)
            seen.append(Int32((try? loop.wait(timeoutMilliseconds: 1_000)) ?? -1))
            while let signal = try? signals.next() { seen.append(signal) }
            result.withLock { [seen] in $0 = seen }
        }
        thread.join()
        // The kernel hands out the lower number first, whatever came first.
        #expect(result.withLock { $0 } == [0, 1, SIGHUP, SIGTERM])
    }

    @Test func aSignalThatDoesNotExistIsAnError() throws {
        let error = #expect(throws: SystemError.self) { _ = try SignalDescriptor.open([4_711]) }
        #expect(error?.errno == EINVAL)
    }

    @Test func aThreadEntersANamespaceAlone() throws {
        let name = "fs-system-\(getpid())"
        #expect(system("ip netns add \(name)") == 0)
        defer { _ = system("ip netns del \(name)") }
        let outside = namespaceOfThisThread()
        let inside = Mutex("")
        let thread = try SystemThread.start(name: "visitor") {
            guard (try? enterNetworkNamespace(named: name)) != nil else { return }
            inside.withLock { $0 = namespaceOfThisThread() }
        }
        thread.join()
        #expect(inside.withLock { $0.hasPrefix("net:[") })
        #expect(inside.withLock { $0 } != outside)
        #expect(namespaceOfThisThread() == outside)
    }

    @Test func aMissingNamespaceIsNamed() throws {
        let error = #expect(throws: SystemError.self) { try enterNetworkNamespace(named: "fs-none") }
        #expect(error?.description == "open /run/netns/fs-none: No such file or directory (ENOENT)")
    }
}

private func namespaceOfThisThread() -> String {
    var buffer = [CChar](repeating: 0, count: 64)
    let count = readlink("/proc/thread-self/ns/net", &buffer, buffer.count)
    return String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
