import Flow
import Testing

@testable import Conntrack

/// What the kernel drops, and what it must not.
@Suite(.enabled(if: TestNamespace.isAvailable, "needs root and the packages iproute2, nftables, conntrack"))
struct KernelFilterTests {
    private static let allProtocols = IPProtocol.names.map(\.number)

    /// The flows whose events pass the filter.
    private func passing(_ filter: KernelFilter, _ flows: [Flow]) throws -> Set<FlowIdentity> {
        let namespace = try TestNamespace()
        return try namespace.run {
            var stream = try EventStream.open(bufferByteCount: 1 << 20, filter: filter)
            let isFiltered = stream.isFiltered
            #expect(isFiltered)
            #expect(try KernelWriterTests.perform(.create, flows).failures.isEmpty)
            return Set(try EventStreamTests.drain(&stream).map(\.flow.identity))
        }
    }

    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func onlyItsProtocolsPass(_ family: AddressFamily) throws {
        let tcp = Sample.flow(IPProtocol.tcp, family, .source, index: 1)
        let udp = Sample.flow(IPProtocol.udp, family, .source, index: 2)
        let gre = Sample.flow(IPProtocol.gre, family, .none, index: 3)
        let filter = KernelFilter(protocols: [IPProtocol.tcp, IPProtocol.gre], ignoredSources: [])
        #expect(filter.warning == nil)
        #expect(try passing(filter, [tcp, udp, gre]) == [tcp.identity, gre.identity])
    }

    /// A client's address is dropped, the same address in any other place is not.
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func onlyOriginalSourceIsLookedAt(_ family: AddressFamily) throws {
        let router = Sample.address(family, 9, 9)
        var own = Sample.flow(IPProtocol.tcp, family, .none, index: 1)
        own.original.source = router
        own.reply = own.original.inverted
        var masqueraded = Sample.flow(IPProtocol.tcp, family, .source, index: 2)
        masqueraded.reply.destination = router
        var forwarded = Sample.flow(IPProtocol.tcp, family, .destination, index: 3)
        forwarded.original.destination = router
        let filter = KernelFilter(
            protocols: Self.allProtocols,
            ignoredSources: [
                KernelFilter.Network(address: router, prefixLength: family.addressByteCount * 8, family: family)
            ]
        )
        #expect(try passing(filter, [own, masqueraded, forwarded]) == [masqueraded.identity, forwarded.identity])
    }

    @Test(arguments: [AddressFamily.ipv4, .ipv6], [0, 1, 7, 8, 15, 23, 31, 32, 33, 63, 64, 65, 96, 127, 128])
    func prefixIsAsLongAsAsked(_ family: AddressFamily, _ length: Int) throws {
        guard length <= family.addressByteCount * 8 else { return }
        var network = Sample.flow(IPProtocol.udp, family, .none, index: 1)
        network.original.source = Sample.address(family, 0x55, 0x5555_5555)
        let flows = (0..<family.addressByteCount * 8).map { bit -> Flow in
            var flow = network
            flow.original.source = network.original.source.flippingBit(bit)
            flow.reply = flow.original.inverted
            return flow
        }
        let filter = KernelFilter(
            protocols: Self.allProtocols,
            ignoredSources: [
                KernelFilter.Network(address: network.original.source, prefixLength: length, family: family)
            ]
        )
        // A flipped bit inside the prefix leads out of the network.
        #expect(try passing(filter, flows) == Set(flows.prefix(length).map(\.identity)))
    }

    /// The first network of a full filter has the longest jump to make, the last one the most tests before it.
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func fullFilterHoldsAndLeavesTheOtherFamilyAlone(_ family: AddressFamily) throws {
        let count = UInt32(KernelFilter.networkCountMax(family))
        func flow(_ family: AddressFamily, _ client: UInt32) -> Flow {
            var flow = Sample.flow(IPProtocol.udp, family, .none, index: 1)
            flow.original.source = Sample.address(family, 1, client)
            flow.reply = flow.original.inverted
            return flow
        }
        let networks = (0..<count).map { client in
            KernelFilter.Network(
                address: Sample.address(family, 1, client),
                prefixLength: family.addressByteCount * 8,
                family: family
            )
        }
        let filter = KernelFilter(protocols: Self.allProtocols, ignoredSources: networks)
        #expect(filter.warning == nil)
        let other: AddressFamily = family == .ipv4 ? .ipv6 : .ipv4
        let ignored = [flow(family, 0), flow(family, count / 2), flow(family, count - 1)]
        let wanted = [flow(family, count), flow(other, 0), flow(other, count)]
        #expect(try passing(filter, ignored + wanted) == Set(wanted.map(\.identity)))
    }

    @Test func tooManyNetworksAreLeftToUserSpace() throws {
        let networks = (0..<81).map {
            KernelFilter.Network(address: Sample.address(.ipv4, 1, $0), prefixLength: 32, family: .ipv4)
        }
        let filter = KernelFilter(protocols: [IPProtocol.udp], ignoredSources: networks)
        #expect(filter.warning?.contains("81 IPv4 networks (at most 80)") == true)
        let udp = Sample.flow(IPProtocol.udp, .ipv4, .none, index: 1)
        let tcp = Sample.flow(IPProtocol.tcp, .ipv4, .none, index: 1)
        #expect(try passing(filter, [udp, tcp]) == [udp.identity])
    }
}

extension Address {
    /// The address with bit `bit` (0 is the first) turned over.
    fileprivate func flippingBit(_ bit: Int) -> Address {
        let mask = UInt64(0x80 >> (bit & 7)) << UInt64(bit / 8 % 8 * 8)
        return bit < 64
            ? Address(high: high ^ mask.littleEndian, low: low) : Address(high: high, low: low ^ mask.littleEndian)
    }
}
