// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import PCIBus
import Testing

@Suite struct PCIStateTests {
    private func makeMessaging() -> PCIDevice {
        let device = makeDevice()
        device.addMSIX(vectorCount: 3, baseAddress: 4)
        return device
    }

    @Test func aRestoredFunctionBehavesLikeTheSavedOne() throws {
        let place = PCIAddress(packed: 0x10)
        let old = Board()
        let saved = makeMessaging()
        try old.bus.add(saved, at: place)
        old.write(place, 0x10, 0xC000)
        old.write(place, 0x20, 0xFEB0_0000)
        old.write(place, 4, 7, size: 2)
        old.memory.write(0xFEB0_0010, size: 8, value: 0xFEE0_0000)
        old.memory.write(0xFEB0_0018, size: 8, value: 0x1_0000_0031)
        old.write(place, try #require(saved.msix).offset + 2, 0x8000, size: 2)
        saved.signal(vector: 1)
        #expect(old.messages.sent.isEmpty)

        let new = Board()
        let restored = makeMessaging()
        try new.bus.add(restored, at: place)
        try restored.restore(pciState: saved.pciState)
        #expect(restored.pciState == saved.pciState)
        #expect(new.ports.read(0xC000, size: 1) == 0x5A)
        #expect(new.messages.sent.isEmpty)
        new.memory.write(0xFEB0_001C, size: 4, value: 0)
        #expect(new.messages.sent == [.init(address: 0xFEE0_0000, data: 0x31)])
    }

    @Test func thePinComesBack() throws {
        let place = PCIAddress(packed: 0x10)
        let device = makeDevice()
        device.setInterrupt(true)
        let board = Board()
        let restored = makeDevice()
        try board.bus.add(restored, at: place)
        try restored.restore(pciState: device.pciState)
        #expect(board.router.levels[2])
    }

    @Test func aStateOfAnotherDeviceIsRefused() throws {
        let device = makeDevice()
        let before = device.pciState
        #expect(throws: PCIStateError.self) { try device.restore(pciState: makeMessaging().pciState) }
        #expect(throws: PCIStateError.self) { try device.restore(pciState: PCITestDevice().pciState) }
        #expect(device.pciState == before)
    }

    @Test func bridgesPutTheirRegistersIntoEffect() throws {
        let lines = (0..<24).map { _ in InterruptLine.unconnected() }
        let old = Board(), new = Board()
        let host = try Q35HostBridge(bus: old.bus)
        let bridge = try ICH9Bridge(bus: old.bus, interrupts: lines)
        host.enableECAM()
        bridge.powerManagement = ScratchWindow()
        bridge.configureAsFirmware(powerManagementBase: 0x600)
        let newHost = try Q35HostBridge(bus: new.bus)
        let newBridge = try ICH9Bridge(bus: new.bus, interrupts: lines)
        newBridge.powerManagement = ScratchWindow()
        try newHost.restore(pciState: host.pciState)
        try newBridge.restore(pciState: bridge.pciState)
        #expect(newHost.ecamBase == Q35HostBridge.defaultECAMBase && newBridge.powerManagementBase == 0x600)
        #expect(new.ports.read(0x600, size: 1) == 0x5A)
    }
}
