import Glibc
import Testing

@testable import SystemIO

@Suite("A batch of messages")
struct MessageBatchTests {
    /// Two connected sockets that keep the bounds of messages.
    private func withPair(_ body: (Int32, Int32) throws -> Void) throws {
        var pair: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &pair) == 0)
        defer { for descriptor in pair { close(descriptor) } }
        try body(pair[0], pair[1])
    }

    private func bytes(_ span: RawSpan) -> [UInt8] { span.withUnsafeBytes { Array($0) } }

    @Test("messages come in order, at most as many as asked for, and the rest later")
    func order() throws {
        try withPair { sender, receiver in
            for number in UInt8(1)...5 {
                #expect(send(sender, Array(repeating: number, count: Int(number)), Int(number), 0) > 0)
            }
            var batch = MessageBatch()
            guard case .messages(3) = try batch.receive(from: receiver, countMax: 3, purpose: "test") else {
                Issue.record("not three messages")
                return
            }
            for index in 0..<3 {
                let message = bytes(batch.message(at: index))
                #expect(message == Array(repeating: UInt8(index + 1), count: index + 1))
            }
            guard case .messages(2) = try batch.receive(from: receiver, countMax: 32, purpose: "test") else {
                Issue.record("not the two that were left")
                return
            }
            let last = bytes(batch.message(at: 1))
            #expect(last == [5, 5, 5, 5, 5])
            guard case .messages(0) = try batch.receive(from: receiver, countMax: 32, purpose: "test") else {
                Issue.record("more than was sent")
                return
            }
        }
    }

    @Test("a message that is too long is cut off, and the next one is whole")
    func cut() throws {
        try withPair { sender, receiver in
            #expect(send(sender, [UInt8](repeating: 7, count: 9_000), 9_000, 0) == 9_000)
            #expect(send(sender, [8, 9] as [UInt8], 2, 0) == 2)
            var batch = MessageBatch()
            _ = try batch.receive(from: receiver, countMax: 32, purpose: "test")
            let (long, short) = (batch.message(at: 0).byteCount, bytes(batch.message(at: 1)))
            #expect((4_096..<9_000).contains(long))
            #expect(short == [8, 9])
        }
    }

    @Test("an error names the call and what it was for")
    func failure() throws {
        var batch = MessageBatch()
        do throws(SystemError) {
            _ = try batch.receive(from: -1, countMax: 32, purpose: "nothing at all")
            Issue.record("received from no descriptor")
        } catch {
            #expect(error == SystemError(call: "recvmmsg", errno: EBADF, context: "nothing at all"))
        }
    }
}
