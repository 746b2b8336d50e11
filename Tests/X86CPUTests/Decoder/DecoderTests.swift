// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct DecoderTests {
    @Test func addsRegisters() throws {
        // add rax, rbx
        let machine = try FlatMachine([0x48, 0x01, 0xD8])
        machine.cpu[general: 0] = 40
        machine.cpu[general: 3] = 2
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 42)
    }

    @Test(
        arguments: [
            ([0xF0, 0x48, 0x01, 0xD8], "LOCK with a register"),
            ([0x82, 0xC0, 0x01], "82 in 64-bit code"),
            ([0xC5, 0xF8, 0xFF, 0xC0], "a VEX opcode without a row"),
        ] as [([UInt8], String)])
    func undefinedOpcodes(code: [UInt8], why: String) throws {
        let machine = try FlatMachine(code)
        #expect(machine.run() == .fault(vector: 6, code: nil), "\(why)")
        #expect(machine.cpu.instructionPointer == FlatMachine.origin)
    }

    @Test func moreThanFifteenBytes() throws {
        let machine = try FlatMachine([UInt8](repeating: 0x66, count: 14) + [0x01, 0xD8])
        #expect(machine.run() == .fault(vector: 13, code: 0))
        let longest = try FlatMachine([UInt8](repeating: 0x66, count: 13) + [0x01, 0xD8])
        #expect(longest.run() == .halted)
    }

    @Test(arguments: 1...4) func instructionAcrossPages(before: Int) throws {
        // add dword [rbx + 0x10], 0x01020304
        let machine = try FlatMachine()
        let code: [UInt8] = [0x81, 0x43, 0x10, 0x04, 0x03, 0x02, 0x01, 0xF4]
        try machine.load(code, at: 0x2000 - UInt64(before))
        machine.cpu[general: 3] = 0x5000
        #expect(machine.run() == .halted)
        #expect(try machine.memory.load(UInt32.self, at: 0x5010) == 0x0102_0304)
    }

    @Test func codeChangesInItsOwnBlock() throws {
        // xor byte [0x100A], 3; add eax, 1, whose immediate is at 0x100A
        let code: [UInt8] = [0x80, 0x34, 0x25, 0x0A, 0x10, 0x00, 0x00, 0x03, 0x83, 0xC0, 0x01]
        let machine = try FlatMachine(code)
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 2)
    }
}
