// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads -netdev and the back-end half of -nic.
enum NetworkReader {
    static let types = ["user", "tap", "socket"]
    private static let unavailable = [
        "stream", "dgram", "hubport", "l2tpv3", "vde", "bridge", "vhost-user", "vhost-vdpa",
    ]

    /// Takes the keys of the back end out of the list; what is left belongs to somebody else.
    static func backend(_ list: inout OptionList) throws(UserError) -> NetworkSpec.Backend {
        let type = try list.require("type")
        switch type {
        case "user": return .user(try user(&list))
        case "tap": return .tap(try tap(&list))
        case "socket": return .socket(try socket(&list))
        case _ where unavailable.contains(type):
            throw UserError("network back end '\(type)' is not available", remedy: "use user, tap or socket")
        default: throw OptionValue.refusal(of: type, for: "type", among: types)
        }
    }

    // MARK: user

    private static func user(_ list: inout OptionList) throws(UserError) -> UserNetworkSpec {
        var user = UserNetworkSpec()
        user.network = list.take("net")
        user.hostAddress = list.take("host")
        user.dhcpStart = list.take("dhcpstart")
        user.dns = list.take("dns")
        user.hostname = list.take("hostname")
        user.domainName = list.take("domainname")
        user.dnsSearch = takeTexts("dnssearch", &list)
        user.isRestricted = try list.takeBool("restrict") ?? false
        let ipv4 = try list.takeBool("ipv4"), ipv6 = try list.takeBool("ipv6")
        // Naming one family alone switches the other off, as QEMU does.
        user.ipv4 = ipv4 ?? (ipv6 != true)
        user.ipv6 = ipv6 ?? (ipv4 != true)
        guard user.ipv4 || user.ipv6 else { throw UserError("IPv4 and IPv6 disabled") }
        if let prefix = list.take("ipv6-net") {
            let parts = prefix.split(separator: "/", maxSplits: 1).map(String.init)
            user.ipv6Prefix = parts.first
            user.ipv6PrefixLength = 64
            if parts.count == 2 {
                user.ipv6PrefixLength = try OptionValue.integer(parts[1], for: "ipv6-net", in: 0...126)
            }
        }
        user.ipv6Host = list.take("ipv6-host")
        user.ipv6DNS = list.take("ipv6-dns")
        user.tftpDirectory = list.take("tftp")
        user.tftpServerName = list.take("tftp-server-name")
        user.bootFile = list.take("bootfile")
        for rule in takeTexts("hostfwd", &list) { user.forwards.append(try forward(rule)) }
        try list.refuse("guestfwd", except: [], because: "connections from the guest into programs are not available")
        try list.refuse("smb", except: [], because: "the SMB server is not available")
        for (key, text) in [("host", user.hostAddress), ("dhcpstart", user.dhcpStart), ("dns", user.dns)] {
            if let text, ipv4Address(text) == nil {
                throw UserError("Parameter '\(key)' expects an IPv4 address", because: "not '\(text)'")
            }
        }
        if let network = user.network { try checkNetwork(network) }
        return user
    }

    /// All values of a key that may come more than once: in JSON it is a list of `{"str": ...}`.
    private static func takeTexts(_ key: String, _ list: inout OptionList) -> [String] {
        var texts = list.takeAll(key)
        while let text = list.take("\(key).\(texts.count).str") { texts.append(text) }
        return texts
    }

    /// `a.b.c.d`, `a.b.c.d/24` or `a.b.c.d/255.255.255.0`.
    private static func checkNetwork(_ text: String) throws(UserError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isMask = parts.count < 2 || ipv4Address(parts[1]) != nil || (UInt8(parts[1]).map { $0 <= 32 } ?? false)
        guard (1...2).contains(parts.count), ipv4Address(parts[0]) != nil, isMask else {
            throw UserError("Parameter 'net' expects address[/netmask]", because: "not '\(text)'")
        }
    }

