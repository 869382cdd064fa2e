internal import Synchronization
internal import SystemIO

/// The one way from other threads into the engine: requests wait here until its loop comes round.
final class Mailbox: EngineAccess {
    /// A request and the caller that waits for its answer.
    struct Letter: Sendable {
        var request: EngineRequest
        var answer: CheckedContinuation<EngineReply, Never>
    }

    private struct Content {
        var letters: [Letter] = []
        var isClosed = false
    }

    private let content = Mutex(Content())
    private let wakeup: Wakeup

    /// A mailbox that signals `wakeup` when something is put in.
    init(wakeup: Wakeup) {
        self.wakeup = wakeup
    }

    func perform(_ request: EngineRequest) async -> EngineReply {
        await withCheckedContinuation { continuation in
            let isAccepted = content.withLock { content in
                guard !content.isClosed else { return false }
                content.letters.append(Letter(request: request, answer: continuation))
                return true
            }
            if isAccepted {
                wakeup.signal()
            } else {
                continuation.resume(returning: .refused("flowsyncd is stopping"))
            }
        }
    }

    /// Everything that waits, in order.
    func takeLetters() -> [Letter] {
        content.withLock { content in
            defer { content.letters.removeAll() }
            return content.letters
        }
    }

    /// Refuses what waits and all that comes.
    func close() {
        let waiting = content.withLock { content in
            content.isClosed = true
            defer { content.letters.removeAll() }
            return content.letters
        }
        for letter in waiting { letter.answer.resume(returning: .refused("flowsyncd is stopping")) }
    }
}
