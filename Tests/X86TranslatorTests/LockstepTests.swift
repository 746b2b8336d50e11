// SPDX-License-Identifier: Apache-2.0

import Testing
import X86CPU
import X86Translator

/// The mode that compares the tiers with each other.
@Suite struct LockstepTests {
    @Test func programsAgree() throws {
        // 1: adc rax, rax; mov [rsp - 8], rax; movq xmm0, [rsp - 8]; paddq xmm0, xmm0; push rax; pop rdx; call 2f;
        // dec rcx; jnz 1b; hlt; 2: xor rbx, rdx; ret
        let machine = try TranslatedMachine(
            [
                0x48, 0x11, 0xC0, 0x48, 0x89, 0x44, 0x24, 0xF8, 0xF3, 0x0F, 0x7E, 0x44, 0x24, 0xF8, 0x66, 0x0F, 0xD4,
                0xC0, 0x50, 0x5A, 0xE8, 6, 0, 0, 0, 0x48, 0xFF, 0xC9, 0x75, 0xE2, 0xF4, 0x48, 0x31, 0xD3, 0xC3,
            ], isLockstep: true)
        machine.cpu[general: 1] = 200
        machine.cpu[general: 0] = 3
        #expect(machine.run() == .halted)
        #expect(machine.cpu.failure == nil)
        #expect(machine.cpu[general: 1] == 0)
        #expect(machine.statistics.blocks > 0)
    }

    @Test func codeThatChangesItselfAgrees() throws {
        // As in `TranslatedCodeTests`: 1: mov eax, 1 (whose immediate grows); add ebx, eax; inc dword [rip - 12];
        // dec rcx; jnz 1b
        let machine = try TranslatedMachine(
            [0xB8, 1, 0, 0, 0, 0x01, 0xC3, 0xFF, 0x05, 0xF4, 0xFF, 0xFF, 0xFF, 0x48, 0xFF, 0xC9, 0x75, 0xEE],
            isLockstep: true)
        machine.cpu[general: 1] = 60
        #expect(machine.run() == .halted)
        #expect(machine.cpu.failure == nil)
        #expect(machine.cpu[general: 3] == 60 * 61 / 2)
    }

    @Test func faultsComeOnce() throws {
        // inc rbx; div rcx (by 0)
        let machine = try TranslatedMachine([0x48, 0xFF, 0xC3, 0x48, 0xF7, 0xF1], isLockstep: true)
        #expect(machine.run() == .fault(vector: 0, code: nil))
        #expect(machine.cpu.failure == nil)
        #expect(machine.cpu[general: 3] == 1)
        #expect(machine.cpu.instructionPointer == TranslatedMachine.origin + 3)
    }
}
