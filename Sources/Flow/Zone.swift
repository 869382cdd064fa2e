/// A conntrack zone and the directions it holds for (`CTA_ZONE`, `CTA_TUPLE_ZONE`).
public struct Zone: Hashable, BitwiseCopyable, Sendable {
    /// The directions of a flow that lie in the zone.
    public enum Direction: UInt8, Sendable, BitwiseCopyable {
        /// Both directions (`CTA_ZONE` at the top level).
        case both = 0
        /// The original direction only; the reply direction lies in zone 0.
        case original = 1
        /// The reply direction only; the original direction lies in zone 0.
        case reply = 2
    }

    /// The zone's number; 0 is the default zone.
    public var id: UInt16
    /// The directions that lie in the zone.
    public var direction: Direction

    /// A zone of a number and its directions.
    ///
    /// Zone 0 holds for both directions whatever is asked.
    @inlinable
    public init(id: UInt16, direction: Direction = .both) {
        self.id = id
        self.direction = id == 0 ? .both : direction
    }

    /// Zone 0, both directions.
    public static let standard = Zone(id: 0)
}
