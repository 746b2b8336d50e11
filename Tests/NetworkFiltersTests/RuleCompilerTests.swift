// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostProcesses
import ManagementModel
import NetworkFilters
import StateStore
import Testing

/// A driver with filters, and the rules of a device.
private struct Filters {
    let driver: FilterDriver
    static let owner = MachineReference(name: "m", uuid: .random(), id: 1)

    init(_ documents: String...) throws {
        driver = try FilterDriver(folder: "/tmp/roost-rules-\(UniqueID.random())")
        for document in documents { _ = try driver.define(document) }
    }

    func rules(_ filter: String, tracks: Bool = true, _ parameters: [String: [String]] = [:]) throws -> String {
        let binding = FilterBinding(
            owner: Self.owner, device: "vnet0", mac: "52:54:00:01:02:03", filter: filter, parameters: parameters)
        return try driver.rules(binding, tracksConnections: tracks, rejects: tracks)
    }

    /// The lines of one chain.
    func chain(_ name: String, _ filter: String, tracks: Bool = true, _ parameters: [String: [String]] = [:]) throws
        -> [String]
    {
        var lines: [String] = []
        var isInside = false
        for line in try rules(filter, tracks: tracks, parameters).split(separator: "\n") {
            if line == " chain \(name) {" {
                isInside = true
            } else if line == " }" {
                isInside = false
            } else if isInside {
                lines.append(String(line.drop { $0 == " " }))
            }
        }
        return lines
    }
}

