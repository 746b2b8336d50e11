// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostTools
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

    private func names(_ definition: NetworkDefinition, _ addressings: [NetworkDefinition.Addressing] = [])
        -> NameService
    {
        NameService(definition: definition, addressings: addressings, base: state + "/" + definition.bridge)
    }

    func leasesPath(_ definition: NetworkDefinition) -> String { names(definition).leasesPath }
    private func pidPath(_ definition: NetworkDefinition) -> String { names(definition).pidPath }
    private func rulesPath(_ definition: NetworkDefinition) -> String { state + "/" + definition.bridge + ".nft" }

    private func run(_ tool: String, _ arguments: [String], _ what: String) throws {
        try HostTool.run(tool, arguments, to: what, from: .network)
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
        if let mtu = definition.root[child: "mtu"]?["size"] {
            try run(Self.ip, ["link", "set", bridge, "mtu", mtu], "set the MTU of '\(bridge)'")
        }
        let addressings = try definition.addressings()
        for addressing in addressings {
            try run(
                Self.ip, ["addr", "add", "\(addressing.address)/\(addressing.prefix)", "dev", bridge],
                "set the address of '\(bridge)'")
        }
        try run(Self.ip, ["link", "set", bridge, "up"], "start the bridge '\(bridge)'")
        for route in definition.root.all("route") { try add(route, bridge) }
        try addRules(definition, addressings)
        if !addressings.isEmpty { try startLeasing(definition, addressings) }
    }

    private func add(_ route: XMLElement, _ bridge: String) throws {
        let address = route["address"] ?? ""
        var prefix = route["prefix"] ?? (address.contains(":") ? "64" : "32")
        if let mask = route["netmask"].flatMap(NetworkDefinition.number) { prefix = "\(mask.nonzeroBitCount)" }
        var arguments = ["route", "add", "\(address)/\(prefix)", "via", route["gateway"] ?? "", "dev", bridge]
        if let metric = route["metric"] { arguments += ["metric", metric] }
        try run(Self.ip, arguments, "add the route to '\(address)'")
    }

    private func addRules(_ definition: NetworkDefinition, _ addressings: [NetworkDefinition.Addressing]) throws {
        let bridge = definition.bridge
        guard definition.forwarding != "open" else { return }
        let firewall = Firewall(definition: definition, addressings: addressings)
        let path = rulesPath(definition)
        do throws(Errno) {
            // The empty table is for one that is left over.
            try StateFiles.write(
                path, "table inet \(firewall.table) {}\ndelete table inet \(firewall.table)\n" + firewall.text)
            if definition.forwarding != nil {
                try Self.allowForwarding("/proc/sys/net/ipv4/ip_forward")
                if addressings.contains(where: \.isIPv6) {
                    try Self.allowForwarding("/proc/sys/net/ipv6/conf/all/forwarding")
                }
            }
        } catch { throw ManagementError(.systemError, "cannot let '\(bridge)' forward: \(error)", from: .network) }
        try run(Self.nft, ["-f", path], "make the firewall rules of '\(bridge)'")
    }

    private static func allowForwarding(_ path: String) throws(Errno) {
        let file = try FileDescriptor.open(path, flags: O_WRONLY)
        try file.writeAll(Array("1\n".utf8))
    }

    private func startLeasing(_ definition: NetworkDefinition, _ addressings: [NetworkDefinition.Addressing]) throws {
        let service = names(definition, addressings)
        try writeNames(service)
        try run(Self.dnsmasq, service.arguments + ["--user=root"], "start dnsmasq for '\(definition.bridge)'")
    }

    private func writeNames(_ service: NameService) throws {
        do throws(Errno) {
            try StateFiles.write(service.hostsPath, service.hosts, mode: 0o644)
            try StateFiles.write(service.namesPath, service.names, mode: 0o644)
        } catch {
            throw ManagementError(.systemError, "cannot write '\(service.hostsPath)': \(error)", from: .network)
        }
    }

    private func process(_ definition: NetworkDefinition) -> Int32? {
        guard let text = try? StateFiles.read(pidPath(definition)), let process = Int32(text.filter(\.isNumber)),
            process > 1, kill(process, 0) == 0
        else { return nil }
        return process
    }

    private static let endPause: UInt32 = 10_000
    private static let endTries = 300

    private func stopLeasing(_ definition: NetworkDefinition) {
        guard let process = process(definition) else { return }
        kill(process, SIGTERM)
        // Its sockets must be free for the next one.
        for _ in 0..<Self.endTries where kill(process, 0) == 0 { usleep(Self.endPause) }
        try? StateFiles.remove(pidPath(definition))
    }

    /// Brings a network that is up in line with a document that was changed.
    func apply(_ definition: NetworkDefinition, replacing old: NetworkDefinition) throws {
        let addressings = try definition.addressings()
        let service = names(definition, addressings)
        if try service.arguments == names(old, old.addressings()).arguments, let process = process(definition) {
            try writeNames(service)
            kill(process, SIGHUP)
        } else {
            stopLeasing(old)
            if !addressings.isEmpty { try startLeasing(definition, addressings) }
        }
        if definition.root[child: "forward"] != old.root[child: "forward"] { try addRules(definition, addressings) }
    }

    /// Starts what has ended while a network was up.
    func repair(_ definition: NetworkDefinition) throws {
        let addressings = try definition.addressings()
        if !addressings.isEmpty && process(definition) == nil { try startLeasing(definition, addressings) }
    }

    /// Removes all that `bringUp` made, as far as it is there.
    func takeDown(_ definition: NetworkDefinition) {
        stopLeasing(definition)
        for (tool, arguments) in [
            (Self.nft, ["delete", "table", "inet", Firewall(definition: definition, addressings: []).table]),
            (Self.ip, ["link", "delete", definition.bridge]),
        ] {
            do { try run(tool, arguments, "clean up '\(definition.bridge)'") } catch { Console.shared.info("\(error)") }
        }
    }
}
