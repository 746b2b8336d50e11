// SPDX-License-Identifier: Apache-2.0

import Testing
import X86CPU

@Suite struct DivisionTests {
    struct Case: Sendable {
        var code: [UInt8]
        var rax: UInt64
        var rdx: UInt64
        var rcx: UInt64
        /// nil: #DE.
        var result: [UInt64]?
    }

    static let cases: [Case] = [
        // div rcx
        Case(code: [0x48, 0xF7, 0xF1], rax: 100, rdx: 0, rcx: 7, result: [14, 2]),
        Case(code: [0x48, 0xF7, 0xF1], rax: 1, rdx: 1, rcx: 2, result: [1 << 63, 1]),
        Case(code: [0x48, 0xF7, 0xF1], rax: 0, rdx: 2, rcx: 2, result: nil),
        Case(code: [0x48, 0xF7, 0xF1], rax: 5, rdx: 0, rcx: 0, result: nil),
        // div ecx
        Case(code: [0xF7, 0xF1], rax: 0xFFFF_FFFF, rdx: 1, rcx: 2, result: [0xFFFF_FFFF, 1]),
        // div cl: AX by CL, quotient in AL, remainder in AH
        Case(code: [0xF6, 0xF1], rax: 0x1234_0064, rdx: 9, rcx: 7, result: [0x1234_020E, 9]),
        Case(code: [0xF6, 0xF1], rax: 0x0800, rdx: 0, rcx: 8, result: nil),
        // idiv rcx
        Case(
            code: [0x48, 0xF7, 0xF9], rax: UInt64(bitPattern: -100), rdx: .max, rcx: 7,
            result: [UInt64(bitPattern: -14), UInt64(bitPattern: -2)]),
        Case(
            code: [0x48, 0xF7, 0xF9], rax: 100, rdx: 0, rcx: UInt64(bitPattern: -7),
            result: [UInt64(bitPattern: -14), 2]),
        Case(code: [0x48, 0xF7, 0xF9], rax: 1 << 63, rdx: .max, rcx: .max, result: nil),
        Case(code: [0x48, 0xF7, 0xF9], rax: 1 << 63, rdx: .max, rcx: 1, result: [1 << 63, 0]),
        // idiv ecx: -2^31 / 1
        Case(code: [0xF7, 0xF9], rax: 0x8000_0000, rdx: 0xFFFF_FFFF, rcx: 1, result: [0x8000_0000, 0]),
        Case(code: [0xF7, 0xF9], rax: 0x8000_0000, rdx: 0xFFFF_FFFF, rcx: 0xFFFF_FFFF, result: nil),
        // idiv cl: -128 / -1 does not fit
        Case(code: [0xF6, 0xF9], rax: 0xFF80, rdx: 0, rcx: 0xFF, result: nil),
        Case(code: [0xF6, 0xF9], rax: 0xFF80, rdx: 0, rcx: 1, result: [0x0080, 0]),
    ]

    @Test(arguments: cases) func divides(_ test: Case) throws {
        let machine = try FlatMachine(test.code)
        machine.cpu[general: 0] = test.rax
        machine.cpu[general: 2] = test.rdx
        machine.cpu[general: 1] = test.rcx
        let stop = machine.run()
        if let result = test.result {
            #expect(stop == .halted)
            #expect([machine.cpu[general: 0], machine.cpu[general: 2]] == result)
        } else {
            #expect(stop == .fault(vector: 0, code: nil))
            #expect(machine.cpu.instructionPointer == FlatMachine.origin)
            #expect([machine.cpu[general: 0], machine.cpu[general: 2]] == [test.rax, test.rdx])
        }
    }
}
