import Control
import FlyingFox
import FoundationEssentials
import Synchronization

/// Turns HTTP requests into engine requests and the engine's answers into HTTP responses.
///
/// | status | meaning | body |
/// | --- | --- | --- |
/// | 200 | done | the answer, JSON; a dump is text or one JSON object per line |
/// | 400, 404, 405 | the request is wrong | `APIError` |
/// | 409 | the engine refuses now, and says why | `APIError` |
/// | 500 | the action was tried and failed | `ActionReport` |
/// | 503 | asked whether it is ready: it is not | `ReadyReport` |
final class ControlHandler: HTTPHandler {
    private let engine: any EngineAccess
    private let unknownRequestCount = Atomic<UInt64>(0)
    private let brokenConnectionCount = Atomic<UInt64>(0)

    /// A handler that asks `engine`.
    init(engine: any EngineAccess) {
        self.engine = engine
    }

    /// Counts a connection that ended in an error.
    func countBrokenConnection() {
        brokenConnectionCount.wrappingAdd(1, ordering: .relaxed)
    }

    /// Answers one request.
    func handleRequest(_ request: HTTPRequest) async -> HTTPResponse {
        let method = request.method.rawValue
        do {
            let route = try ControlRoute.find(method: method, path: request.path)
            switch route.target {
            case .engine(let engineRequest):
                guard let group = Self.group(of: request) else {
                    return response(to: await engine.perform(engineRequest))
                }
                guard let restricted = engineRequest.restricted(toGroup: group) else { return isForAll(route) }
                return response(to: await engine.perform(restricted))
            case .dump(let cache):
                return Self.group(of: request) == nil ? await dump(cache, of: request) : isForAll(route)
            }
        } catch {
            unknownRequestCount.wrappingAdd(1, ordering: .relaxed)
            return response(to: error, method: method, path: request.path)
        }
    }

    private static func group(of request: HTTPRequest) -> String? {
        request.query.first { $0.name == "group" }?.value
    }

    private func isForAll(_ route: ControlRoute) -> HTTPResponse {
        json(APIError("\(route.text) is for all traffic groups: leave group out"), .badRequest)
    }

    private func response(to failure: ControlRoute.LookupFailure, method: String, path: String) -> HTTPResponse {
        switch failure {
        case .unknown:
            let error = APIError("no route \(method) \(path)", routes: ControlRoute.all.map(\.text))
            return json(error, .notFound)
        case .wrongMethod(let allowed):
            var response = json(APIError("\(path) takes \(allowed), not \(method)"), .methodNotAllowed)
            response.headers[HTTPHeader("Allow")] = allowed
            return response
        }
    }

    private func response(to reply: EngineReply) -> HTTPResponse {
        switch reply {
        case .status(let status):
            return json(status)
        case .statistics(var statistics):
            // The engine knows nothing of requests that never reached it.
            statistics.runtime.unknownRequestCount = unknownRequestCount.load(ordering: .relaxed)
            statistics.runtime.requestFailedCount = brokenConnectionCount.load(ordering: .relaxed)
            return json(statistics)
        case .action(let report):
            return json(report, report.succeeded ? .ok : .internalServerError)
        case .ready(let report):
            return json(report, report.isReady ? .ok : .serviceUnavailable)
        case .history(let history):
            return json(history)
        case .refused(let reason):
            return json(APIError(reason), .conflict)
        case .dumpChunk:
            return json(APIError("internal error: a dump chunk answers no request of its own"), .internalServerError)
        }
    }

    /// Starts a dump: the first chunk is fetched before the response begins, so that a refusal is still a status.
    private func dump(_ cache: CacheSelection, of request: HTTPRequest) async -> HTTPResponse {
        let name = request.query.first { $0.name == "format" }?.value ?? DumpFormat.text.rawValue
        guard let format = DumpFormat(rawValue: name) else {
            let known = DumpFormat.allCases.map(\.rawValue).joined(separator: ", ")
            return json(APIError("no dump format \"\(name)\": use one of \(known)"), .badRequest)
        }
        do {
            let stream = try await DumpStream.open(cache, format: format, engine: engine)
            return HTTPResponse(
                statusCode: .ok,
                headers: [.contentType: format.contentType],
                body: HTTPBodySequence(from: stream)
            )
        } catch {
            return json(APIError(error.description), .conflict)
        }
    }

    private func json(_ value: some Encodable, _ statusCode: HTTPStatusCode = .ok) -> HTTPResponse {
        do {
            let body = try APICoder.encode(value)
            return HTTPResponse(statusCode: statusCode, headers: [.contentType: "application/json"], body: body)
        } catch {
            let text = "{\"error\":\"internal error: the answer cannot be written as JSON\"}\n"
            return HTTPResponse(
                statusCode: .internalServerError,
                headers: [.contentType: "application/json"],
                body: Data(text.utf8)
            )
        }
    }
}
