import Conntrack
import Control
import Flow

/// Turns chunks of packed records into the bytes of a dump.
final class DumpWriter {
    private let format: DumpFormat
    private let printer = FlowPrinter()

    /// A writer for one dump.
    init(_ format: DumpFormat) {
        self.format = format
    }

    /// A chunk's records in the dump's form.
    ///
    /// - Throws: `DumpStream.Interruption`, if the chunk is not whole records, each with its age (an engine defect).
    func text(of chunk: DumpChunk) throws(DumpStream.Interruption) -> [UInt8] {
        if format == .records { return chunk.records }
        var output: [UInt8] = []
        output.reserveCapacity(chunk.activeSeconds.count * 200)
        var offset = 0
        for activeSeconds in chunk.activeSeconds {
            // SAFETY: `bytes` reads the array's elements as they are, and every byte is a valid UInt8.
            let rest = unsafe chunk.records.span.bytes.extracting(offset...)
            let byteCount: Int
            do {
                byteCount = try FlowRecord.validate(rest)
            } catch {
                throw DumpStream.Interruption(description: "internal error: malformed record in a dump: \(error)")
            }
            append(FlowRecordView(rest).flow, activeSeconds: activeSeconds, to: &output)
            offset += byteCount
        }
        return output
    }

    private func append(_ flow: Flow, activeSeconds: UInt32, to output: inout [UInt8]) {
        switch format {
        case .json:
            FlowJSON.append(flow, activeSeconds: activeSeconds, to: &output)
        case .text:
            printer.append(flow, activeSeconds: activeSeconds, to: &output)
        case .records:
            break
        }
    }
}
