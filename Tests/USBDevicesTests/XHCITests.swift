// SPDX-License-Identifier: Apache-2.0

import DiskControllers
import DisplaySurfaces
import GuestMemory
import MachineModel
import PCIBus
import StateCoding
import Testing
import USBDevices

private let control = 33 as UInt32, transferEvent = 32 as UInt32, portEvent = 34 as UInt32

private func makeStick(_ bench: Bench, sectors: Int = 64) -> USBStorage {
    USBStorage(
        target: SCSIDisk(
            medium: makeMedium(numberedDisk(sectors: sectors), bench.memory), identity: SCSIDisk.Identity()),
        serial: "S")
}

@Suite struct XHCITests {
    @Test func theCapabilitiesSayWhatIsThere() throws {
        let bench = try Bench(ports: 15)
        #expect(bench.read(0) == 0x0100_0040)
        #expect(bench.read(4) == 30 << 24 | 16 << 8 | 64)
        #expect((bench.read(0x14), bench.read(0x18)) == (0x2000, 0x1000))
        // USB 2 at ports 1...15, USB 3 at 16...30; the list ends after them.
        #expect((bench.read(0x20), bench.read(0x28)) == (0x0200_0402, 15 << 8 | 1))
        #expect((bench.read(0x30), bench.read(0x38)) == (0x0300_0002, 15 << 8 | 16))
        #expect(bench.read(0x44) & 1 == 1)
        #expect(bench.controller.classCode == 0x0C_0330)
    }

    @Test func devicesShowAtThePortsOfTheirSpeed() throws {
        let bench = try Bench()
        bench.controller.attach(USBPointer(isAbsolute: true, clock: bench.clock), at: 1)
        bench.controller.attach(makeStick(bench), at: 2)
        try bench.start()
        let told = try bench.takeEvents()
        #expect(told.map(\.type) == [portEvent, portEvent])
        #expect(told.map { $0.parameter >> 24 } == [1, 6])
        // High speed waits for its reset; super speed is on at once.
        #expect(bench.read(0x440) & 0x3FFF == 3 << 10 | 0x200 | 7 << 5 | 1)
        #expect(bench.read(0x440 + 5 * 16) & 0x3FFF == 4 << 10 | 0x200 | 3)
        bench.write(0x440, 0x210)
        #expect(bench.read(0x440) & 0x1E3 == 3)
        #expect(bench.read(0x440) & 1 << 21 != 0)
        bench.write(0x440, 0x20_0200)
        #expect(bench.read(0x440) & 1 << 21 == 0)
    }

    @Test func pullingThePlugIsTold() throws {
        let bench = try Bench()
        try bench.start()
        let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
        bench.controller.attach(tablet, at: 3)
        #expect(try bench.takeEvents().map { $0.parameter >> 24 } == [3])
        #expect(bench.controller.freePorts().first?.port == 1)
        bench.write(0x460, 0x2_0200)
        bench.controller.detach(tablet)
        #expect(try bench.takeEvents().map { $0.parameter >> 24 } == [3])
        #expect(bench.read(0x460) & 3 == 0)
        #expect(bench.controller.devices.isEmpty)
    }

