/// Made-up flows in a router's kernel.
extension Lab {
    /// Creates flows with source NAT in a router's kernel and returns the tool's account.
    ///
    /// - Parameters:
    ///   - generation: what to write first: 0 is a new flow, a higher number changes one that is there.
    ///   - changes: how often every flow is changed afterwards; each change is one event.
    ///   - deletes: how many of them are deleted at the end.
    @discardableResult
    public func inject(
        _ count: Int,
        into router: LabNode,
        first: Int = 0,
        generation: Int = 0,
        changes: Int = 0,
        deletes: Int = 0
    ) throws(LabError) -> String {
        let numbers = [
            "--count", "\(count)", "--first", "\(first)", "--generation", "\(generation)", "--changes", "\(changes)",
            "--deletes", "\(deletes)",
        ]
        return try check(on: router, [try LabPrograms.labTool(), "inject"] + numbers, timeoutSeconds: 120).text
    }

    /// Starts creating, changing and deleting flows in a router's kernel; ends by itself.
    public func startChurn(
        on router: LabNode,
        rate: Int,
        seconds: Double,
        population: Int,
        seed: UInt64
    ) throws(LabError) -> ChildProcess {
        let tool = try LabPrograms.labTool()
        return try start(
            on: router,
            [
                tool, "churn", "--rate", "\(rate)", "--seconds", "\(seconds)", "--population", "\(population)",
                "--seed", "\(seed)",
            ],
            output: .file("\(directory)/churn.log"),
            errors: .file("\(directory)/churn.log")
        )
    }

    /// Starts a load of exact totals in a router's kernel; ends by itself.
    public func startLoad(on router: LabNode, _ plan: LoadPlan) throws(LabError) -> Load {
        let process = try start(
            on: router,
            [try LabPrograms.labTool(), "load"] + plan.options,
            output: .pipe,
            errors: .file("\(directory)/load.log")
        )
        return Load(plan: plan, process: process)
    }

    /// Carries out a load of exact totals in a router's kernel and returns the tool's account.
    @discardableResult
    public func load(_ plan: LoadPlan, on router: LabNode) throws(LabError) -> String {
        try startLoad(on: router, plan).finish(within: 120)
    }
}

/// A load that is being carried out.
public struct Load {
    /// What it does.
    public let plan: LoadPlan
    /// The program that does it.
    public let process: ChildProcess

    /// Waits until it is done and returns the tool's account; an error unless it did exactly what its plan says.
    @discardableResult
    public func finish(within seconds: Double) throws(LabError) -> String {
        let line = try process.readLine(timeoutSeconds: seconds)
        let expected = "created \(plan.creates), updated \(plan.updates), deleted \(plan.deletes), failed 0 "
        guard process.wait(timeoutSeconds: 5) == 0, line.hasPrefix(expected) else {
            throw LabError("a load of \(plan.options) ended with: \(line)")
        }
        return line
    }
}
