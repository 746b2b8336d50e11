// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import RandomKit
import Testing
import X86CPU
import X86Translator

/// SYSCALL and SYSRET as translated code does them, beside the interpreter.
@Suite struct TranslatedSystemCallTests {
    private static let kernel: UInt64 = 0x3000, user: UInt64 = 0x2000
    private static let kernelCode: UInt64 = 0x08, userBase: UInt64 = 0x18

    /// mov rcx, value (address or flags in another register by its opcode).
    private static func load(_ opcode: [UInt8], _ value: UInt64) -> [UInt8] {
        opcode + (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    }

    /// wrmsr
    private static func write(_ register: UInt32, _ value: UInt64) -> [UInt8] {
        let bytes: (UInt64) -> [UInt8] = { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) } }
        return [0xB9] + bytes(UInt64(register)) + [0xBA] + bytes(value >> 32) + [0xB8] + bytes(value) + [0x0F, 0x30]
    }

    private struct Case {
        var mask: UInt64 = 0x4_7FD5
        var flags: UInt64 = 0x202
        var target = TranslatedSystemCallTests.user
        var rounds: UInt64 = 2
    }

    /// The kernel goes to user code, which calls back `rounds` times.
    private func machine(_ test: Case, translates: Bool) throws -> TranslatedMachine {
        let star = Self.userBase << 48 | Self.kernelCode << 32
        let machine = try TranslatedMachine(
            Self.write(0xC000_0081, star) + Self.write(0xC000_0082, Self.kernel) + Self.write(0xC000_0084, test.mask)
                // mov rcx, target; mov r11, flags; sysretq
                + Self.load([0x48, 0xB9], test.target) + Self.load([0x49, 0xBB], test.flags) + [0x48, 0x0F, 0x07],
            translates: translates)
        // pushf; pop rbx; mov r12d, cs; mov r13d, ss; add rax, rbx; syscall; pushf; pop rsi; jmp to the start
        try machine.memory.write(
            [
                0x9C, 0x5B, 0x41, 0x8C, 0xCC, 0x41, 0x8C, 0xD5, 0x48, 0x01, 0xD8, 0x0F, 0x05, 0x9C, 0x5E, 0xEB,
                0xEF,
            ], at: Self.user)
        // pushf; pop rdx; mov r8, rcx; mov r9, r11; mov ebp, cs; mov edi, ss; dec r15; jz 1f; sysretq; 1: hlt
        try machine.memory.write(
            [
                0x9C, 0x5A, 0x49, 0x89, 0xC8, 0x4D, 0x89, 0xD9, 0x8C, 0xCD, 0x8C, 0xD7, 0x49, 0xFF, 0xCF, 0x74, 0x03,
                0x48, 0x0F, 0x07, 0xF4,
            ], at: Self.kernel)
        // All memory as it is, for user code too.
        let tables: UInt64 = 0x10_0000, rights: UInt64 = 7, large: UInt64 = 0x80
        for level in 0..<2 as Range<UInt64> {
            try machine.memory.store(tables + (level + 1) * 0x1000 | rights, at: tables + level * 0x1000)
        }
        for index in 0..<2 as Range<UInt64> {
            try machine.memory.store(index << 21 | rights | large, at: tables + 0x2000 + index * 8)
        }
        var registers = machine.cpu.registers
        registers.cr3 = tables
        registers.cr4 |= 0x20
        registers.cr0 |= 0x8000_0001
        registers.efer |= 0x501
        machine.cpu.registers = registers
        machine.cpu[general: 15] = test.rounds
        machine.cpu[general: 0] = 0x7FFF_FFFF_FFFF_FF00
        return machine
    }

    /// Past the exits by which the interpreter tells its loop of each call.
    private func finish(_ machine: TranslatedMachine) -> ExecutionStop {
        for _ in 0..<1000 {
            let stop = machine.run()
            if stop != .exit { return stop }
        }
        return .exit
    }

    private func expectAgreement(_ test: Case) throws {
        let translated = try machine(test, translates: true)
        let interpreted = try machine(test, translates: false)
        #expect(finish(translated) == finish(interpreted), "\(test)")
        let (a, b) = (translated.cpu.registers, interpreted.cpu.registers)
        #expect(a.general == b.general && a.rflags == b.rflags && a.rip == b.rip, "\(test)")
        for (x, y) in [(a.cs, b.cs), (a.ss, b.ss)] {
            #expect(x.selector == y.selector && x.base == y.base && x.limit == y.limit && x.attributes == y.attributes)
        }
    }

    @Test func flagsSelectorsAndAddressesAgree() throws {
        try expectAgreement(Case())
        #expect(finish(try machine(Case(), translates: true)) == .halted)
        var random = SeededGenerator(seed: 4)
        for _ in 0..<300 {
            // Of all flags but TF, which asks for steps; the rest of the mask's bits too.
            let flags = random.next() & 0x3F_7FD7 & ~0x100
            try expectAgreement(
                Case(mask: random.next() & 0x3F_7FD7 | 0x100, flags: flags, rounds: 1 + random.next() % 3))
        }
    }

    @Test(arguments: [0x8000_0000_0000, 0xFFFF_8000_0000_0000, 0x7FFF_FFFF_FFFF, 0x1_0000_0000_0000] as [UInt64])
    func targetsThatAreNone(target: UInt64) throws { try expectAgreement(Case(target: target)) }

    @Test(arguments: [0x1_0302, 0x4_0202, 0x302, 0x3_0202] as [UInt64])
    func flagsThatAskForMore(flags: UInt64) throws { try expectAgreement(Case(flags: flags)) }

    /// Calls that find their targets do not leave translated code.
    @Test func manyCallsStayInTranslatedCode() throws {
        let machine = try machine(Case(rounds: 10_000), translates: true)
        #expect(finish(machine) == .halted)
        #expect(machine.cpu[general: 15] == 0)
        #expect(machine.statistics.exits < 100)
    }

    /// Without EFER.SCE both raise #UD.
    @Test func needTheirEnableBit() throws {
        for translates in [true, false] {
            let machine = try machine(Case(), translates: translates)
            var registers = machine.cpu.registers
            registers.efer &= ~1
            machine.cpu.registers = registers
            #expect(finish(machine) == .fault(vector: 6, code: nil))
        }
    }
}
