// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import Testing
import VirtualNetworks

/// What dnsmasq is told. Checked against what libvirt 9.0 writes for the same documents.
@Suite struct NameServiceTests {
    private func service(_ inside: String) throws -> NameService {
        let text = "<network><name>n</name><bridge name='virbr7'/>\(inside)</network>"
        return try NameService(try NetworkDefinition(parsing: text) { _ in true }, base: "/b")
    }

    /// Without what every network has.
    private func arguments(_ inside: String) throws -> [String] {
        let common = [
            "--conf-file=", "--strict-order", "--bind-dynamic", "--interface=virbr7", "--except-interface=lo",
            "--pid-file=/b.pid", "--dhcp-no-override", "--dhcp-authoritative",
        ]
        let list = try service(inside).arguments
        #expect(list.starts(with: common))
        return Array(list.dropFirst(common.count))
    }

    private let nat = "<forward mode='nat'/>"
    private let leases = ["--dhcp-leasefile=/b.leases", "--dhcp-hostsfile=/b.hostsfile"]

    @Test func aRangeOfAddresses() throws {
        let list = try arguments(
            """
            \(nat)<ip address='192.168.122.1' netmask='255.255.255.0'>
            <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>
            """)
        #expect(
            list == leases + ["--dhcp-lease-max=253", "--dhcp-range=192.168.122.2,192.168.122.254,255.255.255.0"])
    }

    @Test func anAddressWithoutDHCP() throws {
        #expect(try arguments("\(nat)<ip address='10.0.0.1' prefix='8'/>") == [])
    }

    /// As many guests as have fixed addresses, not one.
    @Test func fixedAddressesAloneHaveNoBound() throws {
        let list = try arguments(
            """
            \(nat)<ip address='10.0.0.1' prefix='8'><dhcp><host mac='52:54:00:00:00:01' ip='10.0.0.2'/></dhcp></ip>
            <ip family='ipv6' address='2001:db8::1' prefix='64'>
            <dhcp><host name='a' ip='2001:db8::2'/></dhcp></ip>
            """)
        #expect(
            list == leases + ["--dhcp-range=10.0.0.1,static", "--dhcp-range=2001:db8::1,static,64", "--enable-ra"])
    }

    @Test func guestsAreToldOfIPv6Prefixes() throws {
        #expect(
            try arguments("\(nat)<ip family='ipv6' address='2001:db8:0:1::1' prefix='64'/>")
                == ["--dhcp-range=2001:db8:0:1::1,ra-only"])
        let list = try arguments(
            """
            \(nat)<ip family='ipv6' address='2001:db8::1' prefix='64'>
            <dhcp><range start='2001:db8::10' end='2001:db8::ff'/></dhcp></ip>
            """)
        #expect(list.contains("--dhcp-range=2001:db8::10,2001:db8::ff,64") && list.last == "--enable-ra")
    }

    @Test func anIsolatedNetworkHasNoWayOut() throws {
        let list = try arguments("<ip address='10.0.0.1' prefix='8'/>")
        #expect(list == ["--dhcp-option=3", "--no-resolv", "--ra-param=*,0,0"])
    }

    @Test(arguments: [
        ("<lease expiry='1' unit='hours'/>", ",1h"), ("<lease expiry='10' unit='minutes'/>", ",10m"),
        ("<lease expiry='200' unit='seconds'/>", ",200s"), ("<lease expiry='5'/>", ",5m"),
        ("<lease expiry='0'/>", ",infinite"), ("", ""),
    ])
    func leasesHaveTheirTimes(_ lease: String, _ end: String) throws {
        let service = try service(
            """
            \(nat)<ip address='10.0.0.1' netmask='255.0.0.0'><dhcp><range start='10.0.0.2' end='10.0.0.9'>\(lease)</range>
            <host mac='52:54:00:00:00:01' name='a' ip='10.0.0.2'>\(lease)</host></dhcp></ip>
            """)
        #expect(service.arguments.last == "--dhcp-range=10.0.0.2,10.0.0.9,255.0.0.0\(end)")
        #expect(service.hosts == "52:54:00:00:00:01,10.0.0.2,a\(end)\n")
    }

    @Test func fixedAddressesAreLines() throws {
        let service = try service(
            """
            \(nat)<ip address='10.0.0.1' prefix='8'><dhcp><host mac='52:54:00:00:00:01' name='a.b' ip='10.0.0.2'/>
            <host name='c' ip='10.0.0.3'/></dhcp></ip><ip family='ipv6' address='2001:db8::1' prefix='64'><dhcp>
            <host id='0:3:0:1' name='d' ip='2001:db8::2'/><host id='0:3:0:2' ip='2001:db8::3'/>
            <host name='e' ip='2001:db8::4'/></dhcp></ip>
            """)
        #expect(
            service.hosts == """
                52:54:00:00:00:01,10.0.0.2,a.b
                10.0.0.3,c
                id:0:3:0:1,d,[2001:db8::2]
                id:0:3:0:2,[2001:db8::3]
                e,[2001:db8::4]

                """)
    }

    @Test(arguments: [
        ("<domain name='x.org'/>", ["--domain=x.org", "--expand-hosts"]),
        ("<domain name='x.org' localOnly='yes'/>", ["--domain=x.org", "--expand-hosts", "--local=/x.org/"]),
        ("<dns enable='no'/>", ["--port=0"]), ("<dns forwardPlainNames='no'/>", ["--domain-needed", "--local=//"]),
        ("<dns forwardPlainNames='yes'/>", []),
        (
            "<dns><forwarder addr='8.8.8.8'/><forwarder domain='a.org' addr='1.1.1.1'/><forwarder domain='b.org'/></dns>",
            ["--no-resolv", "--server=8.8.8.8", "--server=/a.org/1.1.1.1", "--server=/b.org/#"]
        ),
        ("<dns><forwarder domain='b.org'/></dns>", ["--server=/b.org/#"]),
        ("<dns><txt name='e' value='a value'/></dns>", ["--txt-record=e,a value"]),
        (
            "<dns><srv service='s' protocol='tcp' domain='d.org' target='t.org' port='1111' priority='11' weight='9'/></dns>",
            ["--srv-host=_s._tcp.d.org,t.org,1111,11,9"]
        ),
        (
            "<dns><srv service='s' protocol='udp' target='t.org' weight='777'/></dns>",
            ["--srv-host=_s._udp,t.org,1,0,777"]
        ),
        ("<dns><srv service='s' protocol='tcp'/></dns>", ["--srv-host=_s._tcp"]),
        ("<dns><host ip='10.0.0.9'><hostname>a</hostname></host></dns>", ["--addn-hosts=/b.addnhosts"]),
    ])
    func names(_ inside: String, _ expected: [String]) throws {
        #expect(try arguments(nat + inside + "<ip address='10.0.0.1'/>") == expected)
    }

    @Test func namesOfTheDocumentAreLines() throws {
        let service = try service(
            "<dns><host ip='10.0.0.9'><hostname>a</hostname><hostname>b</hostname></host><host ip='::9'/></dns>")
        #expect(service.names == "10.0.0.9\ta\tb\n::9\n")
    }

    @Test(arguments: [
        ("address='192.168.122.1' netmask='255.255.255.0'", "122.168.192.in-addr.arpa"),
        ("address='10.1.2.3' prefix='8'", "10.in-addr.arpa"),
        ("address='10.1.2.3' prefix='32'", "3.2.1.10.in-addr.arpa"),
        ("family='ipv6' address='2001:db8:ac10:fe01::1' prefix='64'", "1.0.e.f.0.1.c.a.8.b.d.0.1.0.0.2.ip6.arpa"),
        ("family='ipv6' address='fd00::1' prefix='4'", "f.ip6.arpa"),
    ])
    func ownNamesAreAskedForNowhereElse(_ address: String, _ zone: String) throws {
        #expect(try arguments("\(nat)<ip \(address) localPtr='yes'/>").contains("--local=/\(zone)/"))
        #expect(try !arguments("\(nat)<ip \(address) localPtr='no'/>").contains("--local=/\(zone)/"))
    }

    @Test func guestsBootFromTheNetwork() throws {
        let list = try arguments(
            """
            \(nat)<ip address='10.0.0.1' prefix='24'><tftp root='/t'/><dhcp><range start='10.0.0.2' end='10.0.0.3'/>
            <bootp file='pxe.img' server='10.0.0.4'/></dhcp></ip>
            """)
        #expect(list.suffix(3) == ["--dhcp-boot=pxe.img,,10.0.0.4", "--enable-tftp", "--tftp-root=/t"])
        #expect(
            try arguments("\(nat)<ip address='10.0.0.1'><tftp root='/t'/></ip>") == ["--enable-tftp", "--tftp-root=/t"])
    }

    @Test func optionsOfTheDocumentComeLast() throws {
        let text = """
            <network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>n</name>\(nat)
            <ip address='10.0.0.1'/><dnsmasq:options><dnsmasq:option value='cname=a,b'/></dnsmasq:options></network>
            """
        let definition = try NetworkDefinition(parsing: text) { $0 == "virbr3" }
        let list = try NameService(definition, base: "/b").arguments
        #expect(list.contains("--interface=virbr3") && list.contains("--cname=a,b"))
    }
}

