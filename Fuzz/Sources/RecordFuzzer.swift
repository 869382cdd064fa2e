import Flow

// Fuzzes the record decoder: whatever the bytes, `validate` either refuses them or everything can be read from them.

/// Reads an input as a record.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRecord(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: count)
    let span = bytes.bytes
    guard let byteCount = try? FlowRecord.validate(span) else { return 0 }
    precondition(byteCount >= FlowRecord.byteCountMin && byteCount <= count, "a record reaches beyond its bytes")
    let view = FlowRecordView(span)
    let flow = view.flow
    precondition(view.byteCount == byteCount && view.isOf(flow.identity) && view.identity == flow.identity)
    precondition(view.hasMaster == flow.attributes.contains(.master))
    // What a later version added is left out, so the copy may be shorter; from then on nothing changes any more.
    let copy = EncodedFlowRecord(flow)
    precondition(copy.byteCount <= byteCount, "a record grew by being read")
    precondition((try? FlowRecord.validate(copy.bytes)) == copy.byteCount, "a written record is not valid")
    let again = EncodedFlowRecord(FlowRecordView(copy.bytes).flow)
    precondition(again.byteCount == copy.byteCount)
    for offset in 0..<copy.byteCount {
        precondition(
            copy.bytes.word(at: offset, as: UInt8.self) == again.bytes.word(at: offset, as: UInt8.self),
            "byte \(offset) changes with every copy"
        )
    }
    precondition(FlowRecordView(copy.bytes).digest == FlowRecordView(again.bytes).digest)
    _ = view.digest
    return 0
}
