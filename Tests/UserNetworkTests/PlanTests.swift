// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Testing
import UserNetwork

@Suite struct UserNetworkPlanTests {
    @Test func defaults() throws {
        let plan = try UserNetworkPlan(UserNetworkOptions())
        #expect(plan.network == 0x0A00_0200 && plan.mask == 0xFFFF_FF00)
        #expect(plan.host == 0x0A00_0202 && plan.nameServer == 0x0A00_0203 && plan.dhcpStart == 0x0A00_020F)
        #expect(plan.hasIPv4 && plan.hasIPv6 && plan.prefixLength6 == 64)
        #expect(plan.host6 == [0xFE, 0xC0] + [UInt8](repeating: 0, count: 13) + [2])
    }

    @Test(
        arguments: [
            ("192.168.5.0/24", 0xC0A8_0500, 0xFFFF_FF00), ("192.168.5.9/255.255.255.0", 0xC0A8_0500, 0xFFFF_FF00),
            ("10.0.0", 0x0A00_0000, 0xFF00_0000), ("172.17.0.0", 0xAC10_0000, 0xFFF0_0000),
            ("192.168.7.0", 0xC0A8_0000, 0xFFFF_0000), ("198.18.0.0", 0xC612_0000, 0xFFFE_0000),
            ("200.1.2.3", 0xC801_0200, 0xFFFF_FF00), ("128.1.2.3", 0x8001_0000, 0xFFFF_0000),
        ] as [(String, UInt32, UInt32)])
    func networks(text: String, network: UInt32, mask: UInt32) throws {
        var options = UserNetworkOptions()
        options.network = text
        let plan = try UserNetworkPlan(options)
        #expect(plan.network == network && plan.mask == mask)
        #expect(plan.host & mask == network && plan.dhcpStart & mask == network)
    }

    @Test func families() throws {
        var options = UserNetworkOptions()
        options.ipv4 = true
        #expect(try UserNetworkPlan(options).hasIPv4)
        options.ipv4 = false
        #expect(try UserNetworkPlan(options).hasIPv6)
        options.ipv6 = false
        #expect(throws: UserError("IPv4 and IPv6 disabled")) { _ = try UserNetworkPlan(options) }
    }

    /// What is typed, and the text that QEMU 7.2 answers.
    private static let refused: [(any WritableKeyPath<UserNetworkOptions, String?> & Sendable, String, String)] = [
        (\.network, "10.0.0.0/99", "Invalid netmask provided (must be in range 4-32)"),
        (\.network, "x", "Failed to parse netmask"), (\.network, "10.0.0.0/x", "Failed to parse netmask"),
        (\.host, "11.0.0.1", "Host doesn't belong to network"), (\.host, "x", "Failed to parse host"),
        (\.dhcpStart, "11.0.0.1", "DHCP doesn't belong to network"),
        (\.dhcpStart, "x", "Failed to parse DHCP start address"),
        (\.dhcpStart, "10.0.2.2", "DHCP must be different from host and DNS"),
        (\.nameServer, "x", "Failed to parse DNS"), (\.nameServer, "10.0.2.2", "DNS must be different from host"),
        (\.network6, "zz", "Failed to parse IPv6 prefix"),
        (\.network6, "fec0::/200", "Invalid IPv6 prefix provided (IPv6 prefix length must be between 0 and 126)"),
        (\.host6, "zz", "Failed to parse IPv6 host"), (\.nameServer6, "zz", "Failed to parse IPv6 DNS"),
        (\.host6, "fe80::1", "IPv6 Host doesn't belong to network"),
        (\.domainName, "", "'domainname' parameter cannot be empty"),
        (\.tftpServerName, String(repeating: "a", count: 260), "'tftp-server-name' parameter cannot exceed 255 bytes"),
    ]

    @Test(arguments: refused.indices) func errors(index: Int) {
        let (key, text, message) = Self.refused[index]
        var options = UserNetworkOptions()
        options[keyPath: key] = text
        #expect(throws: UserError(message)) { _ = try UserNetworkPlan(options) }
    }

    @Test func smbIsRefused() {
        var options = UserNetworkOptions()
        options.smbFolder = "/srv"
        #expect(throws: UserError.self) { _ = try UserNetworkPlan(options) }
    }
}

@Suite struct PortForwardTests {
    @Test func rules() throws {
        var forward = try PortForward(parsing: "tcp::2222-:22")
        #expect(!forward.isUDP && forward.hostAddress == 0 && forward.hostPort == 2222)
        #expect(forward.guestAddress == 0 && forward.guestPort == 22)
        forward = try PortForward(parsing: "udp:127.0.0.1:53-10.0.2.15:5353")
        #expect(forward.isUDP && forward.hostAddress == 0x7F00_0001 && forward.guestAddress == 0x0A00_020F)
        #expect(try PortForward(parsing: ":127.0.0.1:1-:2").isUDP == false)
    }

    @Test(arguments: [
        ("x", "No : separators"), ("tcp", "No : separators"), ("foo::22-:22", "Bad protocol name"),
        ("tcp:22", "Missing : separator"), ("tcp:q:22-:22", "Bad host address"), ("tcp::x-:22", "Bad host port"),
        ("tcp::22", "Bad host port separator"), ("tcp::22-22", "Missing guest address"),
        ("tcp::22-q:22", "Bad guest address"), ("tcp::2222-:0", "Bad guest port"), ("tcp::2222-:x", "Bad guest port"),
        ("tcp::70000-:1", "Bad host port"),
    ]) func errors(rule: String, reason: String) {
        #expect(throws: UserError("Invalid host forwarding rule '\(rule)' (\(reason))")) {
            _ = try PortForward(parsing: rule)
        }
    }

    @Test func commands() throws {
        let forward = try CommandForward(parsing: "tcp:10.0.2.100:80-cmd:cat")
        #expect(forward.address == 0x0A00_0264 && forward.port == 80 && forward.command == "cat")
        for rule in ["x", "udp:10.0.2.100:80-cmd:cat", "tcp:10.0.2.100:80-c0", "tcp:10.0.2.100:80-cmd:"] {
            #expect(throws: UserError.self) { _ = try CommandForward(parsing: rule) }
        }
    }
}
