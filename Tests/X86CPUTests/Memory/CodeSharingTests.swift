// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import MachineModel
import Testing
import X86CPU

/// Code that one processor runs and another changes.
@Suite struct CodeSharingTests {
    /// mov eax, 5; hlt
    private static let code: [UInt8] = [0xB8, 5, 0, 0, 0, 0xF4]
    private static let place: UInt64 = 0x3000

    /// A second processor of the same machine.
    private func neighbour(of machine: FlatMachine) throws -> SoftCPU {
        // One that need not be woken by the first.
        let cpu = try SoftCPU(
            index: 0,
            environment: .init(
                memory: machine.memory, ports: machine.ports, devices: machine.devices,
                model: try CPUModel(named: "max", capabilities: SoftCPU.capabilities())))
        cpu.setFlatMode(bits: 64)
        cpu[general: 4] = FlatMachine.stackTop
        return cpu
    }

    private func runCode(on cpu: SoftCPU) -> UInt64 {
        cpu.leaveHalt()
        cpu.instructionPointer = Self.place
        #expect(cpu.runUntilIdle() == nil)
        return cpu[general: 0]
    }

    /// A register that runs something when it is written.
    private final class Trigger: RegisterWindow {
        var action: () -> Void = {}
        func read(offset: UInt64, size: Int) -> UInt64 { 0 }
        func write(offset: UInt64, size: Int, value: UInt64) { action() }
    }

    /// The writer forgets its translations before it hears that the page holds code by now.
    @Test(arguments: [[0x0F, 0x22, 0xD8], [0x0F, 0x01, 0x3C, 0x25, 0x00, 0x30, 0x00, 0x00]] as [[UInt8]])
    func aFlushTellsWhatWasWritten(_ flush: [UInt8]) throws {
        // In one block: mov byte [0x3006], 0, after which the page can be written without a look; mov [0x80000000], al,
        // when the neighbour runs what is in the page; mov byte [0x3001], 7; the flush.
        let machine = try FlatMachine(
            [0xC6, 0x04, 0x25, 0x06, 0x30, 0, 0, 0, 0xBA, 0, 0, 0, 0x80, 0x88, 0x02]
                + [0xC6, 0x04, 0x25, 0x01, 0x30, 0, 0, 7] + flush)
        try machine.memory.write(Self.code, at: Self.place)
        let other = try neighbour(of: machine)
        let trigger = Trigger()
        _ = machine.devices.map(trigger, at: 0x8000_0000, count: 4096, name: "trigger")
        var before: UInt64 = 0
        trigger.action = { before = runCode(on: other) }
        _ = machine.run()
        #expect(before == 5)
        #expect(runCode(on: other) == 7)
    }

    /// As above; a device's bytes.
    @Test func aDeviceTellsWhatItWrote() throws {
        let machine = try FlatMachine()
        try machine.memory.write(Self.code, at: Self.place)
        let other = try neighbour(of: machine)
        #expect(runCode(on: other) == 5)
        try machine.memory.write([9], at: Self.place + 1)
        #expect(runCode(on: other) == 9)
    }
}
