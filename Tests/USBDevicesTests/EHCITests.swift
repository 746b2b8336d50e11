// SPDX-License-Identifier: Apache-2.0

import DiskControllers
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import StateCoding
import Testing
import USBDevices

/// A controller on a bus, with a driver's hands: one queue, in the circle or in every frame.
private final class EHCIBench {
    static let window: UInt64 = 0xE000_0000, list: UInt64 = 0x1000, queue: UInt64 = 0x3000, transfers: UInt64 = 0x4000
    static let buffers: UInt64 = 0x1_0000
    let memory = GuestMemory()
    let space: AddressSpace
    let bus: PCIBus
    let clock = ManualClock()
    let controller: EHCIController
    var address: UInt32 = 0

    init(_ model: EHCIController.Model = .standard) throws {
        let lock = Lock()
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        space = AddressSpace(machineLock: lock)
        bus = PCIBus(name: "pcie.0", ports: AddressSpace(machineLock: lock), memory: space, messages: Messages())
        controller = EHCIController(model, busName: "usb.0", memory: memory, clock: clock)
        try bus.add(controller)
        controller.writeConfig(offset: 0x10, size: 4, value: UInt32(Self.window))
        controller.writeConfig(offset: 4, size: 2, value: 6)
        for frame in 0..<1024 { try memory.store(UInt32(Self.queue) | 2, at: Self.list + UInt64(frame * 4)) }
    }

    func read(_ offset: UInt64) -> UInt32 { UInt32(space.read(Self.window + offset, size: 4)) }
    func write(_ offset: UInt64, _ value: UInt32) { space.write(Self.window + offset, size: 4, value: UInt64(value)) }

    /// Runs the circle or the frames.
    func start(periodic: Bool = false) {
        write(0x34, UInt32(Self.list))
        write(0x38, UInt32(Self.queue))
        write(0x28, 0x3F)
        write(0x60, 1)
        write(0x20, 0x8_0001 | (periodic ? 0x10 : 0x20))
    }

    /// Resets the first port.
    func enable() {
        write(0x64, 0x1102)
        write(0x64, 0x1000)
        address = 0
    }

    /// Puts transfers into the queue and lets milliseconds go by.
    /// - Returns: the tokens afterwards.
    func run(_ parts: [(kind: UInt32, count: Int)], endpoint: UInt32 = 0, time: Int = 2) throws -> [UInt32] {
        let head: UInt32 = 1 << 15, high: UInt32 = 2 << 12
        try memory.store(UInt32(Self.queue) | 2, at: Self.queue)
        try memory.store(64 << 16 | head | high | 1 << 14 | endpoint << 8 | address, at: Self.queue + 4)
        try memory.store(UInt32(1 << 30 | 1), at: Self.queue + 8)
        var buffer = Self.buffers
        for (index, part) in parts.enumerated() {
            let place = Self.transfers + UInt64(index * 32), isLast = index == parts.count - 1
            try memory.store(isLast ? 1 : UInt32(place + 32), at: place)
            try memory.store(UInt32(1), at: place + 4)
            let token = UInt32(part.count) << 16 | (isLast ? 1 << 15 : 0) | 3 << 10 | part.kind << 8 | 0x80
            try memory.store(token, at: place + 8)
            for page in 0..<5 {
                let base = page == 0 ? buffer : (buffer & ~0xFFF) + UInt64(page * 4096)
                try memory.store(UInt32(base), at: place + 12 + UInt64(page * 4))
            }
            buffer += UInt64(part.count)
        }
        try memory.store(UInt32(0), at: Self.queue + 24)
        try memory.store(UInt32(1), at: Self.queue + 20)
        try memory.store(UInt32(Self.transfers), at: Self.queue + 16)
        for _ in 0..<time { clock.advance(by: 1_000_000) }
        return try parts.indices.map { try memory.load(at: Self.transfers + UInt64($0 * 32) + 8) }
    }

    func control(_ setup: USBSetup) throws -> (bytes: [UInt8], tokens: [UInt32]) {
        try memory.store(setup.packet, at: Self.buffers)
        let count = Int(setup.length)
        var parts: [(UInt32, Int)] = [(2, 8)]
        if count > 0 { parts.append((setup.isToHost ? 1 : 0, count)) }
        parts.append((setup.isToHost && count > 0 ? 0 : 1, 0))
        let tokens = try run(parts)
        let left = count > 0 ? Int(tokens[1] >> 16 & 0x7FFF) : 0
        return (try memory.read(at: Self.buffers + 8, count: count - left), tokens)
    }

