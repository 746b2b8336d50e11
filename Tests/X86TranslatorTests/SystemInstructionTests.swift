// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU
import X86Translator

/// Instructions of kernels with code of their own, strings, bit strings, MMX.
@Suite struct SystemInstructionTests {
    /// Runs code on both tiers and expects the same registers and flags.
    @discardableResult
    private func expectAgreement(
        _ code: [UInt8], prepare: (TranslatedMachine) throws -> Void = { _ in }
    ) throws -> (translated: TranslatedMachine, interpreted: TranslatedMachine) {
        let translated = try TranslatedMachine(code)
        let interpreted = try TranslatedMachine(code, translates: false)
        for machine in [translated, interpreted] { try prepare(machine) }
        #expect(translated.run() == interpreted.run())
        for register in 0..<16 {
            #expect(translated.cpu[general: register] == interpreted.cpu[general: register], "register \(register)")
        }
        #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage)
        #expect(translated.cpu.instructionPointer == interpreted.cpu.instructionPointer)
        return (translated, interpreted)
    }

    @Test func pushesFlags() throws {
        // sti; cmp rax, 1; pushf; cli; pop rbx; pushf; pop rdx
        let machines = try expectAgreement([0xFB, 0x48, 0x83, 0xF8, 1, 0x9C, 0xFA, 0x5B, 0x9C, 0x5A])
        #expect(machines.translated.cpu[general: 3] == 0x297)
        #expect(machines.translated.cpu[general: 2] == 0x97)
    }

    @Test func readsOfTheTimeLookAfterTheTimersNowAndThen() throws {
        // 1: rdtsc; dec rcx; jnz 1b
        let machine = try TranslatedMachine([0x0F, 0x31, 0x48, 0xFF, 0xC9, 0x75, 0xF9])
        var looks = 0
        let reads = 300_000
        machine.cpu.lookAfterTimers = { _ in looks += 1 }
        machine.cpu[general: 1] = UInt64(reads)
        machine.run()
        #expect(machine.cpu[general: 1] == 0)
        #expect((2..<reads / 10).contains(looks))
    }

    @Test func swapsBases() throws {
        // swapgs; mov rax, gs:[8]; swapgs; mov rbx, gs:[8]
        let machines = try expectAgreement([
            0x0F, 0x01, 0xF8, 0x65, 0x48, 0x8B, 0x04, 0x25, 8, 0, 0, 0, 0x0F, 0x01, 0xF8, 0x65, 0x48, 0x8B, 0x1C,
            0x25, 8, 0, 0, 0,
        ]) { machine in
            machine.cpu.setSegment(5, base: 0x8000, limit: .max)
            try machine.memory.store(11, at: 8)
            try machine.memory.store(22, at: 0x8008)
        }
        #expect(machines.translated.cpu[general: 0] == 11)
        #expect(machines.translated.cpu[general: 3] == 22)
    }

    @Test func timeGoesOn() throws {
        // rdtsc; shl rdx, 32; or rax, rdx; mov rbx, rax; rdtscp; shl rdx, 32; or rax, rdx; sub rax, rbx; setb cl
        let machine = try TranslatedMachine([
            0x0F, 0x31, 0x48, 0xC1, 0xE2, 32, 0x48, 0x09, 0xD0, 0x48, 0x89, 0xC3, 0x0F, 0x01, 0xF9, 0x48, 0xC1, 0xE2,
            32, 0x48, 0x09, 0xD0, 0x48, 0x29, 0xD8, 0x0F, 0x92, 0xC1,
        ])
        machine.run()
        #expect(machine.cpu[general: 1] & 0xFF == 0)
        // Less than ten seconds of any processor.
        #expect(machine.cpu[general: 0] < 1 << 36)
        #expect(machine.cpu[general: 3] != 0)
    }

