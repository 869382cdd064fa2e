import Flow
import Glibc
import Testing

struct AddressTests {
    @Test(arguments: [
        ("0.0.0.0", Address(ipv4: (0, 0, 0, 0))), ("10.1.2.3", Address(ipv4: (10, 1, 2, 3))),
        ("255.255.255.255", Address(ipv4: (255, 255, 255, 255))),
    ])
    func ipv4Text(_ text: String, _ address: Address) {
        #expect(address.text(.ipv4) == text)
    }

    /// The rules of RFC 5952 §4: no leading zeros, one "::" for the longest run, the first of equals, none for one
    /// group.
    @Test(
        arguments: [
            ("::", 0, 0), ("::1", 0, 1), ("1::", 0x0001_0000_0000_0000, 0),
            ("fd00:77::2", 0xfd00_0077_0000_0000, 2),
            ("2001:db8:0:1:1:1:1:1", 0x2001_0db8_0000_0001, 0x0001_0001_0001_0001),
            ("2001:db8::1:0:0:1", 0x2001_0db8_0000_0000, 0x0001_0000_0000_0001),
            ("2001:0:0:1::1", 0x2001_0000_0000_0001, 1),
            ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004, 0x0005_0006_0007_0008),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", .max, .max),
            ("0:1::", 0x0000_0001_0000_0000, 0), ("1:0:2:3:4:5:6:0", 0x0001_0000_0002_0003, 0x0004_0005_0006_0000),
        ] as [(String, UInt64, UInt64)]
    )
    func ipv6Text(_ text: String, _ high: UInt64, _ low: UInt64) {
        #expect(Address(ipv6High: high, low: low).text(.ipv6) == text)
    }

    /// The C library as the judge.
    ///
    /// It writes addresses below ::1:0:0:0 with a dotted quad, which we do not.
    @Test func ipv6TextIsTheLibrarys() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<5_000 {
            var groups = (0..<8).map { _ in random.next() % 2 == 0 ? UInt16(0) : random.word() >> (random.next() % 16) }
            groups[0] |= 1
            let words = groups.map { UInt64($0) }
            let high = words[0] << 48 | words[1] << 32 | words[2] << 16 | words[3]
            let low = words[4] << 48 | words[5] << 32 | words[6] << 16 | words[7]
            let address = Address(ipv6High: high, low: low)
            var bytes = (0..<16).map { address.byte(at: $0) }
            var text = [CChar](repeating: 0, count: 64)
            inet_ntop(AF_INET6, &bytes, &text, 64)
            let expected = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            #expect(address.text(.ipv6) == expected)
        }
    }

    @Test func bytesAreInNetworkOrder() {
        let four = Address(ipv4: (1, 2, 3, 4))
        #expect((0..<16).map { four.byte(at: $0) } == [1, 2, 3, 4] + Array(repeating: 0, count: 12))
        let six = Address(ipv6High: 0x0001_0203_0405_0607, low: 0x0809_0a0b_0c0d_0e0f)
        #expect((0..<16).map { six.byte(at: $0) } == Array(0..<16))
    }

    /// Turning one bit over leaves the network exactly if the bit is part of the prefix.
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func prefixEndsWhereItShould(_ family: AddressFamily) {
        let bitCount = family.addressByteCount * 8
        let network =
            family == .ipv4 ? Address(ipv4: (192, 168, 77, 1)) : Address(ipv6High: 0xfd00_1234_5678_9abc, low: 0x55)
        for length in 0...bitCount {
            #expect(network.isInside(network: network, prefixLength: length))
            for bit in 0..<bitCount {
                var other = network
                let mask = UInt64(0x80 >> (bit & 7)) << UInt64(bit / 8 % 8 * 8)
                if bit < 64 { other.high ^= mask.littleEndian } else { other.low ^= mask.littleEndian }
                #expect(other.isInside(network: network, prefixLength: length) == (bit >= length))
            }
        }
    }
}
