import Flow
import Testing

@testable import Takeover

@Suite("The sample of a commit")
struct CommitSampleTests {
    private func flow(_ number: Int, timeoutSeconds: UInt32 = 600) -> Flow {
        var flow = Flow(
            original: Tuple(
                source: Address(ipv4: (10, 0, UInt8(number >> 8 & 255), UInt8(number & 255))),
                destination: Address(ipv4: (192, 0, 2, 1)),
                key: ProtocolKey(sourcePort: UInt16(1_024 + number / 65_536), destinationPort: 80),
                protocolNumber: IPProtocol.tcp,
                family: .ipv4
            )
        )
        flow.attributes = [.status, .timeout, .mark]
        flow.status = [.seenReply, .assured, .confirmed]
        flow.timeoutSeconds = timeoutSeconds
        flow.mark = UInt32(number)
        return flow
    }

    private func sample(_ flows: [Flow]) -> CommitSample {
        var sample = CommitSample()
        for flow in flows { sample.add(FlowRecordView(EncodedFlowRecord(flow).bytes)) }
        return sample
    }

    @Test(
        "it is spread over the whole commit, whatever the commit's size",
        arguments: [1, 100, 127, 128, 1_000, 50_000]
    )
    func spread(count: Int) throws {
        let numbers = sample((0..<count).map { flow($0) }).flows.map { Int($0.mark) }
        #expect(numbers.count < CommitSample.flowCountMax && numbers.count >= min(count, 127) / 2)
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
        let gaps = zip(numbers, numbers.dropFirst()).map { $1 - $0 }
        #expect(Set(gaps).count <= 1)
        let last = try #require(numbers.last)
        #expect(count - last <= (gaps.first ?? 1))
    }

    @Test("flows about to run out are left out")
    func shortLived() {
        #expect(sample([flow(1, timeoutSeconds: 9), flow(2, timeoutSeconds: 10)]).flows.map(\.mark) == [2])
    }

    @Test("each difference has its name, and progress is none")
    func differences() {
        let committed = flow(7)
        #expect(CommitSample.difference(of: nil, from: committed) == "missing")
        #expect(CommitSample.difference(of: committed, from: committed) == nil)
        var other = committed
        other.reply.destination = Address(ipv4: (198, 51, 100, 1))
        #expect(CommitSample.difference(of: other, from: committed) == "translated differently")
        other = committed
        other.status.remove(.assured)
        #expect(CommitSample.difference(of: other, from: committed) == "less far on")
        #expect(CommitSample.difference(of: committed, from: other) == nil)
        other = committed
        other.mark = 1
        #expect(CommitSample.difference(of: other, from: committed) == "marked differently")
    }
}
