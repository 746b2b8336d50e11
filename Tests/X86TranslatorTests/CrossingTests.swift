// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import RandomKit
import Testing
import X86CPU
import X86Translator

/// Instructions that begin in one page and end in the next.
@Suite struct CrossingTests {
    private static let pageEnd: UInt64 = 0x2000

    /// A loop whose every instruction has another length.
    ///
    ///     1: add rax, 0x1234567; xor rbx, rax; lea rdx, [rbx + rax * 4 + 5]; mov [rsp - 64], rdx; call 2f
    ///     add r10, [rsp - 64]; push qword [rsp - 64]; pop rsi; jc 3f; add r9, 3; 3: dec rcx; jnz 1b (long); hlt
    ///     2: adc rdi, 77; ret
    private static let loop: [UInt8] = [
        0x48, 0x05, 0x67, 0x45, 0x23, 0x01, 0x48, 0x31, 0xC3, 0x48, 0x8D, 0x54, 0x83, 5, 0x48, 0x89, 0x54, 0x24, 0xC0,
        0xE8, 28, 0, 0, 0, 0x4C, 0x03, 0x54, 0x24, 0xC0, 0xFF, 0x74, 0x24, 0xC0, 0x5E, 0x72, 4, 0x49, 0x83, 0xC1, 3,
        0x48, 0xFF, 0xC9, 0x0F, 0x85, 0xCF, 0xFF, 0xFF, 0xFF, 0x90, 0x90, 0xF4, 0x48, 0x83, 0xD7, 77, 0xC3,
    ]

    private func machine(_ code: [UInt8], at place: UInt64, translates: Bool, bits: Int = 64) throws
        -> TranslatedMachine
    {
        let machine = try TranslatedMachine([], translates: translates, bits: bits)
        try machine.memory.write(code, at: place)
        machine.cpu.instructionPointer = place
        return machine
    }

    private func expectSame(_ machines: [TranslatedMachine]) {
        for register in 0..<16 {
            #expect(machines[0].cpu[general: register] == machines[1].cpu[general: register], "register \(register)")
        }
        #expect(machines[0].cpu.instructionPointer == machines[1].cpu.instructionPointer)
    }

    /// With the page's end at each place of the loop.
    @Test(arguments: 0...57) func loopOverTheEnd(bytesBefore: Int) throws {
        let place = Self.pageEnd - UInt64(bytesBefore)
        let machines = try [true, false].map { try machine(Self.loop, at: place, translates: $0) }
        for machine in machines {
            machine.cpu[general: 1] = 1000
            #expect(machine.run() == .halted)
        }
        expectSame(machines)
        // Nothing leaves translated code in each round.
        #expect(machines[0].statistics.exits < 60)
    }

    /// 32-bit code: 1: add eax, 0x1234567; add ebx, [esp - 64]; dec ecx; jnz 1b
    @Test(arguments: 1...15) func loopOf32BitCode(bytesBefore: Int) throws {
        let code: [UInt8] = [0x05, 0x67, 0x45, 0x23, 0x01, 0x03, 0x5C, 0x24, 0xC0, 0x49, 0x75, 0xF4, 0xF4]
        let place = Self.pageEnd - UInt64(bytesBefore)
        let machines = try [true, false].map { try machine(code, at: place, translates: $0, bits: 32) }
        for machine in machines {
            machine.cpu[general: 1] = 1000
            #expect(machine.run() == .halted)
        }
        expectSame(machines)
    }

    /// The immediate of `add rax, imm32` in a loop that rewrites it, on either side of the page's end.
    ///
    ///     1: add rax, 1; inc byte [rdx]; dec rcx; jnz 1b; hlt
    @Test(arguments: 1...5, [0, 2, 3]) func partsThatChange(bytesBefore: Int, changed: Int) throws {
        let code: [UInt8] = [0x48, 0x05, 1, 0, 0, 0, 0xFE, 0x02, 0x48, 0xFF, 0xC9, 0x75, 0xF3, 0xF4]
        let place = Self.pageEnd - UInt64(bytesBefore)
        let machines = try [true, false].map { try machine(code, at: place, translates: $0) }
        for machine in machines {
            machine.cpu[general: 1] = 80
            machine.cpu[general: 2] = place + 2 + UInt64(changed)
            #expect(machine.run() == .halted)
        }
        expectSame(machines)
    }

    /// What changes over and over is interpreted in the end, and right all the time.
    @Test func changesForEver() throws {
        let code: [UInt8] = [0x48, 0x05, 1, 0, 0, 0, 0xFE, 0x02, 0x48, 0xFF, 0xC9, 0x75, 0xF3, 0xF4]
        let machine = try machine(code, at: Self.pageEnd - 4, translates: true)
        machine.cpu[general: 1] = 2000
        machine.cpu[general: 2] = Self.pageEnd
        #expect(machine.run() == .halted)
        // The third byte of the immediate runs through all its values.
        var sum: UInt64 = 0
        for round in 0..<2000 {
            let byte = UInt64(round & 0xFF)
            sum &+= 1 &+ byte &<< 16
        }
        #expect(machine.cpu[general: 0] == sum)
    }

    /// A fault in such an instruction is told at its own address.
    @Test func faultsAtItsOwnAddress() throws {
        // xor ecx, ecx; div rcx, over the end.
        let place = Self.pageEnd - 4
        let machines = try [true, false].map {
            try machine([0x31, 0xC9, 0x48, 0xF7, 0xF1, 0xF4], at: place, translates: $0)
        }
        let stops = machines.map { $0.run() }
        #expect(stops[0] == stops[1] && machines[0].cpu.instructionPointer == place + 2)
        expectSame(machines)
    }
}
