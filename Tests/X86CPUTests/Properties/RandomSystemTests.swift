// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import RandomKit
import Testing
import X86CPU

/// Whatever a whole guest does to its descriptor tables, page tables and control registers, the processor comes back.
@Suite struct RandomSystemTests {
    /// Opcodes that change the machine's state, so that random code does more than fault.
    private static let seeds: [[UInt8]] = [
        [0x0F, 0x22, 0xC0], [0x0F, 0x22, 0xD8], [0x0F, 0x22, 0xE0], [0x0F, 0x01, 0x10], [0x0F, 0x01, 0x18],
        [0x0F, 0x00, 0xD8], [0x0F, 0x00, 0xD0], [0x8E, 0xD0], [0x8E, 0xD8], [0x8E, 0xE0], [0xCF], [0x48, 0xCF], [0xCB],
        [0x0F, 0x05], [0x0F, 0x07], [0x0F, 0x34], [0x0F, 0x35], [0xCD, 0x80], [0xCC], [0x9D], [0x0F, 0x30],
        [0x0F, 0x32],
        [0xFB], [0xFA], [0x0F, 0x01, 0x38], [0x0F, 0x23, 0xC0], [0x0F, 0x23, 0xF8], [0x17], [0x0F, 0xAE, 0x08],
        [0xFF, 0x18], [0xFF, 0x28], [0x9A], [0xEA], [0xF3, 0xA4], [0xF3, 0xAB], [0x0F, 0xC7, 0x0E], [0x66], [0x67],
        [0xF0, 0x01, 0x03], [0x0F, 0x01, 0xF8], [0x0F, 0x01, 0xD1], [0x0F, 0xAE, 0x28], [0x50], [0x58], [0xF4],
    ]

    private static func code(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < 96 {
            if random.next() % 3 == 0 {
                bytes += seeds[Int(random.next() % UInt64(seeds.count))]
            } else {
                bytes.append(UInt8(truncatingIfNeeded: random.next()))
            }
        }
        return bytes
    }

    private static func value(_ random: inout SeededGenerator) -> UInt64 {
        switch random.next() % 7 {
        case 0: random.next()
        case 1: random.next() % FlatMachine.memorySize
        case 2: 1 << (random.next() % 64)
        case 3: random.next() % 0x100
        case 4: SystemMachine.userCode + random.next() % 0x1000
        case 5: 0x8000_0011 | random.next() % 0x10_0000
        default: 0x0000_7FFF_FFFF_FFF0 &+ random.next() % 32
        }
    }

    /// Runs some random code with random registers, and starts anew where the processor shut down.
    private func disturb(_ machine: SystemMachine, _ start: X86Registers, _ random: inout SeededGenerator) throws {
        var registers = start
        for register in 0..<16 where register != 4 || random.next() & 3 == 0 {
            registers.general[register] = Self.value(&random)
        }
        registers.rip = SystemMachine.code + random.next() % 64
        machine.cpu.registers = registers
        try machine.memory.write(Self.code(&random), at: registers.rip)
        try machine.memory.write(Self.code(&random), at: SystemMachine.userCode)
        let before = machine.cpu.retiredCount
        for _ in 0..<4 {
            if machine.cpu.runUntilIdle(limit: 200, turns: 200) == .shutdown { break }
            machine.cpu.leaveHalt()
        }
        #expect(machine.cpu.retiredCount - before < 10_000)
        machine.cpu.reset()
    }

    @Test(arguments: [true, false], 1...3) func randomCode(isLong: Bool, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed << 1 | (isLong ? 1 : 0))
        let machine = try SystemMachine(isLong: isLong)
        let start = machine.cpu.registers
        for _ in 0..<700 { try disturb(machine, start, &random) }
    }

    /// As before, with bits of the tables themselves flipped.
    @Test(arguments: [true, false], 1...3) func randomTables(isLong: Bool, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed << 8 | (isLong ? 1 : 0))
        for _ in 0..<20 {
            let machine = try SystemMachine(isLong: isLong)
            let start = machine.cpu.registers
            for _ in 0..<40 {
                let places = [SystemMachine.gdt, SystemMachine.idt, SystemMachine.task, machine.tables.root, 0x10_1000]
                let place = places[Int(random.next() % UInt64(places.count))] + random.next() % 0x100
                let old = try machine.memory.load(UInt8.self, at: place)
                try machine.memory.store(old ^ 1 << UInt8(random.next() % 8), at: place)
                try disturb(machine, start, &random)
            }
        }
    }
}
