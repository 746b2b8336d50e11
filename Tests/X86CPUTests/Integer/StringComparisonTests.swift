// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import RandomKit
import Testing
import X86CPU

/// SCAS and CMPS with REPE and REPNE, done by pages, against the same done element by element.
@Suite struct StringComparisonTests {
    private static let source: UInt64 = 0x10_0000, target: UInt64 = 0x11_0000

    /// Runs to HLT, in one go or instruction by instruction.
    private func run(_ code: [UInt8], seed: UInt64, singly: Bool, bits: Int) throws -> FlatMachine {
        var random = SeededGenerator(seed: seed &+ 1)
        let machine = try FlatMachine(bits: bits, code)
        // Long runs of few values, which differ here and there.
        var bytes = [UInt8](repeating: 0, count: 0x4000)
        try machine.memory.write(bytes, at: Self.source)
        for _ in 0..<Int(random.next() % 3) { bytes[Int(random.next() % 0x4000)] = 1 }
        try machine.memory.write(bytes, at: Self.target)
        machine.cpu[general: 0] = random.next() % 4 == 0 ? 1 : 0
        machine.cpu[general: 1] = random.next() % 9000
        machine.cpu[general: 6] = Self.source + random.next() % 5000
        machine.cpu[general: 7] = Self.target + random.next() % 5000
        if singly {
            for _ in 0..<20_000 where machine.run(limit: 1) != .limit { break }
        } else {
            #expect(machine.run() == .halted)
        }
        return machine
    }

    @Test(arguments: 0..<40) func pagesAreAsElements(seed: Int) throws {
        let prefix: UInt8 = seed % 2 == 0 ? 0xF2 : 0xF3
        let opcode: UInt8 = [0xA6, 0xA7, 0xAE, 0xAF][seed / 2 % 4]
        let isWord = seed % 5 == 0
        let isWide = seed % 3 == 0 && !isWord
        let code: [UInt8] = (isWord ? [0x66] : []) + [prefix] + (isWide ? [0x48] : []) + [opcode]
        let whole = try run(code, seed: UInt64(seed), singly: false, bits: 64)
        let stepped = try run(code, seed: UInt64(seed), singly: true, bits: 64)
        for register in 0..<16 { #expect(whole.cpu[general: register] == stepped.cpu[general: register]) }
        #expect(whole.cpu.flagsImage == stepped.cpu.flagsImage)
    }

    /// Going down it is done element by element; the result is that of the definition.
    @Test func downwards() throws {
        // std; repne scasb
        let machine = try FlatMachine([0xFD, 0xF2, 0xAE])
        try machine.memory.write([7], at: Self.target + 100)
        machine.cpu[general: 0] = 7
        machine.cpu[general: 1] = 5000
        machine.cpu[general: 7] = Self.target + 1000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 7] == Self.target + 99)
        #expect(machine.cpu[general: 1] == 5000 - 901)
    }

    /// Pages that are no memory are read as devices, one element at a time.
    @Test func theEndOfMemoryIsReadAsADevice() throws {
        let machine = try FlatMachine([0xF3, 0xAE])
        machine.cpu[general: 1] = 0x2000
        machine.cpu[general: 7] = FlatMachine.memorySize - 0x1000
        #expect(machine.run() == .halted)
        // What is no memory reads as ones, which differ from zero.
        #expect(machine.cpu[general: 7] == FlatMachine.memorySize + 1)
        #expect(machine.cpu[general: 1] == 0xFFF)
    }
}
