// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import RandomKit
import Testing
import X86CPU
import X86Translator

/// Code for hosts without the integer instructions that came after SSE2: those are the interpreter's there.
@Suite struct PlainHostTests {
    private static let instructions: [(name: String, code: [UInt8])] = [
        ("popcnt", [0xF3, 0x48, 0x0F, 0xB8, 0xC2]), ("lzcnt", [0xF3, 0x48, 0x0F, 0xBD, 0xDA]),
        ("tzcnt", [0xF3, 0x48, 0x0F, 0xBC, 0xF2]), ("movbe", [0x0F, 0x38, 0xF0, 0x3C, 0x24]),
        ("crc32", [0xF2, 0x48, 0x0F, 0x38, 0xF1, 0xC2]), ("adcx", [0x66, 0x48, 0x0F, 0x38, 0xF6, 0xC2]),
        ("adox", [0xF3, 0x48, 0x0F, 0x38, 0xF6, 0xDA]), ("andn", [0xC4, 0xE2, 0xE8, 0xF2, 0xC1]),
        ("blsr", [0xC4, 0xE2, 0xF8, 0xF3, 0xCA]), ("bextr", [0xC4, 0xE2, 0xF0, 0xF7, 0xC2]),
        ("bzhi", [0xC4, 0xE2, 0xF0, 0xF5, 0xC2]), ("pdep", [0xC4, 0xE2, 0xF3, 0xF5, 0xC2]),
        ("mulx", [0xC4, 0xE2, 0xF3, 0xF6, 0xC6]), ("shlx", [0xC4, 0xE2, 0xF1, 0xF7, 0xC2]),
        ("rorx", [0xC4, 0xE3, 0xFB, 0xF0, 0xC2, 13]),
    ]

    private func run(_ code: [UInt8], _ seed: UInt64, translates: Bool, isPlain: Bool) throws -> TranslatedMachine {
        // Loads and stores, which look at the TLB in another way there: mov [rsp + 64], rdx; ...; add rax, [rsp + 64]
        let machine = try TranslatedMachine(
            [0x48, 0x89, 0x54, 0x24, 0x40] + code + [0x48, 0x03, 0x44, 0x24, 0x40], translates: translates,
            cachesEverywhere: false)
        if isPlain { Translator.limit(machine.cpu, to: []) }
        var random = SeededGenerator(seed: seed)
        for register in 0..<16 where register != 4 { machine.cpu[general: register] = random.next() }
        try machine.memory.store(random.next(), at: TranslatedMachine.stackTop)
        #expect(machine.run() == .halted)
        return machine
    }

    @Test func newerInstructionsAreInterpreted() throws {
        for (name, code) in Self.instructions {
            for seed in 0..<20 as Range<UInt64> {
                let expected = try run(code, seed, translates: false, isPlain: false)
                for isPlain in [true, false] {
                    let machine = try run(code, seed, translates: true, isPlain: isPlain)
                    for register in 0..<16 {
                        #expect(
                            machine.cpu[general: register] == expected.cpu[general: register],
                            "\(name), register \(register), plain: \(isPlain)")
                    }
                }
            }
        }
    }

    /// A guest's instruction that the host lacks is called for, and no other.
    @Test func onlyThoseAreInterpreted() throws {
        for (name, code) in Self.instructions {
            let machine = try run(code, 1, translates: true, isPlain: true)
            let text = try #require(TranslatorReport([machine.cpu])).opcodeText
            #expect(text.contains("\(name.uppercased()): 1 interpreted"), "\(text)")
            #expect(!text.contains("ADD: 1 interpreted") && !text.contains("MOV: 1 interpreted"))
        }
    }
}
