// SPDX-License-Identifier: Apache-2.0

import PCIBus
import Testing

@Suite struct RootPortTests {
    let board = Board()
    let port: PCIExpressRootPort
    let device = makeDevice()

    init() throws {
        port = PCIExpressRootPort(identifier: "pci.1", port: 0x10, slot: 3, upstream: board.bus)
        try board.bus.add(port, at: PCIAddress(slot: 2, function: 0))
        try port.secondaryBus.add(device, at: PCIAddress(slot: 0, function: 0))
    }

    private func config(_ bus: UInt8, _ offset: Int, size: Int = 4) -> UInt32 {
        board.bus.readConfig(bus: bus, function: PCIAddress(packed: 0), offset: offset, size: size)
    }

    @Test func identityIsQEMUs() {
        #expect(port.readConfig(offset: 0, size: 4) == 0x000C_1B36)
        #expect(port.readConfig(offset: 0x0E, size: 1) == 1)
        #expect(port.classCode == 0x06_0400)
        let identifiers = port.capabilities.map(\.identifier)
        #expect(identifiers.contains(PCICapabilityID.express) && identifiers.contains(0x0D))
    }

    /// Systems name network cards by it: one that was not given must not be made up.
    @Test func theSlotHasItsNumber() {
        let express = port.capabilities.first { $0.identifier == PCICapabilityID.express }?.offset ?? 0
        #expect(port.readConfig(offset: express + 0x14, size: 4) >> 19 == 3)
        let plain = PCIExpressRootPort(identifier: nil, port: 1, upstream: board.bus)
        #expect(plain.readConfig(offset: express + 0x14, size: 4) >> 19 == 0)
    }

    @Test func aPortThatSharesItsSlotSaysSo() {
        port.isMultifunction = true
        #expect(port.readConfig(offset: 0x0E, size: 1) == 0x81)
        port.isMultifunction = false
        #expect(port.readConfig(offset: 0x0E, size: 1) == 1)
    }

    @Test func functionsBehindAnswerAtTheNumberThatThePortWasGiven() {
        #expect(config(1, 0) == .max)
        board.bus.writeConfig(bus: 0, function: port.address, offset: 0x18, size: 4, value: 0x0005_0500)
        #expect(config(5, 0) == 0x5678_1234)
        #expect(config(4, 0) == .max && config(6, 0) == .max)
        board.bus.writeConfig(bus: 5, function: PCIAddress(packed: 0), offset: 0x0C, size: 1, value: 0x10)
        #expect(device.readConfig(offset: 0x0C, size: 1) == 0x10)
    }

    @Test func firmwareOpensWindowsAroundWhatIsBehind() throws {
        try PCIResourceAssignment.q35(highMemoryEnd: 0).apply(to: board.bus)
        #expect(config(1, 0) == 0x5678_1234)
        let base = UInt64(port.readConfig(offset: 0x20, size: 2) & 0xFFF0) << 16
        let limit = UInt64(port.readConfig(offset: 0x22, size: 2) & 0xFFF0) << 16 | 0xF_FFFF
        for index in [1, 2] {
            let bar = try #require(device.baseAddresses[index])
            let place = try #require(bar.mappedAt)
            #expect(place >= base && place + bar.size - 1 <= limit)
        }
        let ports = UInt64(port.readConfig(offset: 0x1C, size: 1) & 0xF0) << 8
        #expect(device.baseAddresses[0]?.mappedAt.map { $0 & ~0xFFF } == ports)
        #expect(port.command & 7 == 3 && device.command & 3 == 3)
        // Slot 2 turns the pin once more: PIRQC.
        #expect(device.readConfig(offset: 0x3C, size: 1) == 11)
    }

    @Test func pinsComeOutAtThePortsSlot() {
        device.setInterrupt(true)
        #expect(board.router.levels == (0..<8).map { $0 == 2 })
        board.router.rotation = 1
        board.bus.interruptRoutingChanged()
        #expect(board.router.levels == (0..<8).map { $0 == 3 })
        device.setInterrupt(false)
        #expect(!board.router.levels.contains(true))
    }

    @Test func aResetOfTheBusBehindResetsWhatIsThere() throws {
        try PCIResourceAssignment.q35(highMemoryEnd: 0).apply(to: board.bus)
        board.bus.writeConfig(bus: 0, function: port.address, offset: 0x3E, size: 2, value: 1 << 6)
        #expect(device.command == 0)
    }

    @Test func onlySlotZeroIsThere() {
        #expect(throws: PCIBusError.self) {
            try port.secondaryBus.add(makeDevice(), at: PCIAddress(slot: 1, function: 0))
        }
    }
}