    /// Each string instruction alone, repeated within a page, over pages, with 0 elements and downwards.
    @Test(arguments: [0, 1, 7, 100, 511, 3000] as [UInt64], [false, true])
    func strings(count: UInt64, goesDown: Bool) throws {
        let code: [UInt8] = [
            goesDown ? 0xFD : 0xFC,  // std or cld
            0xF3, 0x48, 0xAB,  // rep stosq
            0x48, 0x89, 0xD9, 0xF3, 0x66, 0xAB,  // mov rcx, rbx; rep stosw
            0x48, 0x89, 0xD9, 0xF3, 0xA4,  // mov rcx, rbx; rep movsb
            0x48, 0x89, 0xD9, 0xF3, 0xA5,  // mov rcx, rbx; rep movsd
            0xAA, 0xA4, 0x48, 0xA5, 0xAC, 0x48, 0xAD,  // stosb; movsb; movsq; lodsb; lodsq
        ]
        let machines = try expectAgreement(code) { machine in
            machine.cpu[general: 0] = 0x0123_4567_89AB_CDEF
            machine.cpu[general: 1] = count
            machine.cpu[general: 3] = count
            machine.cpu[general: 6] = 0x10_0123
            machine.cpu[general: 7] = 0x20_0F01
            for place in 0..<UInt64(0x8000) / 8 {
                try machine.memory.store(place &* 0x9E37_79B9_7F4A_7C15, at: 0xF_C000 + place * 8)
            }
        }
        for place in stride(from: UInt64(0x1F_8000), to: 0x21_8000, by: 8) {
            let (a, b) = (machines.translated.memory, machines.interpreted.memory)
            #expect(try a.load(UInt64.self, at: place) == b.load(UInt64.self, at: place))
        }
    }

    @Test(arguments: [0, 5, 63, 64, 1000, -1, -64, -3000] as [Int64])
    func bitStrings(number: Int64) throws {
        // bts [rbx], rcx; setc dl; bt [rbx], ecx; setc dh; lock btr [rbx + 4], rcx; btc [rbx], cx; sbb eax, eax
        try expectAgreement([
            0x48, 0x0F, 0xAB, 0x0B, 0x0F, 0x92, 0xC2, 0x0F, 0xA3, 0x0B, 0x0F, 0x92, 0xC6, 0xF0, 0x48, 0x0F, 0xB3, 0x4B,
            4, 0x66, 0x0F, 0xBB, 0x0B, 0x19, 0xC0,
        ]) { machine in
            machine.cpu[general: 1] = UInt64(bitPattern: number)
            machine.cpu[general: 3] = 0x10_0000
        }
    }

    @Test func exchangesPairs() throws {
        // lock cmpxchg16b [rsi]; setz r8b; lock cmpxchg16b [rsi]; setz r9b
        let machines = try expectAgreement([
            0xF0, 0x48, 0x0F, 0xC7, 0x0E, 0x41, 0x0F, 0x94, 0xC0, 0xF0, 0x48, 0x0F, 0xC7, 0x0E, 0x41, 0x0F, 0x94, 0xC1,
        ]) { machine in
            machine.cpu[general: 6] = 0x10_0010
            machine.cpu[general: 3] = 5
        }
        #expect(machines.translated.cpu[general: 8] == 1)
        #expect(machines.translated.cpu[general: 9] == 0)
    }

    @Test func multimediaRegisters() throws {
        // movd mm1, ecx; punpcklbw mm1, mm1; paddb mm1, mm1; movq [rsp - 8], mm1; paddw mm1, [rsp - 8]; movq rax, mm1;
        // pmovmskb edx, mm1; emms
        try expectAgreement([
            0x0F, 0x6E, 0xC9, 0x0F, 0x60, 0xC9, 0x0F, 0xFC, 0xC9, 0x0F, 0x7F, 0x4C, 0x24, 0xF8, 0x0F, 0xFD, 0x4C, 0x24,
            0xF8, 0x48, 0x0F, 0x7E, 0xC8, 0x0F, 0xD7, 0xD1, 0x0F, 0x77,
        ]) { $0.cpu[general: 1] = 0x8899_1273 }
    }

    @Test func hiddenInstructionsAreWhatTheyWere() throws {
        // mov eax, 0; tzcnt edx, ecx: BSF on a processor without BMI, which leaves EDX.
        for model in ["qemu64", "max"] {
            let machine = try TranslatedMachine([0xBA, 99, 0, 0, 0, 0xF3, 0x0F, 0xBC, 0xD1], model: model)
            machine.run()
            #expect(machine.cpu[general: 2] == (model == "max" ? 32 : 99))
        }
    }
}
