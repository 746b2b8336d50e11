// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import HostOracle
import RandomKit
import Testing
import X86CPU
import X86Translator

/// Random code whose accesses share bases, beside the ends of pages, on both tiers.
@Suite struct AccessGroupTests {
    /// Writes code that loops.
    private struct Program {
        var random: SeededGenerator
        var bytes: [UInt8] = []
        var usesFPU = false

        mutating func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
        private mutating func register() -> UInt8 { [0, 1, 2, 6, 7, 8, 9, 12, 13][pick(9)] }

        /// An instruction with a memory operand: an opcode's bytes, a register, and a base with a displacement.
        private mutating func memory(_ prefix: UInt8?, _ opcode: [UInt8], _ reg: UInt8, isWide: Bool) {
            // RSP, RBX, RBP, R10 and R14.
            let base: UInt8 = [4, 3, 5, 10, 14][pick(5)]
            if let prefix { bytes.append(prefix) }
            bytes.append(0x40 | (isWide ? 8 : 0) | (reg >> 3) << 2 | base >> 3)
            bytes += opcode
            let low = base & 7
            bytes.append(0x40 | (reg & 7) << 3 | low)
            if low == 4 { bytes.append(0x24) }
            bytes.append(UInt8(truncatingIfNeeded: pick(26) * 8 - 104 + (pick(6) == 0 ? pick(8) : 0)))
        }

        private mutating func adjust() {
            let base: UInt8 = [3, 5, 14][pick(3)]
            bytes += [0x48 | base >> 3, 0x83, (pick(2) == 0 ? 0xC0 : 0xE8) | base & 7, UInt8(pick(80))]
        }

        mutating func add() {
            switch pick(18) {
            case 0...2: memory(nil, [0x8B], register(), isWide: pick(2) == 0)
            case 3...5: memory(nil, [0x89], register(), isWide: pick(2) == 0)
            case 6: memory(nil, [[0x01, 0x13, 0x11, 0x3B, 0x2B][pick(5)]], register(), isWide: pick(2) == 0)
            case 7: memory(nil, [0x0F, [0xB6, 0xB7, 0xBE][pick(3)]], register(), isWide: pick(2) == 0)
            case 8: memory(nil, [0x0F, [0x10, 0x11][pick(2)]], UInt8(pick(16)), isWide: false)
            case 9 where pick(8) == 0: memory(0x66, [0x0F, 0xFE], UInt8(pick(16)), isWide: false)
            case 10: bytes += [0x50 | UInt8([0, 1, 2, 6, 7][pick(5)])]
            case 11: bytes += [0x58 | UInt8([0, 1, 2, 6, 7][pick(5)])]
            case 12: adjust()
            case 13: bytes += [0x48, 0x83, 0xD0 | UInt8(pick(3)), UInt8(pick(100))]
            case 15 where usesFPU:
                // FLD, another access, FSTP.
                memory(nil, [0xDD], 0, isWide: false)
                memory(nil, [0x8B], register(), isWide: true)
                memory(nil, [0xDD], 3, isWide: false)
            case 16:
                // PUSH of memory, POP.
                memory(nil, [0xFF], 6, isWide: false)
                bytes += [0x58]
            case 14: bytes += [[0x72, 0x75, 0x78, 0x7F][pick(4)], 0]
            default: bytes += [0x48, 0x8B, 0x05, UInt8(pick(100)), 0, 0, 0]
            }
        }
    }

    private func prepare(
        _ code: [UInt8], translates: Bool, isLockstep: Bool = false, _ random: SeededGenerator
    ) throws -> TranslatedMachine {
        var random = random
        let machine = try TranslatedMachine(code, translates: translates, isLockstep: isLockstep)
        for register in 0..<16 { machine.cpu[general: register] = random.next() }
        for register in [3, 4, 5, 10, 14] {
            let page = UInt64(0x10_0000) + UInt64(register) * 0x1_0000
            machine.cpu[general: register] = page + random.next() % 512 &- 256
        }
        // Rounds.
        machine.cpu[general: 15] = 30
        return machine
    }

    /// A loop of instructions with operands near the bases.
    private func program(seed: Int) -> Program {
        var program = Program(random: SeededGenerator(seed: UInt64(seed) &* 7919))
        if seed % 2 == 1 {
            program.usesFPU = true
            // FNINIT.
            program.bytes = [0xDB, 0xE3]
        }
        for _ in 0..<10 + program.pick(50) { program.add() }
        let back = -(program.bytes.count + 9)
        // dec r15; jnz
        program.bytes += [0x49, 0xFF, 0xCF, 0x0F, 0x85] + (0..<4).map { UInt8(truncatingIfNeeded: back >> ($0 * 8)) }
        return program
    }

