// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import HostSystem
import MachineModel
import Testing
import X86CPU

/// Code that one processor runs and another changes.
@Suite struct CodeSharingTests {
    /// mov eax, 5; hlt
    private static let code: [UInt8] = [0xB8, 5, 0, 0, 0, 0xF4]
    private static let place: UInt64 = 0x3000

    /// Two processors with one memory.
    private struct Pair {
        let memory = GuestMemory()
        let devices: AddressSpace
        let writer: SoftCPU, other: SoftCPU

        init() throws {
            try memory.addRegion(name: "ram", start: 0, count: FlatMachine.memorySize)
            let lock = Lock()
            devices = AddressSpace(machineLock: lock)
            let environment = try SoftCPU.Environment(
                memory: memory, ports: AddressSpace(machineLock: lock), devices: devices,
                model: CPUModel(named: "max", capabilities: SoftCPU.capabilities()))
            // Neither need be woken by the other.
            writer = try SoftCPU(index: 0, environment: environment)
            other = try SoftCPU(index: 0, environment: environment)
            for cpu in [writer, other] {
                cpu.setFlatMode(bits: 64)
                cpu[general: 4] = FlatMachine.stackTop
            }
            try memory.write(CodeSharingTests.code, at: CodeSharingTests.place)
        }

        /// What the code in the page gives on the other processor.
        func runCode() -> UInt64 {
            other.leaveHalt()
            other.instructionPointer = CodeSharingTests.place
            #expect(other.runUntilIdle() == nil)
            return other[general: 0]
        }
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
        let pair = try Pair()
        try pair.memory.write(
            [0xC6, 0x04, 0x25, 0x06, 0x30, 0, 0, 0, 0xBA, 0, 0, 0, 0x80, 0x88, 0x02]
                + [0xC6, 0x04, 0x25, 0x01, 0x30, 0, 0, 7] + flush + [0xF4], at: FlatMachine.origin)
        let trigger = Trigger()
        _ = pair.devices.map(trigger, at: 0x8000_0000, count: 4096, name: "trigger")
        var before: UInt64 = 0
        trigger.action = { before = pair.runCode() }
        pair.writer[general: 0] = 0
        pair.writer.instructionPointer = FlatMachine.origin
        #expect(pair.writer.execute() == .halted)
        #expect(before == 5)
        #expect(pair.runCode() == 7)
    }

    /// As above; a device's bytes.
    @Test func aDeviceTellsWhatItWrote() throws {
        let pair = try Pair()
        #expect(pair.runCode() == 5)
        try pair.memory.write([9], at: Self.place + 1)
        #expect(pair.runCode() == 9)
    }
}
