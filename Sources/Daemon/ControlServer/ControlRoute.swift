import Control
import SystemIO

/// One thing the local API can do, with the method and path that name it.
struct ControlRoute: Sendable {
    /// What is done for it.
    enum Target: Sendable {
        /// The engine answers once.
        case engine(EngineRequest)
        /// A cache is streamed.
        case dump(CacheSelection)
    }

    /// "GET" if it changes nothing, "POST" if it does.
    let method: String
    /// The whole path.
    let path: String
    /// What is done for it.
    let target: Target

    /// Every route there is.
    static let all: [ControlRoute] =
        [
            get("status", .engine(.status)),
            get("stats", .engine(.statistics)),
            get("ready", .engine(.ready())),
            get("history", .engine(.history)),
        ]
        + CacheSelection.allCases.map { get("dump/\($0.rawValue)", .dump($0)) }
        + [post("commit", .commit), post("push", .push)]
        + EngineRequest.FlushTarget.allCases.map { post("flush/\($0.rawValue)", .flush($0)) }
        + EngineRequest.ResyncSource.allCases.map { post("resync/\($0.rawValue)", .resync($0)) }
        + Role.allCases.filter { $0 != .unset }.map { post("role/\($0.rawValue)", .role($0)) }
        + (isDebugging ? EngineRequest.Harm.allCases.map { post("debug/\($0.rawValue)", .harm($0)) } : [])

    /// Whether the daemon was started with FLOWSYNC_DEBUG=1: tests may then harm its caches.
    private static let isDebugging = ProcessEnvironment["FLOWSYNC_DEBUG"] == "1"

    /// "GET /v1/status", as errors list it.
    var text: String { "\(method) \(path)" }

    /// Finds the route of a request.
    ///
    /// - Throws: `.unknown`, or `.wrongMethod` with the one that is right.
    static func find(method: String, path: String) throws(LookupFailure) -> ControlRoute {
        guard let route = all.first(where: { $0.path == path }) else { throw .unknown }
        guard route.method == method else { throw .wrongMethod(allowed: route.method) }
        return route
    }

    /// Why no route was found.
    enum LookupFailure: Error, Equatable {
        /// No route has that path.
        case unknown
        /// The path exists, but for another method.
        case wrongMethod(allowed: String)
    }

    private static func get(_ path: String, _ target: Target) -> ControlRoute {
        ControlRoute(method: "GET", path: "/v1/\(path)", target: target)
    }

    private static func post(_ path: String, _ request: EngineRequest) -> ControlRoute {
        ControlRoute(method: "POST", path: "/v1/\(path)", target: .engine(request))
    }
}
