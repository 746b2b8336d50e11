// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import HostTools
public import ManagementModel
internal import ManagementXML
internal import StateStore
public import XMLTree

/// What puts network filters in front of the tap devices of interfaces.
public struct InterfaceFilters: Sendable {
    /// Applies the filter that an interface asks for, if it does; called before anything can pass, and again for a
    /// machine that is found again.
    let apply: @Sendable (_ interface: XMLElement, _ owner: MachineReference) throws -> Void
    /// Takes away the filter of a tap device, if it has one.
    let remove: @Sendable (_ device: String) -> Void

    /// Filters that are applied and removed by the two functions.
    public init(
        apply: @escaping @Sendable (XMLElement, MachineReference) throws -> Void,
        remove: @escaping @Sendable (String) -> Void
    ) {
        self.apply = apply
        self.remove = remove
    }
}

/// Tap devices that connect machines to bridges: made before a machine starts, removed when it has ended.
struct TapDevices: Sendable {
    /// The bridge of a network that is up.
    let bridge: @Sendable (_ network: String) throws -> String
    let filters: InterfaceFilters?
    /// The `<vlan>` of a network's port group, or of the network.
    let vlan: @Sendable (_ network: String, _ group: String?) -> XMLElement?

    /// Tells VLANs apart where the kernel does not; nil where there is no program for it.
    let switches: VLANSwitches?

    private static let tool = "/usr/sbin/ip"

    private static func run(_ arguments: [String], _ what: String, tool: String = tool) throws {
        try HostTool.run(tool, arguments, to: what, from: .network)
    }

    /// Makes a device for each interface that needs one and writes its name into the document.
    /// - Parameter user: who opens the devices; nil for the service's own user.
    func connect(_ definition: inout DomainDefinition, user: UInt32? = nil) throws {
        var made: [String] = []
        let owner = Self.owner(definition)
        do {
            definition.devices = try definition.devices.map { device in
                var device = device
                try connect(&device, &made, owner, user: user)
                return device
            }
            definition.order()
        } catch {
            for name in made {
                filters?.remove(name)
                remove(name)
            }
            throw error
        }
    }

    private static func owner(_ definition: DomainDefinition) -> MachineReference {
        MachineReference(name: definition.name, uuid: definition.uuid, id: -1)
    }

    /// Applies the filters of a machine that is found again.
    func filterAgain(_ definition: DomainDefinition) {
        for device in definition.devices where Self.needsTap(device) && device[child: "vlan"] != nil {
            guard let bridge = device[child: "source"]?["bridge"], !VLANSwitches.kernelFilters(bridge) else { continue }
            do { try switchPort(device) } catch { Console.shared.error("\(definition.name): \(error)") }
        }
        for device in definition.devices where Self.needsTap(device) && device[child: "filterref"] != nil {
            do { try filters?.apply(device, Self.owner(definition)) } catch {
                Console.shared.error("\(definition.name): \(error)")
            }
        }
    }

    /// Whether an interface is connected through a tap device of the service.
    static func needsTap(_ device: XMLElement) -> Bool {
        device.name == "interface" && ["network", "bridge"].contains(device["type"] ?? "")
    }

