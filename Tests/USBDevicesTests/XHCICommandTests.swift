// SPDX-License-Identifier: Apache-2.0

import DiskControllers
import DisplaySurfaces
import GuestMemory
import MachineModel
import Testing
import USBDevices

/// Commands and blocks that Linux's driver uses rarely.
@Suite struct XHCICommandTests {
    private func ready(_ model: XHCIController.Model = .qemu) throws -> (Bench, UInt32, USBKeyboard) {
        let bench = try Bench(model)
        let keyboard = USBKeyboard(clock: bench.clock)
        bench.controller.attach(keyboard, at: 1)
        try bench.start()
        let slot = try bench.address(port: 1)
        return (bench, slot, keyboard)
    }

    private func state(_ bench: Bench, _ slot: UInt32) throws -> UInt32 {
        try bench.memory.load(UInt32.self, at: Bench.outputs + UInt64(slot) * 0x400 + 12) >> 27
    }

    @Test func aSlotGoesThroughItsStates() throws {
        let (bench, slot, _) = try ready()
        #expect(try state(bench, slot) == 2)
        try bench.configure(slot, [(3, 7, 8)])
        #expect(try state(bench, slot) == 3)
        let endpoint = Bench.outputs + UInt64(slot) * 0x400 + 3 * 32
        #expect(try bench.memory.load(UInt32.self, at: endpoint) & 7 == 1)
        // Deconfigured: the endpoint is off, the address stays.
        let deconfigure: UInt32 = 1 << 9
        #expect(try bench.command(Block(12, parameter: Bench.input, flags: deconfigure, slot: slot)).code == 1)
        #expect(try state(bench, slot) == 2)
        #expect(try bench.memory.load(UInt32.self, at: endpoint) & 7 == 0)
        #expect(try bench.command(Block(15, slot: slot, endpoint: 3)).code == 12)
        #expect(try bench.command(Block(17, slot: slot)).code == 1)
        #expect(try state(bench, slot) == 1)
        #expect(try bench.command(Block(17, slot: slot)).code == 19)
        #expect(try bench.command(Block(12, parameter: Bench.input, slot: slot)).code == 19)
        #expect(try bench.command(Block(10, slot: slot)).code == 1)
    }

    @Test func theContextOfTheControlEndpointIsEvaluated() throws {
        let (bench, slot, _) = try ready()
        try bench.setInput(add: 3)
        try bench.memory.store(UInt32(512) << 16, at: Bench.input + 64 + 4)
        try bench.memory.store(UInt32(5) << 22, at: Bench.input + 32 + 8)
        #expect(try bench.command(Block(13, parameter: Bench.input, slot: slot)).code == 1)
        let context = Bench.outputs + UInt64(slot) * 0x400
        #expect(try bench.memory.load(UInt32.self, at: context + 32 + 4) >> 16 == 512)
        #expect(try bench.memory.load(UInt32.self, at: context + 8) >> 22 == 5)
        try bench.setInput(add: 0x10)
        #expect(try bench.command(Block(13, parameter: Bench.input, slot: slot)).code == 5)
    }

    @Test func anAddressIsGivenOnce() throws {
        let (bench, _, _) = try ready()
        let second = try bench.command(Block(9)).slot
        try bench.memory.store(Bench.outputs + UInt64(second) * 0x400, at: Bench.contexts + UInt64(second) * 8)
        try bench.setInput(add: 3)
        try bench.memory.store(UInt32(1) << 16, at: Bench.input + 36)
        try bench.endpointInput(1, type: 4, packet: 64, slot: second)
        #expect(try bench.command(Block(11, parameter: Bench.input, slot: second)).code == 5)
        // Behind a hub.
        try bench.memory.store(UInt32(1), at: Bench.input + 32)
        #expect(try bench.command(Block(11, parameter: Bench.input, slot: second)).code == 4)
    }

    @Test func bandwidthAndFirmwareAreTold() throws {
        let (bench, slot, _) = try ready()
        #expect(try bench.command(Block(21, parameter: Bench.buffers, slot: slot)).code == 1)
        #expect(try bench.memory.read(at: Bench.buffers, count: 10) == [0, 80, 80, 80, 80, 80, 80, 80, 80, 0])
        #expect(try bench.command(Block(49)).code == 5)
        let (nec, _, _) = try ready(.nec)
        let place = try nec.commands.append(Block(49))
        nec.write(0x2000, 0)
        let event = try #require(try nec.takeEvents().last)
        #expect(event.type == 48 && event.parameter == place && event.length == 0x3025)
    }

