// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct StringTests {
    static let rsi = 6, rdi = 7, rcx = 1, rax = 0

    private func machine(_ code: [UInt8], bits: Int = 64, rsi: UInt64, rdi: UInt64, rcx: UInt64) throws -> FlatMachine {
        let machine = try FlatMachine(bits: bits, code)
        machine.cpu[general: Self.rsi] = rsi
        machine.cpu[general: Self.rdi] = rdi
        machine.cpu[general: Self.rcx] = rcx
        return machine
    }

    @Test(arguments: [1, 100, 4096, 10_000] as [UInt64], [0x20_0000, 0x20_0FFF, 0x20_0123] as [UInt64])
    func repMovsCopies(count: UInt64, source: UInt64) throws {
        let machine = try machine([0xF3, 0xA4], rsi: source, rdi: 0x30_0777, rcx: count)
        let data = (0..<Int(count)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 3) }
        try machine.memory.write(data, at: source)
        #expect(machine.run() == .halted)
        #expect(try machine.memory.read(at: 0x30_0777, count: Int(count) + 1) == data + [0])
        #expect(machine.cpu[general: Self.rcx] == 0)
        #expect(machine.cpu[general: Self.rsi] == source + count)
        #expect(machine.cpu[general: Self.rdi] == 0x30_0777 + count)
    }

    /// A target just above the source repeats the bytes between them.
    @Test(arguments: [1, 3, 8]) func repMovsOverlaps(distance: UInt64) throws {
        let machine = try machine([0xF3, 0xA4], rsi: 0x20_0000, rdi: 0x20_0000 + distance, rcx: 9000)
        let pattern = (1...Int(distance)).map { UInt8($0) }
        try machine.memory.write(pattern, at: 0x20_0000)
        #expect(machine.run() == .halted)
        let all = try machine.memory.read(at: 0x20_0000, count: 9000)
        #expect(all.enumerated().allSatisfy { $0.element == pattern[$0.offset % Int(distance)] })
    }

    @Test func repMovsBackwards() throws {
        // std; rep movsw
        let machine = try machine([0xFD, 0xF3, 0x66, 0xA5], rsi: 0x20_0FFE, rdi: 0x20_1002, rcx: 2048)
        let data = (0..<4096).map { UInt8(truncatingIfNeeded: $0 / 3) }
        try machine.memory.write(data, at: 0x20_0000)
        #expect(machine.run() == .halted)
        #expect(try machine.memory.read(at: 0x20_0004, count: 4096) == data)
        #expect(machine.cpu[general: Self.rsi] == 0x1F_FFFE)
    }

    @Test(arguments: [(0xAA, [0x48]), (0xAB, []), (0xAB, [0x48]), (0xAB, [0x66])] as [(UInt8, [UInt8])])
    func repStosFills(opcode: UInt8, prefix: [UInt8]) throws {
        let size = opcode == 0xAA ? 1 : prefix == [0x48] ? 8 : prefix == [0x66] ? 2 : 4
        // 66 stands before F3, REX behind it.
        let code = prefix == [0x66] ? [0x66, 0xF3, opcode] : [0xF3] + prefix + [opcode]
        let machine = try machine(code, rsi: 0, rdi: 0x20_0FF9, rcx: 1000)
        machine.cpu[general: Self.rax] = 0x8877_6655_4433_2211
        #expect(machine.run() == .halted)
        let bytes = try machine.memory.read(at: 0x20_0FF9, count: 1000 * size)
        #expect(bytes.enumerated().allSatisfy { $0.element == UInt8(($0.offset % size + 1) * 0x11) })
        #expect(try machine.memory.load(UInt8.self, at: 0x20_0FF9 + UInt64(1000 * size)) == 0)
    }

    @Test func repneScasFindsTheEnd() throws {
        let machine = try machine([0xF2, 0xAE], rsi: 0, rdi: 0x20_0FF0, rcx: .max)
        try machine.memory.write([UInt8](repeating: 0x41, count: 1000), at: 0x20_0FF0)
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: Self.rdi] == 0x20_0FF0 + 1001)
        #expect(machine.cpu[general: Self.rcx] == UInt64.max - 1001)
        #expect(machine.cpu.flagsImage & 0x40 != 0)
    }

    @Test func repeCmpsStopsAtTheDifference() throws {
        let machine = try machine([0xF3, 0xA6], rsi: 0x20_0000, rdi: 0x20_2000, rcx: 100)
        try machine.memory.write([5], at: 0x20_0000 + 42)
        try machine.memory.write([6], at: 0x20_2000 + 42)
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: Self.rcx] == 57)
        #expect(machine.cpu.flagsImage & 0x41 == 1, "5 is below 6")
    }

    @Test func repWithCountZeroDoesNothing() throws {
        let machine = try machine([0xF3, 0xA6], rsi: 0x20_0000, rdi: 0x20_2000, rcx: 0)
        machine.cpu.flagsImage = 0x41 | 2
        #expect(machine.run() == .halted)
        #expect(machine.cpu.flagsImage & 0x8D5 == 0x41)
        #expect(machine.cpu[general: Self.rsi] == 0x20_0000)
    }

    /// One instruction at a time is one element at a time.
    @Test func singleStepsThroughRep() throws {
        let machine = try machine([0xF3, 0xA4], rsi: 0x20_0000, rdi: 0x20_1000, rcx: 3)
        for rest: UInt64 in [2, 1] {
            #expect(machine.cpu.execute(limit: 1) == .limit)
            #expect(machine.cpu[general: Self.rcx] == rest)
            #expect(machine.cpu.instructionPointer == FlatMachine.origin)
        }
        #expect(machine.cpu.execute(limit: 1) == .limit)
        #expect(machine.cpu.instructionPointer == FlatMachine.origin + 2)
    }

    @Test func addressSizeOverrideCountsIn32Bits() throws {
        // rep stosb with 67: ECX and EDI
        let machine = try machine(
            [0x67, 0xF3, 0xAA], rsi: 0, rdi: 0xFFFF_FFFF_0020_0000, rcx: 0xFFFF_FFFF_0000_0004)
        machine.cpu[general: Self.rax] = 0x5A
        #expect(machine.run() == .halted)
        #expect(try machine.memory.read(at: 0x20_0000, count: 5) == [0x5A, 0x5A, 0x5A, 0x5A, 0])
        #expect(machine.cpu[general: Self.rcx] == 0)
        #expect(machine.cpu[general: Self.rdi] == 0x20_0004)
    }

    @Test func sixteenBitIndicesWrap() throws {
        // rep stosb in real mode with DI at the end of the segment; ES is 0 here and the limit 64 KiB.
        let machine = try machine([0xF3, 0xAA], bits: 16, rsi: 0, rdi: 0xFFFE, rcx: 4)
        machine.cpu[general: Self.rax] = 0x77
        #expect(machine.run() == .halted)
        #expect(try machine.memory.read(at: 0xFFFE, count: 3) == [0x77, 0x77, 0])
        #expect(try machine.memory.read(at: 0, count: 3) == [0x77, 0x77, 0])
        #expect(machine.cpu[general: Self.rdi] == 2)
    }

    /// Lays a string over its own code: the new bytes count from the next instruction on.
    @Test func stosOverTheFollowingInstruction() throws {
        // stosb; inc eax (FF C0) whose second byte becomes C8: dec eax
        let machine = try machine([0xAA, 0xFF, 0xC0], rsi: 0, rdi: FlatMachine.origin + 2, rcx: 0)
        machine.cpu[general: Self.rax] = 0xC8
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: Self.rax] == 0xC7)
    }
}
