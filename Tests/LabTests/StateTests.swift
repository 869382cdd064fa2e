import Control
import Lab
import Testing

extension LabTests {
    /// Every kind of flow arrives as it is.
    @Suite("Protocols and states")
    struct States {
        /// Brings flows about, most of them by real packets, the rest through the kernel's own tool.
        private func makeFlows(_ lab: Lab, _ traffic: Traffic) throws {
            try traffic.setPace(milliseconds: 60_000...60_000)
            for path in [Traffic.Path.snat, .dnat, .ipv6] { try traffic.open(5, path, .udp) }
            try traffic.open(5, .snat)
            // TIME_WAIT: closed by both sides.
            try traffic.open(5, .dnat)
            try traffic.close(.dnat)
            // ICMP, and UDP that nobody answers.
            for (address, port) in [(LabAddress.server, 7_997), (LabAddress.serverIPv6, 7_997)] {
                try lab.check(on: .client, ["ping", "-c", "1", "-W", "2", address])
                try lab.nft(
                    on: .server,
                    "add table inet deaf; add chain inet deaf input { type filter hook input priority 0; }"
                )
                try lab.nft(on: .server, "add rule inet deaf input meta l4proto { tcp, udp } th dport 7990-7999 drop")
                try lab.check(on: .client, ["bash", "-c", "echo x > /dev/udp/\(address)/\(port)"])
                // SYN_SENT: nobody answers the SYN.
                _ = try lab.start(on: .client, ["bash", "-c", "exec 3<>/dev/tcp/\(address)/7998"], errors: .null)
            }
            // SYN_RECV: the client's acknowledgement is lost.
            try lab.nft(
                on: .client,
                """
                table inet lossy {
                    chain output {
                        type filter hook output priority 0;
                        tcp dport 8050 tcp flags & (syn|ack) == ack drop
                    }
                }
                """
            )
            _ = try lab.start(
                on: .client,
                ["bash", "-c", "exec 3<>/dev/tcp/\(LabAddress.floatingLAN)/8050; sleep 60"],
                errors: .null
            )
            try makeEveryTCPState(lab)
        }

        private static let tcpStates = [
            "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
        ]

        private func makeEveryTCPState(_ lab: Lab) throws {
            for (index, state) in Self.tcpStates.enumerated() {
                let status = state == "SYN_SENT" ? [] : ["-u", index > 1 ? "SEEN_REPLY,ASSURED" : "SEEN_REPLY"]
                try lab.check(
                    on: .r1,
                    [
                        "conntrack", "-I", "-p", "tcp", "-s", "10.10.0.\(50 + index)", "-d", LabAddress.server,
                        "--sport", "\(30_000 + index)", "--dport", "443", "--state", state, "-t", "\(200 + index * 50)",
                        "-m", "\(40 + index)", "--src-nat", LabAddress.floatingWAN,
                    ] + status
                )
            }
        }

        @Test("UDP, ICMP and TCP from SYN_SENT to TIME_WAIT arrive with state, mark, status and remaining timeout")
        func everyState() throws {
            let lab = try Lab()
            defer { lab.close() }
            try lab.startPair()
            let traffic = try Traffic(in: lab)
            try makeFlows(lab, traffic)
            // A mark set on a living flow.
            try lab.check(on: .r1, ["conntrack", "-U", "-p", "udp", "-s", "10.10.0.10", "-m", "77"])
            Clock.sleep(seconds: 1)
            // Packets renew a timeout without an event, so nothing may talk while timeouts are compared.
            try lab.check(on: .client, ["ip", "link", "set", "lan", "down"])
            Clock.sleep(seconds: 0.5)
            try lab.waitUntilEqual(within: 5)
            let external = try lab.externalFlows(of: .r2)
            let states = Set(external.flows.values.map(\.state))
            #expect(states.isSuperset(of: Self.tcpStates), "\(states)")
            for proto in ["udp ", "icmp ", "icmpv6 "] {
                #expect(external.flows.keys.contains { $0.hasPrefix(proto) }, "no \(proto)flow arrived")
            }
            #expect(external.flows.values.contains { $0.mark == "77" })

            try lab.kill9(.r1)
            try lab.setRole(.primary, of: .r2)
            let (old, new) = try (lab.kernelFlows(of: .r1), lab.kernelFlows(of: .r2))
            #expect(old.differences(to: new) == [])
            for (identity, facts) in old.flows {
                guard let mine = facts.timeoutSeconds, let theirs = new.flows[identity]?.timeoutSeconds else {
                    continue
                }
                #expect(abs(mine - theirs) <= 3, "\(identity): \(mine) s left on r1, \(theirs) s on r2")
            }
        }

        @Test("flows that talk for longer than their timeout stay in both caches")
        func refreshedFlowsStay() throws {
            let lab = try Lab()
            defer { lab.close() }
            for router in [LabNode.r1, .r2] {
                try lab.sysctl(
                    on: router,
                    ["net.netfilter.nf_conntrack_udp_timeout=4", "net.netfilter.nf_conntrack_udp_timeout_stream=4"]
                )
            }
            try lab.startPair()
            let traffic = try Traffic(in: lab)
            try traffic.open(50, .snat, .udp)
            Clock.sleep(seconds: 9)
            #expect(try lab.kernelFlows(of: .r1).flows.count == 50)
            #expect(try lab.waitUntilEqual(within: 5) == 50)

            traffic.stop()
            Clock.sleep(seconds: 6)
            #expect(try lab.waitUntilEqual(within: 5) == 0)
        }
    }
}
