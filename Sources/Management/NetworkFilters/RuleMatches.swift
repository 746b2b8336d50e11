// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel

/// The conditions of one rule, in nft's words for tables of the family `bridge`.
struct RuleMatches {
    /// `mac`, `arp`, `ip`, `tcp-ipv6`...
    let kind: String
    /// Whether source and destination change places: the answers of what the rule says.
    let isReversed: Bool
    /// Whether every condition is the opposite of what it says (`match='no'`).
    let isInverted: Bool
    private var attributes: [String: String]
    private(set) var text: [String] = []

    /// Protocols above IP, which are examined behind all rules for frames.
    static let upper: Set<String> = [
        "tcp", "udp", "udplite", "esp", "ah", "sctp", "icmp", "igmp", "all", "tcp-ipv6", "udp-ipv6", "udplite-ipv6",
        "esp-ipv6", "ah-ipv6", "sctp-ipv6", "icmpv6", "all-ipv6",
    ]
    /// Protocols of frames.
    static let lower: Set<String> = ["mac", "vlan", "arp", "rarp", "ip", "ipv6"]

    /// - Throws: for an attribute that is not known, or whose value means nothing.
    init(kind: String, _ attributes: [String: String], isReversed: Bool, isInverted: Bool) throws {
        self.kind = kind
        self.isReversed = isReversed
        self.isInverted = isInverted
        self.attributes = attributes
        // What says how the rule is made, and not what it matches.
        for name in ["match", "comment", "state", "connlimit-above"] { self.attributes[name] = nil }
        try addLink()
        switch kind {
        case "mac": break
        case "vlan": try addVLAN()
        case "arp", "rarp": try addARP()
        case "ip", "ipv6": try addInternet(isIPv6: kind == "ipv6", try takeProtocol())
        default: try addUpper()
        }
        if let left = self.attributes.keys.sorted().first {
            throw ManagementError(
                .configUnsupported, "the attribute '\(left)' of <\(kind)> in a filter cannot be applied",
                from: .networkFilter)
        }
    }

    private var isNot: String { isInverted ? "!= " : "" }
    private mutating func take(_ name: String) -> String? { attributes.removeValue(forKey: name) }
    private func side(_ isSource: Bool) -> String { isSource != isReversed ? "saddr" : "daddr" }
    private func port(_ isSource: Bool) -> String { isSource != isReversed ? "sport" : "dport" }

    // MARK: Frames

    private mutating func addLink() throws {
        for (isSource, name) in [(true, "src"), (false, "dst")] {
            let mask = take(name + "macmask")
            if let value = take(name + "macaddr") { try add(mac: "ether \(side(isSource))", value, mask) }
        }
        if kind == "mac" || kind == "vlan", let type = take(kind == "mac" ? "protocolid" : "encap-protocol") {
            let field = kind == "mac" ? "ether type" : "vlan type"
            text.append("\(field) \(isNot)\(try RuleValues.frameType(type))")
        }
    }

    private mutating func add(mac field: String, _ value: String, _ mask: String?) throws {
        var bytes = try RuleValues.mac(value)
        guard let mask else { return text.append("\(field) \(isNot)\(RuleValues.printed(bytes))") }
        let bits = try RuleValues.mac(mask)
        bytes = zip(bytes, bits).map { $0 & $1 }
        text.append(
            "\(field) & \(RuleValues.printed(bits)) \(isInverted ? "!=" : "==") \(RuleValues.printed(bytes))")
    }

    private mutating func addVLAN() throws {
        if let number = take("vlanid") { text.append("vlan id \(isNot)\(try RuleValues.number(number, upTo: 4095))") }
        if text.isEmpty { text.append("ether type vlan") }
    }

    private mutating func addARP() throws {
        text.append("ether type \(kind == "arp" ? "0x0806" : "0x8035")")
        func field(_ name: String) -> String { "arp \(name)" }
        if let type = take("hwtype") { text.append("arp htype \(isNot)\(try RuleValues.number(type, upTo: 0xffff))") }
        if let type = take("protocoltype") { text.append("arp ptype \(isNot)\(try RuleValues.frameType(type))") }
        if let code = take("opcode") { text.append("arp operation \(isNot)\(try RuleValues.operation(code))") }
        if let value = take("gratuitous"), ["true", "yes", "1"].contains(value) {
            // Sender and target are the same address: the four bytes of each, compared in a register.
            throw ManagementError(
                .configUnsupported, "the attribute 'gratuitous' of <\(kind)> in a filter cannot be applied",
                from: .networkFilter)
        }
        for (isSource, name) in [(true, "src"), (false, "dst")] {
            if let value = take("arp\(name)macaddr") { try add(mac: "arp \(side(isSource)) ether", value, nil) }
            let mask = take("arp\(name)ipmask")
            if let value = take("arp\(name)ipaddr") {
                try add(address: "arp \(side(isSource)) ip", value, mask, isIPv6: false)
            }
        }
    }

