/// What tells one flow from every other: zone, zone direction and original tuple.
public struct FlowIdentity: Hashable, BitwiseCopyable, Sendable {
    /// The original direction's tuple.
    public var tuple: Tuple
    /// The zone of that tuple.
    public var zone: Zone

    /// An identity of an original tuple and its zone.
    @inlinable
    public init(tuple: Tuple, zone: Zone) {
        self.tuple = tuple
        self.zone = zone
    }

    /// A keyed 64-bit hash over the identity's words.
    ///
    /// Peers and clients choose the tuples, so `seed` is random per process: without it, colliding tuples could be
    /// computed in advance. Multiply-and-fold of two words at a time.
    @inlinable
    public func hash(seed: UInt64) -> UInt64 {
        @inline(__always)
        func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
            let product = left.multipliedFullWidth(by: right)
            return product.high ^ product.low
        }
        let small =
            UInt64(tuple.key.raw) << 32 | UInt64(zone.id) << 16 | UInt64(zone.direction.rawValue) << 12
            | UInt64(tuple.family.rawValue) << 8 | UInt64(tuple.protocolNumber)
        var state = fold(
            tuple.source.high ^ seed ^ 0x9e37_79b9_7f4a_7c15,
            tuple.destination.high ^ 0xa076_1d64_78bd_642f &+ seed
        )
        if tuple.family == .ipv6 {
            state = fold(tuple.source.low ^ state, tuple.destination.low ^ 0xe703_7ed1_a0b4_28db &+ seed)
        }
        state = fold(small ^ state, seed ^ 0x8ebc_6af0_9c88_c6e3)
        return fold(state ^ 0x5895_65d6_3e5b_9ab3, seed | 1)
    }
}