    @Test func eventDataAndNoOperations() throws {
        let (bench, slot, keyboard) = try ready()
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        try bench.configure(slot, [(3, 7, 8)])
        let ring = bench.ring(slot, 3)
        let noOperation = try ring.append(Block(8, flags: 0x20))
        // Two pieces, told of by the driver's own word.
        try ring.append(Block(1, parameter: Bench.buffers, status: 3, flags: 0x10))
        try ring.append(Block(1, parameter: Bench.buffers + 0x100, status: 5, flags: 0x10))
        try ring.append(Block(7, parameter: 0x1234_5678_9ABC, flags: 0x20))
        bench.ringDoorbell(slot, 3)
        keyboard.send(try #require(KeyCode.named("a")), isDown: true)
        let told = try bench.takeEvents()
        #expect(told.map(\.parameter) == [noOperation, 0x1234_5678_9ABC])
        #expect(told.last?.length == 8 && told.last?.code == 1)
        #expect(try bench.memory.read(at: Bench.buffers, count: 3) == [0, 0, 4])
    }

    @Test func dataInTheBlockItself() throws {
        let (bench, slot, keyboard) = try ready()
        var lights: UInt8 = 0
        keyboard.lightsChanged = { lights = $0 }
        let ring = bench.ring(slot, 1), immediate: UInt32 = 0x40
        try ring.append(
            Block(2, parameter: USBSetup(0x21, 9, value: 0x200, length: 1).packet, status: 8, flags: immediate))
        try ring.append(Block(3, parameter: 0x06, status: 1, flags: immediate))
        try ring.append(Block(4, flags: 0x20 | 1 << 16))
        bench.ringDoorbell(slot, 1)
        #expect(try bench.takeEvents().last?.code == 1)
        #expect(lights == 6)
    }

    @Test func aDeviceThatLeftFailsItsTransfers() throws {
        let (bench, slot, keyboard) = try ready()
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        try bench.configure(slot, [(3, 7, 8)])
        try bench.transfer(slot, 3, at: Bench.buffers, count: 8)
        bench.controller.detach(keyboard)
        bench.ringDoorbell(slot, 3)
        #expect(try bench.takeEvents().contains { $0.type == 32 && $0.code == 4 })
        #expect(bench.controller.devices.isEmpty)
    }

    @Test func aRingOfLinksAloneFailsTheController() throws {
        let (bench, slot, _) = try ready()
        try bench.configure(slot, [(3, 7, 8)])
        let base = bench.ring(slot, 3).base
        try bench.memory.store(base, at: base)
        try bench.memory.store(UInt32(6 << 10 | 1), at: base + 12)
        bench.ringDoorbell(slot, 3)
        #expect(bench.read(0x44) & 0x1001 == 0x1001)
        // A reset brings it back.
        bench.write(0x40, 2)
        #expect(bench.read(0x44) & 0x1000 == 0)
        #expect(bench.read(0x440) & 1 == 1)
    }

    @Test func theCommandRingStops() throws {
        let (bench, _, _) = try ready()
        #expect(bench.read(0x58) & 8 == 8)
        bench.write(0x58, 4)
        #expect(try bench.takeEvents().last?.code == 24)
        #expect(bench.read(0x58) & 8 == 0)
        #expect(try bench.command(Block(23)).code == 1)
    }

    @Test func theFrameCounterCounts() throws {
        let (bench, _, _) = try ready()
        let before = bench.read(0x1000)
        bench.clock.advance(by: 125_000 * 10)
        #expect(bench.read(0x1000) &- before == 10)
        bench.clock.advance(by: 125_000 * 0x4000)
        #expect(bench.read(0x1000) == before + 10)
    }
}

@Suite struct SuperSpeedDescriptorTests {
    @Test func theObjectStoreAndCompanions() throws {
        let bench = try Bench()
        let stick = USBStorage(target: CDROMTarget.make(bench), serial: "S")
        bench.controller.attach(stick, at: 1)
        #expect(stick.speed == .superSpeed && stick.speed.megabits == "5000")
        guard case .data(let store) = stick.control(USBSetup(0x80, 6, value: 0x0F00, length: 255)),
            case .data(let configuration) = stick.control(USBSetup(0x80, 6, value: 0x0200, length: 255))
        else {
            Issue.record("no descriptors")
            return
        }
        #expect(store.count == Int(store[2]) && store[4] == 2)
        var kinds: [UInt8] = []
        var place = 0
        while place < configuration.count {
            kinds.append(configuration[place + 1])
            place += Int(configuration[place])
        }
        #expect(kinds == [2, 4, 5, 48, 5, 48] && place == configuration.count)
    }

    @Test func aPortWithoutUSB3GivesHighSpeed() throws {
        let bench = try Bench()
        let controller = XHCIController(
            .qemu, busName: "u.0", usb2Ports: 4, usb3Ports: 1, memory: bench.memory, clock: bench.clock)
        let stick = USBStorage(target: CDROMTarget.make(bench), serial: "S")
        controller.attach(stick, at: 2)
        #expect(stick.speed == .high)
        var options = USBHumanInterface.Options()
        options.isFullSpeedOnly = true
        let mouse = USBPointer(isAbsolute: false, options: options, clock: bench.clock)
        controller.attach(mouse, at: 3)
        #expect(mouse.speed == .full && mouse.product == "QEMU USB Mouse")
    }
}
