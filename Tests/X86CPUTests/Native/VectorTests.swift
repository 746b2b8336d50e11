// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct VectorTests {
    private func machine(_ code: [UInt8], bits: Int = 64) throws -> FlatMachine {
        let machine = try FlatMachine(bits: bits, code)
        machine.cpu.enableVectors()
        return machine
    }

    @Test func addsPackedSingles() throws {
        // addps xmm1, xmm2
        let machine = try machine([0x0F, 0x58, 0xCA])
        let one = UInt64(Float(1).bitPattern), half = UInt64(Float(0.5).bitPattern)
        machine.cpu[vector: 1] = [one | one << 32, one, 7, 8]
        machine.cpu[vector: 2] = [half | one << 32, half << 32, 0, 0]
        #expect(machine.run() == .halted)
        let sum = UInt64(Float(1.5).bitPattern), two = UInt64(Float(2).bitPattern)
        #expect(machine.cpu[vector: 1] == [sum | two << 32, one | half << 32, 7, 8])
        #expect(machine.cpu.mxcsr == 0x1F80)
    }

    @Test func notesTheInexactFlagAndRaisesTheUnmaskedOne() throws {
        // divsd xmm0, xmm1
        let machine = try machine([0xF2, 0x0F, 0x5E, 0xC1])
        machine.cpu[vector: 0] = [Double(1).bitPattern, 0, 0, 0]
        machine.cpu[vector: 1] = [Double(3).bitPattern, 0, 0, 0]
        #expect(machine.run() == .halted)
        #expect(machine.cpu[vector: 0][0] == (1.0 / 3).bitPattern)
        #expect(machine.cpu.mxcsr == 0x1FA0)

        // Zero divide unmasked: nothing is written.
        try machine.load([0xF2, 0x0F, 0x5E, 0xC1, 0xF4])
        machine.cpu.mxcsr = 0x1D80
        machine.cpu[vector: 1] = .zero
        machine.cpu[vector: 0] = [Double(1).bitPattern, 0, 0, 0]
        #expect(machine.run() == .fault(vector: 19, code: nil))
        #expect(machine.cpu.mxcsr == 0x1D84)
        #expect(machine.cpu[vector: 0][0] == Double(1).bitPattern)
        machine.cpu.controlRegisters.cr4 &= ~0x400
        #expect(machine.run() == .fault(vector: 6, code: nil))
    }

    @Test func readsAlignedMemoryOnly() throws {
        // paddd xmm3, [rbx]
        let machine = try machine([0x66, 0x0F, 0xFE, 0x1B])
        try machine.memory.write([UInt8](1...16), at: 0x5000)
        machine.cpu[general: 3] = 0x5000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[vector: 3][0] == 0x0807_0605_0403_0201)
        machine.cpu[general: 3] = 0x5008
        machine.cpu.instructionPointer = FlatMachine.origin
        #expect(machine.run() == .fault(vector: 13, code: 0))
    }

    @Test func comparesIntoFlags() throws {
        // ucomisd xmm0, xmm1
        let machine = try machine([0x66, 0x0F, 0x2E, 0xC1])
        machine.cpu[vector: 1] = [Double(1).bitPattern, 0, 0, 0]
        machine.cpu.flagsImage = 0x8D7
        #expect(machine.run() == .halted)
        #expect(machine.cpu.flagsImage & 0x8D5 == 1)
    }

    @Test func movesBetweenFiles() throws {
        // movq xmm9, rax; pextrw ecx, xmm9, 1; pmovmskb edx, xmm9; movd [rbx], xmm9
        let machine = try machine([
            0x66, 0x4C, 0x0F, 0x6E, 0xC8, 0x66, 0x41, 0x0F, 0xC5, 0xC9, 0x01, 0x66, 0x41, 0x0F, 0xD7, 0xD1, 0x66, 0x44,
            0x0F, 0x7E, 0x0B,
        ])
        machine.cpu[general: 0] = 0x8000_0000_1234_80FF
        machine.cpu[general: 1] = .max
        machine.cpu[general: 3] = 0x5000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 1] == 0x1234)
        #expect(machine.cpu[general: 2] == 0x83)
        #expect(try machine.memory.load(UInt32.self, at: 0x5000) == 0x1234_80FF)
    }

    @Test func needsTheSystemsConsent() throws {
        // xorps xmm0, xmm0
        let machine = try machine([0x0F, 0x57, 0xC0])
        machine.cpu.controlRegisters.cr0 |= 8
        #expect(machine.run() == .fault(vector: 7, code: nil))
        machine.cpu.controlRegisters.cr0 |= 4
        #expect(machine.run() == .fault(vector: 6, code: nil))
        machine.cpu.controlRegisters = (cr0: 0x31, cr4: 0)
        #expect(machine.run() == .fault(vector: 6, code: nil))
    }

    @Test(.enabled(if: NativeSupport.hasAVX2, "the host has no AVX2")) func vexClearsWhatItDoesNotWrite() throws {
        // vpaddd xmm1, xmm2, xmm3; vpaddd ymm4, ymm2, ymm3
        let code: [UInt8] = [0xC5, 0xE9, 0xFE, 0xCB, 0xC5, 0xED, 0xFE, 0xE3]
        let machine = try machine(code)
        machine.cpu[vector: 1] = [9, 9, 9, 9]
        machine.cpu[vector: 2] = [1, 2, 3, 4]
        machine.cpu[vector: 3] = [10, 20, 30, 40]
        #expect(machine.run() == .halted)
        #expect(machine.cpu[vector: 1] == [11, 22, 0, 0])
        #expect(machine.cpu[vector: 4] == [11, 22, 33, 44])
        machine.cpu.instructionPointer = FlatMachine.origin
        machine.cpu.vectorComponents = 3
        #expect(machine.run() == .fault(vector: 6, code: nil))
    }

    @Test func mmxMakesTheStackValid() throws {
        // fninit; fld1; movq mm3, [rbx]; paddb mm3, mm3; emms
        let machine = try machine([0xDB, 0xE3, 0xD9, 0xE8, 0x0F, 0x6F, 0x1B, 0x0F, 0xFC, 0xDB])
        try machine.memory.store(UInt64(0x0102_0304_0506_0708), at: 0x5000)
        machine.cpu[general: 3] = 0x5000
        #expect(machine.run() == .halted)
        let image = machine.cpu.fxsaveImage
        #expect(image[4] == 0xFF && image[3] & 0x38 == 0)
        #expect([UInt8](image[80..<90]) == [0x10, 0x0E, 0x0C, 0x0A, 8, 6, 4, 2, 0xFF, 0xFF])
        try machine.load([0x0F, 0x77, 0xF4])
        #expect(machine.run() == .halted)
        #expect(machine.cpu.fxsaveImage[4] == 0)
    }
}
