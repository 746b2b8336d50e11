// SPDX-License-Identifier: Apache-2.0

import Testing
import X86CPU
import X86Translator

/// POPF as translated code: what it does itself, and what it leaves to the interpreter.
@Suite struct PopFlagsTests {
    /// Runs code on both tiers.
    /// - Returns: the translated machine, whose registers and flags are the interpreter's.
    private func agree(_ code: [UInt8]) throws -> TranslatedMachine {
        let translated = try TranslatedMachine(code)
        let interpreted = try TranslatedMachine(code, translates: false)
        #expect(translated.run() == interpreted.run())
        for register in 0..<16 {
            #expect(translated.cpu[general: register] == interpreted.cpu[general: register], "register \(register)")
        }
        #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage)
        return translated
    }

    @Test func setsArithmeticFlags() throws {
        // mov eax, 8D7h; push rax; popf; pushf; pop rbx; setc cl; seto dl; xor eax, eax; push rax; popf; pushf; pop rsi
        let machine = try agree([
            0xB8, 0xD7, 0x08, 0, 0, 0x50, 0x9D, 0x9C, 0x5B, 0x0F, 0x92, 0xC1, 0x0F, 0x90, 0xC2, 0x31, 0xC0, 0x50, 0x9D,
            0x9C, 0x5E,
        ])
        #expect(machine.cpu[general: 3] == 0x8D7)
        #expect(machine.cpu[general: 1] == 1)
        #expect(machine.cpu[general: 2] == 1)
        #expect(machine.cpu[general: 6] == 2)
    }

    @Test func changesTheInterruptFlag() throws {
        // mov eax, 202h; push rax; popf; pushf; pop rbx; cli; pushf; pop rcx
        let machine = try agree([0xB8, 2, 2, 0, 0, 0x50, 0x9D, 0x9C, 0x5B, 0xFA, 0x9C, 0x59])
        #expect(machine.cpu[general: 3] & 0x200 != 0)
        #expect(machine.cpu[general: 1] & 0x200 == 0)
    }

    @Test func leavesTheRestToTheInterpreter() throws {
        // mov eax, 204402h (ID, NT, DF); push rax; popf; pushf; pop rbx; mov [rbx * 0 + 8000h], rbx; push 2; popf
        let machine = try agree([
            0xB8, 0x02, 0x44, 0x20, 0, 0x50, 0x9D, 0x9C, 0x5B, 0x48, 0x89, 0x1C, 0x25, 0, 0x80, 0, 0, 0x6A, 2, 0x9D,
        ])
        #expect(machine.cpu[general: 3] == 0x20_4402)
    }
}