    func setAddress(_ number: UInt32) throws {
        let tokens = try control(USBSetup(0, 5, value: UInt16(number))).tokens
        #expect(tokens.allSatisfy { $0 & 0xC0 == 0 })
        address = number
    }

    func plug(_ device: USBDevice, periodic: Bool = false) throws {
        controller.attach(device, at: 1)
        start()
        enable()
        try setAddress(5)
        _ = try control(USBSetup(0, 9, value: 1))
    }
}

@Suite struct EHCITests {
    @Test func registersAreThere() throws {
        let bench = try EHCIBench(.ich9First)
        #expect(bench.controller.classCode == 0x0C_0320)
        #expect(bench.read(0) == 0x0100_0020 && bench.read(4) == 6 && bench.read(8) & 0xFF00 == 0x6800)
        #expect(bench.read(0x24) & 0x1000 != 0 && bench.read(0x20) == 0x8_0000)
        bench.start()
        #expect(bench.read(0x24) & 0x9000 == 0x8000)
        bench.clock.advance(by: 10_000_000)
        #expect(bench.read(0x2C) == 80)
        bench.write(0x20, 2)
        #expect(bench.read(0x24) & 0x1000 != 0 && bench.read(0x2C) == 0)
    }

    @Test func aDeviceIsFoundAndNamed() throws {
        let bench = try EHCIBench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        bench.start()
        #expect(bench.read(0x64) & 3 == 3 && bench.read(0x68) & 3 == 0 && bench.read(0x24) & 4 != 0)
        bench.enable()
        #expect(bench.read(0x64) & 7 == 5)
        let device = try bench.control(USBSetup(0x80, 6, value: 0x100, length: 18))
        #expect(device.bytes.count == 18 && device.bytes[7] == 64)
        try bench.setAddress(7)
        #expect(try bench.control(USBSetup(0x80, 6, value: 0x100, length: 18)).bytes == device.bytes)
        // A short answer: the alternate is the end, and the driver hears of it.
        bench.write(0x24, 0x3F)
        let short = try bench.control(USBSetup(0x80, 6, value: 0x100, length: 200))
        #expect(short.bytes.count == 18 && bench.read(0x24) & 1 == 1)
        #expect(bench.controller.config.get(6, as: UInt16.self) & 8 != 0)
        bench.write(0x24, 0x3F)
        #expect(bench.controller.config.get(6, as: UInt16.self) & 8 == 0)
    }

    @Test func reportsComeWithTheFrames() throws {
        let bench = try EHCIBench()
        let tablet = USBPointer(isAbsolute: true, clock: bench.clock)
        try bench.plug(tablet)
        try bench.memory.store(UInt32(1), at: EHCIBench.queue)
        bench.start(periodic: true)
        let waiting = try bench.run([(1, 6)], endpoint: 1)
        #expect(waiting[0] & 0x80 != 0)
        // A queue in every frame ends the frame's list.
        try bench.memory.store(UInt32(1), at: EHCIBench.queue)
        tablet.moveTo(x: 7, y: 8)
        tablet.synchronize()
        bench.clock.advance(by: 2_000_000)
        #expect(try bench.memory.read(at: EHCIBench.buffers, count: 6) == [0, 7, 0, 8, 0, 0])
    }

