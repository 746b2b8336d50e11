// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCIBus
import Testing

@Suite struct HotPlugTests {
    private let board = Board()
    private let port: PCIExpressRootPort
    private let express: Int

    init() throws {
        port = PCIExpressRootPort(identifier: "p1", port: 1, slot: 2, upstream: board.bus)
        try board.bus.add(port)
        express = port.capabilities.first { $0.identifier == 0x10 }!.offset
        port.reset()
        port.writeConfig(offset: 4, size: 2, value: 7)
        port.writeConfig(offset: 0x18, size: 4, value: 0x0001_0100)
    }

    private var control: UInt32 { port.readConfig(offset: express + 0x18, size: 2) }
    private var status: UInt32 { port.readConfig(offset: express + 0x1A, size: 2) }
    private var hasInterrupt: Bool { board.router.levels.contains(true) }

    /// The guest wants to hear of everything, and turns the power on.
    private func listen() { port.writeConfig(offset: express + 0x18, size: 2, value: 0x1139) }
    private func acknowledge() { port.writeConfig(offset: express + 0x1A, size: 2, value: 0x11F) }

    @Test func theSlotSaysWhatItCan() {
        let capabilities = port.readConfig(offset: express + 0x14, size: 4)
        #expect(capabilities & 0x7F == 0x7B && capabilities >> 19 == 2)
        #expect(status & 0x40 == 0)
        #expect(control & 0x400 != 0)
        let fixed = PCIExpressRootPort(
            identifier: "p2", port: 1, isHotPluggable: false, upstream: board.bus)
        #expect(throws: PCIBusError.self) { try fixed.plug(makeDevice()) }
        #expect(throws: PCIBusError.self) { try fixed.requestUnplug() }
    }

    @Test func aDeviceComesAndGoes() throws {
        listen()
        acknowledge()
        #expect(!hasInterrupt)
        let device = makeDevice()
        try port.plug(device)
        #expect(status & 0x148 == 0x148)
        #expect(port.readConfig(offset: express + 0x12, size: 2) & 0x2000 != 0)
        #expect(hasInterrupt)
        #expect(board.bus.readConfig(bus: 1, function: PCIAddress(packed: 0), offset: 0, size: 4) != .max)
        acknowledge()
        #expect(!hasInterrupt)
        #expect(throws: PCIBusError.self) { try port.plug(makeDevice()) }

        var gone: [PCIDevice] = []
        port.unplugged = { gone.append($0) }
        try port.requestUnplug()
        #expect(status & 1 == 1 && hasInterrupt && gone.isEmpty)
        acknowledge()
        // The indicator blinks, then power and indicator go off.
        port.writeConfig(offset: express + 0x18, size: 2, value: 0x1239)
        #expect(gone.isEmpty)
        port.writeConfig(offset: express + 0x18, size: 2, value: 0x1739)
        #expect(gone.count == 1 && gone[0] === device)
        #expect(status & 0x48 == 8)
        #expect(board.bus.readConfig(bus: 1, function: PCIAddress(packed: 0), offset: 0, size: 4) == .max)
    }

    @Test func withoutPowerNobodyIsAsked() throws {
        var count = 0
        port.unplugged = { _ in count += 1 }
        try port.plug(makeDevice())
        try port.requestUnplug()
        #expect(count == 1)
    }

    @Test func everyCommandIsSaidToBeDone() {
        acknowledge()
        port.writeConfig(offset: express + 0x18, size: 2, value: 0x0330)
        #expect(status & 0x10 != 0)
        acknowledge()
        #expect(status & 0x11F == 0)
    }
}
