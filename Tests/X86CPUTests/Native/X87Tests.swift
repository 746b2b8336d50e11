// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct X87Tests {
    private func machine(_ code: [UInt8]) throws -> FlatMachine {
        let machine = try FlatMachine(code)
        machine.cpu.enableVectors()
        machine.cpu[general: 3] = 0x5000
        return machine
    }

    @Test func multipliesWithEightyBits() throws {
        // fninit; fldpi; fldpi; fmulp; fstp tbyte [rbx]
        let machine = try machine([0xDB, 0xE3, 0xD9, 0xEB, 0xD9, 0xEB, 0xDE, 0xC9, 0xDB, 0x3B])
        #expect(machine.run() == .halted)
        // pi squared to 64 bits of mantissa.
        #expect(try machine.memory.load(UInt64.self, at: 0x5000) == 0x9DE9_E64D_F22E_F2D3)
        #expect(try machine.memory.load(UInt16.self, at: 0x5008) == 0x4002)
        #expect(machine.cpu.fxsaveImage[4] == 0)
    }

    @Test func reportsAnUnmaskedExceptionAtTheNextInstruction() throws {
        // fninit; fldcw [rbx]; fldz; fld1; fdiv st0, st1; fnstsw ax; fwait
        let machine = try machine([
            0xDB, 0xE3, 0xD9, 0x2B, 0xD9, 0xEE, 0xD9, 0xE8, 0xD8, 0xF1, 0xDF, 0xE0, 0x9B,
        ])
        try machine.memory.store(UInt16(0x37B), at: 0x5000)
        #expect(machine.run() == .fault(vector: 16, code: nil))
        #expect(machine.cpu.instructionPointer == FlatMachine.origin + 12)
        #expect(machine.cpu[general: 0] & 0xFFFF == 0xB084)
        // fnclex; fwait
        try machine.load([0xDB, 0xE2, 0x9B, 0xF4])
        #expect(machine.run() == .halted)
        #expect(machine.cpu.fxsaveImage[2] == 0)
    }

    @Test func withholdsTheStoreOfAnUnmaskedOverflow() throws {
        // fninit; fldcw [rbx]; fld tbyte [rbx+16]; fst dword [rbx+8]
        let machine = try machine([0xDB, 0xE3, 0xD9, 0x2B, 0xDB, 0x6B, 0x10, 0xD9, 0x53, 0x08])
        try machine.memory.store(UInt16(0x377), at: 0x5000)
        try machine.memory.store(UInt32(0x1234), at: 0x5008)
        try machine.memory.store(UInt64(1) << 63, at: 0x5010)
        try machine.memory.store(UInt16(0x7000), at: 0x5018)
        #expect(machine.run() == .halted)
        #expect(try machine.memory.load(UInt32.self, at: 0x5008) == 0x1234)
        #expect(machine.cpu.fxsaveImage[2] & 0x88 == 0x88)
    }

    @Test func comparesIntoFlagsAndMovesByThem() throws {
        // fninit; fld1; fldz; fcomi st0, st1; fcmovb st0, st1; fistp word [rbx]
        let machine = try machine([
            0xDB, 0xE3, 0xD9, 0xE8, 0xD9, 0xEE, 0xDB, 0xF1, 0xDA, 0xC1, 0xDF, 0x1B,
        ])
        #expect(machine.run() == .halted)
        #expect(machine.cpu.flagsImage & 0x8D5 == 1)
        #expect(try machine.memory.load(UInt16.self, at: 0x5000) == 1)
    }

    @Test func savesAndRestoresTheEnvironment() throws {
        // fninit; fld1; fldz; fnsave [rbx]; frstor [rbx]
        let machine = try machine([0xDB, 0xE3, 0xD9, 0xE8, 0xD9, 0xEE, 0xDD, 0x33, 0xDD, 0x23])
        #expect(machine.run() == .halted)
        #expect(try machine.memory.load(UInt32.self, at: 0x5000) == 0xFFFF_037F)
        #expect(try machine.memory.load(UInt32.self, at: 0x5004) == 0xFFFF_3000)
        // Physical register 6 is zero, 7 valid, the rest empty.
        #expect(try machine.memory.load(UInt32.self, at: 0x5008) == 0xFFFF_1FFF)
        let image = machine.cpu.fxsaveImage
        #expect(image[4] == 0xC0 && image[3] == 0x30)
        #expect(image[57] == 0x3F && image[55] == 0x80)
    }

    @Test func reservedFormsAreUndefined() throws {
        for code in [[0xD9, 0xD1], [0xDB, 0xE5], [0xDE, 0xD8], [0xD9, 0x08], [0xDF, 0xE1]] as [[UInt8]] {
            #expect(try machine(code).run() == .fault(vector: 6, code: nil))
        }
    }

    @Test func saveAreasRoundTrip() throws {
        // mov edx, 0; mov eax, 7; xsave [rbx]; xrstor [rbx] with other contents between
        let machine = try machine([
            0xBA, 0, 0, 0, 0, 0xB8, 7, 0, 0, 0, 0x0F, 0xAE, 0x23,
        ])
        let pattern = SIMD4<UInt64>(1, 2, 3, 4)
        machine.cpu[vector: 5] = pattern
        machine.cpu.mxcsr = 0x1FBF
        #expect(machine.run() == .halted)
        #expect(try machine.memory.load(UInt64.self, at: 0x5200) & 2 == 2)
        #expect(try machine.memory.load(UInt64.self, at: 0x5000 + 160 + 80) == 1)
        machine.cpu[vector: 5] = .zero
        machine.cpu[vector: 6] = pattern
        machine.cpu.mxcsr = 0x1F80
        try machine.load([0x0F, 0xAE, 0x2B, 0xF4])
        #expect(machine.run() == .halted)
        #expect(machine.cpu[vector: 5] == (NativeSupport.hasAVX ? pattern : [1, 2, 0, 0]))
        #expect(machine.cpu[vector: 6] == (NativeSupport.hasAVX ? .zero : [0, 0, 3, 4]))
        #expect(machine.cpu.mxcsr == 0x1FBF)
        // A reserved bit of XSTATE_BV.
        try machine.memory.store(UInt64(1) << 62, at: 0x5200)
        machine.cpu.instructionPointer = FlatMachine.origin
        #expect(machine.run() == .fault(vector: 13, code: 0))
    }

    @Test func compactedAreaHasItsOwnLayout() throws {
        // mov edx, 0; mov eax, 6; xsavec [rbx]; xrstor [rbx]
        let machine = try machine([
            0xBA, 0, 0, 0, 0, 0xB8, 6, 0, 0, 0, 0x0F, 0xC7, 0x23, 0x0F, 0xAE, 0x2B,
        ])
        machine.cpu[vector: 15] = [1, 2, 3, 4]
        #expect(machine.run() == .halted)
        let components: UInt64 = NativeSupport.hasAVX ? 6 : 2
        #expect(try machine.memory.load(UInt64.self, at: 0x5208) == 1 << 63 | components)
        #expect(try machine.memory.load(UInt64.self, at: 0x5200) == components)
        #expect(machine.cpu[vector: 15] == [1, 2, 3, 4])
    }
}