@Suite struct NetworkAddressTests {
    private func code(_ inside: String) -> ErrorCode? {
        do {
            _ = try NetworkDefinition(parsing: "<network><name>n</name>\(inside)</network>") { _ in true }
            return nil
        } catch { return (error as? ManagementError)?.code }
    }

    @Test(arguments: [
        "1.2.3", "1.2.3.4.x", "1.2.3.256", "1.2.3.-1", "+1.2.3.4", "1..2.3", " 1.2.3.4", "1.2.3.4/8", "::1", "",
        "1.2.3.4.5",
    ])
    func addressesThatAreNone(_ address: String) {
        #expect(code("<ip address='\(address)'/>") == .xmlError)
    }

    @Test(arguments: ["1.2.3.4", ":", ":::", "1::2::3", "2001:db8:1:2:3:4:5:6:7", "g::1", "fe80::1%eth0", ""])
    func addressesThatAreNoIPv6(_ address: String) {
        #expect(code("<ip family='ipv6' address='\(address)'/>") == .xmlError)
    }

    @Test(arguments: ["::1", "2001:db8:ac10:fd01::1:10", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"])
    func addressesThatAreIPv6(_ address: String) {
        #expect(code("<ip family='ipv6' address='\(address)' prefix='64'/>") == nil)
    }

    @Test(arguments: [
        ("<lease expiry='1'/>", ErrorCode.configUnsupported),
        ("<lease expiry='119' unit='seconds'/>", .configUnsupported),
        ("<lease expiry='x'/>", .xmlError), ("<lease/>", .xmlError), ("<lease expiry='5' unit='days'/>", .xmlError),
        ("<lease expiry='-5'/>", .xmlError), ("<lease expiry='99999999999'/>", .xmlError),
    ])
    func leasesThatAreNone(_ lease: String, _ expected: ErrorCode) {
        let range = "<range start='10.0.0.2' end='10.0.0.3'>\(lease)</range>"
        #expect(code("<ip address='10.0.0.1'><dhcp>\(range)</dhcp></ip>") == expected)
    }

    @Test func zonesNeedWholeDigits() {
        #expect(code("<ip address='10.0.0.1' prefix='20' localPtr='yes'/>") == .configUnsupported)
        #expect(code("<ip address='10.0.0.1' prefix='0' localPtr='yes'/>") == .configUnsupported)
        #expect(code("<ip family='ipv6' address='fd00::1' prefix='63' localPtr='yes'/>") == .configUnsupported)
    }

    @Test(arguments: [
        "dev='e\" accept'", "dev='a b'", "dev='a\nb'", "dev='a\\'",
    ])
    func devicesAreNoRules(_ device: String) {
        #expect(code("<forward mode='nat' \(device)/>") == .xmlError)
    }

    @Test(arguments: [
        "<address start='1.2.3.4; drop' end='1.2.3.5'/>", "<port start='1' end='65536'/>", "<port start='a' end='b'/>",
    ])
    func translationsAreNumbers(_ inside: String) {
        #expect(code("<forward mode='nat'><nat>\(inside)</nat></forward>") == .xmlError)
    }
}

/// Rules for nft.
@Suite struct FirewallTests {
    private func rules(_ inside: String) throws -> [String] {
        let text = "<network><name>n</name><bridge name='virbr7'/>\(inside)</network>"
        return try Firewall(try NetworkDefinition(parsing: text) { _ in true }).text
            .split(separator: "\n").map { $0.drop { $0 == " " } }.map(String.init)
    }

    private let ip = "<ip address='192.168.122.1' netmask='255.255.255.0'/>"

    @Test func anIsolatedNetworkReachesItselfAlone() throws {
        #expect(
            try rules(ip) == [
                "table inet roost_virbr7 {", "chain forward {",
                "type filter hook forward priority filter; policy accept;",
                "iifname \"virbr7\" oifname \"virbr7\" accept", "oifname \"virbr7\" reject",
                "iifname \"virbr7\" reject", "}", "}",
            ])
    }

    @Test func aTranslatedNetworkIsAnsweredAlone() throws {
        let list = try rules("<forward mode='nat'/>\(ip)")
        #expect(list.contains("oifname \"virbr7\" ip daddr 192.168.122.0/24 ct state established,related accept"))
        #expect(list.contains("iifname \"virbr7\" ip saddr 192.168.122.0/24 accept"))
        let translations = list.drop { !$0.hasPrefix("chain postrouting") }
        #expect(
            Array(translations.dropFirst(2).dropLast(2)) == [
                "ip saddr 192.168.122.0/24 ip daddr 224.0.0.0/24 return",
                "ip saddr 192.168.122.0/24 ip daddr 255.255.255.255 return",
                "ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade",
            ])
    }