    // MARK: IP

    private mutating func add(address field: String, _ value: String, _ mask: String?, isIPv6: Bool) throws {
        if RuleVariables.learned.values.contains(value) {
            guard value.hasSuffix("6") == isIPv6 else { throw RuleValues.refuse("address of this family", value) }
            return text.append("\(field) \(isNot)\(value)")
        }
        var bytes = try RuleValues.address(value, isIPv6: isIPv6)
        guard let mask else { return text.append("\(field) \(isNot)\(RuleValues.printed(address: bytes))") }
        let bits = try RuleValues.mask(mask, isIPv6: isIPv6)
        bytes = zip(bytes, bits).map { $0 & $1 }
        text.append(
            "\(field) & \(RuleValues.printed(address: bits)) \(isInverted ? "!=" : "==") \(RuleValues.printed(address: bytes))"
        )
    }

    private mutating func takeProtocol() throws -> UInt32? {
        try take("protocol").map { try RuleValues.ipProtocol($0) }
    }

    private mutating func addInternet(isIPv6: Bool, _ number: UInt32?) throws {
        let family = isIPv6 ? "ip6" : "ip"
        text.append("ether type \(isIPv6 ? "0x86dd" : "0x0800")")
        for (isSource, name) in [(true, "src"), (false, "dst")] {
            let mask = take(name + "ipmask")
            if let value = take(name + "ipaddr") {
                try add(address: "\(family) \(side(isSource))", value, mask, isIPv6: isIPv6)
            }
            if let from = take(name + "ipfrom") {
                let first = RuleValues.printed(address: try RuleValues.address(from, isIPv6: isIPv6))
                let end = try take(name + "ipto").map { try RuleValues.address($0, isIPv6: isIPv6) }
                let last = end.map { "-" + RuleValues.printed(address: $0) } ?? ""
                text.append("\(family) \(side(isSource)) \(isNot)\(first)\(last)")
            }
        }
        if let value = take("dscp") { text.append("\(family) dscp \(isNot)\(try RuleValues.number(value, upTo: 63))") }
        if let number { text.append("meta l4proto \(kind == "ip" || kind == "ipv6" ? isNot : "")\(number)") }
        try addPorts()
        if isIPv6, kind == "ipv6" { try addTypes("icmpv6") }
    }

    private mutating func addPorts() throws {
        for (isSource, name) in [(true, "src"), (false, "dst")] {
            guard let start = take(name + "portstart") else {
                guard take(name + "portend") == nil else { throw RuleValues.refuse("range of ports", name + "portend") }
                continue
            }
            let first = try RuleValues.number(start, upTo: 65535)
            let last = try take(name + "portend").map { try RuleValues.number($0, upTo: 65535) } ?? first
            guard last >= first else { throw RuleValues.refuse("range of ports", "\(first)-\(last)") }
            text.append("th \(port(isSource)) \(isNot)\(first)" + (last == first ? "" : "-\(last)"))
        }
    }

    /// Types and codes of ICMP.
    private mutating func addTypes(_ name: String) throws {
        for field in ["type", "code"] {
            guard let start = take(field) else { continue }
            let first = try RuleValues.number(start, upTo: 255)
            let last = try take(field + "end").map { try RuleValues.number($0, upTo: 255) } ?? first
            text.append("\(name) \(field) \(isNot)\(first)" + (last == first ? "" : "-\(last)"))
        }
    }

    private mutating func addUpper() throws {
        let isIPv6 = kind.hasSuffix("-ipv6") || kind == "icmpv6"
        let name = kind.hasSuffix("-ipv6") ? String(kind.dropLast("-ipv6".count)) : kind
        if name == "tcp", let flags = take("flags") { try add(flags: flags) }
        try addInternet(isIPv6: isIPv6, name == "all" ? nil : try RuleValues.ipProtocol(name))
        if name.hasPrefix("icmp") { try addTypes(name) }
    }

    private static let flagNames = ["SYN", "ACK", "URG", "PSH", "FIN", "RST"]

    /// `MASK/SET` of TCP's flags.
    private mutating func add(flags: String) throws {
        func list(_ part: Substring) throws -> String {
            if part.uppercased() == "ALL" { return Self.flagNames.map { $0.lowercased() }.joined(separator: " | ") }
            if part.uppercased() == "NONE" || part.isEmpty { return "0" }
            let names = part.split(separator: ",").map { $0.uppercased() }
            guard names.allSatisfy(Self.flagNames.contains) else { throw RuleValues.refuse("list of TCP flags", flags) }
            return names.map { $0.lowercased() }.joined(separator: " | ")
        }
        let parts = flags.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw RuleValues.refuse("list of TCP flags", flags) }
        text.append("tcp flags & (\(try list(parts[0]))) \(isInverted ? "!=" : "==") (\(try list(parts[1])))")
    }
}
