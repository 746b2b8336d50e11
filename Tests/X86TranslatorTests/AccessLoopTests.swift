// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import HostOracle
import RandomKit
import Testing
import X86CPU
import X86Translator

/// Random loops whose accesses move by constants, over the ends of pages, on both tiers.
@Suite struct AccessLoopTests {
    /// Writes such a loop.
    private struct Program {
        var random: SeededGenerator
        var bytes: [UInt8] = []
        private var exits: [Int] = []

        init(random: SeededGenerator) { self.random = random }

        mutating func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
        private mutating func choose<Value>(_ values: [Value]) -> Value { values[pick(values.count)] }

        /// RBX, RSI, R8, R10 and R14; of RDX, R9 and RAX one may be an index.
        static let bases: [UInt8] = [3, 6, 8, 10, 14], indices: [UInt8] = [2, 9, 0]

        private static func little(_ value: Int) -> [UInt8] {
            (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }

        private mutating func memory(_ prefix: UInt8?, _ opcode: [UInt8], _ reg: UInt8, isWide: Bool = false) {
            let base = choose(Self.bases)
            let index: UInt8 = pick(3) == 0 ? choose(Self.indices) : 4
            if let prefix { bytes.append(prefix) }
            bytes.append(0x40 | (isWide ? 8 : 0) | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3)
            bytes += opcode
            bytes += [0x84 | (reg & 7) << 3, UInt8(pick(4)) << 6 | (index & 7) << 3 | base & 7]
            bytes += Self.little(pick(12) * 16 - 96 + (pick(4) == 0 ? pick(16) : 0))
        }

        private mutating func move() {
            let register = pick(6) == 0 ? choose(Self.indices) : choose(Self.bases)
            let step = choose([8, 16, 4, 24, 64, 120, -16, -8, 1, 3, 32])
            if pick(3) == 0 {
                // LEA register, [register + step].
                bytes += [0x48 | (register >> 3) * 5, 0x8D, 0x80 | (register & 7) * 9] + Self.little(step)
            } else {
                bytes += [0x48 | register >> 3, 0x81, 0xC0 | register & 7] + Self.little(step)
            }
        }

        /// An instruction on RAX without a modrm byte.
        private mutating func withoutOperandByte() {
            // CQO, CDQE, CMP of AL; then CMP, ADD and SUB of 64 bits and TEST, whose immediates have 32 bits.
            let short: [[UInt8]] = [[0x48, 0x99], [0x48, 0x98], [0x3C, 5]]
            let long: [[UInt8]] = [[0x48, 0x3D], [0x48, 0x05], [0x48, 0x2D], [0xA9]]
            if pick(3) == 0 {
                bytes += choose(short)
            } else {
                bytes += choose(long)
                bytes += Self.little(pick(4) * 8)
            }
        }

        mutating func add() {
            let reg: UInt8 = choose([1, 7, 11, 12, 13])
            switch pick(15) {
            case 0...1: memory(nil, [0x8B], reg, isWide: pick(2) == 0)
            case 2...3: memory(nil, [0x89], reg, isWide: pick(2) == 0)
            case 4: memory(nil, [choose([0x01, 0x03, 0x13, 0x29, 0x31])], reg, isWide: pick(2) == 0)
            case 5: memory(nil, [0x0F, choose([0xB6, 0xB7, 0xBE])], reg)
            case 6: memory(nil, [0x0F, choose([0x10, 0x11])], UInt8(pick(16)))
            case 7 where pick(3) == 0: memory(nil, [0x0F, choose([0x28, 0x29])], UInt8(pick(16)))
            case 8 where pick(3) == 0: memory(0x66, [0x0F, 0xFE], UInt8(pick(16)))
            case 9: memory(nil, [0x38 | UInt8(pick(2)) * 2], [0, 1, 7][pick(3)])
            case 10 where pick(4) == 0:
                // JO or JS out of the loop.
                bytes += [0x0F, choose([0x80, 0x88])]
                exits.append(bytes.count)
                bytes += Self.little(0)
            case 14 where pick(2) == 0: withoutOperandByte()
            case 11: bytes += [0x4D, 0x31, 0xE8 | UInt8(pick(2)) * 4]
            default: move()
            }
        }

        /// DEC R15; JNZ to the start.
        mutating func finish() {
            let back = -(bytes.count + 9)
            bytes += [0x49, 0xFF, 0xCF, 0x0F, 0x85] + Self.little(back)
            for place in exits {
                bytes.replaceSubrange(place..<place + 4, with: Self.little(bytes.count - place - 4))
            }
        }
    }

