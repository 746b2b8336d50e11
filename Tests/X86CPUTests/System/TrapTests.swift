// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import Testing
import X86CPU

/// Traps and interrupts in the middle of things.
@Suite struct TrapTests {
    private static let resumeFlag: UInt64 = 1 << 16

    @Test func interruptedStringSavesResumeFlag() throws {
        let machine = try SystemMachine()
        // Single steps of REP STOSB: mov edi, 0x5000; mov ecx, 4; rep stosb
        try machine.memory.write(
            [0xBF, 0x00, 0x50, 0, 0, 0xB9, 4, 0, 0, 0, 0xF3, 0xAA, 0xF4], at: SystemMachine.code)
        machine.set {
            $0.rip = SystemMachine.code + 10
            $0.general[7] = 0x5000
            $0.general[1] = 2
            $0.rflags = 0x102
        }
        _ = machine.cpu.runUntilIdle(limit: 1)
        var frame = try #require(try machine.frame())
        #expect(frame.vector == 1 && frame.rip == SystemMachine.code + 10 && frame.flags & Self.resumeFlag != 0)
        machine.set {
            $0.rip = SystemMachine.code + 10
            $0.rflags = 0x102
        }
        _ = machine.cpu.runUntilIdle(limit: 1)
        frame = try #require(try machine.frame())
        #expect(frame.vector == 1 && frame.rip == SystemMachine.code + 12 && frame.flags & Self.resumeFlag == 0)
    }

    /// A push of a near call faults before its target does, as on AMD's processors.
    @Test func callPushesFirst() throws {
        let machine = try SystemMachine()
        try machine.setGate(14, to: SystemMachine.handlers + 14 * 16, stack: 1)
        machine.set {
            $0.general[4] = 0x60_0000
            $0.general[0] = 1 << 63
        }
        try machine.run([0xFF, 0xD0])
        #expect(try machine.frame()?.vector == 14)
        machine.set { $0.general[4] = SystemMachine.kernelStack }
        try machine.run([0xFF, 0xD0])
        #expect(try machine.frame()?.vector == 13)
    }

    @Test func twoNonMaskableInterruptsStayTwo() throws {
        let machine = try SystemMachine()
        // The handler counts in memory and returns: inc dword [0x6000]; iretq
        let handler = SystemMachine.handlers + 2 * 16
        try machine.memory.write([0xFF, 0x04, 0x25, 0x00, 0x60, 0, 0, 0x48, 0xCF], at: handler)
        machine.cpu.raiseNonMaskableInterrupt()
        machine.cpu.raiseNonMaskableInterrupt()
        machine.cpu.raiseNonMaskableInterrupt()
        try machine.run([0x90, 0x90])
        while machine.cpu.runUntilIdle() != nil {}
        #expect(try machine.memory.load(UInt32.self, at: 0x6000) == 2)
    }

    @Test func lockedOverAPageBoundary() throws {
        let machine = try SystemMachine()
        try machine.memory.store(UInt64(0xFFFF_FFFF), at: 0x6FFC)
        // lock inc qword [0x6ffc]
        try machine.run([0xF0, 0x48, 0xFF, 0x04, 0x25, 0xFC, 0x6F, 0, 0])
        #expect(try machine.memory.load(UInt64.self, at: 0x6FFC) == 1 << 32)
    }

