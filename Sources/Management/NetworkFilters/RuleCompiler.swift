// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// Turns a filter and all that it refers to into rules of the host's firewall: one table of the family `bridge` for each
/// device, so that the rules of others stay what they are.
///
/// A frame of the guest goes through the filter's chains (`out`), then through the rules for protocols above IP
/// (`upper_out`); a frame for the guest the same with `in`. A verdict of the first does not spare the second.
struct RuleCompiler {
    /// What the host's kernel can do on bridges.
    struct Abilities: Equatable, Sendable {
        /// Whether connections are followed there.
        var tracksConnections = false
        /// Whether a packet can be answered with a refusal.
        var rejects = false
    }

    private struct Rule {
        let priority: Int
        let text: String
    }

    private struct Chain {
        var priority: Int
        var rules: [Bool: [Rule]] = [:]
    }

    private let binding: FilterBinding
    private let abilities: Abilities
    private let filter: (String) -> XMLElement?
    private var chains: [String: Chain] = [:]
    private var upper: [Bool: [Rule]] = [:]

    /// - Parameter filter: gives a filter's document by its name.
    init(_ binding: FilterBinding, _ abilities: Abilities, filter: @escaping (String) -> XMLElement?) {
        self.binding = binding
        self.abilities = abilities
        self.filter = filter
    }

    /// The table of a device. Names of devices may have characters that names of tables may not.
    static func table(of device: String) -> String {
        "roost_filter_"
            + device.utf8.map { unit in
                let isPlain = (48...57).contains(unit) || (65...90).contains(unit) || (97...122).contains(unit)
                return isPlain ? String(decoding: [unit], as: UTF8.self) : "_" + String(unit, radix: 16)
            }.joined()
    }

