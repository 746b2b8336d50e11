// SPDX-License-Identifier: Apache-2.0

import DiskControllers
import DisplaySurfaces
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import StateCoding
import Testing
import USBDevices

/// A controller on a bus, with a driver's hands.
final class UHCIBench {
    static let ports: UInt64 = 0xC000, list: UInt64 = 0x1000, queue: UInt64 = 0x3000, descriptors: UInt64 = 0x4000
    static let buffers: UInt64 = 0x8000
    let memory = GuestMemory()
    let space: AddressSpace
    let clock = ManualClock()
    let controller: UHCIController
    /// Whom packets are for.
    var address: UInt32 = 0

    init() throws {
        let lock = Lock()
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        space = AddressSpace(machineLock: lock)
        let bus = PCIBus(
            name: "pci.0", ports: space, memory: AddressSpace(machineLock: lock), messages: Messages())
        controller = UHCIController(.piix3, busName: "usb.0", memory: memory, clock: clock)
        try bus.add(controller)
        controller.writeConfig(offset: 0x20, size: 4, value: UInt32(Self.ports))
        controller.writeConfig(offset: 4, size: 2, value: 5)
        // Every frame begins with the one queue.
        for frame in 0..<1024 { try memory.store(UInt32(Self.queue) | 2, at: Self.list + UInt64(frame * 4)) }
        try memory.store(UInt32(1), at: Self.queue)
        try memory.store(UInt32(1), at: Self.queue + 4)
    }

    func read(_ offset: UInt64) -> UInt16 { UInt16(space.read(Self.ports + offset, size: 2)) }
    func write(_ offset: UInt64, _ value: UInt16) { space.write(Self.ports + offset, size: 2, value: UInt64(value)) }

    func start() {
        space.write(Self.ports + 8, size: 4, value: Self.list)
        write(4, 0xF)
        write(0, 1)
    }

    /// Resets the first port and enables it.
    func enable() {
        write(0x10, 0x200)
        write(0x10, 0)
        write(0x10, 4)
        address = 0
    }

    /// Puts packets into the queue and lets frames go by.
    /// - Returns: the control words afterwards.
    func run(_ packets: [(pid: UInt32, endpoint: UInt32, count: Int)], frames: Int = 4) throws -> [UInt32] {
        var buffer = Self.buffers
        for (index, packet) in packets.enumerated() {
            let place = Self.descriptors + UInt64(index * 16), isLast = index == packets.count - 1
            try memory.store(isLast ? 1 : UInt32(place + 16) | 4, at: place)
            // Active, short packets told, and the last one told.
            try memory.store(UInt32(1 << 23 | 1 << 29 | 3 << 27 | (isLast ? 1 << 24 : 0)), at: place + 4)
            let length = UInt32(truncatingIfNeeded: packet.count &- 1) & 0x7FF
            try memory.store(length << 21 | packet.endpoint << 15 | address << 8 | packet.pid, at: place + 8)
            try memory.store(UInt32(buffer), at: place + 12)
            buffer += UInt64(packet.count)
        }
        try memory.store(UInt32(Self.descriptors), at: Self.queue + 4)
        for _ in 0..<frames { clock.advance(by: 1_000_000) }
        return try packets.indices.map { try memory.load(at: Self.descriptors + UInt64($0 * 16) + 4) }
    }

    /// A control transfer in packets of eight bytes.
    func control(_ setup: USBSetup, data: [UInt8] = []) throws -> (bytes: [UInt8], words: [UInt32]) {
        try memory.store(setup.packet, at: Self.buffers)
        try memory.write(data, at: Self.buffers + 8)
        let count = Int(setup.length)
        let pid: UInt32 = setup.isToHost ? 0x69 : 0xE1, status: UInt32 = setup.isToHost && count > 0 ? 0xE1 : 0x69
        var packets: [(UInt32, UInt32, Int)] = [(0x2D, 0, 8)]
        for start in stride(from: 0, to: count, by: 8) { packets.append((pid, 0, min(8, count - start))) }
        packets.append((status, 0, 0))
        let words = try run(packets)
        let moved = words.dropFirst().dropLast().reduce(0) { $0 + Int(($1 + 1) & 0x7FF) }
        return (try memory.read(at: Self.buffers + 8, count: moved), words)
    }

    func setAddress(_ number: UInt32) throws {
        let words = try control(USBSetup(0, 5, value: UInt16(number))).words
        #expect(words.allSatisfy { $0 & 1 << 23 == 0 })
        address = number
    }
}

@Suite struct UHCITests {
    @Test func aDeviceIsFoundAndNamed() throws {
        let bench = try UHCIBench()
        #expect(bench.controller.classCode == 0x0C_0300)
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        bench.start()
        #expect(bench.read(0x10) & 3 == 3 && bench.read(0x12) & 3 == 0)
        bench.write(0x10, 2)
        #expect(bench.read(0x10) & 3 == 1)
        bench.enable()
        #expect(bench.read(0x10) & 5 == 5)
        let device = try bench.control(USBSetup(0x80, 6, value: 0x100, length: 18))
        #expect(device.bytes.count == 18 && device.bytes[7] == 8)
        try bench.setAddress(5)
        let again = try bench.control(USBSetup(0x80, 6, value: 0x100, length: 18))
        #expect(again.bytes == device.bytes)
        #expect(bench.read(2) & 1 == 1)
        #expect(bench.controller.config.get(6, as: UInt16.self) & 8 != 0)
        bench.write(2, 1)
        #expect(bench.controller.config.get(6, as: UInt16.self) & 8 == 0)
    }

