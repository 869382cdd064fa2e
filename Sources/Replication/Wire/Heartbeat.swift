import Flow

/// What a node says of itself several times per second.
struct Heartbeat: Equatable, Sendable {
    /// `NodeRole.rawValue`.
    var role: UInt8
    /// Counts up, and begins anew after the last number.
    var number: UInt16
    /// Flows in the internal cache.
    var flowCount: UInt32
    /// Digests of the settings that all nodes must share.
    var shared: SharedSettings
    /// The node's name, at most 64 bytes of UTF-8.
    var name: String

    /// Bytes of the body before the name.
    static let fixedByteCount = 24

    init(role: UInt8, number: UInt16, flowCount: UInt32, shared: SharedSettings, name: String) {
        self.role = role
        self.number = number
        self.flowCount = flowCount
        self.shared = shared
        self.name = name
    }

    /// Decodes a validated body.
    init(decoding body: RawSpan) {
        role = body.word(at: 0, as: UInt8.self)
        number = body.littleEndian(at: 2, as: UInt16.self)
        flowCount = body.littleEndian(at: 4, as: UInt32.self)
        shared = SharedSettings(
            mode: body.littleEndian(at: 8, as: UInt32.self),
            protocols: body.littleEndian(at: 12, as: UInt32.self),
            ignoredAddresses: body.littleEndian(at: 16, as: UInt32.self),
            groups: body.littleEndian(at: 20, as: UInt32.self)
        )
        var bytes: [UInt8] = []
        for index in 0..<min(Int(body.word(at: 1, as: UInt8.self)), 64) {
            bytes.append(body.word(at: Self.fixedByteCount + index, as: UInt8.self))
        }
        // A peer's name goes into logs, status and terminals: no control characters, neither C0 nor C1.
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars
        name = String(String.UnicodeScalarView(scalars.filter { $0.properties.generalCategory != .control }))
    }
}