    @Test func aStickIsRead() throws {
        let bench = try EHCIBench()
        let disk = SCSIDisk(medium: makeMedium(numberedDisk(sectors: 64), bench.memory), identity: SCSIDisk.Identity())
        try bench.plug(USBStorage(target: disk, serial: "S"))
        try bench.memory.write(
            [0x55, 0x53, 0x42, 0x43, 1, 0, 0, 0, 0, 0x40, 0, 0, 0x80, 0, 10, 0x28, 0, 0, 0, 0, 3, 0, 0, 32, 0]
                + [UInt8](repeating: 0, count: 6), at: EHCIBench.buffers)
        #expect(try bench.run([(0, 31)], endpoint: 2)[0] & 0xC0 == 0)
        // Sixteen kilobytes over five pages.
        let data = try bench.run([(1, 16384)], endpoint: 1, time: 6)
        #expect(data[0] & 0x7FFF_00C0 == 0)
        #expect(
            try bench.memory.read(at: EHCIBench.buffers, count: 16384)
                == (0..<32).flatMap { [UInt8](repeating: UInt8($0 + 3), count: 512) })
        #expect(try bench.run([(1, 13)], endpoint: 1)[0] & 0x7FFF_00C0 == 0)
        #expect(try bench.memory.read(at: EHCIBench.buffers, count: 4) == [0x55, 0x53, 0x42, 0x53])
    }

    @Test func stallsAndSilenceHaltTheQueue() throws {
        let bench = try EHCIBench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        bench.start()
        bench.enable()
        let stalled = try bench.control(USBSetup(0x80, 6, value: 0x7700, length: 8)).tokens
        #expect(stalled[1] & 0xC0 == 0x40 && bench.read(0x24) & 2 == 2)
        bench.address = 99
        let silent = try bench.run([(2, 8)])
        #expect(silent[0] & 0xC8 == 0x48)
    }

    /// Whoever unlinks a queue waits for the doorbell.
    @Test func theDoorbellIsAnswered() throws {
        let bench = try EHCIBench()
        bench.start()
        _ = try bench.run([(2, 8)])
        bench.write(0x20, 0x8_0061)
        #expect(bench.read(0x24) & 0x20 == 0)
        bench.clock.advance(by: 2_000_000)
        #expect(bench.read(0x24) & 0x20 != 0 && bench.read(0x20) & 0x40 == 0)
    }

    @Test func slowDevicesGoToTheCompanion() throws {
        let bench = try EHCIBench(.ich9First)
        var options = USBHumanInterface.Options()
        options.isFullSpeedOnly = true
        let slow = USBKeyboard(options: options, clock: bench.clock)
        #expect(!bench.controller.takes(slow, at: 1))
        let companion = UHCIController(.ich9First, busName: "", memory: bench.memory, clock: bench.clock)
        #expect(!bench.controller.add(companion, firstPort: 6) && bench.controller.add(companion, firstPort: 1))
        #expect(!bench.controller.add(companion, firstPort: 2))
        #expect(bench.controller.takes(slow, at: 2) && !bench.controller.takes(slow, at: 3))
        bench.controller.attach(slow, at: 2)
        #expect(companion.device(at: 2) === slow && bench.controller.device(at: 2) === slow)
        #expect(bench.controller.freePorts().first?.port == 1 && bench.read(4) == 0x1206)
        bench.controller.detach(slow)
        #expect(bench.controller.device(at: 2) == nil)
    }

    @Test func schedulesInACircleAndOutsideMemoryEnd() throws {
        let bench = try EHCIBench()
        try bench.memory.store(UInt32(EHCIBench.queue) | 2, at: EHCIBench.queue)
        bench.start(periodic: true)
        bench.clock.advance(by: 3_000_000)
        #expect(bench.read(0x24) & 0x10 == 0)
        bench.write(0x34, 0x7FFF_F000)
        bench.clock.advance(by: 2_000_000)
        #expect(bench.read(0x24) & 0x1010 == 0x1010)
    }

    @Test func aStateComesBack() throws {
        let bench = try EHCIBench(), other = try EHCIBench()
        for each in [bench, other] { each.controller.attach(USBKeyboard(clock: each.clock), at: 1) }
        bench.start()
        bench.enable()
        bench.clock.advance(by: 5_000_000)
        try other.controller.checkState(try bench.controller.saveState(as: "e"))()
        #expect(other.read(0x2C) == 40 && other.read(0x64) == bench.read(0x64) && other.read(0x38) == 0x3000)
        other.clock.advance(by: 1_000_000)
        #expect(other.read(0x2C) == 48)
    }

    @Test(arguments: 0..<4) func rubbishDoesNoHarm(seed: UInt64) throws {
        var random = seed
        func next() -> UInt32 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt32(truncatingIfNeeded: random >> 32)
        }
        let bench = try EHCIBench()
        bench.controller.attach(USBKeyboard(clock: bench.clock), at: 1)
        for _ in 0..<3000 {
            let value = next()
            switch next() % 6 {
            case 0:
                bench.space.write(
                    EHCIBench.window + UInt64(value & 127), size: 1 << Int(value >> 8 & 3), value: UInt64(next()))
            case 1: _ = bench.space.read(EHCIBench.window + UInt64(value & 0xFFF), size: 1 << Int(value >> 12 & 3))
            case 2:
                bench.start(periodic: value & 1 != 0)
                bench.enable()
            case 3: try bench.memory.store(value & 0xF_FFFF, at: 0x1000 + UInt64(next()) % 0x7000 & ~3)
            case 4:
                _ = try bench.run([(value & 3, Int(value >> 8 & 0x7FFF)), (1, 8)], endpoint: value >> 4 & 15, time: 1)
            default: bench.clock.advance(by: UInt64(value & 0xFF_FFFF))
            }
        }
    }
}