    /// Four numbers with dots.
    static func ipv4Address(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part), part.first?.isNumber == true else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    /// `[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport`.
    static func forward(_ rule: String) throws(UserError) -> UserNetworkSpec.Forward {
        func bad(_ reason: String) -> UserError {
            UserError("Invalid host forwarding rule '\(rule)' (\(reason))")
        }
        let head = rule.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard head.count == 2 else { throw bad("No : separators") }
        guard ["tcp", "udp", ""].contains(head[0]) else { throw bad("Bad protocol name") }
        let sides = head[1].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard sides.count == 2 else { throw bad("Missing - separator") }
        func side(_ text: String, _ name: String) throws(UserError) -> (String?, UInt16) {
            guard let colon = text.lastIndex(of: ":") else { throw bad("Missing : separator") }
            let address = String(text[..<colon]), number = String(text[text.index(after: colon)...])
            guard address.isEmpty || ipv4Address(address) != nil else { throw bad("Bad \(name) address") }
            guard let port = UInt16(number), port > 0 || name == "host" else { throw bad("Bad \(name) port") }
            return (address.isEmpty ? nil : address, port)
        }
        let host = try side(sides[0], "host"), guest = try side(sides[1], "guest")
        return UserNetworkSpec.Forward(
            isUDP: head[0] == "udp", hostAddress: host.0, hostPort: host.1, guestAddress: guest.0, guestPort: guest.1)
    }

    // MARK: tap and socket

    private static func tap(_ list: inout OptionList) throws(UserError) -> TapSpec {
        var tap = TapSpec()
        tap.interface = list.take("ifname")
        tap.descriptor = list.take("fd")
        let script = list.take("script"), downScript = list.take("downscript")
        tap.bridge = list.take("br")
        try list.refuse("vhost", except: ["off"], because: "vhost-net is not available")
        try list.refuse("vhostforce", except: ["off"], because: "vhost-net is not available")
        try list.refuse("queues", except: ["1"], because: "the card has one pair of queues")
        try list.refuse("vnet_hdr", except: ["on"], because: "offloads are switched off at the card")
        try list.refuse("fds", except: [], because: "the card has one pair of queues")
        try list.refuse("helper", except: [], because: "helper programs are not available")
        try list.refuse("sndbuf", except: ["0"], because: "the send buffer is not limited")
        if tap.descriptor != nil, tap.interface != nil || script != nil || downScript != nil || tap.bridge != nil {
            throw UserError("ifname=, script=, downscript=, br= are invalid with fd=")
        }
        let isPlain = tap.descriptor == nil && tap.bridge == nil
        tap.script = script ?? (isPlain ? "/etc/qemu-ifup" : nil)
        tap.downScript = downScript ?? (isPlain ? "/etc/qemu-ifdown" : nil)
        if tap.script == "no" { tap.script = nil }
        if tap.downScript == "no" { tap.downScript = nil }
        return tap
    }

    private static func socket(_ list: inout OptionList) throws(UserError) -> SocketNetworkSpec {
        let keys = ["fd", "listen", "connect", "mcast", "udp"]
        let given = keys.filter { list.contains($0) }
        guard given.count == 1, let key = given.first else {
            list.know(keys)
            throw UserError("exactly one of listen=, connect=, mcast=, udp= or fd= is required")
        }
        let value = list.take(key) ?? ""
        let local = list.take("localaddr")
        if local != nil, key != "mcast", key != "udp" {
            throw UserError("localaddr= is only valid with mcast= or udp=")
        }
        switch key {
        case "fd": return .descriptor(value)
        case "listen":
            let (host, port) = try hostAndPort(value)
            return .listen(host: host, port: port)
        case "connect":
            let (host, port) = try hostAndPort(value)
            return .connect(host: host.isEmpty ? "127.0.0.1" : host, port: port)
        case "mcast":
            let (host, port) = try hostAndPort(value)
            return .multicast(group: host, port: port, local: local)
        default:
            guard let local else { throw UserError("localaddr= is mandatory with udp=") }
            let (host, port) = try hostAndPort(value)
            let (localHost, localPort) = try hostAndPort(local)
            return .udp(host: host, port: port, localHost: localHost, localPort: localPort)
        }
    }

    /// `host:port`, `:port` or `[v6]:port`.
    static func hostAndPort(
        _ text: String, allowsZero: Bool = false
    ) throws(UserError) -> (host: String, port: UInt16) {
        guard let colon = text.lastIndex(of: ":") else {
            throw UserError("address '\(text)' has no port", remedy: "write host:port")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        return (host, try port(String(text[text.index(after: colon)...]), allowsZero: allowsZero))
    }

    static func port(_ text: String, allowsZero: Bool = false) throws(UserError) -> UInt16 {
        guard let port = UInt16(text), allowsZero || port > 0, text.first?.isNumber == true else {
            throw UserError("port '\(text)' is not valid", remedy: "use a number from 1 to 65535")
        }
        return port
    }
}
