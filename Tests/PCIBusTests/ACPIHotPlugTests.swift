// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCIBus
import StateCoding
import Testing

@Suite struct ACPIHotPlugTests {
    private final class Events { var count = 0 }
    private let board = Board()
    private let events = Events()
    private let slots: ACPIHotPlug
    private let chip = makeDevice()

    init() throws {
        try board.bus.add(chip)
        slots = ACPIHotPlug(bus: board.bus) { [events] in events.count += 1 }
        slots.map(in: board.ports)
        slots.settle { _ in false }
    }

    private func read(_ register: UInt64) -> UInt64 { board.ports.read(0xAE00 + register, size: 4) }
    private func write(_ register: UInt64, _ value: UInt64) {
        board.ports.write(0xAE00 + register, size: 4, value: value)
    }

    @Test func whatComesIsToldOnce() throws {
        let device = makeDevice()
        try slots.plug(device, at: PCIAddress(slot: 7, function: 0))
        #expect(events.count == 1)
        #expect(read(0) == 1 << 7)
        #expect(read(0) == 0)
        #expect(slots.slots == Array(1..<32))
        #expect(throws: PCIBusError.self) { try slots.plug(makeDevice(), at: PCIAddress(slot: 7, function: 0)) }
    }

    @Test func whatIsToGoWaitsForTheGuest() throws {
        let device = makeDevice()
        var gone: [PCIDevice] = []
        slots.unplugged = { gone.append($0) }
        try slots.plug(device, at: nil)
        let bit: UInt64 = 1 << UInt64(device.address.slot)
        try slots.requestUnplug(device)
        #expect(read(4) == bit && gone.isEmpty && events.count == 2)
        // Another slot's ejection changes nothing.
        write(8, bit << 3)
        #expect(gone.isEmpty)
        write(8, bit)
        #expect(gone.count == 1 && gone[0] === device)
        #expect(read(4) == 0 && board.bus.device(at: device.address) == nil)
    }

    @Test func theBoardsOwnFunctionsStay() throws {
        #expect(throws: PCIBusError.self) { try slots.requestUnplug(chip) }
        write(8, 0xFFFF_FFFF)
        #expect(board.bus.devices.contains { $0 === chip })
        #expect(read(0xC) == 0xFFFF_FFFE)
    }

    @Test func aResetTakesOutWhatWasToGo() throws {
        let staying = makeDevice(), going = makeDevice()
        try slots.plug(staying, at: nil)
        try slots.plug(going, at: nil)
        try slots.requestUnplug(going)
        slots.reset()
        #expect(board.bus.devices.contains { $0 === staying } && !board.bus.devices.contains { $0 === going })
        #expect(read(0) == 0 && read(4) == 0)
    }

    @Test func otherBusesAreEmpty() throws {
        try slots.plug(makeDevice(), at: nil)
        write(0x10, 1)
        #expect(read(0) == 0)
        write(8, 0xFFFF_FFFF)
        write(0x10, 0)
        #expect(read(0) == 2)
        #expect(board.bus.devices.count == 2)
    }

    @Test func aStateComesBack() throws {
        let device = makeDevice()
        try slots.plug(device, at: nil)
        try slots.requestUnplug(device)
        let record = try slots.saveState(as: "s")
        let other = ACPIHotPlug(bus: board.bus) {}
        try other.checkState(record)()
        #expect(other.read(offset: 4, size: 4) == 2)
        #expect(other.state == slots.state)
    }
}
