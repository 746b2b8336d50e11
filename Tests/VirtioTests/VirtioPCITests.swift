// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import PCIBus
import RandomKit
import Testing
import Virtio
import VirtqueueDriver

@Suite struct VirtioPCITests {
    let machine: VirtioTestMachine
    let device = EchoDevice()

    init() throws { machine = try VirtioTestMachine() }

    // MARK: Configuration space, as QEMU 7.2 lays it out

    @Test func transitionalHeader() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.function.name == "virtio-echo-pci")
        #expect(driver.configRead(0x00, 4) == 0x1005_1AF4)
        #expect(driver.configRead(0x08, 4) == 0x00FF_0000)
        #expect(driver.configRead(0x2C, 4) == 0x0004_1AF4)
        #expect(driver.configRead(0x3C, 4) == 0x0100)
        let expected: [(Int, [UInt32])] = [
            (0x40, [0x0110_0009, 4, 0, 0x1000]),
            (0x50, [0x0310_4009, 4, 0x1000, 0x1000]), (0x60, [0x0410_5009, 4, 0x2000, 0x1000]),
            (0x70, [0x0214_6009, 4, 0x3000, 0x1000]), (0x80, [4, 0x0514_7009, 0, 0]),
        ]
        for (offset, words) in expected {
            for (index, word) in words.enumerated() { #expect(driver.configRead(offset + index * 4, 4) == word) }
        }
        #expect(driver.configRead(0x34, 1) == 0x98)
        #expect(driver.configRead(0x98, 4) == 0x0003_8411)
        #expect(driver.configRead(0x9C, 4) == 1)
        #expect(driver.configRead(0xA0, 4) == 0x0801)
    }

    @Test func modernHeader() throws {
        let driver = try VirtioPCIDriver(
            device, options: VirtioPCIOptions(disableLegacy: true, vectors: 4), in: machine)
        #expect(driver.configRead(0x00, 4) == 0x1044_1AF4)
        #expect(driver.configRead(0x08, 4) == 0x00FF_0001)
        #expect(driver.configRead(0x2C, 4) == 0x1100_1AF4)
        #expect(driver.function.baseAddresses[0] == nil)
    }

    @Test func legacyOnlyHeader() throws {
        let driver = try VirtioPCIDriver(
            device, options: VirtioPCIOptions(disableModern: true, vectors: 0), in: machine)
        #expect(driver.configRead(0x00, 4) == 0x1005_1AF4)
        #expect(driver.function.baseAddresses[4] == nil && driver.function.baseAddresses[1] == nil)
        #expect(driver.configRead(0x34, 1) == 0)
        #expect(driver.function.baseAddresses[0]?.size == 32)
    }

    // MARK: Negotiation

    @Test func featuresAreChecked() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.offered == 1 << 3 | 1 << 28 | 1 << 29 | 1 << 32)
        #expect(!driver.negotiate(1 << 3))
        #expect(!driver.negotiate(1 << 32 | 1 << 5))
        #expect(driver.negotiate(1 << 32 | 1 << 3))
        // Settled: later writes change nothing.
        driver.write(8, 4, 0)
        driver.write(0xC, 4, 0)
        #expect(driver.read(0xC, 4) == 8)
        driver.status = 0xF
        #expect(device.context?.features == [VirtioFeatures(bit: 3), .version1])
        driver.status = 0
        #expect(device.context == nil && driver.status == 0 && driver.read(0xC, 4) == 0)
    }

    @Test func ringFeaturesCanBeWithheld() throws {
        var options = VirtioPCIOptions(vectors: 4)
        options.hasEventIndex = false
        #expect(try VirtioPCIDriver(device, options: options, in: machine).offered == 1 << 3 | 1 << 28 | 1 << 32)
    }

    @Test func driverOKNeedsFeatures() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        driver.status = 7
        #expect(device.context == nil)
    }

    // MARK: Requests

    @Test func requestWithMessages() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.start([0, 2]))
        let queue = driver.queues[2]!
        queue.add(reading: [[1, 2, 3]], writing: [8])
        driver.kick(2)
        #expect(queue.takeUsed().map(\.bytes) == [[1, 2, 3, 0, 0, 0, 0, 0]])
        #expect(device.notifications == [2])
        #expect(machine.messages.take() == [3])
    }

    @Test func requestWithPin() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.start([0], messages: false))
        driver.queues[0]!.add(reading: [[1]], writing: [1])
        driver.notify(0)
        #expect(driver.configRead(6, 2) & 8 != 0)
        #expect(driver.read(0x1000, 1) == 1)
        #expect(driver.configRead(6, 2) & 8 == 0)
        #expect(driver.read(0x1000, 1) == 0)
        #expect(machine.messages.take().isEmpty)
    }

    @Test func maskedMessagesWait() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.start([0]))
        let control = driver.messageBase + 16 + 12
        machine.space.write(control, size: 4, value: 1)
        driver.queues[0]!.add(reading: [[1]], writing: [1])
        driver.notify(0)
        #expect(machine.messages.take().isEmpty)
        #expect(machine.space.read(driver.messageBase + 0x800, size: 8) == 2)
        machine.space.write(control, size: 4, value: 0)
        #expect(machine.messages.take() == [1])
    }

    @Test func configChangesOnOtherThreadsArePosted() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.start([0], messages: false))
        let before = driver.read(0x15, 1)
        device.context?.interrupts.configChanged(machineLockHeld: false)
        #expect(driver.configRead(6, 2) & 8 == 0)
        machine.drain()
        #expect(driver.configRead(6, 2) & 8 != 0)
        #expect(driver.read(0x1000, 1) == 3)
        #expect(driver.read(0x15, 1) != before)
    }

    @Test func vectorsOutsideOfTheTableAreNone() throws {
        let driver = try VirtioPCIDriver(device, options: VirtioPCIOptions(vectors: 2), in: machine)
        driver.write(0x10, 2, 1)
        #expect(driver.read(0x10, 2) == 1)
        driver.write(0x10, 2, 2)
        #expect(driver.read(0x10, 2) == 0xFFFF)
        driver.write(0x16, 2, 0)
        driver.write(0x1A, 2, 7)
        #expect(driver.read(0x1A, 2) == 0xFFFF)
        driver.write(0x16, 2, 77)
        #expect(driver.read(0x18, 2) == 0 && driver.read(0x1A, 2) == 0xFFFF)
    }

    @Test func brokenQueueNeedsReset() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.start([0]))
        driver.queues[0]!.makeAvailable(99)
        driver.notify(0)
        #expect(driver.status & 0x40 != 0)
        #expect(machine.messages.take() == [0])
        driver.status = 0
        #expect(driver.status == 0)
        #expect(driver.start([2]))
    }

    @Test func deviceRegisters() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.read(0x2000, 4) == 0x0403_0201)
        #expect(driver.read(0x2002, 4) == 0xFFFF_FFFF)
        driver.write(0x2003, 1, 9)
        #expect(driver.read(0x2003, 2) == 0x0509)
    }

    @Test func accessThroughConfigurationSpace() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        let capability = 0x84
        driver.configWrite(capability + 4, 1, 4)
        driver.configWrite(capability + 8, 4, 0x2001)
        driver.configWrite(capability + 12, 4, 1)
        #expect(driver.configRead(capability + 16, 1) == 2)
        driver.configWrite(capability + 16, 4, 0x77)
        #expect(device.registers[1] == 0x77)
        // Lengths and places that cannot be do nothing.
        for (offset, size) in [(0x2001, 2), (0x2000, 3), (0x4000, 4), (0x3FFF, 4), (Int(UInt32.max), 4)] {
            driver.configWrite(capability + 8, 4, UInt32(offset))
            driver.configWrite(capability + 12, 4, UInt32(size))
            driver.configWrite(capability + 16, 4, 0)
            _ = driver.configRead(capability + 16, 4)
        }
        #expect(device.registers[1] == 0x77)
    }

    @Test func machineResetStopsTheDevice() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.start([0]))
        machine.lock.withLock { driver.function.reset() }
        #expect(device.context == nil)
        #expect(driver.configRead(4, 2) == 0)
    }

    // MARK: Legacy

    @Test func legacyDriver() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        #expect(driver.legacyRead(0, 4) == 1 << 3 | 1 << 24 | 1 << 27 | 1 << 28 | 1 << 29)
        driver.legacyWrite(0x12, 1, 3)
        driver.legacyWrite(4, 4, 1 << 3 | 1 << 28)
        driver.legacyWrite(0xE, 2, 1)
        #expect(driver.legacyRead(0xC, 2) == 0)
        driver.legacyWrite(0xE, 2, 2)
        #expect(driver.legacyRead(0xC, 2) == 8)
        let queue = VirtqueueDriver(machine.memory, base: 0x20000, end: 0x40000, size: 8)
        driver.legacyWrite(8, 4, 0x20)
        #expect(driver.legacyRead(8, 4) == 0x20)
        // Kicked before DRIVER_OK, as old drivers do.
        queue.add(reading: [[5]], writing: [1])
        driver.legacyWrite(0x10, 2, 2)
        #expect(queue.takeUsed().map(\.bytes) == [[5]])
        #expect(driver.legacyRead(0x13, 1) == 1)
        driver.legacyWrite(0x12, 1, 7)
        // The registers of the type stand behind the vectors only while there are vectors.
        #expect(driver.legacyRead(0x14, 4) == 0x0403_0201)
        driver.enableMessages()
        #expect(driver.legacyRead(0x18, 4) == 0x0403_0201)
        driver.legacyWrite(0x16, 2, 1)
        #expect(driver.legacyRead(0x16, 2) == 1)
        queue.add(reading: [[6]], writing: [1])
        driver.legacyWrite(0x10, 2, 2)
        #expect(machine.messages.take() == [1])
        driver.legacyWrite(8, 4, 0)
        #expect(driver.legacyRead(0x12, 1) == 0 && device.context == nil)
    }

    // MARK: Rubbish

    @Test func randomRegisterAccesses() throws {
        let driver = try VirtioPCIDriver(device, options: .init(vectors: 4), in: machine)
        _ = driver.start([0, 2])
        var generator = SeededGenerator(seed: 11)
        let sizes = [1, 2, 4, 8]
        for _ in 0..<60000 {
            let size = sizes[Int.random(in: 0..<4, using: &generator)]
            let value = generator.next() >> UInt64.random(in: 0..<64, using: &generator)
            let offset = UInt64.random(in: 0..<0x40, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0, 1: driver.write(offset, size, value)
            case 2: driver.write(UInt64.random(in: 0..<0x4000, using: &generator), size, value)
            case 3: _ = driver.read(UInt64.random(in: 0..<0x4000, using: &generator), size)
            case 4: driver.legacyWrite(offset, min(size, 4), value)
            case 5: _ = driver.legacyRead(offset, min(size, 4))
            case 6:
                driver.configWrite(
                    Int.random(in: 0x40..<0x100, using: &generator), min(size, 4), UInt32(truncatingIfNeeded: value))
            default: _ = driver.configRead(Int.random(in: 0..<0x100, using: &generator), min(size, 4))
            }
            if generator.next() % 64 == 0 {
                // Addresses that are memory, so that queues come up with whatever lies there.
                driver.write(0x20 + offset % 3 * 8, 4, value % 0x80000)
                driver.write(0x1C, 2, 1)
                driver.write(0x14, 1, 0xF)
            }
        }
        driver.status = 0
        #expect(driver.start([0, 2]))
    }
}