    private func prepare(_ code: [UInt8], translates: Bool, _ random: SeededGenerator) throws -> TranslatedMachine {
        var random = random
        let machine = try TranslatedMachine(code, translates: translates)
        for register in 0..<16 { machine.cpu[general: register] = random.next() >> 40 }
        for (number, register) in Program.bases.enumerated() {
            let isOdd = random.next() % 5 == 0
            machine.cpu[general: Int(register)] =
                0x18_0000 + UInt64(number) * 0x4_0000 + random.next() % 4096 & (isOdd ? .max : ~15)
        }
        for register in Program.indices { machine.cpu[general: Int(register)] = random.next() % 8 * 16 }
        machine.cpu[general: 15] = 700
        return machine
    }

    private static let imageStart: UInt64 = 0x8_0000, imageCount = 0x30_0000

    @Test(arguments: 0..<150) func agreeWithTheInterpreter(seed: Int) throws {
        var program = Program(random: SeededGenerator(seed: UInt64(seed) &* 104_729))
        for _ in 0..<2 + program.pick(12) { program.add() }
        program.finish()
        let translated = try prepare(program.bytes, translates: true, program.random)
        let interpreted = try prepare(program.bytes, translates: false, program.random)
        let stop = translated.run()
        #expect(stop == interpreted.run())
        for register in 0..<16 {
            #expect(translated.cpu[general: register] == interpreted.cpu[general: register], "register \(register)")
        }
        if stop == .halted { #expect(translated.cpu.flagsImage == interpreted.cpu.flagsImage) }
        #expect(translated.cpu.instructionPointer == interpreted.cpu.instructionPointer)
        #expect(
            try translated.memory.read(at: Self.imageStart, count: Self.imageCount)
                == interpreted.memory.read(at: Self.imageStart, count: Self.imageCount))
    }

    /// mov [rdi], al; add rdi, 1; dec rcx; jnz
    private static let fill: [UInt8] = [0x88, 0x07, 0x48, 0x83, 0xC7, 1, 0x48, 0xFF, 0xC9, 0x75, 0xF5]

    @Test func lookBeforeTheLoop() throws {
        let machine = try TranslatedMachine(Self.fill)
        machine.cpu[general: 0] = 0x5A
        machine.cpu[general: 1] = 20_000
        machine.cpu[general: 7] = 0x10_0003
        machine.run()
        #expect(machine.statistics.loops > 0)
        let bytes = try machine.memory.read(at: 0x10_0002, count: 20_002)
        #expect(bytes.first == 0 && bytes.last == 0)
        #expect(bytes.dropFirst().dropLast().allSatisfy { $0 == 0x5A })
        #expect(machine.cpu[general: 7] == 0x10_0003 + 20_000)
    }

    /// The counter is RAX, which is compared by an instruction without a modrm byte.
    ///
    ///     1: movups xmm0, [rcx + rax]; movups [rdx + rax], xmm0; add rax, 16; cmp rax, 0x5000; jnz 1b
    @Test func loopCountedInRAX() throws {
        let machine = try TranslatedMachine([
            0x0F, 0x10, 0x04, 0x01, 0x0F, 0x11, 0x04, 0x02, 0x48, 0x83, 0xC0, 16, 0x48, 0x3D, 0, 0x50, 0, 0, 0x75, 0xEC,
        ])
        machine.cpu[general: 1] = 0x10_0008
        machine.cpu[general: 2] = 0x20_0018
        try machine.memory.write((0..<0x5000).map { UInt8(truncatingIfNeeded: $0 % 251) }, at: 0x10_0008)
        #expect(machine.run() == .halted)
        #expect(machine.statistics.loops > 0)
        #expect(
            try machine.memory.read(at: 0x20_0018, count: 0x5000) == machine.memory.read(at: 0x10_0008, count: 0x5000))
    }

    /// A loop that overwrites what stands behind it, in its own page, and then itself runs into what it wrote.
    @Test func writesIntoItsOwnPage() throws {
        let machine = try TranslatedMachine(Self.fill)
        // HLT.
        machine.cpu[general: 0] = 0xF4
        machine.cpu[general: 1] = 300
        machine.cpu[general: 7] = TranslatedMachine.origin + UInt64(Self.fill.count)
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 1] == 0)
        // The jump back becomes two HLTs.
        machine.cpu.instructionPointer = TranslatedMachine.origin
        machine.cpu[general: 1] = 300
        machine.cpu[general: 7] = TranslatedMachine.origin + UInt64(Self.fill.count) - 2
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 1] == 299)
    }
}
