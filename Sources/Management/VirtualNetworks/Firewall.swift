// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// The rules of a network, for nft: a table of its own, so that rules of other programs stay what they are.
package struct Firewall {
    let definition: NetworkDefinition
    let addressings: [NetworkDefinition.Addressing]

    /// The rules of a network with all its addresses.
    package init(_ definition: NetworkDefinition) throws {
        self.init(definition: definition, addressings: try definition.addressings())
    }

    init(definition: NetworkDefinition, addressings: [NetworkDefinition.Addressing]) {
        self.definition = definition
        self.addressings = addressings
    }

    var table: String { "roost_" + definition.bridge }

    /// Rules that forbid what the network is not for: an isolated one reaches nothing but itself, a routed one is
    /// reached, one with NAT is answered alone.
    package var text: String {
        let bridge = definition.bridge
        let isNAT = definition.forwarding == "nat"
        var forward = ["iifname \"\(bridge)\" oifname \"\(bridge)\" accept"]
        var masquerade: [String] = []
        for addressing in addressings where definition.forwarding != nil {
            let family = addressing.isIPv6 ? "ip6" : "ip"
            let network = NetworkDefinition.network(addressing)
            let translates = isNAT && (!addressing.isIPv6 || definition.translatesIPv6)
            let out = definition.forwardDevice.map { " oifname \"\($0)\"" } ?? ""
            let back = definition.forwardDevice.map { " iifname \"\($0)\"" } ?? ""
            forward.append(
                "oifname \"\(bridge)\"\(back) \(family) daddr \(network) \(translates ? "ct state established,related " : "")accept"
            )
            forward.append("iifname \"\(bridge)\"\(out) \(family) saddr \(network) accept")
            if translates { masquerade += translation(family, network, out) }
        }
        forward += ["oifname \"\(bridge)\" reject", "iifname \"\(bridge)\" reject"]
        var text = "table inet \(table) {\n chain forward {\n"
        text += "  type filter hook forward priority filter; policy accept;\n"
        text += forward.map { "  \($0)\n" }.joined() + " }\n"
        if !masquerade.isEmpty {
            text += " chain postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n"
            text += masquerade.map { "  \($0)\n" }.joined() + " }\n"
        }
        return text + "}\n"
    }

    private func translation(_ family: String, _ network: String, _ out: String) -> [String] {
        let nat = definition.root[child: "forward"]?[child: "nat"]
        let address = nat?[child: "address"].flatMap { element in
            element["start"].map { $0 == element["end"] ? $0 : "\($0)-\(element["end"] ?? $0)" }
        }
        let ports = nat?[child: "port"].flatMap { element in
            element["start"].flatMap { start in element["end"].map { "\(start)-\($0)" } }
        }
        let target = address.map { "snat \(family) to \($0)" } ?? "masquerade"
        let match = "\(family) saddr \(network) \(family) daddr != \(network)\(out)"
        // What goes to everybody on the link is not translated.
        let group = family == "ip" ? "224.0.0.0/24" : "ff02::/16"
        var rules = ["\(family) saddr \(network) \(family) daddr \(group) return"]
        if family == "ip" { rules.append("ip saddr \(network) ip daddr 255.255.255.255 return") }
        if let ports {
            let range = address == nil ? "masquerade to :\(ports)" : "\(target):\(ports)"
            rules.append("meta l4proto { tcp, udp } \(match) \(range)")
        }
        return rules + ["\(match) \(target)"]
    }
}