    @Test func slotsAreGivenAndTaken() throws {
        let bench = try Bench()
        try bench.start()
        for expected in 1...64 as ClosedRange<UInt32> { #expect(try bench.command(Block(9)).slot == expected) }
        #expect(try bench.command(Block(9)).code == 9)
        #expect(try bench.command(Block(10, slot: 17)).code == 1)
        #expect(try bench.command(Block(10, slot: 17)).code == 11)
        #expect(try bench.command(Block(9)).slot == 17)
        #expect(try bench.command(Block(23)).code == 1)
        #expect(try bench.command(Block(55)).code == 5)
        // No device at the port.
        try bench.setInput(add: 3)
        try bench.memory.store(UInt32(1) << 16, at: Bench.input + 36)
        #expect(try bench.command(Block(11, parameter: Bench.input, slot: 1)).code == 4)
    }

    @Test func descriptorsComeByTheControlEndpoint() throws {
        let bench = try Bench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        try bench.start()
        let slot = try bench.address(port: 1)
        let device = try bench.control(slot, USBSetup(0x80, 6, value: 0x100, length: 18))
        #expect(device.code == 1 && device.bytes.count == 18 && device.bytes[7] == 64)
        // A short answer is told with what is missing.
        let name = try bench.control(slot, USBSetup(0x80, 6, value: 0x301, length: 255))
        #expect(name.code == 1 && name.bytes == [10, 3, 0x51, 0, 0x45, 0, 0x4D, 0, 0x55, 0])
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        #expect(try bench.control(slot, USBSetup(0x80, 8, length: 1)).bytes == [1])
        #expect(try bench.control(slot, USBSetup(0x21, 9, value: 0x200, length: 1), data: [5]).code == 1)
        // The device's own address is the slot's number.
        let context = Bench.outputs + UInt64(slot) * 0x400
        #expect(try bench.memory.load(UInt32.self, at: context + 12) == slot | 2 << 27)
    }

    @Test func aStalledEndpointHaltsUntilItIsReset() throws {
        let bench = try Bench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        try bench.start()
        let slot = try bench.address(port: 1), context = Bench.outputs + UInt64(slot) * 0x400
        #expect(try bench.control(slot, USBSetup(0x80, 6, value: 0x7700, length: 18)).code == 6)
        #expect(try bench.memory.load(UInt32.self, at: context + 32) & 7 == 2)
        #expect(try bench.command(Block(15, slot: slot, endpoint: 1)).code == 19)
        #expect(try bench.command(Block(14, slot: slot, endpoint: 1)).code == 1)
        #expect(try bench.command(Block(16, parameter: bench.ring(slot, 1).pointer, slot: slot, endpoint: 1)).code == 1)
        #expect(try bench.control(slot, USBSetup(0x80, 8, length: 1)).code == 1)
    }

    @Test func reportsComeWhenThereIsSomething() throws {
        let bench = try Bench()
        let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
        bench.controller.attach(tablet, at: 1)
        try bench.start()
        let slot = try bench.address(port: 1)
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        try bench.configure(slot, [(3, 7, 6)])
        let place = try bench.transfer(slot, 3, at: Bench.buffers, count: 64)
        #expect(try bench.takeEvents().isEmpty)
        tablet.moveTo(x: 1, y: 2)
        tablet.synchronize()
        let event = try #require(try bench.takeEvents().first)
        #expect(event == Event(type: 32, parameter: place, code: 13, length: 58, slot: slot, endpoint: 3))
        #expect(try bench.memory.read(at: Bench.buffers, count: 6) == [0, 1, 0, 2, 0, 0])
        // A transfer that waits is told of when the endpoint is stopped, and goes on with the next doorbell.
        let second = try bench.transfer(slot, 3, at: Bench.buffers, count: 6)
        let stop = try bench.commands.append(Block(15, slot: slot, endpoint: 3))
        bench.write(0x2000, 0)
        let told = try bench.takeEvents()
        #expect(told.map(\.type) == [transferEvent, control])
        #expect(told[0].code == 26 && told[0].parameter == second && told[1].parameter == stop)
        tablet.moveTo(x: 9, y: 9)
        tablet.synchronize()
        #expect(try bench.takeEvents().isEmpty)
        bench.ringDoorbell(slot, 3)
        #expect(try bench.takeEvents().map(\.parameter) == [second])
    }

    @Test func aSuspendedPortIsWokenByItsDevice() throws {
        let bench = try Bench()
        let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
        bench.controller.attach(tablet, at: 1)
        try bench.start()
        let slot = try bench.address(port: 1)
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        #expect(try bench.control(slot, USBSetup(0, 3, value: 1)).code == 1)
        try bench.configure(slot, [(3, 7, 6)])
        bench.write(0x440, 0x200 | 1 << 16 | 3 << 5 | 0x62_0000)
        #expect(bench.read(0x440) >> 5 & 0xF == 3)
        try bench.transfer(slot, 3, at: Bench.buffers, count: 6)
        tablet.moveTo(x: 3, y: 3)
        tablet.synchronize()
        #expect(bench.read(0x440) >> 5 & 0xF == 15)
        #expect(try bench.takeEvents().map(\.type) == [portEvent])
        bench.write(0x440, 0x200 | 1 << 16 | 1 << 22)
        #expect(bench.read(0x440) >> 5 & 0xF == 0)
        #expect(try bench.takeEvents().map(\.type).contains(transferEvent))
    }

    @Test func aStickIsReadAndWritten() throws {
        let bench = try Bench()
        bench.controller.attach(makeStick(bench), at: 1)
        try bench.start()
        let slot = try bench.address(port: 5)
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        try bench.configure(slot, [(3, 6, 1024), (4, 2, 1024)])
        func wrapper(_ code: UInt8, toHost: Bool) -> [UInt8] {
            [0x55, 0x53, 0x42, 0x43, 1, 0, 0, 0, 0, 8, 0, 0, toHost ? 0x80 : 0, 0, 10, code, 0, 0, 0, 0, 2, 0, 0, 4, 0]
                + [UInt8](repeating: 0, count: 6)
        }
        // Two pieces of memory make one transfer.
        func twoPieces(_ endpoint: Int) throws {
            let ring = bench.ring(slot, endpoint)
            try ring.append(Block(1, parameter: Bench.buffers + 0x1000, status: 1000, flags: 0x14))
            try ring.append(Block(1, parameter: Bench.buffers + 0x3000, status: 1048, flags: 0x24))
            bench.ringDoorbell(slot, endpoint)
        }
        try bench.memory.write(wrapper(0x28, toHost: true), at: Bench.buffers)
        try bench.transfer(slot, 4, at: Bench.buffers, count: 31)
        try twoPieces(3)
        try bench.transfer(slot, 3, at: Bench.buffers + 0x100, count: 13)
        #expect(try bench.takeEvents().map(\.code) == [1, 1, 1])
        #expect(try bench.memory.read(at: Bench.buffers + 0x100, count: 13).last == 0)
        let first = try bench.memory.read(at: Bench.buffers + 0x1000, count: 1000)
        let second = try bench.memory.read(at: Bench.buffers + 0x3000, count: 1048)
        #expect(first + second == (2..<6).flatMap { [UInt8](repeating: $0, count: 512) })
        try bench.memory.write(wrapper(0x2A, toHost: false), at: Bench.buffers)
        try bench.transfer(slot, 4, at: Bench.buffers, count: 31)
        try twoPieces(4)
        try bench.transfer(slot, 3, at: Bench.buffers + 0x100, count: 13)
        #expect(try bench.takeEvents().map(\.code) == [1, 1, 1])
    }

    @Test func aRingThatIsFullKeepsTheEvents() throws {
        let bench = try Bench()
        try bench.start()
        // More commands than the event ring has places.
        for _ in 0..<40 { try bench.commands.append(Block(23)) }
        bench.write(0x2000, 0)
        for _ in 0..<40 { try bench.commands.append(Block(23)) }
        bench.write(0x2000, 0)
        var total = 0
        for _ in 0..<4 { total += try bench.takeEvents().count }
        #expect(total == 80)
        #expect(bench.read(0x44) & 0x1000 == 0)
    }

    @Test func interruptsByPinAndByVector() throws {
        let bench = try Bench()
        try bench.start()
        try bench.commands.append(Block(23))
        bench.write(0x2000, 0)
        #expect(bench.read(0x1020) & 1 == 1)
        #expect(bench.controller.config.get(6, as: UInt16.self) & 8 != 0)
        _ = try bench.takeEvents()
        #expect(bench.controller.config.get(6, as: UInt16.self) & 8 == 0)
        bench.space.write(Bench.window + 0x3000, size: 8, value: 0xFEE0_0000)
        bench.space.write(Bench.window + 0x3008, size: 8, value: 0x55)
        bench.controller.writeConfig(offset: 0x92, size: 2, value: 0x8000)
        try bench.commands.append(Block(23))
        bench.write(0x2000, 0)
        #expect(bench.messages.sent == [0x55])
        // One message until the driver has looked.
        try bench.commands.append(Block(23))
        bench.write(0x2000, 0)
        #expect(bench.messages.sent.count == 1)
        #expect(try bench.takeEvents().count == 2)
        #expect(bench.read(0x1020) & 1 == 0)
    }

    @Test func statesComeBack() throws {
        func ready() throws -> (Bench, USBPointer, UInt32) {
            let bench = try Bench()
            let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
            bench.controller.attach(tablet, at: 1)
            return (bench, tablet, 0)
        }
        let (bench, tablet, _) = try ready()
        try bench.start()
        let slot = try bench.address(port: 1)
        #expect(try bench.control(slot, USBSetup(0, 9, value: 1)).code == 1)
        try bench.configure(slot, [(3, 7, 6)])
        try bench.transfer(slot, 3, at: Bench.buffers, count: 6)
        let (other, otherTablet, _) = try ready()
        try other.memory.write(try bench.memory.read(at: 0, count: Int(Bench.memoryCount)), at: 0)
        let record = try bench.controller.saveState(as: "x")
        let restore = try other.controller.checkState(record)
        let restoreTablet = try otherTablet.checkState(try tablet.saveState(as: "t"))
        restore()
        restoreTablet()
        otherTablet.moveTo(x: 0x11, y: 0x22)
        otherTablet.synchronize()
        #expect(try other.memory.read(at: Bench.buffers, count: 6) == [0, 0x11, 0, 0x22, 0, 0])
        #expect(throws: StateError.self) { try Bench(ports: 8).controller.checkState(record) }
    }

    /// More was put into a ring than one turn does, and the machine is saved before the next turn.
    @Test func whatIsLeftOfALongRingIsDoneAfterwards() throws {
        func ready() throws -> (Bench, USBPointer) {
            let bench = try Bench()
            let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
            bench.controller.attach(tablet, at: 1)
            return (bench, tablet)
        }
        let (bench, tablet) = try ready()
        try bench.start()
        let slot = try bench.address(port: 1)
        // Blocks that do nothing, in a ring that leads back to its beginning: there is always more than one turn does.
        let base = bench.ring(slot, 1).base
        for place in 0..<3 { try bench.memory.store(UInt32(8 << 10 | 1), at: base + UInt64(place * 16) + 12) }
        try bench.memory.store(base, at: base + 48)
        try bench.memory.store(UInt32(6 << 10 | 1), at: base + 60)
        bench.ringDoorbell(slot, 1)
        let (other, otherTablet) = try ready()
        try other.memory.write(try bench.memory.read(at: 0, count: Int(Bench.memoryCount)), at: 0)
        let restore = try other.controller.checkState(try bench.controller.saveState(as: "x"))
        let restoreTablet = try otherTablet.checkState(try tablet.saveState(as: "t"))
        restore()
        restoreTablet()
        let before = try other.controller.saveState(as: "x")
        other.clock.advance(by: 1_000_000)
        #expect(try other.controller.saveState(as: "x").payload != before.payload)
    }

    /// Registers, rings and contexts full of rubbish: the controller may fail, and does not come to harm.
    @Test func rubbishDoesNoHarm() throws {
        var generator = SystemRandomNumberGenerator()
        for round in 0..<12 {
            let bench = try Bench(round % 2 == 0 ? .qemu : .nec)
            bench.controller.attach(USBPointer(isAbsolute: true, clock: bench.clock), at: 1)
            bench.controller.attach(makeStick(bench), at: 2)
            try bench.start()
            let slot = try bench.address(port: 1)
            _ = try bench.control(slot, USBSetup(0, 9, value: 1))
            for _ in 0..<1500 {
                let low = UInt64.random(in: 0..<Bench.memoryCount, using: &generator)
                switch Int.random(in: 0..<8, using: &generator) {
                case 0:
                    bench.write(
                        UInt64.random(in: 0..<0x3000, using: &generator) & ~3,
                        UInt32.random(in: 0...(.max), using: &generator))
                case 1:
                    let places: [UInt64] = [
                        0x40, 0x44, 0x58, 0x5C, 0x70, 0x78, 0x440, 0x450, 0x1020, 0x1028, 0x1030, 0x1034, 0x1038,
                    ]
                    bench.write(places.randomElement(using: &generator)!, UInt32(truncatingIfNeeded: low))
                case 2: bench.write(0x40, 5)
                case 3:
                    bench.write(
                        0x2000 + 4 * UInt64.random(in: 0...3, using: &generator),
                        UInt32.random(in: 0...31, using: &generator))
                case 4:
                    _ = bench.space.read(
                        Bench.window + low & 0x3FFF, size: 1 << Int.random(in: 0...3, using: &generator))
                case 5:
                    // Blocks of all types in the rings.
                    let ring = [Bench.commands, Bench.rings, Bench.rings + 0x400].randomElement(using: &generator)!
                    let place = ring + UInt64.random(in: 0..<64, using: &generator) * 16
                    try bench.memory.store(low & ~0xF, at: place)
                    try bench.memory.store(UInt32.random(in: 0...0x2_0000, using: &generator), at: place + 8)
                    try bench.memory.store(
                        UInt32.random(in: 0...63, using: &generator) << 10 | slot << 24
                            | UInt32.random(in: 0...0x3FF, using: &generator), at: place + 12)
                case 6: bench.clock.advance(by: 1_000_000)
                default: bench.controller.writeConfig(offset: 4, size: 2, value: 6)
                }
            }
            bench.controller.reset()
            #expect(bench.controller.devices.count == 2)
        }
    }
}