    /// With each instruction on both tiers.
    @Test(arguments: 100..<130) func agreeInLockstep(seed: Int) throws {
        let program = program(seed: seed)
        let both = try prepare(program.bytes, translates: true, isLockstep: true, program.random)
        let interpreted = try prepare(program.bytes, translates: false, program.random)
        let stop = both.run()
        #expect(both.cpu.failure == nil)
        #expect(stop == interpreted.run())
        for register in 0..<16 {
            #expect(both.cpu[general: register] == interpreted.cpu[general: register], "register \(register)")
        }
        #expect(try image(both) == image(interpreted))
    }

    @Test(arguments: 0..<60) func agreeWithTheInterpreter(seed: Int) throws {
        let program = program(seed: seed)
        let translated = try prepare(program.bytes, translates: true, program.random)
        let interpreted = try prepare(program.bytes, translates: false, program.random)
        let stop = translated.run()
        #expect(stop == interpreted.run())
        for register in 0..<16 {
            #expect(translated.cpu[general: register] == interpreted.cpu[general: register], "register \(register)")
        }
        // A fault finds flags that nobody would look at as they happen to be.
        if stop == .halted { #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage) }
        #expect(translated.cpu.instructionPointer == interpreted.cpu.instructionPointer)
        #expect(try image(translated) == image(interpreted))
    }

    /// The memory that the bases lead to.
    private func image(_ machine: TranslatedMachine) throws -> [UInt8] {
        var all: [UInt8] = []
        for register in [3, 4, 5, 10, 14] {
            let start = UInt64(0x10_0000 - 0x3000) + UInt64(register) * 0x1_0000
            all += try machine.memory.read(at: start, count: 0x6000)
        }
        return all
    }

    /// A walk over pages in random order loses its cache, and one from page to page keeps it.
    @Test func cachesThatDoNotHelpGo() throws {
        // 1: imul rax, rax, 1103515245; inc rax; mov edx, eax; shr edx, 12; and edx, 0xFF000; mov bl, [rdx];
        // dec rcx; jnz 1b
        let wild = try TranslatedMachine([
            0x48, 0x69, 0xC0, 0x6D, 0x4E, 0xC6, 0x41, 0x48, 0xFF, 0xC0, 0x89, 0xC2, 0xC1, 0xEA, 0x0C, 0x81, 0xE2, 0,
            0xF0,
            0x0F, 0, 0x8A, 0x1A, 0x48, 0xFF, 0xC9, 0x75, 0xE4,
        ])
        wild.cpu[general: 1] = 20_000
        wild.run()
        #expect(wild.cpu[general: 1] == 0)
        #expect(wild.statistics.demotions == 1)
        // 1: mov bl, [rdx]; add rdx, 64; and edx, 0xFFFFF; dec rcx; jnz 1b
        let walk = try TranslatedMachine([
            0x8A, 0x1A, 0x48, 0x83, 0xC2, 64, 0x81, 0xE2, 0xFF, 0xFF, 0x0F, 0, 0x48, 0xFF, 0xC9, 0x75, 0xEF,
        ])
        walk.cpu[general: 1] = 200_000
        walk.run()
        #expect(walk.cpu[general: 1] == 0)
        #expect(walk.statistics.demotions == 0)
    }

    /// A site that misses fast, but hits much more often, keeps its cache after its looks were counted.
    ///
    ///     2: mov edx, 12; 1: add r13, [rsi]; dec edx; jnz 1b; xor esi, 0x80000; dec ecx; jnz 2b
    @Test func cachesThatMostlyHitAreKept() throws {
        let code: [UInt8] = [
            0xBA, 12, 0, 0, 0, 0xEB, 0, 0x4C, 0x03, 0x2E, 0xFF, 0xCA, 0xEB, 0, 0x75, 0xF7, 0x81, 0xF6, 0, 0, 8, 0, 0xFF,
            0xC9, 0x75, 0xE6,
        ]
        let machines = [try TranslatedMachine(code), try TranslatedMachine(code, translates: false)]
        for machine in machines {
            try machine.memory.write([3], at: 0x10_0000)
            try machine.memory.write([5], at: 0x18_0000)
            machine.cpu[general: 1] = 14_000
            machine.cpu[general: 6] = 0x10_0000
            #expect(machine.run() == .halted)
        }
        #expect(machines[0].statistics.demotions == 0)
        #expect(machines[0].cpu[general: 13] == machines[1].cpu[general: 13])
    }

    /// A cache that is taken from a site stays right for the other sites that share it.
    @Test(arguments: [UInt64(0x10_0000), 0x30_0000]) func aCacheThatGoesLeavesNothingBehind(first: UInt64) throws {
        // 1: add r13, [rsi]; xchg rsi, rdi; dec ecx; jnz 1b
        var code: [UInt8] = [0x4C, 0x03, 0x2E, 0x48, 0x87, 0xFE, 0xFF, 0xC9, 0x75, 0xF6]
        // As many sites as there are caches of a kind, of which the last is the first one's again: jmp 1f; 1: add r13, [r8].
        for _ in 0..<SiteCache.ring { code += [0xEB, 0, 0x4D, 0x03, 0x28] }
        let machines = [try TranslatedMachine(code), try TranslatedMachine(code, translates: false)]
        for machine in machines {
            for page in stride(from: UInt64(0x10_0000), to: 0x31_0000, by: 4096) {
                try machine.memory.write([UInt8(truncatingIfNeeded: page >> 12)], at: page)
            }
            machine.cpu[general: 1] = 17_000
            machine.cpu[general: 6] = first
            machine.cpu[general: 7] = 0x40_0000 - first
            // What the distance of the two pages was taken for.
            machine.cpu[general: 8] = 0x20_1000
            #expect(machine.run() == .halted)
        }
        #expect(machines[0].statistics.demotions == 1)
        #expect(machines[0].cpu[general: 13] == machines[1].cpu[general: 13])
    }

    /// Caches that miss often but seldom enough to be kept still lead to the right page.
    @Test func cachesThatMissAreKept() throws {
        // 1: imul rsi, rsi, 1103515245; inc rsi; mov edi, esi; shr edi, 12; and edi, 0x1FF000; add edi, 0x100000;
        // add r13, [rdi]; add [rdi], esi; cpuid; dec r12; jnz 1b
        let code: [UInt8] = [
            0x48, 0x69, 0xF6, 0x6D, 0x4E, 0xC6, 0x41, 0x48, 0xFF, 0xC6, 0x89, 0xF7, 0xC1, 0xEF, 0x0C, 0x81, 0xE7, 0,
            0xF0, 0x1F, 0, 0x81, 0xC7, 0, 0, 0x10, 0, 0x4C, 0x03, 0x2F, 0x01, 0x37, 0x0F, 0xA2, 0x49, 0xFF, 0xCC, 0x75,
            0xD9,
        ]
        let machines = [try TranslatedMachine(code), try TranslatedMachine(code, translates: false)]
        for machine in machines {
            machine.cpu[general: 12] = 30_000
            #expect(machine.run() == .halted)
        }
        #expect(machines[0].cpu[general: 13] == machines[1].cpu[general: 13])
        #expect(
            try machines[0].memory.read(at: 0x10_0000, count: 0x20_0000)
                == machines[1].memory.read(at: 0x10_0000, count: 0x20_0000))
    }

    /// PUSH of memory that the TLB does not know yet: the interpreter runs it, and what follows finds the stack.
    @Test func pushOfUnknownMemory() throws {
        // mov [rbp], rax; mov [rbp + 8], rax; jmp 1f; 1: push [rbx]; push rax; pop rdx; pop rcx
        let machine = try TranslatedMachine([
            0x48, 0x89, 0x45, 0, 0x48, 0x89, 0x45, 8, 0xEB, 0, 0xFF, 0x33, 0x50, 0x5A, 0x59,
        ])
        let value: UInt64 = 0x1122_3344_5566_7788
        try machine.memory.store(value, at: 0x10_0000)
        machine.cpu[general: 0] = 0x55
        machine.cpu[general: 3] = 0x10_0000
        machine.cpu[general: 5] = 0x12_0000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 2] == 0x55)
        #expect(machine.cpu[general: 1] == value)
        #expect(machine.cpu[general: 4] == TranslatedMachine.stackTop)
        #expect(try machine.memory.load(UInt64.self, at: TranslatedMachine.stackTop - 8) == value)
        #expect(try machine.memory.load(UInt64.self, at: 0x12_0000 - 8) == 0)
    }
}
