// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// A network's document, completed.
struct NetworkDefinition: Sendable {
    /// An address of the bridge and what is leased below it.
    struct Addressing: Equatable, Sendable {
        var address: String
        var prefix: Int
        var ranges: [(start: String, end: String)]
        var hosts: [(mac: String, address: String, name: String?)]

        static func == (left: Addressing, right: Addressing) -> Bool {
            left.address == right.address && left.prefix == right.prefix
        }
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
        "bandwidth",
        "portgroup", "ip", "route", "virtualport",
    ]

    init(parsing text: String, isBridgeFree: (String) -> Bool) throws {
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
            throw ManagementError(.xmlError, "name \(name) cannot contain '/'", from: .network)
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
        try completeBridge(isBridgeFree)
        for address in root.all("ip") { _ = try Self.addressing(address) }
        root.elements = root.elements.enumerated().sorted { left, right in
            let ranks = [left, right].map { Self.order.firstIndex(of: $0.element.name) ?? Self.order.count }
            return ranks[0] != ranks[1] ? ranks[0] < ranks[1] : left.offset < right.offset
        }.map(\.element)
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

    /// All IPv4 addresses.
    func addressings() throws -> [Addressing] {
        try root.all("ip").filter { $0["family"] ?? "ipv4" == "ipv4" }.map(Self.addressing)
    }

    private static func addressing(_ element: XMLElement) throws -> Addressing {
        let isIPv6 = element["family"] == "ipv6"
        guard let address = element["address"], isIPv6 || number(address) != nil else {
            throw ManagementError(.xmlError, "Invalid address '\(element["address"] ?? "")' in network", from: .network)
        }
        var prefix = element["prefix"].flatMap { Int($0) } ?? 24
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
                isIPv6 || (number(start) != nil && number(end) != nil)
            else {
                throw ManagementError(.xmlError, "Invalid dhcp range", from: .network)
            }
            return (start, end)
        }
        let hosts = (dhcp?.all("host") ?? []).compactMap { host in
            host["mac"].flatMap { mac in host["ip"].map { (mac, $0, host["name"]) } }
        }
        return Addressing(address: address, prefix: prefix, ranges: ranges, hosts: hosts)
    }

    /// An IPv4 address as a number.
    static func number(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).compactMap { UInt8($0) }
        guard parts.count == 4 else { return nil }
        return parts.reduce(0) { $0 << 8 | UInt32($1) }
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
        let mask = addressing.prefix == 0 ? 0 : UInt32.max << UInt32(32 - addressing.prefix)
        let base = (number(addressing.address) ?? 0) & mask
        let parts = (0..<4).map { "\(base >> (24 - 8 * UInt32($0)) & 255)" }
        return parts.joined(separator: ".") + "/\(addressing.prefix)"
    }
}
