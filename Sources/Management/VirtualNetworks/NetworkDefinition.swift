// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import ManagementModel
internal import XMLTree

/// A network's document, completed.
package struct NetworkDefinition: Sendable {
    /// An address of the bridge and what is leased below it.
    struct Addressing: Sendable {
        var address: String
        var prefix: Int
        var isIPv6: Bool
        var hasDHCP = false
        /// Leases last as long as `lease` says in dnsmasq's words; nil for its own choice.
        var ranges: [(start: String, end: String, lease: String?)] = []
        var hosts: [(mac: String?, id: String?, address: String?, name: String?, lease: String?)] = []
        var bootFile: String?
        var bootServer: String?
        var tftpRoot: String?
        /// The zone of the addresses' names, where nobody else is to be asked for them (`localPtr`).
        var reverseZone: String?
    }

    var root: XMLElement

    var name: String { root[child: "name"]?.text ?? "" }
    var uuid: UniqueID { root[child: "uuid"].flatMap { UniqueID($0.text) } ?? UniqueID(bytes: []) }
    var reference: ObjectReference { ObjectReference(name: name, uuid: uuid) }
    var bridge: String { root[child: "bridge"]?["name"] ?? "" }
    /// nil for an isolated one; `nat`, `route`, `open`, `bridge`.
    var forwarding: String? { root[child: "forward"].map { $0["mode"] ?? "nat" } }
    /// Whether the bridge is the service's own.
    var ownsBridge: Bool { [nil, "nat", "route", "open"].contains(forwarding) }

    private static let order = [
        "name", "uuid", "title", "description", "metadata", "forward", "bridge", "mtu", "mac", "domain", "dns", "vlan",
        "bandwidth", "ip", "route", "virtualport", "portgroup",
    ]
    /// What is in `<dns>`.
    private static let nameOrder = ["forwarder", "txt", "srv", "host"]

    /// Reads and completes a document.
    /// - Parameter isBridgeFree: whether a new bridge may have that name.
    package init(parsing text: String, isBridgeFree: (String) -> Bool) throws {
        do throws(XMLSyntaxError) { root = try XMLParser.parse(text) } catch {
            throw ManagementError(
                .xmlDetail, "(network_definition):\(error.line): \(error.message)\n\(error.context)", from: .xml)
        }
        guard root.name == "network" else {
            throw ManagementError(
                .xmlError, "unexpected root element <\(root.name)>, expecting <network>", from: .network)
        }
        guard let name = root[child: "name"]?.text, !name.isEmpty else {
            throw ManagementError(.noName, "", from: .network)
        }
        guard !name.contains("/") else {
            throw ManagementError(.xmlDetail, "invalid char in name: /", from: .network)
        }
        if let uuid = root[child: "uuid"]?.text {
            guard UniqueID(uuid) != nil else {
                throw ManagementError(.xmlError, "malformed uuid element", from: .network)
            }
        } else {
            root[child: "uuid"] = XMLElement("uuid", text: UniqueID.random().description)
        }
        if root[child: "forward"] != nil, root[child: "forward"]?["mode"] == nil {
            root[child: "forward"]?["mode"] = "nat"
        }
        if let mode = root[child: "forward"]?["mode"], !Self.forwardModes.contains(mode) {
            throw ManagementError(.configUnsupported, "unknown forwarding type '\(mode)'", from: .network)
        }
        try completeBridge(isBridgeFree)
        for address in root.all("ip") { _ = try Self.addressing(address) }
        try checkForwarding()
        root.elements = Self.sorted(root.elements, Self.order)
        if var names = root[child: "dns"], !names.children.isEmpty {
            names.elements = Self.sorted(names.elements, Self.nameOrder)
            root[child: "dns"] = names
        }
    }

    private static func sorted(_ elements: [XMLElement], _ order: [String]) -> [XMLElement] {
        elements.enumerated().sorted { left, right in
            let ranks = [left, right].map { order.firstIndex(of: $0.element.name) ?? order.count }
            return ranks[0] != ranks[1] ? ranks[0] < ranks[1] : left.offset < right.offset
        }.map(\.element)
    }

    /// Names and numbers of the way out become words of the firewall's rules.
    private func checkForwarding() throws {
        guard let forward = root[child: "forward"] else { return }
        for device in [forward["dev"]] + forward.all("interface").map({ $0["dev"] }) {
            guard let device, device.contains(where: { "\"\\".contains($0) || $0.isWhitespace }) else { continue }
            throw ManagementError(.xmlError, "Invalid device '\(device)' in <forward> in network", from: .network)
        }
        guard let nat = forward[child: "nat"] else { return }
        for (kind, isValid) in [
            ("address", { Self.number($0) != nil || Self.ipv6Bytes($0) != nil }), ("port", { UInt16($0) != nil }),
        ] as [(String, (String) -> Bool)] {
            for text in ["start", "end"].compactMap({ nat[child: kind]?[$0] }) where !isValid(text) {
                throw ManagementError(
                    .xmlError, "Bad \(kind) '\(text)' in <nat> in <forward> in network", from: .network)
            }
        }
    }

    private mutating func completeBridge(_ isFree: (String) -> Bool) throws {
        guard ownsBridge else { return }
        var bridge = root[child: "bridge"] ?? XMLElement("bridge")
        if bridge["name"] == nil { bridge["name"] = (0...).lazy.map { "virbr\($0)" }.first(where: isFree) }
        // A longer one is no interface's name.
        guard let name = bridge["name"], (1...15).contains(name.utf8.count), !name.contains("/"), !name.contains(" ")
        else {
            throw ManagementError(.xmlError, "bridge name '\(bridge["name"] ?? "")' is not valid", from: .network)
        }
        let (stp, delay) = (bridge["stp"] ?? "on", bridge["delay"] ?? "0")
        bridge["stp"] = nil
        bridge["delay"] = nil
        bridge["stp"] = stp
        bridge["delay"] = delay
        root[child: "bridge"] = bridge
        if root[child: "mac"] == nil {
            let tail = (0..<3).map { _ in UInt8.random(in: 0...255) }
            let text = tail.map { ":" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            root[child: "mac"] = XMLElement("mac", ["address": "52:54:00" + text])
        }
    }

    /// All addresses.
    func addressings() throws -> [Addressing] { try root.all("ip").map(Self.addressing) }

    /// The one device through which the network forwards; nil for all.
    var forwardDevice: String? {
        root[child: "forward"].flatMap { $0["dev"] ?? $0[child: "interface"]?["dev"] }
    }
    /// Whether IPv6 is translated, too.
    var translatesIPv6: Bool { root[child: "forward"]?[child: "nat"]?["ipv6"] == "yes" }

    private static func addressing(_ element: XMLElement) throws -> Addressing {
        let isIPv6 = element["family"] == "ipv6"
        guard let address = element["address"], isIPv6 ? ipv6Bytes(address) != nil : number(address) != nil else {
            throw ManagementError(.xmlError, "Invalid address '\(element["address"] ?? "")' in network", from: .network)
        }
        var prefix = element["prefix"].flatMap { Int($0) } ?? (isIPv6 ? 64 : 24)
        if let mask = element["netmask"] {
            guard let bits = number(mask), (~bits &+ 1) & ~bits == 0 else {
                throw ManagementError(.xmlError, "Invalid netmask '\(mask)' for address '\(address)'", from: .network)
            }
            prefix = bits.nonzeroBitCount
        }
        guard (0...(isIPv6 ? 128 : 32)).contains(prefix) else {
            throw ManagementError(.xmlError, "Invalid prefix '\(prefix)' for address '\(address)'", from: .network)
        }
        let dhcp = element[child: "dhcp"]
        let ranges = try (dhcp?.all("range") ?? []).map { range in
            guard let start = range["start"], let end = range["end"],
                [start, end].allSatisfy({ isIPv6 ? ipv6Bytes($0) != nil : number($0) != nil })
            else {
                throw ManagementError(.xmlError, "Invalid dhcp range", from: .network)
            }
            if !isIPv6, element["netmask"] != nil || element["prefix"] != nil, let first = number(start),
                let last = number(end), let own = number(address)
            {
                try checkRange(first...max(first, last), isReversed: last < first, (start, end), own, address, prefix)
            }
            return (start, end, try lease(range))
        }
        let hosts = try (dhcp?.all("host") ?? []).map { host in
            guard host["mac"] != nil || host["name"] != nil || host["id"] != nil else {
                throw ManagementError(
                    .xmlError, "Static host definition in network must have mac, name or id attribute", from: .network)
            }
            for text in [host["mac"], host["name"], host["id"], host["ip"]].compactMap({ $0 })
            where text.contains(where: { $0 == "," || $0.isWhitespace }) {
                throw ManagementError(.xmlError, "Invalid value '\(text)' in a static host definition", from: .network)
            }
            return (host["mac"], host["id"], host["ip"], host["name"], try lease(host))
        }
        return Addressing(
            address: address, prefix: prefix, isIPv6: isIPv6, hasDHCP: dhcp != nil, ranges: ranges, hosts: hosts,
            bootFile: dhcp?[child: "bootp"]?["file"], bootServer: dhcp?[child: "bootp"]?["server"],
            tftpRoot: element[child: "tftp"]?["root"],
            reverseZone: element["localPtr"] == "yes" ? try reverseZone(address, prefix) : nil)
    }

    private static let forwardModes: Set<String> = [
        "none", "nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev",
    ]

    /// Refuses a range of addresses that is not wholly in the network.
    private static func checkRange(
        _ range: ClosedRange<UInt32>, isReversed: Bool, _ texts: (String, String), _ own: UInt32, _ address: String,
        _ prefix: Int
    ) throws {
        let named = "range \(texts.0) - \(texts.1)"
        guard !isReversed else { throw ManagementError(.internalError, "\(named) is reversed ", from: .network) }
        let mask = prefix == 0 ? 0 : UInt32.max << UInt32(32 - prefix)
        guard range.lowerBound & mask == own & mask, range.upperBound & mask == own & mask else {
            throw ManagementError(
                .internalError, "\(named) is not entirely within network \(address)/\(prefix)", from: .network)
        }
    }

    /// Seconds of the shortest lease that dnsmasq gives.
    private static let shortestLease: UInt64 = 120

    /// `<lease expiry='24' unit='hours'/>` as dnsmasq writes it: 24h. Nothing is `infinite`.
    private static func lease(_ element: XMLElement) throws -> String? {
        guard let lease = element[child: "lease"] else { return nil }
        let (unit, units) = (
            lease["unit"] ?? "minutes", ["seconds": 1, "minutes": 60, "hours": 3600] as [String: UInt64]
        )
        guard let factor = units[unit], let expiry = lease["expiry"].flatMap({ UInt32($0) }) else {
            throw ManagementError(
                .xmlError, "Invalid lease time '\(lease["expiry"] ?? "")' \(unit) in network", from: .network)
        }
        guard expiry > 0 else { return "infinite" }
        guard UInt64(expiry) * factor >= shortestLease else {
            throw ManagementError(
                .configUnsupported, "The minimum lease time should be greater than 2 minutes", from: .network)
        }
        return "\(expiry)\(unit.prefix(1))"
    }

    /// The zone below in-addr.arpa (RFC 1035, 3.5) or ip6.arpa (RFC 3596, 2.5) of a network.
    private static func reverseZone(_ address: String, _ prefix: Int) throws -> String {
        let digits: [String]
        let (bits, suffix): (Int, String)
        if let bytes = ipv6Bytes(address) {
            digits = bytes.flatMap { [String($0 >> 4, radix: 16), String($0 & 15, radix: 16)] }
            (bits, suffix) = (4, "ip6.arpa")
        } else {
            digits = address.split(separator: ".").map(String.init)
            (bits, suffix) = (8, "in-addr.arpa")
        }
        guard prefix > 0, prefix % bits == 0 else {
            throw ManagementError(
                .configUnsupported,
                "PTR domain for \(address) network with prefix \(prefix) cannot be automatically created",
                from: .network)
        }
        return (digits.prefix(prefix / bits).reversed() + [suffix]).joined(separator: ".")
    }

    /// The sixteen bytes of an IPv6 address; nil for anything else.
    static func ipv6Bytes(_ text: String) -> [UInt8]? {
        var address = in6_addr()
        // inet_pton reads the text and fills the struct on this frame.
        guard unsafe inet_pton(AF_INET6, text, &address) == 1 else { return nil }
        return unsafe withUnsafeBytes(of: &address) { unsafe Array($0) }
    }

    /// `255.255.255.0` of a length.
    static func mask(_ prefix: Int) -> String {
        let bits = prefix == 0 ? 0 : UInt32.max << UInt32(32 - prefix)
        return (0..<4).map { "\(bits >> (24 - 8 * UInt32($0)) & 255)" }.joined(separator: ".")
    }

    /// How many addresses a range has; bounded, for it becomes a limit.
    static func count(from start: String, to end: String) -> Int {
        guard let first = number(start), let last = number(end), first <= last else { return 65536 }
        return Int(min(last - first, 65535)) + 1
    }

    /// An IPv4 address as a number.
    static func number(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.allSatisfy(\.isNumber) ? UInt8($0) : nil }
        guard parts.count == 4, bytes.count == 4 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The length of the prefix of an address's network.
    static func prefix(of address: String, in addressings: [Addressing]) -> Int {
        guard let number = number(address) else { return addressings.first { $0.address.contains(":") }?.prefix ?? 64 }
        let home = addressings.first { addressing in
            guard let own = Self.number(addressing.address) else { return false }
            let mask = addressing.prefix == 0 ? 0 : UInt32.max << UInt32(32 - addressing.prefix)
            return own & mask == number & mask
        }
        return home?.prefix ?? 24
    }

    /// `192.168.122.0/24` of an address in it.
    static func network(_ addressing: Addressing) -> String {
        // nft takes the bits of the host away itself.
        if addressing.isIPv6 { return "\(addressing.address)/\(addressing.prefix)" }
        let mask = addressing.prefix == 0 ? 0 : UInt32.max << UInt32(32 - addressing.prefix)
        let base = (number(addressing.address) ?? 0) & mask
        let parts = (0..<4).map { "\(base >> (24 - 8 * UInt32($0)) & 255)" }
        return parts.joined(separator: ".") + "/\(addressing.prefix)"
    }
}
