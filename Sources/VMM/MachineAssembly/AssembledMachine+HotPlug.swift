// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import ControlServer
internal import Diagnostics
internal import HostIO
internal import HostSystem
internal import JSONCoding
internal import MachineSpec
internal import PCIBus
internal import Virtio
internal import VirtioDevices

extension AssembledMachine: HotPlugging {
    /// Whether a device of this name can be asked for.
    func hasDevice(_ name: String) -> Bool {
        spec.devices.contains { $0.identifier == name } || processor(named: name) != nil
    }

    /// `device_add`: behind a PCI Express port of q35, on pc's bus, on a virtio-serial bus, on a USB cable, or a processor.
    func addDevice(_ options: JSONObject) throws(UserError) {
        let wanted = try MachineArguments.adding(device: try OptionList(options), to: spec, nodes: storage.nodeNames)
        if wanted.topology != spec.topology, let processor = wanted.topology.plugged.last {
            return try plug(processor)
        }
        guard let device = wanted.devices.last, let board else { throw UserError("this machine takes no devices") }
        if device.isMadeAtOnce {
            try lock.withLock { () throws(UserError) in try make(device, board) }
        } else {
            try plug(device, board)
        }
        spec = wanted
    }

    private func plug(_ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        guard device.isPCI else {
            throw UserError("Device '\(device.typeName)' does not support hotplugging")
        }
        let root = board.bus.name
        if let slots = board.hotPlug, (device.placement.bus ?? root) == root {
            hotPlugSlots = slots
            defer { hotPlugSlots = nil }
            slots.unplugged = { [weak self] function in self?.leave(function) }
            return try lock.withLock { () throws(UserError) in try make(device, board) }
        }
        guard let name = device.placement.bus ?? freePort(board), name != root,
            let port = board.bus.rootPorts.first(where: { $0.identifier == name })
        else { throw UserError("Bus '\(device.placement.bus ?? root)' does not support hotplugging") }
        guard port.isHotPluggable else { throw UserError("Bus '\(name)' does not support hotplugging") }
        guard (device.placement.slot ?? 0) == 0 else {
            throw UserError("PCI: slot \(device.placement.slot ?? 0) is not valid, the port has slot 0 alone")
        }
        var placed = device
        placed.placement.bus = name
        hotPlugPort = port
        defer { hotPlugPort = nil }
        port.unplugged = { [weak self] function in self?.leave(function) }
        try lock.withLock { () throws(UserError) in try make(placed, board) }
    }

    /// A port whose slot is empty.
    private func freePort(_ board: PCBoard) -> String? {
        board.bus.rootPorts.first { $0.isHotPluggable && $0.secondaryBus.devices.isEmpty }?.identifier
    }

    /// `device_del`: the guest is asked, and DEVICE_DELETED says that it has let go.
    func removeDevice(_ name: String) throws(UserError) {
        if let processor = processor(named: name) { return try unplug(processor) }
        if try removeUSBDevice(name) { return }
        if let slots = board?.hotPlug, let function = board?.bus.devices.first(where: { $0.identifier == name }) {
            slots.unplugged = { [weak self] function in self?.leave(function) }
            do throws(PCIBusError) {
                return try lock.withLock { () throws(PCIBusError) in try slots.requestUnplug(function) }
            } catch { throw UserError(error.description) }
        }
        guard
            let port = board?.bus.rootPorts.first(where: { port in
                port.secondaryBus.devices.contains { $0.identifier == name }
            })
        else { throw UserError("Device '\(name)' is not hotpluggable", remedy: "only devices behind ports are") }
        port.unplugged = { [weak self] function in self?.leave(function) }
        do throws(PCIBusError) {
            try lock.withLock { () throws(PCIBusError) in try port.requestUnplug() }
        } catch { throw UserError(error.description) }
    }

    /// A function was taken out of its slot. The machine lock is held; what waits for threads comes later.
    private func leave(_ function: PCIDevice) {
        let name = function.identifier
        let device = spec.devices.first { $0.identifier == name && name != nil }
        spec.devices.removeAll { $0.identifier == name && name != nil }
        pciDevices.removeAll { $0 === function }
        let isVirtio = function is VirtioPCIDevice
        loop.post { [weak self] in
            guard let self else { return }
            forget(device, name)
            // Kept until here, so that its threads end outside of the lock.
            _ = function
            guard let name else { return }
            if isVirtio {
                control?.emit("DEVICE_DELETED", data: ["path": .string("/machine/peripheral/\(name)/virtio-backend")])
            }
            control?.emit(
                "DEVICE_DELETED", data: ["device": .string(name), "path": .string("/machine/peripheral/\(name)")])
        }
    }

    private func forget(_ device: DeviceSpec?, _ name: String?) {
        guard let device else { return }
        switch device.model {
        case .virtioBlock(_, let block):
            for disk in disks where disk.drive == block.drive { disk.device.close() }
            disks.removeAll { $0.drive == block.drive }
        case .virtioBalloon: balloon = nil
        case .virtioNetwork, .pc(.networkCard): networkCards.removeAll { $0.name == name }
        default: break
        }
    }

    // MARK: networks

    func addNetwork(_ options: JSONObject) throws(UserError) {
        let network = try MachineArguments.network(try OptionList(options))
        guard !spec.networks.contains(where: { $0.identifier == network.identifier }) else {
            throw UserError("Duplicate ID '\(network.identifier)' for netdev")
        }
        try networks.add(network)
        spec.networks.append(network)
    }

    func removeNetwork(_ name: String) -> Bool {
        guard spec.networks.contains(where: { $0.identifier == name }) else { return false }
        spec.networks.removeAll { $0.identifier == name }
        networks.remove(name)
        return true
    }
}

extension DeviceSpec {
    /// Sits on a PCI bus, by its type.
    /// Needs no slot, and no word of the guest's: a port on a virtio-serial bus, a device on a USB cable.
    var isMadeAtOnce: Bool {
        switch model {
        case .virtioPort, .pc(.usbDevice): true
        default: false
        }
    }

    var isPCI: Bool { DeviceType.named(typeName)?.bus == "PCI" }
}