@Suite struct RuleCompilerTests {
    @Test func directionsAreThoseOfTheGuest() throws {
        let filters = try Filters(
            """
            <filter name='f'><rule action='drop' direction='out'><mac match='no' srcmacaddr='$MAC'/></rule>
            <rule action='accept' direction='in'><ip srcipaddr='10.0.0.1'/></rule>
            <rule action='accept' direction='inout'><arp arpsrcipaddr='10.0.0.1'/></rule></filter>
            """)
        #expect(
            try filters.chain("root_out", "f") == [
                "ether saddr != 52:54:00:01:02:03 drop", "ether type 0x0806 arp daddr ip 10.0.0.1 accept",
            ])
        #expect(
            try filters.chain("root_in", "f") == [
                "ether type 0x0800 ip saddr 10.0.0.1 accept", "ether type 0x0806 arp saddr ip 10.0.0.1 accept",
            ])
    }

    @Test func priorityComesBeforeOrder() throws {
        let filters = try Filters(
            "<filter name='sub' chain='ipv4-x' priority='-710'><rule action='return' direction='out'/></filter>",
            """
            <filter name='f'><rule action='drop' direction='out' priority='600'/><filterref filter='sub'/>
            <rule action='accept' direction='out' priority='-650'><mac protocolid='ipv4'/></rule>
            <rule action='accept' direction='out' priority='-720'><mac protocolid='arp'/></rule></filter>
            """)
        #expect(
            try filters.chain("root_out", "f") == [
                "ether type 2054 accept", "ether type 0x0800 jump c0_out", "ether type 2048 accept", "drop",
            ])
        #expect(try filters.chain("c0_out", "f") == ["return"])
    }

    @Test func whatIsAcceptedIsAnswered() throws {
        let filters = try Filters(
            "<filter name='f'><rule action='accept' direction='in'><tcp dstportstart='22' dstportend='25'/></rule></filter>"
        )
        #expect(
            try filters.chain("upper_in", "f") == [
                "ether type 0x0800 meta l4proto 6 th dport 22-25 ct state new,established accept"
            ])
        #expect(
            try filters.chain("upper_out", "f") == [
                "ether type 0x0800 meta l4proto 6 th sport 22-25 ct state established accept"
            ])
        // Where the kernel does not follow connections, answers open none.
        #expect(
            try filters.chain("upper_out", "f", tracks: false) == [
                "ether type 0x0800 meta l4proto 6 th sport 22-25 tcp flags & (syn | ack) != syn accept"
            ])
    }

    @Test func refusalsAreForTheGuestAlone() throws {
        let filters = try Filters(
            "<filter name='f'><rule action='reject' direction='inout'><udp dstportstart='53'/></rule></filter>")
        #expect(try filters.chain("upper_out", "f").last?.hasSuffix("reject") == true)
        #expect(try filters.chain("upper_in", "f").last?.hasSuffix("drop") == true)
    }

    @Test func masksAreAppliedToBothSides() throws {
        let filters = try Filters(
            """
            <filter name='f'><rule action='accept' direction='out'><ip srcipaddr='10.1.2.3' srcipmask='255.255.0.0'/></rule>
            <rule action='drop' direction='out'><ipv6 match='no' srcipaddr='fe80::1' srcipmask='10'/></rule>
            <rule action='drop' direction='out'><mac srcmacaddr='01:02:03:04:05:06' srcmacmask='ff:ff:00:00:00:00'/></rule></filter>
            """)
        #expect(
            try filters.chain("root_out", "f") == [
                "ether type 0x0800 ip saddr & 255.255.0.0 == 10.1.0.0 accept",
                "ether type 0x86dd ip6 saddr & ffc0:0:0:0:0:0:0:0 != fe80:0:0:0:0:0:0:0 drop",
                "ether saddr & ff:ff:00:00:00:00 == 01:02:00:00:00:00 drop",
            ])
    }

    @Test func listsRepeatRules() throws {
        let filters = try Filters(
            """
            <filter name='f'><rule action='accept' direction='out'><ip dstipaddr='$A' dstportstart='$B[@2]' protocol='tcp'/></rule>
            <rule action='drop' direction='out'><ip dstipaddr='$A[1]'/></rule></filter>
            """)
        let lines = try filters.chain("root_out", "f", ["A": ["10.0.0.1", "10.0.0.2"], "B": ["1", "2"]])
        #expect(lines.count == 5)
        #expect(lines.contains { $0.contains("10.0.0.2") && $0.contains("th dport 1") })
        #expect(lines.last == "ether type 0x0800 ip daddr 10.0.0.2 drop")
        let parallel = try Filters(
            "<filter name='f'><rule action='accept' direction='out'><ip srcipaddr='$A' dstipaddr='$C'/></rule></filter>"
        )
        #expect(
            try parallel.chain("root_out", "f", ["A": ["1.1.1.1", "2.2.2.2"], "C": ["3.3.3.3", "4.4.4.4"]]).count == 2)
        #expect(throws: ManagementError.self) { try parallel.rules("f", ["A": ["1.1.1.1"], "C": []]) }
        #expect(throws: ManagementError.self) {
            try parallel.rules("f", ["A": ["1.1.1.1"], "C": ["1.1.1.1", "2.2.2.2"]])
        }
    }

    @Test func theGuestsAddressIsLearnedUnlessItIsGiven() throws {
        let filters = try Filters(
            "<filter name='f'><rule action='return' direction='out'><ip srcipaddr='$IP'/></rule></filter>")
        #expect(try filters.chain("root_out", "f") == ["ether type 0x0800 ip saddr @learned4 return"])
        #expect(try filters.rules("f").contains("add @learned4 { arp saddr ip }"))
        let given = try filters.rules("f", ["IP": ["10.9.9.9"]])
        #expect(given.contains("ip saddr 10.9.9.9 return") && !given.contains("learned4"))
    }

    @Test func nobodyChoosesTheGuestsAddressForIt() throws {
        let filters = try Filters(
            "<filter name='g'><rule action='drop' direction='out'><mac srcmacaddr='$MAC'/></rule></filter>",
            "<filter name='f'><filterref filter='g'><parameter name='MAC' value='00:00:00:00:00:01'/></filterref></filter>"
        )
        #expect(try filters.chain("root_out", "f") == ["ether saddr 52:54:00:01:02:03 drop"])
    }

    @Test(arguments: [
        "<ip srcipaddr='10.0.0.1; drop'/>", "<ip srcipaddr='10.0.0'/>", "<tcp dstportstart='70000'/>",
        "<tcp dstportstart='9' dstportend='3'/>", "<mac srcmacaddr='1:2'/>", "<arp opcode='x'/>", "<mac unknown='1'/>",
        "<ip dscp='64'/>", "<tcp flags='SYN'/>", "<stp type='1'/>", "<ip srcipaddr='$NONE'/>",
        "<ip srcipaddr='$IP[x]'/>",
        "<tcp state='BAD'/>", "<vlan vlanid='5000'/>", "<ip protocol='x }'/>",
    ])
    func whatCannotBeAppliedIsRefused(_ match: String) throws {
        let filters = try Filters("<filter name='f'><rule action='drop' direction='out'>\(match)</rule></filter>")
        #expect(throws: ManagementError.self) { try filters.rules("f") }
    }

    @Test func filtersThatReferToEachOtherEnd() throws {
        let filters = try Filters(
            "<filter name='a'><filterref filter='b'/></filter>", "<filter name='b'><filterref filter='a'/></filter>")
        #expect(throws: ManagementError.self) { try filters.rules("a") }
        #expect(throws: ManagementError.self) { try filters.rules("nobody") }
    }

    @Test func namesOfDevicesDoNotBecomeRules() throws {
        let filters = try Filters("<filter name='f'/>")
        let binding = FilterBinding(
            owner: Filters.owner, device: "x\" drop", mac: "52:54:00:01:02:03", filter: "f", parameters: [:])
        #expect(throws: ManagementError.self) { try filters.driver.rules(binding) }
    }

    /// All of it, as the host's own program reads it, in a network of its own.
    @Test func theHostReadsTheRules() throws {
        let filters = try Filters(
            """
            <filter name='f'><rule action='drop' direction='out'><mac match='no' srcmacaddr='$MAC'/></rule>
            <rule action='accept' direction='inout'><arp opcode='Request' hwtype='1' protocoltype='0x800' arpsrcmacaddr='$MAC' arpdstipaddr='10.0.0.1'/></rule>
            <rule action='accept' direction='out'><ip srcipaddr='$IP' dscp='3' protocol='udp' srcportstart='68' dstportstart='67'/></rule>
            <rule action='accept' direction='out'><ipv6 srcipaddr='$IPV6' protocol='icmpv6' type='133' typeend='136'/></rule>
            <rule action='accept' direction='inout'><vlan vlanid='7'/></rule>
            <rule action='accept' direction='inout'><tcp srcipfrom='10.0.0.1' srcipto='10.0.0.9' flags='SYN,ACK/SYN'/></rule>
            <rule action='drop' direction='inout'><icmp type='8' code='0'/></rule>
            <rule action='drop' direction='in'><tcp-ipv6 dstportstart='1' dstportend='9'/></rule>
            <rule action='drop' direction='in'><all/></rule></filter>
            """)
        let path = "/tmp/roost-rules-\(UniqueID.random()).nft"
        try StateFiles.write(path, try filters.rules("f", tracks: false))
        defer { try? StateFiles.remove(path) }
        let result = try? ChildProcess.run(
            "/usr/bin/unshare", ["-n", "/usr/sbin/nft", "-f", path], environment: ["PATH=/usr/sbin:/usr/bin"])
        guard let result, getuid() == 0, !result.output.contains("unshare failed"),
            result.ending != .exited(127)
        else { return print("theHostReadsTheRules: skipped: needs root, nft and namespaces") }
        #expect(result.ending == .exited(0), "\(result.output)")
    }
}
