extension FlowRecordView {
    /// A 64-bit digest of the whole record but its timeout, which runs down on every node by itself.
    ///
    /// The same on every machine and in every process: peers compare sums of it (DESIGN §2). It finds what was lost or
    /// damaged; it is no defence against somebody who forges records, which is what the link's seal is for.
    public var digest: UInt64 {
        let end = byteCount
        var state = Self.fold(
            bytes.littleEndian(at: 0, as: UInt64.self) ^ 0x2d35_8dcc_aa6c_78a5,
            0x8bb8_4b93_962e_acc9 ^ UInt64(end)
        )
        var offset = FlowRecord.Offset.mark
        while offset + 16 <= end {
            state = Self.fold(
                bytes.littleEndian(at: offset, as: UInt64.self) ^ state,
                bytes.littleEndian(at: offset + 8, as: UInt64.self) ^ 0x4b33_a62e_d433_d4a3
            )
            offset += 16
        }
        while offset < end {
            state = Self.fold(
                UInt64(bytes.littleEndian(at: offset, as: UInt32.self)) ^ state,
                0x4d5a_2da5_1de1_aa47
            )
            offset += 4
        }
        return Self.fold(state ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93)
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