    /// The same for one interface; `made` receives the name of the device.
    func connect(
        _ device: inout XMLElement, _ made: inout [String], _ owner: MachineReference, user: UInt32? = nil
    ) throws {
        guard Self.needsTap(device) else {
            guard device.name != "interface" || device[child: "filterref"] == nil else {
                throw ManagementError(
                    .configUnsupported,
                    "filterref is not supported for network interfaces of type \(device["type"] ?? "")")
            }
            return
        }
        guard filters != nil || device[child: "filterref"] == nil else {
            throw ManagementError(.configUnsupported, "network filters cannot be applied here", from: .networkFilter)
        }
        let network = device[child: "source"]?["network"]
        let bridge = try network.map(bridge) ?? device[child: "source"]?["bridge"] ?? ""
        let name = device[child: "target"]?["dev"] ?? freeName(made)
        try Self.run(
            ["tuntap", "add", "dev", name, "mode", "tap"] + (user.map { ["user", "\($0)"] } ?? []),
            "make the tap device '\(name)'")
        made.append(name)
        do {
            if network != nil { device[child: "source"]?["bridge"] = bridge }
            device[child: "target"] = XMLElement("target", ["dev": name])
            let wanted = device[child: "vlan"] ?? network.flatMap { vlan($0, device[child: "source"]?["portgroup"]) }
            device[child: "vlan"] = wanted
            if wanted != nil, switches != nil, !VLANSwitches.kernelFilters(bridge) {
                try Self.run(["link", "set", name, "up"], "start '\(name)'")
                try switchPort(device)
            } else {
                try Self.run(["link", "set", name, "master", bridge], "connect '\(name)' to the bridge '\(bridge)'")
                if let wanted { try tag(name, bridge, VLANPort(wanted)) }
                // Nothing passes before the filter is there.
                if device[child: "filterref"] != nil { try filters?.apply(device, owner) }
                try Self.run(["link", "set", name, "up"], "start '\(name)'")
            }
        } catch {
            made.removeLast()
            filters?.remove(name)
            remove(name)
            throw error
        }
    }

    /// Makes the device of an interface a port of its bridge's switch, again where the switch is another one by now.
    private func switchPort(_ device: XMLElement) throws {
        guard let switches, let wanted = device[child: "vlan"], let name = device[child: "target"]?["dev"],
            let bridge = device[child: "source"]?["bridge"]
        else { return }
        guard device[child: "filterref"] == nil else {
            throw ManagementError(
                .configUnsupported,
                "an interface with a network filter cannot have VLANs here: the kernel needs CONFIG_BRIDGE_VLAN_FILTERING",
                from: .network)
        }
        // The host itself has nothing to say on this device.
        let settings = "/proc/sys/net/ipv6/conf/\(name)/disable_ipv6"
        if StateFiles.exists(settings) {
            do throws(Errno) { try FileDescriptor.open(settings, flags: O_WRONLY).writeAll(Array("1\n".utf8)) } catch {
                Console.shared.warning("cannot write '\(settings)': \(error)")
            }
        }
        try switches.connect(name, to: bridge, VLANPort(wanted))
    }

    private func tag(_ name: String, _ bridge: String, _ port: VLANPort) throws {
        for (tool, arguments) in port.commands(device: name, bridge: bridge) {
            do {
                try Self.run(arguments, "give '\(name)' its VLANs", tool: "/usr/sbin/" + tool)
            } catch let error as ManagementError {
                throw ManagementError(
                    .configUnsupported,
                    "an interface asks for VLANs, and the bridge '\(bridge)' cannot tell them apart: \(error.detail) (the kernel needs CONFIG_BRIDGE_VLAN_FILTERING)",
                    from: .network)
            }
        }
    }

    /// Removes the device of one interface.
    func disconnect(_ device: XMLElement) {
        guard Self.needsTap(device), let name = device[child: "target"]?["dev"] else { return }
        if device[child: "filterref"] != nil { filters?.remove(name) }
        if device[child: "vlan"] != nil, let bridge = device[child: "source"]?["bridge"],
            !VLANSwitches.kernelFilters(bridge)
        {
            switches?.disconnect(name, from: bridge)
        }
        if StateFiles.exists("/sys/class/net/\(name)") { remove(name) }
    }

    private func freeName(_ made: [String]) -> String {
        (0...).lazy.map { "vnet\($0)" }.first { !made.contains($0) && !StateFiles.exists("/sys/class/net/\($0)") }
            ?? "vnet0"
    }

    private func remove(_ name: String) {
        do { try Self.run(["link", "delete", name], "remove the tap device '\(name)'") } catch {
            Console.shared.info("\(error)")
        }
    }

    /// Removes what `connect` made.
    func disconnect(_ definition: DomainDefinition) { for device in definition.devices { disconnect(device) } }
}
