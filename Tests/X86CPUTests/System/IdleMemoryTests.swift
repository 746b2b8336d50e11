// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct IdleMemoryTests {
    /// add eax, 1, many times over.
    private static let code = (0..<500).flatMap { _ in [0x83, 0xC0, 0x01] as [UInt8] }

    @Test func releasedCodeIsDecodedAnew() throws {
        let machine = try FlatMachine(Self.code)
        #expect(machine.run() == .halted)
        let first = machine.cpu.residentCodeBytes
        #expect(first > 0)
        machine.cpu.releaseDecodedCode()
        #expect(machine.cpu.residentCodeBytes == 0)
        machine.cpu.leaveHalt()
        machine.cpu.instructionPointer = FlatMachine.origin
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 1000)
        #expect(machine.cpu.residentCodeBytes == first)
    }

    @Test func codeThatChangedWhileItWasReleasedIsSeen() throws {
        let machine = try FlatMachine(Self.code)
        #expect(machine.run() == .halted)
        machine.cpu.releaseDecodedCode()
        try machine.memory.write([0x83, 0xC0, 0x02], at: FlatMachine.origin)
        machine.cpu.leaveHalt()
        machine.cpu.instructionPointer = FlatMachine.origin
        #expect(machine.run() == .halted)
        #expect(machine.cpu[general: 0] == 1001)
    }
}
