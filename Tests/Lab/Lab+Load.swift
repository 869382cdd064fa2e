/// Made-up flows in a router's kernel.
extension Lab {
    /// Creates flows with source NAT in a router's kernel and returns the tool's account.
    ///
    /// - Parameters:
    ///   - changes: how often every flow is changed afterwards; each change is one event.
    ///   - deletes: how many of them are deleted at the end.
    @discardableResult
    public func inject(
        _ count: Int,
        into router: LabNode,
        first: Int = 0,
        changes: Int = 0,
        deletes: Int = 0
    ) throws(LabError) -> String {
        let numbers = [
            "--count", "\(count)", "--first", "\(first)", "--changes", "\(changes)", "--deletes", "\(deletes)",
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
}