    /// Whether a name is one that a device may have, and nothing that means anything to the firewall's language.
    static func isDeviceName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count < 16
            && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && !Array("\"\\/*;{}".utf8).contains($0) }
    }

    // MARK: Collecting

    private static let depthLimit = 16
    private static let defaultPriorities: [(prefix: String, priority: Int)] = [
        ("root", 0), ("stp", -810), ("mac", -800), ("vlan", -750), ("ipv4", -700), ("ipv6", -600), ("arp", -500),
        ("rarp", -400),
    ]
    private static let rulePriority = 500

    private mutating func collect(_ name: String, _ variables: RuleVariables, depth: Int) throws {
        guard let root = filter(name) else {
            throw ManagementError(.noNwfilter, "referenced filter '\(name)' is missing", from: .networkFilter)
        }
        guard depth < Self.depthLimit else {
            throw ManagementError(.internalError, "filter '\(name)' refers to itself", from: .networkFilter)
        }
        let chain = root["chain"] ?? "root"
        let usual = Self.defaultPriorities.first { chain.hasPrefix($0.prefix) }?.priority ?? 0
        if chains[chain] == nil {
            chains[chain] = Chain(priority: root["priority"].flatMap { Int($0) } ?? usual)
        }
        for element in root.elements {
            switch element.name {
            case "filterref":
                guard let other = element["filter"] else { continue }
                try collect(other, variables.adding(FilterBinding.parameters(of: element)), depth: depth + 1)
            case "rule": try add(element, chain, variables)
            default: break
            }
        }
    }

    private mutating func add(_ rule: XMLElement, _ chain: String, _ variables: RuleVariables) throws {
        let priority = rule["priority"].flatMap { Int($0) } ?? Self.rulePriority
        let action = rule["action"] ?? "drop"
        let direction = rule["direction"] ?? "inout"
        let matches = rule.elements.isEmpty ? [XMLElement("mac")] : rule.elements
        for match in matches {
            guard RuleMatches.lower.contains(match.name) || RuleMatches.upper.contains(match.name) else {
                throw ManagementError(
                    .configUnsupported, "rules of filters with <\(match.name)> cannot be applied", from: .networkFilter)
            }
            for values in try variables.expand(match.attributes.map { ($0.name, $0.value) }) {
                if RuleMatches.upper.contains(match.name) {
                    try addUpper(match.name, values, rule, action, direction, priority)
                } else {
                    try addLower(match.name, values, chain, action, direction, priority)
                }
            }
        }
    }

    private func verdict(_ action: String, isOut: Bool) -> String {
        switch action {
        case "accept", "continue", "return": action
        // A packet that is on its way to the guest cannot be answered from a bridge.
        case "reject" where isOut && abilities.rejects: "reject"
        default: "drop"
        }
    }

    private mutating func addLower(
        _ kind: String, _ values: [String: String], _ chain: String, _ action: String, _ direction: String,
        _ priority: Int
    ) throws {
        for isOut in [true, false] where direction == "inout" || (direction == "out") == isOut {
            // A rule for both directions is written for what comes in.
            let matches = try RuleMatches(
                kind: kind, values, isReversed: isOut && direction == "inout", isInverted: values["match"] == "no")
            let text = (matches.text + [verdict(action, isOut: isOut)]).joined(separator: " ")
            chains[chain]?.rules[isOut, default: []].append(Rule(priority: priority, text: text))
        }
    }

    private mutating func addUpper(
        _ kind: String, _ values: [String: String], _ rule: XMLElement, _ action: String, _ direction: String,
        _ priority: Int
    ) throws {
        let states = try values["state"].map { try Self.states($0) } ?? []
        let namesType = values["type"] != nil
        for isOut in [true, false] {
            let isForward = direction == "inout" ? !isOut : (direction == "out") == isOut
            // What is said of states is said of its own direction; types of ICMP differ between question and answer.
            if !isForward && direction != "inout" && (!states.isEmpty || namesType) { continue }
            let matches = try RuleMatches(
                kind: kind, values, isReversed: !isForward, isInverted: values["match"] == "no")
            var text = matches.text
            if !states.isEmpty {
                text.append(try state(states, of: kind))
            } else if action == "accept", rule["statematch"] != "false", rule["statematch"] != "0", direction != "inout"
            {
                text += implied(isForward: isForward, kind)
            }
            if let count = values["connlimit-above"], isForward {
                guard abilities.tracksConnections else { throw Self.needsTracking("connlimit-above") }
                text.append("ct count over \(try RuleValues.number(count, upTo: 65535))")
            }
            let line = (text + [verdict(action, isOut: isOut)]).joined(separator: " ")
            upper[isOut, default: []].append(Rule(priority: priority, text: line))
        }
    }

    private static func needsTracking(_ what: String) -> ManagementError {
        ManagementError(
            .configUnsupported,
            "'\(what)' of a filter's rule cannot be applied: this host's kernel does not follow connections on bridges (nf_conntrack_bridge)",
            from: .networkFilter)
    }

    private static func states(_ text: String) throws -> [String] {
        let known = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "NONE"]
        let names = text.split(separator: ",").map { $0.uppercased() }
        guard names.allSatisfy(known.contains) else { throw RuleValues.refuse("list of states", text) }
        return names.filter { $0 != "NONE" }
    }

    private func state(_ names: [String], of kind: String) throws -> String {
        guard abilities.tracksConnections else { throw Self.needsTracking("state") }
        return "ct state " + names.map { $0.lowercased() }.joined(separator: ",")
    }

    /// A rule that accepts lets connections be made in its direction and be answered in the other one.
    private func implied(isForward: Bool, _ kind: String) -> [String] {
        if abilities.tracksConnections { return [isForward ? "ct state new,established" : "ct state established"] }
        // Without the kernel's help: answers of TCP are whatever does not open a connection.
        return !isForward && kind.hasPrefix("tcp") ? ["tcp flags & (syn | ack) != syn"] : []
    }

    // MARK: Printing

    private static func entry(_ chain: String) -> String {
        let types = [("arp", "0x0806"), ("rarp", "0x8035"), ("ipv4", "0x0800"), ("ipv6", "0x86dd"), ("vlan", "0x8100")]
        if chain.hasPrefix("stp") { return "ether daddr 01:80:c2:00:00:00 " }
        return types.first { chain.hasPrefix($0.0) }.map { "ether type \($0.1) " } ?? ""
    }

    private static func sorted(_ rules: [Rule]) -> [String] {
        rules.enumerated().sorted { ($0.element.priority, $0.offset) < ($1.element.priority, $1.offset) }
            .map(\.element.text)
    }

    /// What nft reads: the device's table, anew.
    /// - Throws: for a filter that is not there, a variable without a value, a rule that cannot be applied.
    mutating func compile() throws -> String {
        guard Self.isDeviceName(binding.device) else { throw RuleValues.refuse("name of a device", binding.device) }
        _ = try RuleValues.mac(binding.mac)
        try collect(binding.filter, RuleVariables(binding), depth: 0)
        let table = Self.table(of: binding.device)
        var text = "table bridge \(table) {}\ndelete table bridge \(table)\ntable bridge \(table) {\n"
        text += learning
        for isOut in [true, false] {
            let way = isOut ? "out" : "in"
            let others = chains.filter { $0.key != "root" && !($0.value.rules[isOut] ?? []).isEmpty }
                .sorted { ($0.value.priority, $0.key) < ($1.value.priority, $1.key) }
            for (place, other) in others.enumerated() {
                text += Self.block("c\(place)_\(way)", Self.sorted(other.value.rules[isOut] ?? []))
            }
            var top = chains["root"]?.rules[isOut] ?? []
            top += others.enumerated().map { place, other in
                Rule(priority: other.value.priority, text: "\(Self.entry(other.key))jump c\(place)_\(way)")
            }
            text += Self.block("root_\(way)", Self.sorted(top))
            text += Self.block("upper_\(way)", Self.sorted(upper[isOut] ?? []))
            text += base(way, isOut)
        }
        return text + "}\n"
    }

    private static func block(_ name: String, _ lines: [String]) -> String {
        " chain \(name) {\n" + lines.map { "  \($0)\n" }.joined() + " }\n"
    }

    /// Priorities of the four base chains: frames first, then what is above IP, behind the following of connections.
    private func base(_ way: String, _ isOut: Bool) -> String {
        let hook = isOut ? "prerouting" : "postrouting"
        let device = isOut ? "iifname" : "oifname"
        let (first, second) = isOut ? (-300, -150) : (250, 300)
        let learns = isOut ? learningRules : ""
        return " chain \(way) {\n  type filter hook \(hook) priority \(first); policy accept;\n\(learns)"
            + "  \(device) \"\(binding.device)\" jump root_\(way)\n }\n"
            + " chain \(way)_upper {\n  type filter hook \(hook) priority \(second); policy accept;\n"
            + "  \(device) \"\(binding.device)\" jump upper_\(way)\n }\n"
    }

    /// The first address that the guest uses is its own, where nobody says which it has.
    private var learning: String {
        var text = ""
        for (name, set, type) in [("IP", "learned4", "ipv4_addr"), ("IPV6", "learned6", "ipv6_addr")]
        where binding.parameters[name] == nil {
            text += " set \(set) {\n  type \(type)\n  size 1\n  flags dynamic\n }\n"
        }
        return text
    }

    private var learningRules: String {
        let device = "iifname \"\(binding.device)\""
        var text = ""
        if binding.parameters["IP"] == nil {
            text += "  \(device) ether saddr \(binding.mac) arp saddr ip != 0.0.0.0 add @learned4 { arp saddr ip }\n"
            text += "  \(device) ether saddr \(binding.mac) ip saddr != 0.0.0.0 add @learned4 { ip saddr }\n"
        }
        if binding.parameters["IPV6"] == nil {
            // Link-local and unspecified addresses are everybody's.
            text += "  \(device) ether saddr \(binding.mac) ip6 saddr & e000:: == 2000:: add @learned6 { ip6 saddr }\n"
        }
        return text
    }
}
