// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

/// What only 16- and 32-bit code has.
@Suite struct LegacyModeTests {
    struct Adjustment: Sendable {
        var code: [UInt8]
        var ax: UInt64
        var flags: UInt64
        var result: UInt64
        /// CF and AF after it.
        var carries: UInt64
    }

    static let adjustments: [Adjustment] = [
        Adjustment(code: [0x27], ax: 0x0F, flags: 0, result: 0x15, carries: 0x10),
        Adjustment(code: [0x27], ax: 0x9A, flags: 0, result: 0x00, carries: 0x11),
        Adjustment(code: [0x27], ax: 0x35, flags: 0x11, result: 0x9B, carries: 0x11),
        Adjustment(code: [0x2F], ax: 0x0F, flags: 0, result: 0x09, carries: 0x10),
        Adjustment(code: [0x2F], ax: 0xEE, flags: 0x01, result: 0x88, carries: 0x11),
        Adjustment(code: [0x37], ax: 0x010F, flags: 0, result: 0x0205, carries: 0x11),
        Adjustment(code: [0x37], ax: 0x0105, flags: 0, result: 0x0105, carries: 0),
        Adjustment(code: [0x3F], ax: 0x020F, flags: 0, result: 0x0109, carries: 0x11),
        Adjustment(code: [0xD4, 0x0A], ax: 0x0063, flags: 0, result: 0x0909, carries: 0),
        Adjustment(code: [0xD5, 0x0A], ax: 0x0909, flags: 0, result: 0x0063, carries: 0),
        Adjustment(code: [0xD6], ax: 0x1234, flags: 1, result: 0x12FF, carries: 1),
    ]

    @Test(arguments: adjustments) func decimalAdjust(_ test: Adjustment) throws {
        let machine = try FlatMachine(bits: 32, test.code)
        machine.cpu[general: 0] = test.ax
        machine.cpu.flagsImage = test.flags | 2
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == test.result)
        #expect(machine.cpu.flagsImage & 0x11 == test.carries)
    }

    @Test func aamByZeroDivides() throws {
        #expect(try FlatMachine(bits: 32, [0xD4, 0x00]).run() == .fault(vector: 0, code: nil))
    }

    @Test func decimalIsUndefinedIn64BitCode() throws {
        for code: [UInt8] in [[0x27], [0x37], [0xD4, 0x0A], [0x60], [0x62, 0x00], [0xD6]] {
            #expect(try FlatMachine(code).run() == .fault(vector: 6, code: nil))
        }
    }

    @Test func pushAllAndPopAll() throws {
        // pusha; zero some; popa
        let machine = try FlatMachine(bits: 32, [0x60, 0x31, 0xC0, 0x31, 0xFF, 0x61])
        for register in [0, 1, 2, 3, 5, 6, 7] { machine.cpu[general: register] = 0x1111 * UInt64(register + 1) }
        #expect(machine.run() == .halted)
        for register in [0, 1, 2, 3, 5, 6, 7] {
            #expect(machine.cpu[general: register] == 0x1111 * UInt64(register + 1))
        }
        #expect(machine.cpu[general: 4] == FlatMachine.stackTop)
        #expect(try machine.memory.load(UInt32.self, at: FlatMachine.stackTop - 20) == UInt32(FlatMachine.stackTop))
    }

    @Test(arguments: [(5, nil), (-1, 5), (11, 5)] as [(Int32, UInt8?)])
    func boundChecks(index: Int32, vector: UInt8?) throws {
        // bound eax, [0x5000]
        let machine = try FlatMachine(bits: 32, [0x62, 0x05, 0x00, 0x50, 0x00, 0x00])
        try machine.memory.store(UInt32(0), at: 0x5000)
        try machine.memory.store(UInt32(10), at: 0x5004)
        machine.cpu[general: 0] = UInt64(UInt32(bitPattern: index))
        #expect(machine.run() == (vector.map { .fault(vector: $0, code: nil) } ?? .halted))
    }

    @Test func realModeSegmentsAndWrap() throws {
        // mov al, [bx+si] with DS at 0x2000 and the sum past 64 KiB
        let machine = try FlatMachine(bits: 16, [0x8A, 0x00])
        machine.cpu.setSegment(3, base: 0x2_0000, limit: 0xFFFF)
        machine.cpu[general: 3] = 0xFFF0
        machine.cpu[general: 6] = 0x0020
        try machine.memory.write([0x99], at: 0x2_0010)
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 0x99)
    }

    @Test func bpAddressesTheStackSegment() throws {
        // mov al, [bp+2]
        let machine = try FlatMachine(bits: 16, [0x8A, 0x46, 0x02])
        machine.cpu.setSegment(2, base: 0x3_0000, limit: 0xFFFF)
        machine.cpu[general: 5] = 0x100
        try machine.memory.write([0x42], at: 0x3_0102)
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 0x42)
    }

    @Test func limitsRaiseByTheirSegment() throws {
        // mov ax, [0xFFFF]: one byte over the limit
        #expect(try FlatMachine(bits: 16, [0xA1, 0xFF, 0xFF]).run() == .fault(vector: 13, code: 0))
        let stack = try FlatMachine(bits: 16, [0x8B, 0x46, 0x00])
        stack.cpu[general: 5] = 0xFFFF
        #expect(stack.run() == .fault(vector: 12, code: 0))
    }

    @Test func codeBeyondTheLimitFaults() throws {
        let machine = try FlatMachine(bits: 32)
        machine.cpu.setSegment(1, base: 0, limit: 0x1003)
        // add eax, 1 twice: the second ends past the limit
        try machine.load([0x83, 0xC0, 0x01, 0x83, 0xC0, 0x01])
        #expect(machine.run() == .fault(vector: 13, code: 0))
        #expect(machine.cpu[general: 0] == 1)
        #expect(machine.cpu.instructionPointer == FlatMachine.origin + 3)
    }

    @Test func jumpBeyondTheLimitFaultsAtTheJump() throws {
        let machine = try FlatMachine(bits: 32)
        machine.cpu.setSegment(1, base: 0, limit: 0x1FFF)
        try machine.load([0x90, 0xE9, 0x00, 0x10, 0x00, 0x00])
        #expect(machine.run() == .fault(vector: 13, code: 0))
        #expect(machine.cpu.instructionPointer == FlatMachine.origin + 1)
    }

    @Test func sixteenBitStackInRealMode() throws {
        // push ax with SP = 0 wraps to FFFE; the rest of ESP stays
        let machine = try FlatMachine(bits: 16, [0x50])
        machine.cpu[general: 0] = 0xBEEF
        machine.cpu[general: 4] = 0x1234_0000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 4] == 0x1234_FFFE)
        #expect(try machine.memory.load(UInt16.self, at: 0xFFFE) == 0xBEEF)
    }
}
