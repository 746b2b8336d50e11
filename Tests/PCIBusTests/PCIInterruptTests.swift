// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCIBus
import Testing

@Suite struct PCIPinTests {
    let board = Board()

    @Test func sharedLineFallsWithItsLastUser() throws {
        let first = makeDevice(pin: 1)
        let second = makeDevice(pin: 4)
        try board.bus.add(first, at: PCIAddress(packed: 4 << 3))
        try board.bus.add(second, at: PCIAddress(packed: 1 << 3))
        first.setInterrupt(true)
        second.setInterrupt(true)
        #expect(board.router.levels[4])
        first.setInterrupt(false)
        #expect(board.router.levels[4])
        second.setInterrupt(false)
        #expect(!board.router.levels[4])
    }

    @Test func disableBitHidesThePinButNotTheStatus() throws {
        let device = makeDevice()
        let place = PCIAddress(packed: 0x10)
        try board.bus.add(device, at: place)
        device.setInterrupt(true)
        board.write(place, 4, 0x0400, size: 2)
        #expect(!board.router.levels[2])
        #expect(board.read(place, 6, size: 2) & 8 != 0)
        board.write(place, 4, 0, size: 2)
        #expect(board.router.levels[2])
        device.setInterrupt(false)
        #expect(board.read(place, 6, size: 2) & 8 == 0)
    }

    @Test func linesMoveWithTheRouting() throws {
        let device = makeDevice()
        try board.bus.add(device, at: PCIAddress(packed: 0x10))
        device.setInterrupt(true)
        board.router.rotation = 3
        board.bus.interruptRoutingChanged()
        #expect(!board.router.levels[2] && board.router.levels[5])
        board.bus.remove(device)
        #expect(!board.router.levels[5])
    }
}

@Suite struct MSIXTests {
    let board = Board()
    let device = makeDevice()
    let place = PCIAddress(packed: 0x10)
    let table: UInt64 = 0xFEB0_0000

    init() throws {
        device.addMSIX(vectorCount: 3, baseAddress: 4)
        try board.bus.add(device, at: place)
        board.write(place, 0x20, UInt32(table))
        board.write(place, 4, 6, size: 2)
    }

    private func program(_ vector: UInt64, data: UInt32, masked: Bool) {
        board.memory.write(table + vector * 16, size: 8, value: 0xFEE0_1000)
        board.memory.write(table + vector * 16 + 8, size: 4, value: UInt64(data))
        board.memory.write(table + vector * 16 + 12, size: 4, value: masked ? 0xFFFF_FFFF : 0)
    }

    private func control(_ value: UInt32) { board.write(place, device.msix!.offset + 2, value, size: 2) }

    @Test func capabilityNamesTheTable() {
        let offset = device.msix!.offset
        #expect(board.read(place, offset) & 0x07FF_00FF == 0x0002_0011)
        #expect(board.read(place, offset + 4) == 4)
        #expect(board.read(place, offset + 8) == 0x804)
        #expect(board.memory.read(table + 12, size: 4) == 1)
    }

    @Test func deliversWhenEnabled() {
        program(1, data: 0x41, masked: false)
        #expect(!device.signal(vector: 1))
        #expect(board.router.levels[2])
        control(0x8000)
        #expect(!board.router.levels[2])
        #expect(device.signal(vector: 1))
        #expect(board.messages.sent == [.init(address: 0xFEE0_1000, data: 0x41)])
        device.signal(vector: 99)
        device.signal(vector: -1)
        #expect(board.messages.sent.count == 1)
    }

    @Test func maskedVectorsWait() {
        control(0x8000)
        program(2, data: 0x42, masked: true)
        #expect(board.memory.read(table + 44, size: 4) == 1)
        device.signal(vector: 2)
        #expect(board.messages.sent.isEmpty)
        #expect(board.memory.read(table + 0x800, size: 8) == 4)
        board.memory.write(table + 44, size: 4, value: 0)
        #expect(board.messages.sent == [.init(address: 0xFEE0_1000, data: 0x42)])
        #expect(board.memory.read(table + 0x800, size: 4) == 0)
    }

    @Test func functionMaskHoldsAll() {
        program(0, data: 0x40, masked: false)
        control(0xC000)
        device.signal(vector: 0)
        #expect(board.messages.sent.isEmpty && device.msix!.isPending(0))
        control(0x8000)
        #expect(board.messages.sent.count == 1)
    }

    @Test func nothingLeavesWithoutBusMastering() {
        program(0, data: 0x40, masked: false)
        control(0x8000)
        board.write(place, 4, 2, size: 2)
        device.signal(vector: 0)
        #expect(board.messages.sent.isEmpty)
    }

    @Test func tellsAboutChangedMessages() {
        var seen: [Int: MSIXMessage] = [:]
        device.msix!.messageChanged = { seen[$0] = $1 }
        program(1, data: 0x55, masked: false)
        #expect(seen[1]?.isMasked == true)
        control(0x8000)
        #expect(seen[1] == MSIXMessage(address: 0xFEE0_1000, data: 0x55, isMasked: false))
        device.reset()
        #expect(seen[1]?.isMasked == true && board.memory.read(table + 28, size: 4) == 0xFFFF_FFFF)
    }

    @Test func pendingBitsAreReadOnly() {
        board.memory.write(table + 0x800, size: 8, value: .max)
        #expect(board.memory.read(table + 0x800, size: 8) == 0)
    }
}

@Suite struct MSITests {
    let board = Board()
    let device = makeDevice()
    let place = PCIAddress(packed: 0x10)

    init() throws {
        device.addMSI(vectorCount: 4)
        try board.bus.add(device, at: place)
        let offset = device.msi!.offset
        board.write(place, 4, 6, size: 2)
        board.write(place, offset + 4, 0xFEE0_2003)
        board.write(place, offset + 12, 0x6F, size: 2)
        board.write(place, offset + 2, 0x21, size: 2)
    }

    @Test func vectorReplacesTheLowBits() {
        #expect(device.signal(vector: 2))
        #expect(board.messages.sent == [.init(address: 0xFEE0_2000, data: 0x6E)])
        #expect(device.msi!.enabledVectors(of: device) == 4)
    }

    @Test func maskedMessageWaits() {
        let offset = device.msi!.offset
        board.write(place, offset + 16, 0b1000)
        device.signal(vector: 3)
        #expect(board.messages.sent.isEmpty)
        #expect(board.read(place, offset + 20) == 8)
        board.write(place, offset + 16, 0)
        #expect(board.messages.sent == [.init(address: 0xFEE0_2000, data: 0x6F)])
        #expect(board.read(place, offset + 20) == 0)
    }

    @Test func fewerEnabledThanAskedUsesTheLast() {
        board.write(place, device.msi!.offset + 2, 0x01, size: 2)
        device.signal(vector: 3)
        #expect(board.messages.sent == [.init(address: 0xFEE0_2000, data: 0x6F)])
    }
}
