// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU
import X86Translator

/// Code of more than one instruction: jumps, calls, flags over blocks, code that changes itself.
@Suite struct TranslatedCodeTests {
    /// Runs code on both tiers and expects the same registers and flags.
    private func expectAgreement(
        _ code: [UInt8], rcx: UInt64 = 0, comparesFlags: Bool = true
    ) throws -> TranslatedMachine {
        let translated = try TranslatedMachine(code)
        let interpreted = try TranslatedMachine(code, translates: false)
        for machine in [translated, interpreted] { machine.cpu[general: 1] = rcx }
        #expect(translated.run() == interpreted.run())
        for register in 0..<16 {
            #expect(translated.cpu[general: register] == interpreted.cpu[general: register], "register \(register)")
        }
        if comparesFlags { #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage) }
        #expect(translated.cpu.instructionPointer == interpreted.cpu.instructionPointer)
        return translated
    }

    @Test func countsDown() throws {
        // add rax, rcx; dec rcx; jnz
        let machine = try expectAgreement([0x48, 0x01, 0xC8, 0x48, 0xFF, 0xC9, 0x75, 0xF8], rcx: 1000)
        #expect(machine.cpu[general: 0] == 500_500)
        #expect(machine.statistics.blocks > 0)
    }

    @Test func carriesFlagsOverBlocksAndMemory() throws {
        // A sum of many words whose carry lives over DEC and a store: clc; 1: adc rax, rax; adc rax, -1;
        // mov [rsp - 8], rax; dec rcx; jnz 1b; setc dl
        _ = try expectAgreement(
            [
                0xF8, 0x48, 0x11, 0xC0, 0x48, 0x83, 0xD0, 0xFF, 0x48, 0x89, 0x44, 0x24, 0xF8, 0x48, 0xFF, 0xC9, 0x75,
                0xEF, 0x0F, 0x92, 0xC2,
            ], rcx: 77)
    }

    @Test func usesRegistersThatLieInMemory() throws {
        // mov r9, 5; lea r10, [r9 + r9 * 2 + 7]; mov r11d, r10d; push r11; pop r9; xchg [rsp - 16], r10; add r9, r11;
        // imul r11, r9; bswap r11; xadd r9, r10
        _ = try expectAgreement([
            0x49, 0xC7, 0xC1, 5, 0, 0, 0, 0x4F, 0x8D, 0x54, 0x49, 7, 0x45, 0x89, 0xD3, 0x41, 0x53, 0x41, 0x59, 0x4C,
            0x87, 0x54, 0x24, 0xF0, 0x4D, 0x01, 0xD9, 0x4D, 0x0F, 0xAF, 0xD9, 0x49, 0x0F, 0xCB, 0x4D, 0x0F, 0xC1, 0xD1,
        ])
    }

    @Test func callsAndReturns() throws {
        // 1: call 2f; loop 1b; hlt; 2: add rax, 3; ret
        let machine = try expectAgreement([0xE8, 3, 0, 0, 0, 0xE2, 0xF9, 0xF4, 0x48, 0x83, 0xC0, 3, 0xC3], rcx: 500)
        #expect(machine.cpu[general: 0] == 1500)
    }

    /// Blocks that neither look at the flags nor change them, but for which they must be put aside.
    @Test func carriesFlagsThroughBlocksThatMove() throws {
        // 1: cmp rcx, 250; call 3f; setb dl; add rbx, rdx; add rcx, 0; jmp 2f; 2: mov rax, [rsp - 32]; push rcx; jmp 4f
        // 4: pop rdi; setnz dl; adc rsi, rdx; loop 1b; hlt; 3: mov [rsp - 24], rcx; mov [rsp - 32], rsp; ret
        let machine = try expectAgreement(
            [
                0x48, 0x81, 0xF9, 250, 0, 0, 0, 0xE8, 37, 0, 0, 0, 0x0F, 0x92, 0xC2, 0x48, 0x01, 0xD3, 0x48, 0x83, 0xC1,
                0,
                0xEB, 0, 0x48, 0x8B, 0x44, 0x24, 0xE0, 0x51, 0xEB, 1, 0x90, 0x5F, 0x0F, 0x95, 0xC2, 0x48, 0x11, 0xD6,
                0xE2,
                0xD6, 0xF4, 0xF4, 0xF4, 0xF4, 0xF4, 0xF4, 0xF4, 0x48, 0x89, 0x4C, 0x24, 0xE8, 0x48, 0x89, 0x64, 0x24,
                0xE0,
                0xC3,
            ], rcx: 1000, comparesFlags: false)
        #expect(machine.cpu[general: 3] == 249 && machine.cpu[general: 6] == 1000)
    }

    /// AH, CH, DH and BH with memory, also where RDI is part of the address.
    @Test func highBytesAndMemory() throws {
        // mov eax, 0x1234; mov edx, 0x5678; lea rdi, [rsp - 64]; 1: mov [rdi], ah; add [rdi + 1], dh; xchg [rdi + 1], ch
        // mov bh, [rdi + rcx * 0]; cmp bh, [rsp - 64]; setz bl; lock xadd [rdi], ah; inc rdi; dec cl; jnz 1b
        let machine = try expectAgreement(
            [
                0xB8, 0x34, 0x12, 0, 0, 0xBA, 0x78, 0x56, 0, 0, 0x48, 0x8D, 0x7C, 0x24, 0xC0, 0x88, 0x27, 0x00, 0x77, 1,
                0x86, 0x6F, 1, 0x8A, 0x3F, 0x3A, 0x7C, 0x24, 0xC0, 0x0F, 0x94, 0xC3, 0xF0, 0x0F, 0xC0, 0x27, 0x48, 0xFF,
                0xC7, 0xFE, 0xC9, 0x75, 0xE4,
            ], rcx: 40)
        #expect(machine.statistics.blocks > 0)
    }

    /// Registers that lie in memory, written in part and read whole.
    @Test func partsOfRegistersInMemory() throws {
        // 1: mov r9d, ecx; shr r9w, 1; add rax, r9; mov r10b, cl; add rax, r10; setnz r11b; add rax, r11; mov r10w, 7
        // xor r11d, r11d; mov r9d, r9d; sub rbx, r9; add r10b, cl; sub rdx, r10; loop 1b
        let machine = try expectAgreement(
            [
                0x41, 0x89, 0xC9, 0x66, 0x41, 0xD1, 0xE9, 0x4C, 0x01, 0xC8, 0x41, 0x88, 0xCA, 0x4C, 0x01, 0xD0, 0x41,
                0x0F,
                0x95, 0xC3, 0x4C, 0x01, 0xD8, 0x66, 0x41, 0xBA, 7, 0, 0x45, 0x31, 0xDB, 0x45, 0x89, 0xC9, 0x4C, 0x29,
                0xCB,
                0x41, 0x00, 0xCA, 0x4C, 0x29, 0xD2, 0xE2, 0xD3,
            ], rcx: 70_000, comparesFlags: false)
        #expect(machine.statistics.blocks > 0)
    }

    @Test func seesCodeThatChangesItself() throws {
        // 1: mov eax, 1 (whose immediate grows); add ebx, eax; inc dword [rip - 12]; dec rcx; jnz 1b
        let code: [UInt8] = [
            0xB8, 1, 0, 0, 0, 0x01, 0xC3, 0xFF, 0x05, 0xF4, 0xFF, 0xFF, 0xFF, 0x48, 0xFF, 0xC9, 0x75, 0xEE,
        ]
        let machine = try expectAgreement(code, rcx: 100)
        #expect(machine.cpu[general: 3] == 5050)
        #expect(machine.statistics.drops > 0)
    }

    @Test func reportsTheFaultingInstruction() throws {
        // add eax, 1; xor edx, edx; div rdx. What a division leaves of the flags is not defined.
        let machine = try expectAgreement([0x83, 0xC0, 1, 0x31, 0xD2, 0x48, 0xF7, 0xF2], comparesFlags: false)
        #expect(machine.cpu.instructionPointer == TranslatedMachine.origin + 5)
    }

    @Test func crossesPages() throws {
        // Code up to the page's end and on: 4090 bytes of NOP, then add rax, 7 over the edge.
        let code = [UInt8](repeating: 0x90, count: 4094) + [0x48, 0x83, 0xC0, 7, 0x48, 0x83, 0xC0, 1]
        let machine = try expectAgreement(code)
        #expect(machine.cpu[general: 0] == 8)
    }

    @Test func staysWithinItsMemory() throws {
        // A block is rewritten again and again until the code area has been full more than once.
        let machine = try TranslatedMachine([0x90], cacheBytes: 1 << 20)
        for round in 0..<30_000 {
            let value = UInt8(truncatingIfNeeded: round)
            let place = TranslatedMachine.origin + UInt64(round % 512) * 4096
            try machine.memory.write([0xB0, value, 0xF4], at: place)
            machine.cpu.instructionPointer = place
            machine.run()
            #expect(machine.cpu[general: 0] & 0xFF == UInt64(value))
        }
        #expect(machine.statistics.flushes > 0)
    }

    @Test func vectorsStayTheGuests() throws {
        // pcmpeqd xmm3, xmm3; movdqu [rsp - 16], xmm3; paddd xmm3, [rsp - 16 aligned]; movq rax, xmm3
        let machine = try expectAgreement([
            0x66, 0x0F, 0x76, 0xDB, 0xF3, 0x0F, 0x7F, 0x5C, 0x24, 0xF0, 0x66, 0x0F, 0xFE, 0x5C, 0x24, 0xF0, 0x66, 0x48,
            0x0F, 0x7E, 0xD8,
        ])
        #expect(machine.cpu[general: 0] == 0xFFFF_FFFE_FFFF_FFFE)
    }

    @Test func floatingPointKeepsItsStack() throws {
        // fninit; fldpi; movq xmm0, rcx; fld1; faddp; fst qword [rsp - 16]; mov rax, [rsp - 16]; fld st0; fcomip st1;
        // setz dl; fnstsw [rsp - 24]; movzx ebx, word [rsp - 24]
        let machine = try expectAgreement(
            [
                0xDB, 0xE3, 0xD9, 0xEB, 0x66, 0x48, 0x0F, 0x6E, 0xC1, 0xD9, 0xE8, 0xDE, 0xC1, 0xDD, 0x54, 0x24, 0xF0,
                0x48, 0x8B, 0x44, 0x24, 0xF0, 0xD9, 0xC0, 0xDF, 0xF1, 0x0F, 0x94, 0xC2, 0xDD, 0x7C, 0x24, 0xE8, 0x0F,
                0xB7, 0x5C, 0x24, 0xE8,
            ], rcx: 5)
        #expect(machine.cpu[general: 0] == 0x4010_90FD_AA22_168C)
        #expect(machine.cpu[general: 2] == 1)
        #expect(machine.cpu.fxsaveImage.count == 512)
    }
}
