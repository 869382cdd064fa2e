import Control
import Flow
import Glibc
import Logging
import Synchronization
import SystemIO
import Testing

@testable import Daemon

@Suite struct ControlServerTests {
    private static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test func everyRouteReachesTheEngine() async throws {
        let engine = FakeEngine()
        try await withServer(engine) { path in
            for route in ControlRoute.all {
                let answer = try await exchange(requestText(route.method, route.path), at: path)
                #expect(answer.status == 200, "\(route.text): \(answer.text)")
            }
        }
        let expected: [EngineRequest] = [
            .status, .statistics, .ready(), .history, .dumpChunk(cache: .internal, cursor: nil, limit: 512),
            .dumpChunk(cache: .external, cursor: nil, limit: 512), .commit, .push, .flush(.internal),
            .flush(.external), .flush(.kernel), .resync(.kernel), .resync(.peer), .role(.primary), .role(.backup),
            .role(.fault),
        ]
        #expect(engine.requests == expected)
    }

    @Test func roleAndReadinessMayBeOfOneTrafficGroup() async throws {
        let engine = FakeEngine()
        try await withServer(engine) { path in
            let role = try await exchange(requestText("POST", "/v1/role/primary?group=web"), at: path)
            let ready = try await exchange(requestText("GET", "/v1/ready?group=web"), at: path)
            #expect(role.status == 200 && ready.status == 200)
            let flush = try await exchange(requestText("POST", "/v1/flush/kernel?group=web"), at: path)
            let dump = try await exchange(requestText("GET", "/v1/dump/internal?group=web"), at: path)
            #expect(flush.status == 400 && dump.status == 400)
            #expect(
                try flush.decoded(APIError.self).error
                    == "POST /v1/flush/kernel is for all traffic groups: leave group out"
            )
        }
        #expect(engine.requests == [.role(.primary, group: "web"), .ready(group: "web")])
    }

    @Test func answersAreTheTypesOfTheAPI() async throws {
        try await withServer(FakeEngine()) { path in
            let status: NodeStatus = try await exchange(requestText("GET", "/v1/status"), at: path).decoded()
            #expect(status == NodeStatus(node: "r1", version: "0.1.0"))
            let report: ActionReport = try await exchange(requestText("POST", "/v1/push"), at: path).decoded()
            #expect(report.succeeded && report.steps == [StepReport(name: "done", count: 1)])
        }
    }

    @Test func wrongRequestsSayWhatThereIs() async throws {
        let engine = FakeEngine()
        try await withServer(engine) { path in
            let unknown = try await exchange(requestText("GET", "/v1/nonsense"), at: path)
            #expect(unknown.status == 404)
            let error: APIError = try unknown.decoded()
            #expect(error.error == "no route GET /v1/nonsense")
            #expect(error.routes?.contains("GET /v1/status") == true)
            #expect(error.routes?.count == ControlRoute.all.count)

            let method = try await exchange(requestText("GET", "/v1/commit"), at: path)
            #expect(method.status == 405)
            #expect(try method.decoded(APIError.self).error == "/v1/commit takes POST, not GET")

            let role = try await exchange(requestText("POST", "/v1/role/unset"), at: path)
            #expect(role.status == 404)

            let format = try await exchange(requestText("GET", "/v1/dump/internal?format=xml"), at: path)
            #expect(format.status == 400)
            #expect(try format.decoded(APIError.self).error == "no dump format \"xml\": use one of text, json, records")
            #expect(engine.requests.isEmpty)

            let statistics: Statistics = try await exchange(requestText("GET", "/v1/stats"), at: path).decoded()
            #expect(statistics.runtime.unknownRequestCount == 3)
        }
    }

    @Test func refusalFailureAndUnreadinessAreStatusCodes() async throws {
        let engine = FakeEngine { request in
            switch request {
            case .ready: .ready(ReadyReport(reason: "bulk transfer: 5 of 9 flows"))
            case .push: .action(ActionReport(action: "push", succeeded: false, message: "no link is live"))
            default: .refused("a commit is running since 3 s: wait for it")
            }
        }
        try await withServer(engine) { path in
            for (method, target) in [("POST", "/v1/commit"), ("GET", "/v1/dump/external")] {
                let refused = try await exchange(requestText(method, target), at: path)
                #expect(refused.status == 409)
                #expect(try refused.decoded(APIError.self).error == "a commit is running since 3 s: wait for it")
            }
            let failed = try await exchange(requestText("POST", "/v1/push"), at: path)
            #expect(failed.status == 500)
            #expect(try failed.decoded(ActionReport.self).message == "no link is live")
            let unready = try await exchange(requestText("GET", "/v1/ready"), at: path)
            #expect(unready.status == 503)
            #expect(try unready.decoded(ReadyReport.self).reason == "bulk transfer: 5 of 9 flows")
        }
    }

    @Test func severalRequestsShareAConnection() async throws {
        try await withServer(FakeEngine()) { path in
            let codes = try await onThread {
                let socket = try LocalSocket.connect(to: path, timeoutSeconds: 30)
                return try (0..<3).map { _ in
                    try socket.write(Array(requestText("GET", "/v1/ready").utf8))
                    return try readAnswer(socket).status
                }
            }
            #expect(codes == [200, 200, 200])
        }
    }

    @Test func anIdleClientAndALongActionBlockNobody() async throws {
        let statusCount = Atomic<Int>(0)
        let (statusesDone, signal) = AsyncStream.makeStream(of: Void.self)
        let engine = FakeEngine { request in
            if request == .commit { for await _ in statusesDone { break } }
            if request == .status, statusCount.add(1, ordering: .relaxed).newValue == 20 { signal.yield() }
            return FakeEngine.plainAnswer(to: request)
        }
        try await withServer(engine) { path in
            async let commit = exchange(requestText("POST", "/v1/commit"), at: path)
            let late = try await onThread {
                let idle = try LocalSocket.connect(to: path)
                let half = try LocalSocket.connect(to: path, timeoutSeconds: 30)
                try half.write(Array("GET /v1/rea".utf8))
                for _ in 0..<20 {
                    let socket = try LocalSocket.connect(to: path, timeoutSeconds: 30)
                    try socket.write(Array(requestText("GET", "/v1/status").utf8))
                    guard try readAnswer(socket).status == 200 else { return 0 }
                }
                try half.write(Array("dy HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
                let answer = try readAnswer(half)
                _ = consume idle
                return answer.status
            }
            #expect(late == 200)
            let committed = try await commit
            #expect(committed.status == 200)
        }
    }

    /// A request that no client of ours would send.
    struct Malformed: CustomTestStringConvertible {
        let testDescription: String
        let bytes: [UInt8]

        init(_ name: String, _ text: String) {
            testDescription = name
            bytes = Array(text.utf8)
        }
    }

    @Test(arguments: [
        Malformed("empty lines", "\r\n\r\n"), Malformed("no HTTP", "nonsense\r\n\r\n"),
        Malformed("NUL in the method", "GET\0 /v1/status HTTP/1.1\r\n\r\n"),
        Malformed("no version", "GET /v1/status\r\n\r\n"),
        Malformed("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Malformed("negative length", "POST /v1/push HTTP/1.1\r\nContent-Length: -7\r\n\r\n"),
        Malformed("overflowing length", "POST /v1/push HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        Malformed("unknown coding", "POST /v1/push HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
        Malformed("foreign path", "GET /v1/../../etc/passwd?%zz=%00 HTTP/1.1\r\n\r\n"),
        Malformed("deep path", "GET /" + String(repeating: "a/", count: 4_000) + " HTTP/1.1\r\n\r\n"),
        Malformed(
            "long header",
            "GET /v1/push HTTP/1.1\r\nX: " + String(repeating: "x", count: 100_000) + "\r\n\r\n"
        ),
    ])
    func malformedRequestsHurtNobody(request: Malformed) async throws {
        let engine = FakeEngine()
        try await withServer(engine) { path in
            try await onThread {
                let socket = try LocalSocket.connect(to: path, timeoutSeconds: 30)
                // The server may hang up before it has read everything.
                try? socket.write(request.bytes)
            }
            let answer = try await exchange(requestText("GET", "/v1/status"), at: path)
            #expect(answer.status == 200)
            #expect(engine.requests == [.status])
        }
    }

    @Test func aBodyNobodyAskedForIsNotHeld() async throws {
        let engine = FakeEngine()
        try await withServer(engine) { path in
            let answer = try await onThread {
                let socket = try LocalSocket.connect(to: path, timeoutSeconds: 30)
                let head = "POST /v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
                try socket.write(Array(head.utf8))
                return try readAnswer(socket)
            }
            #expect(answer.status == 200)
            let next = try await exchange(requestText("GET", "/v1/status"), at: path)
            #expect(next.status == 200)
            #expect(engine.requests == [.push, .status])
        }
    }
}
