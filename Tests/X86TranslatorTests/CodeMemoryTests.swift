// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU
import X86Translator

/// Memory of translated code that goes back to the host, and the table of jump targets.
@Suite struct CodeMemoryTests {
    /// mov ecx, 1000; 1: add eax, 1; dec ecx; jnz 1b
    private static let sum: [UInt8] = [0xB9, 0xE8, 3, 0, 0, 0x83, 0xC0, 1, 0xFF, 0xC9, 0x75, 0xF9]

    private func again(_ machine: TranslatedMachine) -> ExecutionStop {
        machine.cpu.instructionPointer = TranslatedMachine.origin
        machine.cpu.leaveHalt()
        return machine.run()
    }

    @Test func releasedCodeIsTranslatedAnew() throws {
        let machine = try TranslatedMachine(Self.sum)
        #expect(machine.run() == .halted)
        let blocks = machine.statistics.blocks
        #expect(blocks > 0 && machine.cpu.residentTranslationBytes > 0)
        machine.cpu.releaseDecodedCode()
        #expect(machine.cpu.residentTranslationBytes == 0)
        #expect(again(machine) == .halted)
        #expect(machine.statistics.blocks == 2 * blocks)
        #expect(machine.cpu[general: 0] == 2000)
    }

    @Test func codeThatChangedWhileItWasReleasedIsSeen() throws {
        let machine = try TranslatedMachine(Self.sum)
        machine.run()
        machine.cpu.releaseDecodedCode()
        try machine.memory.write([3], at: TranslatedMachine.origin + 7)
        #expect(again(machine) == .halted)
        #expect(machine.cpu[general: 0] == 4000)
    }

    /// Sites that were filled, loops and jump targets are forgotten with the code that used them.
    @Test func releasedAgainAndAgain() throws {
        // 1: mov eax, [rsi]; add rsi, 4; add edx, eax; call 2f; dec ecx; jnz 1b; hlt; 2: ret
        let code: [UInt8] = [
            0x8B, 0x06, 0x48, 0x83, 0xC6, 4, 0x01, 0xC2, 0xE8, 5, 0, 0, 0, 0xFF, 0xC9, 0x75, 0xEF, 0xF4, 0xC3,
        ]
        let machine = try TranslatedMachine(code)
        for round in 1...5 {
            machine.cpu[general: 1] = 3000
            machine.cpu[general: 2] = 0
            machine.cpu[general: 6] = 0x10_0000
            try machine.memory.write((0..<12000).map { UInt8($0 % 4 == 0 ? round : 0) }, at: 0x10_0000)
            #expect(again(machine) == .halted)
            #expect(machine.cpu[general: 2] == UInt64(3000 * round))
            machine.cpu.releaseDecodedCode()
        }
    }

    /// Targets that want the same place of the table, of which it holds two.
    @Test(arguments: [2, 3, 5]) func targetsOfOnePlace(count: Int) throws {
        // Functions 64 KiB apart: add ebx, n; ret. They are called in turn: mov eax, address; call rax.
        var code: [UInt8] = []
        for number in 0..<count {
            let place = 0x1_1230 + 0x1_0000 * number
            code += [0xB8] + (0..<4).map { UInt8(truncatingIfNeeded: place >> ($0 * 8)) } + [0xFF, 0xD0]
        }
        let back = -(code.count + 4)
        code += [0xFF, 0xC9, 0x75, UInt8(truncatingIfNeeded: back)]
        let machine = try TranslatedMachine(code)
        var sum = 0
        for number in 0..<count {
            try machine.memory.write([0x83, 0xC3, UInt8(number + 1), 0xC3], at: UInt64(0x1_1230 + 0x1_0000 * number))
            sum += number + 1
        }
        machine.cpu[general: 1] = 2000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 3] == UInt64(2000 * sum))
        #expect(machine.cpu[general: 4] == TranslatedMachine.stackTop)
        // Two share a place without leaving translated code each time.
        if count == 2 { #expect(machine.statistics.exits < 200) }
    }

    /// A stack that begins at the end of a page is reached by one look, not word by word.
    @Test func stackAtTheEndOfItsPage() throws {
        // 1: push rax (12 times); lea rsp, [rsp + 96]; dec ecx; jnz 1b
        let code: [UInt8] = Array(repeating: 0x50, count: 12) + [0x48, 0x8D, 0x64, 0x24, 96, 0xFF, 0xC9, 0x75, 0xEB]
        let machine = try TranslatedMachine(code, cachesEverywhere: false)
        machine.cpu[general: 0] = 0x1122_3344_5566_7788
        machine.cpu[general: 1] = 3000
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 4] == TranslatedMachine.stackTop)
        for word in 1...12 {
            let place = TranslatedMachine.stackTop - UInt64(word) * 8
            #expect(try machine.memory.load(UInt64.self, at: place) == 0x1122_3344_5566_7788)
        }
        #expect(machine.statistics.exits < 50)
    }
}
