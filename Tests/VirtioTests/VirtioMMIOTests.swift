// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import RandomKit
import Testing
import Virtio
import VirtqueueDriver

@Suite struct VirtioMMIOTests {
    let machine: VirtioTestMachine
    let device = EchoDevice()
    let line = InterruptLine.unconnected()

    init() throws { machine = try VirtioTestMachine() }

    private func make(isLegacy: Bool) -> VirtioMMIODevice {
        VirtioMMIODevice(
            device, isLegacy: isLegacy, line: line, memory: machine.memory, executor: machine.executor)
    }

    @Test(arguments: [false, true]) func identity(isLegacy: Bool) {
        let window = make(isLegacy: isLegacy)
        #expect(window.read(offset: 0, size: 4) == 0x7472_6976)
        #expect(window.read(offset: 4, size: 4) == (isLegacy ? 1 : 2))
        #expect(window.read(offset: 8, size: 4) == 4)
        #expect(window.read(offset: 0xC, size: 4) == 0x554D_4551)
        #expect(window.read(offset: 0, size: 1) == 0)
        #expect(window.read(offset: 0x100, size: 1) == 1)
        #expect(window.read(offset: 0x103, size: 4) == .max)
    }

    @Test func modernRequest() {
        let window = make(isLegacy: false)
        func write(_ offset: UInt64, _ value: UInt64) { window.write(offset: offset, size: 4, value: value) }
        write(0x70, 3)
        write(0x24, 1)
        write(0x20, 1)
        write(0x70, 0xB)
        #expect(window.read(offset: 0x70, size: 4) == 0xB)
        write(0x30, 2)
        #expect(window.read(offset: 0x34, size: 4) == 8)
        let queue = VirtqueueDriver(machine.memory, base: 0x20000, end: 0x40000, size: 4)
        write(0x38, 4)
        write(0x80, queue.descriptors)
        write(0x90, queue.available)
        write(0xA0, queue.used)
        write(0x44, 1)
        #expect(window.read(offset: 0x44, size: 4) == 1)
        write(0x70, 0xF)
        queue.add(reading: [[7, 8]], writing: [2])
        write(0x50, 2)
        #expect(queue.takeUsed().map(\.bytes) == [[7, 8]])
        #expect(line.isAsserted && window.read(offset: 0x60, size: 4) == 1)
        write(0x64, 1)
        #expect(!line.isAsserted)
        device.context?.interrupts.configChanged(machineLockHeld: false)
        machine.drain()
        #expect(line.isAsserted && window.read(offset: 0x60, size: 4) == 2)
        write(0x70, 0)
        #expect(!line.isAsserted && device.context == nil)
    }

    @Test func legacyRequest() {
        let window = make(isLegacy: true)
        func write(_ offset: UInt64, _ value: UInt64) { window.write(offset: offset, size: 4, value: value) }
        write(0x70, 3)
        write(0x28, 4096)
        write(0x30, 0)
        write(0x38, 8)
        write(0x3C, 4096)
        let queue = VirtqueueDriver(machine.memory, base: 0x20000, end: 0x40000, size: 8)
        write(0x40, 0x20)
        #expect(window.read(offset: 0x40, size: 4) == 0x20)
        write(0x70, 7)
        queue.add(reading: [[9]], writing: [1])
        write(0x50, 0)
        #expect(queue.takeUsed().map(\.bytes) == [[9]])
        window.reset()
        #expect(!line.isAsserted && window.read(offset: 0x40, size: 4) == 0)
    }

    @Test(arguments: [false, true]) func randomAccesses(isLegacy: Bool) {
        let window = make(isLegacy: isLegacy)
        var generator = SeededGenerator(seed: 3)
        let sizes = [1, 2, 4, 8]
        for _ in 0..<30000 {
            let offset = UInt64.random(in: 0..<0x200, using: &generator)
            let size = sizes[Int.random(in: 0..<4, using: &generator)]
            if generator.next() % 3 == 0 {
                _ = window.read(offset: offset, size: size)
            } else {
                let value = generator.next() >> UInt64.random(in: 0..<64, using: &generator)
                window.write(offset: offset & ~3, size: 4, value: value & 0xFFFF_FFFF)
                window.write(offset: offset, size: size, value: value)
            }
        }
        window.reset()
        #expect(window.read(offset: 0x70, size: 4) == 0)
    }
}
