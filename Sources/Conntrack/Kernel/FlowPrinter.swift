internal import CNetfilter
public import Flow
internal import Glibc

/// Prints flows as lines of text, in the words and order that every conntrack tool uses (libnetfilter_conntrack).
///
/// `tcp      6 ESTABLISHED src=10.0.0.2 dst=… sport=… dport=… src=… dst=… sport=… dport=… [ASSURED] [active since 3s]`
///
/// One printer per thread: it owns the memory it prints into.
public struct FlowPrinter: ~Copyable {
    private static let lineByteCountMax = 1_024

    private let message: SendBuffer
    private let line: ReceiveBuffer

    /// A printer.
    public init() {
        message = SendBuffer(byteCount: RequestEncoder.encodedByteCountMax)
        line = ReceiveBuffer(byteCount: Self.lineByteCountMax)
    }

    /// Appends one line of `flow` and a line feed to `output`.
    ///
    /// - Parameter activeSeconds: how long the cache has held the flow; nil leaves the remark out.
    public func append(_ flow: Flow, activeSeconds: UInt32?, to output: inout [UInt8]) {
        var shown = flow
        // A cached flow's timeout is a deadline of ours, and the kernel's line shows its own; so neither is shown.
        shown.attributes.remove(.timeout)
        let byteCount = message.write { output in
            _ = RequestEncoder.encode(.description, of: shown, sequence: 0, isAcknowledged: false, into: &output)
        }
        let text = line.bytes(from: 0, to: print(messageByteCount: byteCount))
        // SAFETY: the bytes are copied before the line is written anew.
        unsafe text.withUnsafeBytes { bytes in unsafe output.append(contentsOf: bytes) }
        if let activeSeconds {
            output.append(contentsOf: " [active since ".utf8)
            output.append(contentsOf: String(activeSeconds).utf8)
            output.append(contentsOf: "s]".utf8)
        }
        output.append(UInt8(ascii: "\n"))
    }

    /// A flow as one line, without a line feed.
    public func line(_ flow: Flow) -> String {
        var bytes: [UInt8] = []
        append(flow, activeSeconds: nil, to: &bytes)
        return String(decoding: bytes.dropLast(), as: UTF8.self)
    }

    /// Fills `line` from the message and returns the length of the text.
    private func print(messageByteCount: Int) -> Int {
        // A new object each time: the library keeps attributes of the message before in a reused one.
        guard let object = unsafe nfct_new() else { return 0 }
        defer { unsafe nfct_destroy(object) }
        // SAFETY: the message is one that our encoder wrote, whole and 16-byte aligned; the library copies from it and
        // ends what it prints within the size given.
        let isParsed = unsafe message.bytes(to: messageByteCount).withUnsafeBytes { bytes in
            guard let header = unsafe bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self) else { return false }
            return unsafe nfct_nlmsg_parse(header, object) == 0
        }
        guard isParsed else { return 0 }
        let length = unsafe line.withMemory { memory in
            let text = unsafe memory.baseAddress?.assumingMemoryBound(to: CChar.self)
            let (size, kind, form) = (
                UInt32(Self.lineByteCountMax), UInt32(NFCT_T_UNKNOWN.rawValue), UInt32(NFCT_O_PLAIN)
            )
            return unsafe nfct_snprintf(text, size, object, kind, form, 0)
        }
        return min(max(Int(length), 0), Self.lineByteCountMax - 1)
    }
}