    @Test func reportsWaitForFrames() throws {
        let bench = try UHCIBench()
        let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
        bench.controller.attach(tablet, at: 1)
        bench.start()
        bench.enable()
        try bench.setAddress(3)
        _ = try bench.control(USBSetup(0, 9, value: 1))
        let waiting = try bench.run([(0x69, 1, 6)])
        #expect(waiting[0] & 1 << 23 != 0 && waiting[0] & 1 << 19 != 0)
        tablet.moveTo(x: 7, y: 8)
        tablet.synchronize()
        bench.clock.advance(by: 1_000_000)
        #expect(try bench.memory.read(at: UHCIBench.buffers, count: 6) == [0, 7, 0, 8, 0, 0])
    }

    @Test func stallsAndSilenceAreErrors() throws {
        let bench = try UHCIBench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        bench.start()
        bench.enable()
        let stalled = try bench.control(USBSetup(0x80, 6, value: 0x7700, length: 8)).words
        #expect(stalled[0] & 1 << 23 == 0 && stalled[1] & 1 << 22 != 0)
        #expect(bench.read(2) & 2 == 2)
        // Nobody has this address.
        try bench.setAddress(9)
        // The device lost its address with a reset of its port.
        bench.write(0x10, 0x200)
        bench.write(0x10, 0)
        bench.write(0x10, 4)
        let silent = try bench.run([(0x2D, 0, 8)])
        #expect(silent[0] & 1 << 18 != 0)
    }

    @Test func aStickComesInPackets() throws {
        let bench = try UHCIBench()
        let disk = SCSIDisk(medium: makeMedium(numberedDisk(sectors: 64), bench.memory), identity: SCSIDisk.Identity())
        bench.controller.attach(USBStorage(target: disk, serial: "S"), at: 1)
        bench.start()
        bench.enable()
        try bench.setAddress(2)
        _ = try bench.control(USBSetup(0, 9, value: 1))
        try bench.memory.write(
            [0x55, 0x53, 0x42, 0x43, 1, 0, 0, 0, 0, 4, 0, 0, 0x80, 0, 10, 0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0]
                + [UInt8](repeating: 0, count: 6), at: UHCIBench.buffers)
        #expect(try bench.run([(0xE1, 2, 31)])[0] & 1 << 23 == 0)
        let words = try bench.run([(UInt32, UInt32, Int)](repeating: (0x69, 1, 64), count: 16), frames: 6)
        #expect(words.allSatisfy { $0 & 1 << 23 == 0 })
        #expect(
            try bench.memory.read(at: UHCIBench.buffers, count: 1024)
                == [UInt8](repeating: 3, count: 512) + [UInt8](repeating: 4, count: 512))
        let status = try bench.run([(0x69, 1, 64)])
        #expect((status[0] + 1) & 0x7FF == 13)
    }

    @Test func aScheduleInACircleEnds() throws {
        let bench = try UHCIBench()
        try bench.memory.store(UInt32(UHCIBench.queue) | 2, at: UHCIBench.queue)
        bench.start()
        bench.clock.advance(by: 3_000_000)
        #expect(bench.read(6) == 3)
        // Out of memory.
        try bench.memory.store(UInt32(0x7FFF_0000), at: UHCIBench.queue)
        bench.clock.advance(by: 1_000_000)
        #expect(bench.read(2) & 0x28 == 0x28)
    }

    @Test func aSleepingBusIsWoken() throws {
        let bench = try UHCIBench()
        let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
        bench.controller.attach(tablet, at: 1)
        bench.start()
        bench.enable()
        try bench.setAddress(3)
        _ = try bench.control(USBSetup(0, 9, value: 1))
        _ = try bench.control(USBSetup(0, 3, value: 1))
        bench.write(0x10, 0x1004)
        bench.write(0, 8)
        tablet.moveTo(x: 1, y: 1)
        tablet.synchronize()
        #expect(bench.read(2) & 4 == 4 && bench.read(0) & 0x10 == 0x10 && bench.read(0x10) & 0x40 == 0x40)
    }

    @Test func aStateComesBack() throws {
        let bench = try UHCIBench(), other = try UHCIBench()
        for each in [bench, other] { each.controller.attach(USBKeyboard(clock: each.clock), at: 2) }
        bench.start()
        bench.clock.advance(by: 5_000_000)
        try other.controller.checkState(try bench.controller.saveState(as: "u"))()
        #expect(other.read(6) == 5)
        other.clock.advance(by: 2_000_000)
        #expect(other.read(6) == 7)
    }

    @Test func rubbishDoesNoHarm() throws {
        var generator = SystemRandomNumberGenerator()
        let bench = try UHCIBench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        for _ in 0..<3000 {
            let value = UInt32.random(in: 0...(.max), using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0:
                bench.space.write(
                    UHCIBench.ports + UInt64(value & 31), size: 1 << Int(value >> 8 & 3), value: UInt64(value >> 4))
            case 1: _ = bench.space.read(UHCIBench.ports + UInt64(value & 31), size: 1 << Int(value >> 8 & 3))
            case 2:
                bench.start()
                bench.enable()
            case 3: try bench.memory.store(value & 0xF_FFFF, at: 0x1000 + UInt64(value >> 8) % 0x7000 & ~3)
            default: bench.clock.advance(by: 1_000_000)
            }
        }
    }
}
