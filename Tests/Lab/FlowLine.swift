internal import Glibc

/// Reads one line of a dump.
///
/// Works on the bytes where they lie and finds its way by `memchr`: the lab compares lists of 100,000 lines in debug
/// builds, where a walk over `String` or over slices takes minutes.
struct FlowLine {
    /// "tcp src=… dst=… sport=… dport=…", with the zone if there is one.
    private(set) var identity = ""
    /// Everything else that is compared.
    private(set) var facts = FlowSnapshot.Facts()

    private let ignored: Set<String>

    init(ignored: Set<String>) {
        self.ignored = ignored
    }

    /// Reads a line; false if it is none of a flow, or of a flow that is not replicated.
    mutating func parse(_ line: UnsafeRawBufferPointer) -> Bool {
        facts = FlowSnapshot.Facts()
        var tuples = ["", ""]
        var tupleCount = 0
        var tupleStart: Int?
        var zones = ""
        var protocolName = ""
        var position = 0
        var isIgnored = false

        // A tuple's words stand side by side; the first other word after them ends it.
        func endTuple(at offset: Int) {
            guard let start = tupleStart else { return }
            if tupleCount <= 2 { tuples[tupleCount - 1] = line.text(start, offset - 1) }
            tupleStart = nil
        }
        for word in line.pieces(separatedBy: 0x20) {
            let offset = word.startIndex(in: line)
            defer { position += 1 }
            if position == 0 {
                protocolName = word.text(0, word.count)
            } else if word.starts(with: "src=") {
                endTuple(at: offset)
                tupleStart = offset
                tupleCount += 1
                if !ignored.isEmpty { isIgnored = isIgnored || isOurOwn(word.text(4, word.count)) }
            } else if !word.isTupleWord {
                endTuple(at: offset)
                if let zone = takeIn(word, at: position) { zones += " " + zone }
            }
        }
        endTuple(at: line.count + 1)
        guard tupleCount >= 1, !isIgnored else { return false }
        identity = protocolName + " " + tuples[0] + zones
        facts.reply = tuples[1]
        return true
    }

    private func isOurOwn(_ address: String) -> Bool {
        ignored.contains(address) || address.hasPrefix("127.") || address == "::1"
    }

    /// A word beside the tuples; returns it if it belongs to the identity.
    private mutating func takeIn(_ word: UnsafeRawBufferPointer, at position: Int) -> String? {
        if word.starts(with: "mark=") {
            facts.mark = word.text(5, word.count)
        } else if word.starts(with: "helper=") {
            facts.helper = word.text(7, word.count)
        } else if word.starts(with: "zone") {
            return word.text(0, word.count)
        } else if word.starts(with: "[ASSURED]") {
            facts.isAssured = true
        } else if word.starts(with: "[UNREPLIED]") {
            facts.isUnreplied = true
        } else if position == 2, let seconds = Int(word.text(0, word.count)) {
            facts.timeoutSeconds = seconds
        } else if position == 2 || position == 3, UInt8(ascii: "A")...UInt8(ascii: "Z") ~= word[0] {
            // A state stands before the first tuple; "[active", "since" and "5s]" stand after it.
            facts.state = word.text(0, word.count)
        }
        return nil
    }
}

extension UnsafeRawBufferPointer {
    /// The pieces between single bytes; empty ones are left out.
    func pieces(separatedBy separator: UInt8) -> [UnsafeRawBufferPointer] {
        var pieces: [UnsafeRawBufferPointer] = []
        guard let base = baseAddress else { return pieces }
        var start = 0
        while start < count {
            let found = memchr(base + start, Int32(separator), count - start)
            let end = found.map { UnsafeRawPointer($0) - base } ?? count
            if end > start { pieces.append(UnsafeRawBufferPointer(start: base + start, count: end - start)) }
            start = end + 1
        }
        return pieces
    }

    fileprivate func text(_ start: Int, _ end: Int) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: self[start..<end]), as: UTF8.self)
    }

    fileprivate func starts(with prefix: StaticString) -> Bool {
        guard let base = baseAddress, count >= prefix.utf8CodeUnitCount else { return false }
        return memcmp(base, prefix.utf8Start, prefix.utf8CodeUnitCount) == 0
    }

    fileprivate func startIndex(in line: UnsafeRawBufferPointer) -> Int {
        guard let start = baseAddress, let base = line.baseAddress else { return 0 }
        return start - base
    }

    /// Whether this is a word of a tuple, after its first.
    fileprivate var isTupleWord: Bool {
        switch self[0] {
        case UInt8(ascii: "d"): starts(with: "dst=") || starts(with: "dport=") || starts(with: "dstkey=")
        case UInt8(ascii: "s"): starts(with: "sport=") || starts(with: "srckey=")
        case UInt8(ascii: "t"): starts(with: "type=")
        case UInt8(ascii: "c"): starts(with: "code=")
        case UInt8(ascii: "i"): starts(with: "id=")
        default: false
        }
    }
}
