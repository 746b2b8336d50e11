// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import MachineSpec
internal import NetworkCards
internal import PacketPorts
internal import PCIBus

extension AssembledMachine {
    /// The next address of QEMU's own prefix; the last byte counts the cards.
    var nextAddress: [UInt8] {
        [0x52, 0x54, 0x00, 0x12, 0x34, 0x56 &+ UInt8(truncatingIfNeeded: networkCards.count)]
    }

    /// Makes a card that monitors know of.
    func note(
        _ device: DeviceSpec, _ address: [UInt8], network: String?, announce: @escaping () -> Void = {},
        setLink: @escaping (Bool) -> Void
    ) {
        let peers = networkCards.filter { $0.typeName == device.typeName }.count
        networkCards.append(
            NetworkCard(
                name: device.identifier ?? "\(device.typeName).\(peers)", typeName: device.typeName, address: address,
                setLink: setLink, announce: announce, network: network))
    }

    /// The ROM that starts the machine over the network, where firmware runs it.
    func addBootROM(_ name: String, to function: PCIDevice, _ device: DeviceSpec) throws(UserError) {
        guard spec.boot.kernel == nil || spec.boot.bios != nil else { return }
        if let rom = try optionROM(device.placement.romFile ?? name, device) { function.addROM(rom) }
    }

    /// Makes one of Intel's cards.
    func addNetworkCard(_ spec: NetworkCardSpec, _ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        guard let model = GigabitModel.all.first(where: { $0.name == spec.model }) else {
            throw UserError("'\(spec.model)' is no network card")
        }
        let address = spec.address ?? nextAddress
        let card = GigabitController(
            model, address: address, memory: guestMemory, port: try networks.port(spec.network), loop: loop,
            machineLock: lock)
        try addBootROM(model == .i82574L ? "efi-e1000e.rom" : "efi-e1000.rom", to: card, device)
        try add(card, device, board)
        noteBootIndex(of: device, at: card)
        note(device, address, network: spec.network) { [unowned card, lock] isUp in
            lock.withLock { card.setLink(isUp) }
        }
    }
}
