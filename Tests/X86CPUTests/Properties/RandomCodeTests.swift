// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import RandomKit
import Testing
import X86CPU

/// Whatever bytes a guest runs, the process survives and comes back within the limit.
@Suite struct RandomCodeTests {
    /// Values that sit at edges, and small ones that are likely addresses.
    private static func value(_ random: inout SeededGenerator) -> UInt64 {
        switch random.next() % 6 {
        case 0: random.next()
        case 1: random.next() % FlatMachine.memorySize
        case 2: 1 << (random.next() % 64)
        case 3: UInt64.max << (random.next() % 64)
        case 4: random.next() % 64
        default: 0x0000_7FFF_FFFF_FFF0 &+ random.next() % 32
        }
    }

    @Test(arguments: [16, 32, 64], [1, 2, 3, 4]) func randomBytes(bits: Int, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed << 8 | UInt64(bits))
        let machine = try FlatMachine(bits: bits)
        for _ in 0..<1500 {
            let code = (0..<64).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            machine.cpu.setFlatMode(bits: bits)
            try machine.load(code, at: 0x1000 + random.next() % 0x8000)
            for register in 0..<16 { machine.cpu[general: register] = Self.value(&random) }
            machine.cpu.flagsImage = random.next() & 0xCD5
            let before = machine.cpu.retiredCount
            for _ in 0..<20 {
                _ = machine.cpu.execute(limit: random.next() & 1 == 0 ? 1 : 50)
            }
            // A block may run past the limit, but not far; nothing runs on for ever.
            #expect(machine.cpu.retiredCount - before < 20 * 200)
        }
    }

    /// Every opcode with many modrm bytes, so that no row goes without.
    @Test(arguments: [16, 32, 64]) func everyOpcode(bits: Int) throws {
        var random = SeededGenerator(seed: UInt64(bits))
        let machine = try FlatMachine(bits: bits)
        let escapes: [[UInt8]] = [
            [], [0x0F], [0x0F, 0x38], [0x0F, 0x3A], [0x66, 0x0F], [0xF3, 0x0F], [0xF2, 0x0F], [0x66, 0x0F, 0x38],
            [0xF2, 0x0F, 0x38], [0xC4, 0xE2, 0x78], [0xC4, 0xE2, 0xFB], [0x66], [0x67], [0xF3], [0xF0],
        ]
        for escape in escapes {
            for opcode in UInt8.min...UInt8.max {
                for modRM in stride(from: UInt8(random.next() % 4), through: 255 - 4, by: 5) {
                    let tail = (0..<8).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                    machine.cpu.setFlatMode(bits: bits)
                    try machine.load(escape + [opcode, modRM] + tail, at: 0x1000 + random.next() % 0x3000)
                    machine.cpu[general: Int(random.next() % 16)] = Self.value(&random)
                    _ = machine.cpu.execute(limit: 1)
                }
            }
        }
    }
}
