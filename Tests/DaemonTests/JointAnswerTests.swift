import Control
import Testing

@testable import Daemon

@Suite("One answer for several traffic groups")
struct JointAnswerTests {
    private final class Answers {
        var list: [EngineReply] = []
        var report: ActionReport? { if case .action(let report)? = list.first { report } else { nil } }
    }

    private func part(_ name: String, succeeded: Bool = true, message: String? = nil) -> EngineReply {
        .action(
            ActionReport(
                action: "role primary --group \(name)",
                succeeded: succeeded,
                steps: [StepReport(name: "commit", count: 2)],
                message: message
            )
        )
    }

    @Test("of one group: its report as it is")
    func single() {
        let answers = Answers()
        let answer = JointAnswer(action: "role primary", count: 1) { answers.list.append($0) }
        answer.add(part("web", message: "why"), of: nil)
        #expect(answers.list.count == 1)
        #expect(answers.report?.action == "role primary --group web" && answers.report?.message == "why")
        #expect(answers.report?.steps.map(\.name) == ["commit"])
    }

    @Test("of several: when the last is done, each step with its group, failed if one failed")
    func several() {
        let answers = Answers()
        let answer = JointAnswer(action: "role primary", count: 2) { answers.list.append($0) }
        answer.add(part("default"), of: "default")
        #expect(answers.list.isEmpty)
        answer.add(part("web", succeeded: false, message: "cut short"), of: "web")
        #expect(answers.list.count == 1)
        #expect(answers.report?.action == "role primary" && answers.report?.succeeded == false)
        #expect(answers.report?.steps.map(\.name) == ["default: commit", "web: commit"])
        #expect(answers.report?.message == "web: cut short")
    }

    @Test("a refusal is the answer, once")
    func refusal() {
        let answers = Answers()
        let answer = JointAnswer(action: "push", count: 2) { answers.list.append($0) }
        answer.add(.refused("stopping"), of: "default")
        answer.add(.refused("stopping"), of: "web")
        #expect(answers.list.count == 1)
        if case .refused(let text)? = answers.list.first { #expect(text == "stopping") } else { Issue.record() }
    }
}