    @Test func stackSegmentWithItsPointerCastsNoShadow() throws {
        let machine = try SystemMachine(isLong: false)
        try machine.memory.store(UInt32(0x2000), at: 0x6000)
        try machine.memory.store(Selector.data, at: 0x6004)
        // lss esp, [0x6000]; nop, with TF: the trap comes straight after LSS.
        try machine.memory.write([0x0F, 0xB2, 0x25, 0x00, 0x60, 0, 0, 0x90, 0xF4], at: SystemMachine.code)
        machine.set {
            $0.rip = SystemMachine.code
            $0.rflags = 0x102
        }
        _ = machine.cpu.runUntilIdle(limit: 10)
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 1 && frame.rip == SystemMachine.code + 7)
    }

    @Test func taskSwitchDropsLocalBreakpoints() throws {
        let machine = try SystemMachine(isLong: false)
        let task = SystemMachine.secondTask
        for (offset, value): (UInt64, UInt32) in [
            (0x20, 0x4000), (0x24, 2), (0x38, 0x2_0000), (0x4C, UInt32(Selector.code)), (0x50, UInt32(Selector.data)),
            (0x48, UInt32(Selector.data)), (0x54, UInt32(Selector.data)),
        ] {
            try machine.memory.store(value, at: task + offset)
        }
        try machine.memory.write([0x0F, 0x21, 0xF8, 0xF4], at: 0x4000)  // mov eax, dr7; hlt
        // mov eax, 0x703; mov dr7, eax; ljmp task
        let selector = UInt8(truncatingIfNeeded: Selector.secondTask)
        try machine.run([0xB8, 0x03, 0x07, 0, 0, 0x0F, 0x23, 0xF8, 0xEA, 0, 0, 0, 0, selector, 0])
        #expect(machine.cpu.registers.rip == 0x4004 && machine.cpu.registers.general[0] == 0x602)
    }
}

/// V86 mode with CR4.VME.
@Suite struct VirtualModeTests {
    private static let virtualInterrupt: UInt64 = 1 << 19, pending: UInt64 = 1 << 20

    /// 8086 code at 0x1_0000 with IOPL 0.
    private func run(_ code: [UInt8], flags: UInt64 = 0, redirection: [Int] = []) throws -> SystemMachine {
        let machine = try SystemMachine(isLong: false)
        try machine.memory.write(code + [0x0F, 0x0B], at: 0x1_0000)
        // The handler of INT 40 in the program's own table: mov ax, 0x77; iret
        try machine.memory.store(UInt32(0x1000_0100), at: 0x40 * 4)
        try machine.memory.write([0xB8, 0x77, 0x00, 0xCF], at: 0x1_0100)
        // The map of ports 32 bytes behind the TSS, after that of interrupts: a set bit keeps one from the program.
        try machine.memory.store(UInt16(0x68 + 32), at: SystemMachine.task + 0x66)
        for vector in redirection {
            try machine.memory.store(UInt8(1 << (vector & 7)), at: SystemMachine.task + 0x68 + UInt64(vector / 8))
        }
        machine.set {
            $0.cr4 |= 1
            $0.rflags = 0x2_0002 | flags
            let segment = X86Segment(selector: 0x1000, base: 0x1_0000, limit: 0xFFFF, attributes: 0xF3)
            $0.cs = segment
            $0.ss = segment
            $0.ds = segment
            $0.es = segment
            $0.general[4] = 0x8000
            $0.rip = 0
        }
        _ = machine.cpu.runUntilIdle(limit: 100)
        return machine
    }

    @Test func flagOfItsOwn() throws {
        let set = try #require(try run([0xFB]).frame())
        #expect(set.vector == 6 && set.flags & Self.virtualInterrupt != 0 && set.flags & 0x200 == 0)
        let clear = try #require(try run([0xFA], flags: Self.virtualInterrupt).frame())
        #expect(clear.vector == 6 && clear.flags & Self.virtualInterrupt == 0)
        #expect(try run([0xFB], flags: Self.pending).frame()?.vector == 13)
        // pushf; pop ax shows IF and IOPL 3
        let shown = try run([0x9C, 0x58], flags: Self.virtualInterrupt)
        #expect(shown.cpu.registers.general[0] & 0x3200 == 0x3200)
        // push 0x202; popf with an interrupt pending
        #expect(try run([0x68, 0x02, 0x02, 0x9D], flags: Self.pending).frame()?.vector == 13)
    }

    @Test func ownInterruptTable() throws {
        let machine = try run([0xCD, 0x40])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 6 && frame.rip == 2 && machine.cpu.registers.general[0] & 0xFFFF == 0x77)
        #expect(try run([0xCD, 0x40], redirection: [0x40]).frame()?.vector == 13)
    }
}
