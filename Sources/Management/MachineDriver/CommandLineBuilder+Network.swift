// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

// Network cards and what they are connected to.
extension CommandLineBuilder {
    /// A network card and what it is connected to.
    mutating func addInterface(_ device: XMLElement) throws {
        let id = alias(device)
        let host = "host" + id
        switch device["type"] {
        case "user": add("-netdev", "user,id=\(host)" + (try userOptions(device)))
        case "ethernet", "bridge", "network":
            guard let tap = device[child: "target"]?["dev"] else {
                throw ManagementError(.configUnsupported, "interface \(id) has no tap device", from: .machineDriver)
            }
            add("-netdev", "tap,id=\(host),ifname=\(Self.escaped(tap)),script=no,downscript=no")
        default: throw unsupported("interface type '\(device["type"] ?? "")'")
        }
        let model = device[child: "model"]?["type"] ?? "virtio"
        let name = model == "virtio" ? "virtio-net-pci" : model
        try require(name)
        let plain = try plainFrames(device, name)
        add(
            "-device",
            "\(name),netdev=\(host),id=\(id),mac=\(device[child: "mac"]?["address"] ?? "")\(plain)\(place(device))\(bootIndex(device))"
        )
    }

    /// The service's own switch takes frames as they are on a wire: no larger, and with their checksums.
    private func plainFrames(_ device: XMLElement, _ card: String) throws -> String {
        guard device[child: "vlan"] != nil, !VLANSwitches.kernelFilters(device[child: "source"]?["bridge"] ?? "") else {
            return ""
        }
        guard card != "virtio-net-pci" else {
            return ",csum=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off"
        }
        guard !["e1000e", "vmxnet3", "igb"].contains(card) else {
            throw ManagementError(
                .configUnsupported,
                "a card of model '\(card)' cannot have VLANs here: choose virtio, e1000 or rtl8139 (the kernel has no CONFIG_BRIDGE_VLAN_FILTERING)",
                from: .machineDriver)
        }
        return ""
    }

    /// Addresses and forwarded ports of a network that needs no privileges.
    func userOptions(_ device: XMLElement) throws -> String {
        var text = ""
        for address in device.all("ip") {
            let value = address["address"] ?? ""
            let prefix = address["prefix"] ?? (address["family"] == "ipv6" ? "64" : "24")
            text +=
                address["family"] == "ipv6"
                ? ",ipv6-prefix=\(value),ipv6-prefixlen=\(prefix)" : ",net=\(value)/\(prefix)"
        }
        for forward in device.all("portForward") {
            let (kind, address) = (forward["proto"] ?? "tcp", forward["address"] ?? "")
            for range in forward.all("range") where range["exclude"] != "yes" {
                guard let start = range["start"].flatMap({ UInt16($0) }) else { continue }
                let end = range["end"].flatMap { UInt16($0) } ?? start
                let target = range["to"].flatMap { UInt16($0) } ?? start
                guard end >= start, UInt32(target) + UInt32(end - start) <= UInt32(UInt16.max) else {
                    throw ManagementError(.configUnsupported, "the ports \(start)-\(end) cannot be forwarded")
                }
                for port in start...end {
                    text += ",hostfwd=\(kind):\(address):\(port)-:\(target + (port - start))"
                }
            }
        }
        return text
    }
}
