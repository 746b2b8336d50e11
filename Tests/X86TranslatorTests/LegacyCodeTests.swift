// SPDX-License-Identifier: Apache-2.0

import Testing
import X86CPU
import X86Translator

/// 32-bit code: its stack, its one-byte opcodes, its segments, its address wrap.
@Suite struct LegacyCodeTests {
    /// Runs 32-bit code on both tiers and expects the same registers and flags.
    @discardableResult
    private func expectAgreement(
        _ code: [UInt8], ecx: UInt64 = 0, prepare: (SoftCPU) -> Void = { _ in }
    ) throws -> TranslatedMachine {
        let translated = try TranslatedMachine(code, bits: 32)
        let interpreted = try TranslatedMachine(code, translates: false, bits: 32)
        for machine in [translated, interpreted] {
            machine.cpu[general: 1] = ecx
            prepare(machine.cpu)
        }
        #expect(translated.run() == interpreted.run())
        for register in 0..<8 {
            #expect(
                translated.cpu[general: register] & 0xFFFF_FFFF == interpreted.cpu[general: register] & 0xFFFF_FFFF,
                "register \(register)")
        }
        #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage)
        #expect(translated.cpu.instructionPointer == interpreted.cpu.instructionPointer)
        #expect(translated.statistics.blocks > 0)
        return translated
    }

    @Test func countsWithOneByteOpcodes() throws {
        // 1: inc eax; dec edi; add eax, ecx; dec ecx; jnz 1b
        let machine = try expectAgreement([0x40, 0x4F, 0x01, 0xC8, 0x49, 0x75, 0xF9], ecx: 300)
        #expect(machine.cpu[general: 0] & 0xFFFF_FFFF == 300 + 45_150)
    }

    @Test func usesTheStack() throws {
        // 1: push ecx; push 7; pop edx; pop ebx; push dword [esp - 8]; pop esi; enter-like: push ebp; mov ebp, esp;
        // sub esp, 8; leave; dec ecx; jnz 1b
        try expectAgreement(
            [
                0x51, 0x6A, 0x07, 0x5A, 0x5B, 0xFF, 0x74, 0x24, 0xF8, 0x5E, 0x55, 0x89, 0xE5, 0x83, 0xEC, 0x08, 0xC9,
                0x49, 0x75, 0xEC,
            ], ecx: 50)
    }

    @Test func callsAndReturns() throws {
        // 1: call 2f; mov edx, target; call edx; loop 1b; hlt; 2: add eax, 3; ret 0. The second call goes through a
        // register to 2.
        let target = UInt8(truncatingIfNeeded: 0x0F)
        let machine = try expectAgreement(
            [
                0xE8, 10, 0, 0, 0, 0xBA, target, 0x10, 0, 0, 0xFF, 0xD2, 0xE2, 0xF2, 0xF4, 0x83, 0xC0, 3, 0xC2, 0, 0,
            ], ecx: 100)
        #expect(machine.cpu[general: 0] == 600)
    }

    @Test func movesByPlainOffsets() throws {
        // mov eax, 0x12345678; mov [0x8000], eax; mov al, [0x8001]; mov [0x8010], ax; mov ebx, [0x8010]
        let machine = try expectAgreement([
            0xB8, 0x78, 0x56, 0x34, 0x12, 0xA3, 0x00, 0x80, 0, 0, 0xA0, 0x01, 0x80, 0, 0, 0x66, 0xA3, 0x10, 0x80, 0, 0,
            0x8B, 0x1D, 0x10, 0x80, 0, 0,
        ])
        #expect(machine.cpu[general: 3] == 0x5656)
    }

    @Test func addsTheBaseOfSegments() throws {
        // mov eax, gs:[0x10]; add eax, fs:[ebx]; with GS at 0x8000 and FS at 0xFFFFFF00, which wraps
        let machine = try expectAgreement([0x65, 0xA1, 0x10, 0, 0, 0, 0x64, 0x03, 0x03]) { cpu in
            cpu.setSegment(5, base: 0x8000, limit: .max)
            cpu.setSegment(4, base: 0xFFFF_FF00, limit: .max)
            cpu.setFlat(true)
            cpu[general: 3] = 0x2100
        }
        // The word at 0x8010 is clear; the code's own first bytes are not at 0x2000.
        #expect(machine.cpu[general: 0] == 0)
    }

    @Test func looksAtLimits() throws {
        // inc eax; mov edx, gs:[0x10] with a limit of 15: #GP
        let machine = try expectAgreement([0x40, 0x65, 0x8B, 0x15, 0x10, 0, 0, 0]) { cpu in
            cpu.setSegment(5, base: 0x8000, limit: 15)
            cpu.setFlat(true)
        }
        #expect(machine.cpu.instructionPointer == TranslatedMachine.origin + 1)
    }

    @Test func loopsWhileCountersLast() throws {
        // 1: add eax, 2; loop 1b; jecxz 2f; inc ebx; 2: inc edx
        let machine = try expectAgreement([0x83, 0xC0, 2, 0xE2, 0xFB, 0xE3, 1, 0x43, 0x42], ecx: 40)
        #expect(machine.cpu[general: 0] == 80)
        #expect(machine.cpu[general: 3] == 0)
    }
}