    @Test func aRoutedNetworkIsReached() throws {
        let list = try rules("<forward mode='route' dev='eth1'/>\(ip)")
        #expect(list.contains("oifname \"virbr7\" iifname \"eth1\" ip daddr 192.168.122.0/24 accept"))
        #expect(list.contains("iifname \"virbr7\" oifname \"eth1\" ip saddr 192.168.122.0/24 accept"))
        #expect(!list.contains { $0.contains("masquerade") })
        // What is not accepted before is refused.
        #expect(list.suffix(4).prefix(2) == ["oifname \"virbr7\" reject", "iifname \"virbr7\" reject"])
    }

    @Test func sourcesAreTranslatedAsTheDocumentSays() throws {
        let list = try rules(
            """
            <forward mode='nat'><nat><address start='1.2.3.4' end='1.2.3.8'/><port start='500' end='1000'/></nat></forward>\(ip)
            """)
        let match = "ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24"
        #expect(list.contains("meta l4proto { tcp, udp } \(match) snat ip to 1.2.3.4-1.2.3.8:500-1000"))
        #expect(list.contains("\(match) snat ip to 1.2.3.4-1.2.3.8"))
        let ports = try rules("<forward mode='nat'><nat><port start='500' end='1000'/></nat></forward>\(ip)")
        #expect(ports.contains("meta l4proto { tcp, udp } \(match) masquerade to :500-1000"))
        let one = try rules(
            "<forward mode='nat'><nat><address start='1.2.3.4' end='1.2.3.4'/></nat></forward>\(ip)")
        #expect(one.contains("\(match) snat ip to 1.2.3.4"))
    }

    @Test func ipv6IsTranslatedOnlyWhenAsked() throws {
        let ipv6 = "<ip family='ipv6' address='fd00::1' prefix='64'/>"
        let plain = try rules("<forward mode='nat'/>\(ipv6)")
        #expect(plain.contains("oifname \"virbr7\" ip6 daddr fd00::1/64 accept"))
        #expect(!plain.contains { $0.contains("masquerade") })
        let translated = try rules("<forward mode='nat'><nat ipv6='yes'/></forward>\(ipv6)")
        #expect(translated.contains("ip6 saddr fd00::1/64 ip6 daddr != fd00::1/64 masquerade"))
        #expect(translated.contains("ip6 saddr fd00::1/64 ip6 daddr ff02::/16 return"))
    }

    @Test(arguments: [(0, "0.0.0.0/0"), (1, "128.0.0.0/1"), (20, "192.168.112.0/20"), (32, "192.168.122.1/32")])
    func networksOfAllLengths(_ prefix: Int, _ network: String) throws {
        let list = try rules("<forward mode='route'/><ip address='192.168.122.1' prefix='\(prefix)'/>")
        #expect(list.contains("iifname \"virbr7\" ip saddr \(network) accept"))
    }
}
