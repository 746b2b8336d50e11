// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import HostTools
public import ManagementModel
internal import ManagementXML
internal import XMLTree

// Limits of what an interface carries, by the host's traffic control.
extension MachineDriver {
    private static let interfaceFields = ["average", "peak", "burst", "floor"]

    private static func place(_ definition: DomainDefinition, _ name: String) throws -> Int {
        let place = definition.devices.firstIndex {
            $0.name == "interface" && ($0[child: "target"]?["dev"] == name || $0[child: "mac"]?["address"] == name)
        }
        guard let place else { throw ManagementError(.invalidArg, "Can't find device \(name)") }
        return place
    }

    /// Limits of an interface by libvirt's names (`inbound.average`...), in KiB and KiB/s.
    public func interfaceLimits(_ uuid: UniqueID, _ name: String, _ scope: ProcessorScope) throws -> [String: UInt32] {
        let machine = try machine(uuid)
        let (live, _) = try resolve(machine, scope)
        let definition = try live ? machine.requireLive().definition : definition(of: machine)
        let bandwidth = definition.devices[try Self.place(definition, name)][child: "bandwidth"]
        var limits: [String: UInt32] = [:]
        for side in ["inbound", "outbound"] {
            for field in Self.interfaceFields {
                limits["\(side).\(field)"] = bandwidth?[child: side]?[field].flatMap { UInt32($0) }
            }
        }
        return limits
    }

    /// Limits an interface; what is not named stays, an average of 0 ends a side's limits.
    public func setInterfaceLimits(
        _ uuid: UniqueID, _ name: String, _ limits: [String: UInt32], _ scope: ProcessorScope
    ) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            func change(_ definition: inout DomainDefinition) throws {
                let place = try Self.place(definition, name)
                let type = definition.devices[place]["type"] ?? ""
                guard ["network", "bridge", "ethernet", "direct"].contains(type) else {
                    throw ManagementError(
                        .configUnsupported,
                        "setting bandwidth on interfaces of type '\(type)' is not implemented yet")
                }
                var bandwidth = definition.devices[place][child: "bandwidth"] ?? XMLElement("bandwidth")
                for side in ["inbound", "outbound"] {
                    var element = bandwidth[child: side] ?? XMLElement(side)
                    for field in Self.interfaceFields {
                        if let value = limits["\(side).\(field)"] { element[field] = value == 0 ? nil : "\(value)" }
                    }
                    bandwidth[child: side] = element["average"] == nil && element["floor"] == nil ? nil : element
                }
                definition.devices[place][child: "bandwidth"] = bandwidth.isEmpty ? nil : bandwidth
                definition.order()
            }
            if live {
                var definition = try machine.requireLive().definition
                try change(&definition)
                try Self.apply(definition.devices[try Self.place(definition, name)])
                machine.change { _, running in running?.definition = definition }
                saveStatus(machine)
            }
            if configuration { try update(machine, change) }
        }
    }

    private static let tool = "/usr/sbin/tc"

    private static func control(_ arguments: [String], mayFail: Bool = false) throws {
        let what = "limit an interface"
        let result = try HostTool.attempt(tool, arguments, to: what, from: .network)
        guard mayFail || result.succeeded else {
            throw ManagementError(.internalError, "cannot \(what): \(result.reason(.last))", from: .network)
        }
    }

    /// Sets the limits of an interface on its tap device. What comes in to the guest goes out of the device.
    static func apply(_ interface: XMLElement) throws {
        guard let device = interface[child: "target"]?["dev"] else { return }
        // There may be none from before.
        try control(["qdisc", "del", "dev", device, "root"], mayFail: true)
        try control(["qdisc", "del", "dev", device, "ingress"], mayFail: true)
        let bandwidth = interface[child: "bandwidth"]
        if let limit = bandwidth?[child: "inbound"], let average = limit["average"] {
            try control(["qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "1"])
            var rate = ["rate", average + "kbps"]
            if let peak = limit["peak"] { rate += ["ceil", peak + "kbps"] }
            if let burst = limit["burst"] { rate += ["burst", burst + "kb"] }
            try control(["class", "add", "dev", device, "parent", "1:", "classid", "1:1", "htb"] + rate)
        }
        if let limit = bandwidth?[child: "outbound"], let average = limit["average"] {
            try control(["qdisc", "add", "dev", device, "ingress"])
            try control(
                [
                    "filter", "add", "dev", device, "parent", "ffff:", "protocol", "all", "u32", "match", "u32", "0",
                    "0", "police", "rate", average + "kbps", "burst", (limit["burst"] ?? average) + "kb", "mtu", "64kb",
                    "drop", "flowid", ":1",
                ])
        }
    }
}
