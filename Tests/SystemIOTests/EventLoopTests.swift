import Glibc
import SystemIO
import Testing

@Suite struct EventLoopTests {
    @Test func reportsTheTokenOfWhatIsReady() throws {
        var loop = try EventLoop.open()
        let quiet = try Wakeup()
        let loud = try Wakeup()
        try loop.add(quiet.descriptor, token: 1, interest: .readable)
        try loop.add(loud.descriptor, token: .max, interest: .readable)
        #expect(try loop.wait(timeoutMilliseconds: 0) == 0)

        loud.signal()
        loud.signal()
        #expect(try loop.wait(timeoutMilliseconds: 1_000) == 1)
        let ready = loop.ready(at: 0)
        #expect(ready.token == .max)
        #expect(ready.interest == .readable)

        loud.drain()
        #expect(try loop.wait(timeoutMilliseconds: 0) == 0)
    }

    @Test func interestCanChangeAndParkAndEnd() throws {
        var loop = try EventLoop.open()
        let wakeup = try Wakeup()
        wakeup.signal()
        try loop.add(wakeup.descriptor, token: 7, interest: [])
        #expect(try loop.wait(timeoutMilliseconds: 10) == 0)

        try loop.modify(wakeup.descriptor, token: 8, interest: [.readable, .writable])
        #expect(try loop.wait(timeoutMilliseconds: 0) == 1)
        #expect(loop.ready(at: 0).token == 8)
        #expect(loop.ready(at: 0).interest == [.readable, .writable])

        try loop.remove(wakeup.descriptor)
        #expect(try loop.wait(timeoutMilliseconds: 0) == 0)
    }

    @Test func anErrorWakesAParkedDescriptorOnlyOnce() throws {
        var loop = try EventLoop.open()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let writer = OwnedDescriptor(adopting: ends[1])
        do {
            // Its end of the pipe closes with this scope, which puts the writer into the error condition.
            _ = OwnedDescriptor(adopting: ends[0])
        }
        try loop.add(writer.rawValue, token: 3, interest: [])
        #expect(try loop.wait(timeoutMilliseconds: 0) == 1)
        #expect(loop.ready(at: 0).token == 3)
        #expect(try loop.wait(timeoutMilliseconds: 10) == 0)
    }

    @Test func aDescriptorThatIsNotWatchedIsAnError() throws {
        let loop = try EventLoop.open()
        let wakeup = try Wakeup()
        let error = try #require(throws: SystemError.self) { try loop.remove(wakeup.descriptor) }
        #expect(error.errno == ENOENT)
        #expect(error.call == "epoll_ctl")
    }

    @Test func waitsAsLongAsItWasTold() throws {
        var loop = try EventLoop.open()
        let start = MonotonicClock.nanoseconds()
        #expect(try loop.wait(timeoutMilliseconds: 20) == 0)
        #expect(MonotonicClock.nanoseconds() - start >= 20_000_000)
    }

    @Test func anotherThreadEndsTheSleep() throws {
        var loop = try EventLoop.open()
        let wakeup = try Wakeup()
        try loop.add(wakeup.descriptor, token: 1, interest: .readable)
        let thread = try SystemThread.start(name: "waker") { wakeup.signal() }
        #expect(try loop.wait(timeoutMilliseconds: 10_000) == 1)
        thread.join()
    }
}
