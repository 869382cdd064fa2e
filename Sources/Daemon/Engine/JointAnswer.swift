internal import Control

/// The answer to a request that is several actions, one per traffic group: their reports in one.
final class JointAnswer {
    private let answer: (EngineReply) -> Void
    private var report: ActionReport
    private var awaitedCount: Int

    /// An answer of `count` reports, at least one.
    init(action: String, count: Int, answer: @escaping (EngineReply) -> Void) {
        report = ActionReport(action: action, succeeded: true)
        awaitedCount = count
        self.answer = answer
    }

    /// Takes in the answer of one action; with the last one, or a refusal, the request is answered.
    ///
    /// - Parameter group: whose it is, to be said with each step; nil if it is the only one.
    func add(_ reply: EngineReply, of group: String?) {
        guard awaitedCount > 0 else { return }
        guard case .action(var part) = reply else {
            awaitedCount = 0
            answer(reply)
            return
        }
        awaitedCount -= 1
        if let group {
            for index in part.steps.indices { part.steps[index].name = "\(group): \(part.steps[index].name)" }
            part.message = part.message.map { "\(group): \($0)" }
        } else {
            report.action = part.action
        }
        report.steps += part.steps
        report.succeeded = report.succeeded && part.succeeded
        report.message = [report.message, part.message].compactMap(\.self).nonEmptyJoined
        if awaitedCount == 0 { answer(.action(report)) }
    }
}

extension [String] {
    /// The texts with a semicolon between; nil if there are none.
    fileprivate var nonEmptyJoined: String? { isEmpty ? nil : joined(separator: "; ") }
}
