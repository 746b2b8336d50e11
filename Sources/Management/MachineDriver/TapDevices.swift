// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostTools
internal import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// Tap devices that connect machines to bridges: made before a machine starts, removed when it has ended.
struct TapDevices: Sendable {
    /// The bridge of a network that is up.
    let bridge: @Sendable (_ network: String) throws -> String

    private static let tool = "/usr/sbin/ip"

    private static func run(_ arguments: [String], _ what: String) throws {
        try HostTool.run(tool, arguments, to: what, from: .network)
    }

    /// Makes a device for each interface that needs one and writes its name into the document.
    func connect(_ definition: inout DomainDefinition) throws {
        var made: [String] = []
        do {
            definition.devices = try definition.devices.map { device in
                var device = device
                try connect(&device, &made)
                return device
            }
            definition.order()
        } catch {
            for name in made { Self.remove(name) }
            throw error
        }
    }

    /// Whether an interface is connected through a tap device of the service.
    static func needsTap(_ device: XMLElement) -> Bool {
        device.name == "interface" && ["network", "bridge"].contains(device["type"] ?? "")
    }

    /// The same for one interface; `made` receives the name of the device.
    func connect(_ device: inout XMLElement, _ made: inout [String]) throws {
        guard Self.needsTap(device) else { return }
        let network = device[child: "source"]?["network"]
        let bridge = try network.map(bridge) ?? device[child: "source"]?["bridge"] ?? ""
        let name = device[child: "target"]?["dev"] ?? freeName(made)
        try Self.run(["tuntap", "add", "dev", name, "mode", "tap"], "make the tap device '\(name)'")
        made.append(name)
        try Self.run(["link", "set", name, "master", bridge, "up"], "connect '\(name)' to the bridge '\(bridge)'")
        if network != nil { device[child: "source"]?["bridge"] = bridge }
        device[child: "target"] = XMLElement("target", ["dev": name])
    }

    /// Removes the device of one interface.
    func disconnect(_ device: XMLElement) {
        guard Self.needsTap(device), let name = device[child: "target"]?["dev"],
            StateFiles.exists("/sys/class/net/\(name)")
        else { return }
        Self.remove(name)
    }

    private func freeName(_ made: [String]) -> String {
        (0...).lazy.map { "vnet\($0)" }.first { !made.contains($0) && !StateFiles.exists("/sys/class/net/\($0)") }
            ?? "vnet0"
    }

    private static func remove(_ name: String) {
        do { try run(["link", "delete", name], "remove the tap device '\(name)'") } catch {
            Console.shared.info("\(error)")
        }
    }

    /// Removes what `connect` made.
    func disconnect(_ definition: DomainDefinition) { for device in definition.devices { disconnect(device) } }
}
