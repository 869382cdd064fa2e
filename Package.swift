// swift-tools-version: 6.2
import PackageDescription

// Settings of every Swift target. Each experimental feature says why it is there.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // `@_lifetime`, for functions that hand out spans into the slabs and into receive buffers.
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
]

// Product code also declares every unsafe expression. Test targets cannot: `#expect` expands to unsafe expressions.
let product: [SwiftSetting] = strict + [.strictMemorySafety()]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let flyingFox = Target.Dependency.product(name: "FlyingFox", package: "FlyingFox")

let package = Package(
    name: "flowsync",
    products: [
        .executable(name: "flowsyncd", targets: ["flowsyncd"]),
        .executable(name: "flowsync", targets: ["flowsync"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/swhitty/FlyingFox", exact: "0.27.1"),
    ],
    targets: [
        // What the operating system gives.
        .systemLibrary(
            name: "CNetfilter",
            pkgConfig: "libnetfilter_conntrack libmnl",
            providers: [.apt(["libnetfilter-conntrack-dev", "libmnl-dev", "libnfnetlink-dev"])]
        ),
        // The kernel's headers alone: CNetfilter's libraries bring older copies that clash with them.
        .systemLibrary(name: "CNFTables"),
        .target(name: "CLinux"),
        // Calls what swift-crypto brings along: whoever links it has to link that as well.
        .target(name: "CSeal"),
        // Keeps libcurl out of the static programs; FlyingFox would bring it in for a handler that nobody uses.
        .target(
            name: "CCurlAbsent",
            exclude: ["lib"],
            // An archive with nothing in it, for the `-lcurl` that comes with FoundationNetworking.
            linkerSettings: [.unsafeFlags(["-L\(Context.packageDirectory)/Sources/CCurlAbsent/lib"])]
        ),
        .target(name: "SystemIO", dependencies: ["CLinux"], swiftSettings: product),

        // Pure modules: no sockets, clocks, threads or global state.
        .target(name: "Flow", swiftSettings: product),
        .target(name: "FlowTable", dependencies: ["Flow"], swiftSettings: product),
        .target(name: "Policy", dependencies: ["Flow"], swiftSettings: product),
        .target(name: "Replication", dependencies: ["FlowTable", "Flow"], swiftSettings: product),
        .target(name: "Takeover", dependencies: ["FlowTable", "Flow"], swiftSettings: product),

        // The edges: kernel, network, files, operators.
        .target(name: "Conntrack", dependencies: ["CNetfilter", "SystemIO", "Flow"], swiftSettings: product),
        .target(name: "Gate", dependencies: ["CNFTables", "SystemIO", "Policy", "Flow"], swiftSettings: product),
        .target(name: "Link", dependencies: ["SystemIO", "CLinux", "CSeal", crypto], swiftSettings: product),
        .target(name: "Configuration", dependencies: ["Policy", "SystemIO", "Flow"], swiftSettings: product),
        .target(name: "Control", dependencies: ["Flow"], swiftSettings: product),
        .target(
            name: "Daemon",
            dependencies: [
                "SystemIO", "Flow", "FlowTable", "Policy", "Replication", "Takeover", "Conntrack", "Gate", "Link",
                "Configuration", "Control", "CCurlAbsent", logging, flyingFox,
            ],
            swiftSettings: product
        ),
        .executableTarget(
            name: "flowsyncd",
            dependencies: ["Daemon", "Configuration", "Control", argumentParser],
            swiftSettings: product
        ),
        .executableTarget(
            name: "flowsync",
            dependencies: ["Control", "SystemIO", "Flow", "Conntrack", "Configuration", "Link", argumentParser],
            swiftSettings: product
        ),

        // The lab: routers, client and server as network namespaces on this machine's kernel.
        .target(
            name: "Lab",
            dependencies: ["SystemIO", "CLinux", "Flow", "Conntrack", "Control", "Link"],
            path: "Tests/Lab",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "flowsync-lab",
            dependencies: ["Lab", argumentParser],
            path: "Tests/LabTool",
            swiftSettings: strict
        ),

        // FlowSync beside conntrackd, under the same load in the same run.
        .target(
            name: "Bench",
            dependencies: ["Lab", "CNetfilter", "SystemIO", "Flow", "Conntrack", "Control"],
            path: "Tests/Bench",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "flowsync-bench",
            dependencies: ["Bench", "Lab", "CCurlAbsent", argumentParser],
            path: "Tests/BenchTool",
            swiftSettings: strict
        ),

        // Nodes of the real protocol on virtual time, and the program that runs seeds of it.
        .target(
            name: "Simulator",
            dependencies: ["Replication", "FlowTable", "Flow"],
            path: "Tests/Simulator",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "flowsync-simulate",
            dependencies: ["Simulator", argumentParser],
            path: "Tests/SimulatorTool",
            swiftSettings: strict
        ),

        .testTarget(name: "FlowTests", dependencies: ["Flow"], swiftSettings: strict),
        .testTarget(name: "FlowTableTests", dependencies: ["FlowTable"], swiftSettings: strict),
        .testTarget(name: "PolicyTests", dependencies: ["Policy"], swiftSettings: strict),
        .testTarget(name: "ReplicationTests", dependencies: ["Replication"], swiftSettings: strict),
        .testTarget(name: "TakeoverTests", dependencies: ["Takeover"], swiftSettings: strict),
        .testTarget(
            name: "ConntrackTests",
            dependencies: ["Conntrack", "CNetfilter", "SystemIO", "Flow"],
            swiftSettings: strict
        ),
        .testTarget(name: "GateTests", dependencies: ["Gate", "Policy", "SystemIO"], swiftSettings: strict),
        .testTarget(name: "SystemIOTests", dependencies: ["SystemIO"], swiftSettings: strict),
        .testTarget(name: "LinkTests", dependencies: ["Link", "SystemIO"], swiftSettings: strict),
        .testTarget(
            name: "ConfigurationTests",
            dependencies: ["Configuration", "Policy", "SystemIO"],
            swiftSettings: strict
        ),
        .testTarget(name: "ControlTests", dependencies: ["Control"], swiftSettings: strict),
        .testTarget(
            name: "DaemonTests",
            dependencies: ["Daemon", "flowsync", "Conntrack", "Flow", "FlowTable", "Policy", "Replication"],
            swiftSettings: strict
        ),
        .testTarget(name: "TidyTests", swiftSettings: strict),
        .testTarget(name: "SimulatorTests", dependencies: ["Simulator"], swiftSettings: strict),
        .testTarget(name: "LabTests", dependencies: ["Lab"], swiftSettings: strict),
        .testTarget(name: "BenchTests", dependencies: ["Bench", "Conntrack"], swiftSettings: strict),
    ]
)
