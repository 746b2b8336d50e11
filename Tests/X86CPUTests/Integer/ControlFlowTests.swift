// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct ControlFlowTests {
    @Test func callAndReturn() throws {
        // call +1; hlt; add eax, 5; ret
        let machine = try FlatMachine([0xE8, 0x01, 0x00, 0x00, 0x00, 0xF4, 0x83, 0xC0, 0x05, 0xC3])
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 5)
        #expect(machine.cpu[general: 4] == FlatMachine.stackTop)
        #expect(try machine.memory.load(UInt64.self, at: FlatMachine.stackTop - 8) == FlatMachine.origin + 5)
    }

    @Test func returnReleasesBytes() throws {
        // push 0x1007 (sign-extended imm32); ret 8: to 0x1008
        let machine = try FlatMachine([0x68, 0x08, 0x10, 0x00, 0x00, 0xC2, 0x08, 0x00])
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 4] == FlatMachine.stackTop + 8)
    }

    @Test(
        arguments: [
            ([0xFF, 0xE0], "jmp rax"), ([0xFF, 0xD0], "call rax"), ([0x50, 0xC3], "push rax; ret"),
        ] as [([UInt8], String)])
    func nonCanonicalTarget(code: [UInt8], why: String) throws {
        let machine = try FlatMachine(code)
        machine.cpu[general: 0] = 0x0000_8000_0000_0000
        #expect(machine.run() == .fault(vector: 13, code: 0), "\(why)")
        #expect(
            machine.cpu.instructionPointer == FlatMachine.origin + UInt64(code.count == 2 && code[0] == 0x50 ? 1 : 0))
    }

    @Test(
        arguments: [
            // push rax with RSP non-canonical; mov rax, [rsp]; mov rax, [rbp]; mov rax, [rbx]; pop [rbx]
            ([0x50], 12), ([0x48, 0x8B, 0x04, 0x24], 12), ([0x48, 0x8B, 0x45, 0x00], 12), ([0x48, 0x8B, 0x03], 13),
            ([0x48, 0x8B, 0x04, 0x2B], 13), ([0xE8, 0, 0, 0, 0], 12), ([0xC9], 12),
        ] as [([UInt8], UInt8)])
    func nonCanonicalAccess(code: [UInt8], vector: UInt8) throws {
        let machine = try FlatMachine(code)
        for register in [3, 4, 5] { machine.cpu[general: register] = 0x0123_0000_0000_0000 }
        #expect(machine.run() == .fault(vector: vector, code: 0))
        #expect(machine.cpu[general: 4] == 0x0123_0000_0000_0000)
    }

    @Test(
        arguments: [(0xE2, 0, 5), (0xE1, 0x40, 5), (0xE1, 0, 1), (0xE0, 0, 5), (0xE0, 0x40, 1)]
            as [(UInt8, UInt64, UInt64)])
    func loops(opcode: UInt8, flags: UInt64, iterations: UInt64) throws {
        // lea rax, [rax+1] keeps flags; loop to it
        let machine = try FlatMachine([0x48, 0x8D, 0x40, 0x01, opcode, 0xFA])
        machine.cpu[general: 1] = 5
        machine.cpu.flagsImage = flags | 2
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == iterations)
        #expect(machine.cpu[general: 1] == 5 - iterations)
    }

    @Test func jumpIfCounterIsZeroByAddressSize() throws {
        // jecxz over add
        let machine = try FlatMachine([0x67, 0xE3, 0x03, 0x83, 0xC0, 0x01])
        machine.cpu[general: 1] = 0xFFFF_FFFF_0000_0000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 0)
    }

    @Test func backwardLoopRunsToItsEnd() throws {
        // add eax, ecx; dec ecx; jnz -6
        let machine = try FlatMachine([0x01, 0xC8, 0xFF, 0xC9, 0x75, 0xFA])
        machine.cpu[general: 1] = 1000
        #expect(machine.run(limit: 1_000_000) == .halted)
        #expect(machine.cpu[general: 0] == 500_500)
        // 3000 of the loop and HLT.
        #expect(machine.cpu.retiredCount == 3001)
    }

    @Test func popIntoMemoryUsesTheStackPointerAfterThePop() throws {
        // push 7; pop qword [rsp+8]
        let machine = try FlatMachine([0x6A, 0x07, 0x8F, 0x44, 0x24, 0x08])
        #expect(machine.run() == .halted)
        #expect(try machine.memory.load(UInt64.self, at: FlatMachine.stackTop + 8) == 7)
        #expect(machine.cpu[general: 4] == FlatMachine.stackTop)
    }

    @Test func enterWithNesting() throws {
        // enter 32, 2; leave
        let machine = try FlatMachine([0xC8, 0x20, 0x00, 0x02])
        machine.cpu[general: 5] = FlatMachine.stackTop + 0x100
        try machine.memory.store(0xCAFE as UInt64, at: FlatMachine.stackTop + 0xF8)
        #expect(machine.run() == .halted)
        let frame = FlatMachine.stackTop - 8
        #expect(machine.cpu[general: 5] == frame)
        #expect(machine.cpu[general: 4] == frame - 16 - 32)
        #expect(try machine.memory.load(UInt64.self, at: frame) == FlatMachine.stackTop + 0x100)
        #expect(try machine.memory.load(UInt64.self, at: frame - 8) == 0xCAFE)
        #expect(try machine.memory.load(UInt64.self, at: frame - 16) == frame)
    }

    @Test func compareExchange16Bytes() throws {
        // lock cmpxchg16b [rsi]
        let code: [UInt8] = [0xF0, 0x48, 0x0F, 0xC7, 0x0E]
        let machine = try FlatMachine(code + [0xF4] + code)
        machine.cpu[general: 6] = 0x5000
        machine.cpu[general: 3] = 11
        machine.cpu[general: 1] = 22
        #expect(machine.run() == .halted)
        #expect(machine.cpu.flagsImage & 0x40 != 0)
        #expect(try machine.memory.load(UInt64.self, at: 0x5000) == 11)
        #expect(try machine.memory.load(UInt64.self, at: 0x5008) == 22)
        #expect(machine.run() == .halted)
        #expect(machine.cpu.flagsImage & 0x40 == 0)
        #expect([machine.cpu[general: 0], machine.cpu[general: 2]] == [11, 22])
        let unaligned = try FlatMachine(code)
        unaligned.cpu[general: 6] = 0x5008
        #expect(unaligned.run() == .fault(vector: 13, code: 0))
    }

    @Test(arguments: [0x4FFD, 0x4FFF] as [UInt64]) func lockedAddAcrossPages(address: UInt64) throws {
        // lock add dword [rsi], eax
        let machine = try FlatMachine([0xF0, 0x01, 0x06])
        machine.cpu[general: 6] = address
        machine.cpu[general: 0] = 0x0101_0101
        try machine.memory.write([1, 2, 3, 4], at: address)
        #expect(machine.run() == .halted)
        #expect(try machine.memory.read(at: address, count: 4) == [2, 3, 4, 5])
    }

    @Test func bitStringsReachBelowAndAbove() throws {
        // bts [rsi], rax; btr dword [rsi], ecx
        let machine = try FlatMachine([0x48, 0x0F, 0xAB, 0x06, 0x0F, 0xB3, 0x0E])
        machine.cpu[general: 6] = 0x5000
        machine.cpu[general: 0] = UInt64(bitPattern: -1)
        machine.cpu[general: 1] = 100
        try machine.memory.store(UInt32.max, at: 0x500C)
        #expect(machine.run() == .halted)
        #expect(try machine.memory.load(UInt64.self, at: 0x4FF8) == 1 << 63)
        #expect(try machine.memory.load(UInt32.self, at: 0x500C) == ~(1 << 4))
        #expect(machine.cpu.flagsImage & 1 == 1)
    }
}
