// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import Testing
import X86CPU
import X86Translator

/// Instructions that begin in one page and end in the next.
@Suite struct CrossingCodeTests {
    private static let firstPage: UInt64 = 0x1000, boundary: UInt64 = 0x2000

    /// A machine whose code lies around a page boundary.
    private func machine(_ code: [UInt8], at place: UInt64, translates: Bool = true) throws -> TranslatedMachine {
        let machine = try TranslatedMachine([], translates: translates)
        try machine.memory.write(code, at: place)
        machine.cpu.instructionPointer = place
        machine.cpu[general: 1] = 10_000
        return machine
    }

    /// inc rax; add rbx, 5; add rdx, 0x12345678 (crosses); dec ecx; jnz to the start; hlt
    private static let loop: [UInt8] = [
        0x48, 0xFF, 0xC0, 0x48, 0x83, 0xC3, 5, 0x48, 0x81, 0xC2, 0x78, 0x56, 0x34, 0x12, 0xFF, 0xC9, 0x75, 0xEE, 0xF4,
    ]

    /// Whichever instruction crosses, and wherever in it, the loop stays in translated code.
    @Test(arguments: 1..<18) func loopsStayInTranslatedCode(distance: Int) throws {
        let machine = try machine(Self.loop, at: Self.boundary - UInt64(distance))
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 10_000 && machine.cpu[general: 3] == 50_000)
        #expect(machine.cpu[general: 2] == 10_000 * 0x1234_5678)
        #expect(machine.statistics.exits < 60)
    }

    /// Calls, returns, jumps and operands in memory, each of which crosses in turn, on both tiers.
    @Test(arguments: 1..<40) func allKindsCross(distance: Int) throws {
        let code: [UInt8] = [
            0xE8, 0x1F, 0, 0, 0,  // 1: call 2f
            0x48, 0x8B, 0x05, 0xF4, 0xFF, 0xFF, 0xFF,  // mov rax, [rip - 12]: the code itself
            0x48, 0x01, 0x84, 0x24, 0, 1, 0, 0,  // add [rsp + 256], rax
            0x0F, 0x82, 1, 0, 0, 0, 0x90,  // jc to the next but one; nop
            0xFF, 0xC9,  // dec ecx
            0x0F, 0x85, 0xDD, 0xFF, 0xFF, 0xFF, 0xF4,  // jnz 1b; hlt
            0x48, 0x81, 0xC2, 0x11, 0x22, 0x33, 0x44,  // 2: add rdx, 0x44332211
            0xFF, 0x34, 0x24, 0x5B, 0xC3,  // push [rsp]; pop rbx; ret
        ]
        let translated = try machine(code, at: Self.boundary - UInt64(distance))
        let interpreted = try machine(code, at: Self.boundary - UInt64(distance), translates: false)
        for machine in [translated, interpreted] { machine.cpu[general: 1] = 50 }
        #expect(translated.run() == interpreted.run())
        for register in 0..<16 { #expect(translated.cpu[general: register] == interpreted.cpu[general: register]) }
        #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage)
        #expect(translated.cpu.instructionPointer == interpreted.cpu.instructionPointer)
        let place = TranslatedMachine.stackTop + 256
        #expect(try translated.memory.load(UInt64.self, at: place) == interpreted.memory.load(UInt64.self, at: place))
    }

    /// A change of either part is seen.
    @Test(arguments: [0, 4] as [UInt64]) func changesAreSeen(part: UInt64) throws {
        let place = Self.boundary - 10
        let machine = try machine(Self.loop, at: place)
        #expect(machine.run() == .halted)
        // The register of the sum, or the second byte of what is added.
        try machine.memory.write([part == 0 ? 0xC6 : 0], at: part == 0 ? place + 9 : place + 11)
        machine.cpu.instructionPointer = place
        machine.cpu[general: 1] = 10
        machine.cpu[general: 2] = 0
        machine.cpu.leaveHalt()
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: part == 0 ? 6 : 2] == 10 * (part == 0 ? 0x1234_5678 : 0x1234_0078))
    }

    /// The second page is the one that is mapped now, on both tiers.
    @Test(arguments: [true, false]) func theSecondPageIsLookedAtAnew(translates: Bool) throws {
        let machine = try TranslatedMachine([], translates: translates)
        let memory = machine.memory
        let tables: UInt64 = 0x10_0000, entries: UInt64 = 0x10_3000, code: UInt64 = 0x20_0000
        let present: UInt64 = 3, large: UInt64 = 0x80
        for level in 0..<3 as Range<UInt64> {
            try memory.store(tables + (level + 1) * 0x1000 | present, at: tables + level * 0x1000)
        }
        // 2 MiB as they are, and behind them two pages of code.
        try memory.store(0 | present | large, at: tables + 0x2000)
        try memory.store(entries | present, at: tables + 0x2008)
        try memory.store(0x4000 | present, at: entries)
        // mov eax, imm32 with one byte of it in the first page; hlt
        try memory.write([0xB8, 0x11], at: 0x4FFE)
        try memory.write([0x22, 0x33, 0x44, 0xF4], at: 0x5000)
        try memory.write([0x55, 0x66, 0x77, 0xF4], at: 0x6000)
        var registers = machine.cpu.registers
        registers.cr3 = tables
        registers.cr4 |= 0x20
        registers.cr0 |= 0x8000_0001
        machine.cpu.registers = registers
        for _ in 0..<3 {
            for (page, value) in [(0x5000, 0x4433_2211), (0x6000, 0x7766_5511)] as [(UInt64, UInt64)] {
                try memory.store(page | present, at: entries + 8)
                machine.cpu.invalidate(page: code + 0x1000)
                machine.cpu.instructionPointer = code + 0xFFE
                machine.cpu.leaveHalt()
                #expect(machine.run() == .halted)
                #expect(machine.cpu[general: 0] == value)
            }
        }
        // Without a second page it is fetched in vain.
        try memory.store(0, at: entries + 8)
        machine.cpu.invalidate(page: code + 0x1000)
        machine.cpu.instructionPointer = code + 0xFFE
        machine.cpu.leaveHalt()
        #expect(machine.run() == .fault(vector: 14, code: 0))
    }
}
