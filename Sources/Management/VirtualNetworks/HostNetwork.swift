// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostProcesses
internal import HostSystem
internal import ManagementModel
internal import StateStore
internal import XMLTree

/// Bridges, firewall and DHCP of this host, through ip, nft and dnsmasq.
struct HostNetwork: Sendable {
    /// The folder of dnsmasq's files.
    let state: String

    /// Whether an interface of that name is there.
    static func exists(_ name: String) -> Bool { StateFiles.exists("/sys/class/net/" + name) }

    func leasesPath(_ definition: NetworkDefinition) -> String { state + "/" + definition.bridge + ".leases" }
    private func pidPath(_ definition: NetworkDefinition) -> String { state + "/" + definition.bridge + ".pid" }
    private func rulesPath(_ definition: NetworkDefinition) -> String { state + "/" + definition.bridge + ".nft" }

    /// The service's own table, so that other programs' rules stay what they are.
    private func table(_ definition: NetworkDefinition) -> String { "roost_" + definition.bridge }

    private func run(_ tool: String, _ arguments: [String], _ what: String) throws {
        let result: (ending: ChildProcess.Ending, output: String)
        do throws(Errno) {
            result = try ChildProcess.run(
                tool, arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"])
        } catch { throw ManagementError(.systemError, "cannot \(what): \(tool): \(error)", from: .network) }
        guard result.ending == .exited(0) else {
            let line = result.output.split(separator: "\n").last ?? ""
            throw ManagementError(.internalError, "cannot \(what): \(line)", from: .network)
        }
    }

    private static let ip = "/usr/sbin/ip"
    private static let nft = "/usr/sbin/nft"
    private static let dnsmasq = "/usr/sbin/dnsmasq"

    func bringUp(_ definition: NetworkDefinition) throws {
        let bridge = definition.bridge
        guard !Self.exists(bridge) else {
            throw ManagementError(.internalError, "the interface '\(bridge)' is there already", from: .network)
        }
        let stp = definition.root[child: "bridge"]?["stp"] == "off" ? "0" : "1"
        try run(
            Self.ip, ["link", "add", bridge, "type", "bridge", "stp_state", stp, "forward_delay", "0"],
            "make the bridge '\(bridge)'")
        if let mac = definition.root[child: "mac"]?["address"] {
            try run(Self.ip, ["link", "set", bridge, "address", mac], "set the address of '\(bridge)'")
        }
        let addressings = try definition.addressings()
        for addressing in addressings {
            try run(
                Self.ip, ["addr", "add", "\(addressing.address)/\(addressing.prefix)", "dev", bridge],
                "set the address of '\(bridge)'")
        }
        try run(Self.ip, ["link", "set", bridge, "up"], "start the bridge '\(bridge)'")
        try addRules(definition, addressings)
        if !addressings.isEmpty { try startLeasing(definition, addressings) }
    }

    private func addRules(_ definition: NetworkDefinition, _ addressings: [NetworkDefinition.Addressing]) throws {
        let bridge = definition.bridge
        guard definition.forwarding != "open" else { return }
        var forward = ["iifname \"\(bridge)\" oifname \"\(bridge)\" accept"]
        var masquerade: [String] = []
        for addressing in addressings where definition.forwarding != nil {
            let network = NetworkDefinition.network(addressing)
            let isNAT = definition.forwarding == "nat"
            forward.append(
                "oifname \"\(bridge)\" ip daddr \(network) \(isNAT ? "ct state established,related " : "")accept")
            forward.append("iifname \"\(bridge)\" ip saddr \(network) accept")
            if isNAT { masquerade.append("ip saddr \(network) ip daddr != \(network) masquerade") }
        }
        forward += ["oifname \"\(bridge)\" reject", "iifname \"\(bridge)\" reject"]
        var text =
            "table inet \(table(definition)) {\n chain forward {\n  type filter hook forward priority filter; policy accept;\n"
        text += forward.map { "  \($0)\n" }.joined() + " }\n"
        if !masquerade.isEmpty {
            text += " chain postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n"
            text += masquerade.map { "  \($0)\n" }.joined() + " }\n"
        }
        text += "}\n"
        let path = rulesPath(definition)
        do throws(Errno) {
            try StateFiles.write(path, text)
            if definition.forwarding != nil {
                let file = try FileDescriptor.open("/proc/sys/net/ipv4/ip_forward", flags: O_WRONLY)
                try file.writeAll(Array("1\n".utf8))
            }
        } catch { throw ManagementError(.systemError, "cannot let '\(bridge)' forward: \(error)", from: .network) }
        try run(Self.nft, ["-f", path], "make the firewall rules of '\(bridge)'")
    }

    private func startLeasing(_ definition: NetworkDefinition, _ addressings: [NetworkDefinition.Addressing]) throws {
        var arguments = [
            "--conf-file=", "--strict-order", "--bind-dynamic", "--interface=\(definition.bridge)",
            "--except-interface=lo",
            "--pid-file=\(pidPath(definition))", "--dhcp-leasefile=\(leasesPath(definition))", "--dhcp-no-override",
            "--dhcp-authoritative", "--dhcp-lease-max=253", "--user=root",
        ]
        for addressing in addressings {
            for range in addressing.ranges { arguments.append("--dhcp-range=\(range.start),\(range.end)") }
            for host in addressing.hosts {
                arguments.append("--dhcp-host=\(host.mac),\(host.address)" + (host.name.map { ",\($0)" } ?? ""))
            }
        }
        if definition.forwarding == nil { arguments.append("--dhcp-option=3") }
        if let domain = definition.root[child: "domain"]?["name"] {
            arguments += ["--domain=\(domain)", "--expand-hosts"]
        }
        try run(Self.dnsmasq, arguments, "start dnsmasq for '\(definition.bridge)'")
    }

    /// Removes all that `bringUp` made, as far as it is there.
    func takeDown(_ definition: NetworkDefinition) {
        if let text = try? StateFiles.read(pidPath(definition)), let process = Int32(text.filter(\.isNumber)),
            process > 1
        {
            kill(process, SIGTERM)
        }
        try? StateFiles.remove(pidPath(definition))
        for (tool, arguments) in [
            (Self.nft, ["delete", "table", "inet", table(definition)]),
            (Self.ip, ["link", "delete", definition.bridge]),
        ] {
            do { try run(tool, arguments, "clean up '\(definition.bridge)'") } catch { Console.shared.info("\(error)") }
        }
    }
}
