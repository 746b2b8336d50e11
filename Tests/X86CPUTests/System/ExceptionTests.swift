// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import HostSystem
import Testing
import X86CPU

@Suite struct ExceptionTests {
    @Test(
        arguments: [
            // ud2; div of 0; hlt of the user; mov to a null page
            ([0x0F, 0x0B], 6, nil), ([0x31, 0xC9, 0xF7, 0xF1], 0, nil), ([0xCC], 3, nil),
            ([0x8B, 0x04, 0x25, 0, 0, 0x50, 0], 14, 0), ([0xCD, 0x81], 0x81, nil),
        ] as [([UInt8], Int, UInt64?)])
    func kernelExceptions(code: [UInt8], vector: Int, errorCode: UInt64?) throws {
        for isLong in [true, false] where isLong || vector != 14 {
            let machine = try SystemMachine(isLong: isLong)
            #expect(try machine.run(code) == nil)
            let frame = try #require(try machine.frame())
            #expect(frame.vector == vector)
            #expect(frame.errorCode == errorCode)
            #expect(frame.cs == Selector.code)
            let isTrap = vector == 3 || vector > 0x80
            let start = vector == 0 ? SystemMachine.code + 2 : SystemMachine.code
            #expect(frame.rip == (isTrap ? SystemMachine.code + UInt64(code.count) : start))
            // RF is set for faults.
            #expect(frame.flags & 0x1_0000 == (isTrap ? 0 : 0x1_0000))
            if vector == 14 { #expect(machine.cpu.registers.cr2 == 0x50_0000) }
        }
    }

    @Test func userExceptionSwitchesStack() throws {
        for isLong in [true, false] {
            let machine = try SystemMachine(isLong: isLong)
            machine.enterUser()
            try machine.run([0xF4])
            let frame = try #require(try machine.frame())
            #expect(frame.vector == 13 && frame.errorCode == 0)
            #expect(frame.rip == SystemMachine.userCode && frame.rsp == SystemMachine.userStack)
            #expect(frame.cs & 3 == 3 && frame.ss == Selector.userData)
            let size: UInt64 = isLong ? 8 : 4
            #expect(machine.cpu.registers.general[4] == SystemMachine.kernelStack - 6 * size)
            #expect(machine.cpu.registers.cs.selector == Selector.code)
            #expect(machine.cpu.registers.ss.selector == (isLong ? 0 : Selector.data))
        }
    }

    @Test func userMayNotRaiseWhatIsTheKernels() throws {
        let machine = try SystemMachine()
        machine.enterUser()
        try machine.run([0xCD, 0x20])
        #expect(try machine.frame()?.vector == 13)
        #expect(try machine.frame()?.errorCode == 0x20 * 8 + 2)
    }

    @Test func interruptStackTable() throws {
        let machine = try SystemMachine()
        try machine.setGate(6, to: SystemMachine.handlers + 6 * 16, stack: 1)
        try machine.run([0x0F, 0x0B])
        #expect(machine.cpu.registers.general[4] == SystemMachine.interruptStack - 40)
        #expect(try machine.frame()?.rsp == SystemMachine.kernelStack - 0x1000)
    }

    @Test func interruptReturnToUser() throws {
        // iretq
        let machine = try SystemMachine()
        let stack = SystemMachine.kernelStack - 0x200
        let words: [UInt64] = [
            SystemMachine.userCode, UInt64(Selector.userCode), 0x202, SystemMachine.userStack,
            UInt64(Selector.userData),
        ]
        for (index, word) in words.enumerated() { try machine.memory.store(word, at: stack + UInt64(index) * 8) }
        try machine.memory.write([0x0F, 0x0B], at: SystemMachine.userCode)
        machine.set { $0.general[4] = stack }
        try machine.run([0x48, 0xCF])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 6 && frame.cs == Selector.userCode && frame.ss == Selector.userData)
        #expect(frame.rsp == SystemMachine.userStack && frame.flags & 0xFFFF == 0x202)
    }

    @Test func pageFaultsDuringDeliveryDouble() throws {
        let machine = try SystemMachine()
        try machine.setGate(8, to: SystemMachine.handlers + 8 * 16, stack: 1)
        machine.set { $0.general[4] = 0x60_0000 }
        try machine.run([0x8B, 0x04, 0x25, 0, 0, 0x50, 0])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 8 && frame.errorCode == 0 && frame.rip == SystemMachine.code)
        #expect(machine.cpu.registers.cr2 == 0x5F_FFF8)
    }

    @Test func tripleFaultShutsDown() throws {
        let machine = try SystemMachine()
        machine.set { $0.idtr.limit = 0 }
        #expect(try machine.run([0x0F, 0x0B]) == .shutdown)
    }

    @Test func notPresentGate() throws {
        let machine = try SystemMachine()
        try machine.memory.store(UInt8(0x0E), at: SystemMachine.idt + 6 * 16 + 5)
        try machine.run([0x0F, 0x0B])
        let frame = try #require(try machine.frame())
        // EXT is set: an exception was on its way.
        #expect(frame.vector == 11 && frame.errorCode == 6 * 8 + 2 + 1)
    }

    @Test func realMode() throws {
        let machine = try SystemMachine()
        var registers = X86Registers.atReset
        registers.cs.base = 0
        registers.cs.selector = 0
        registers.general[4] = 0x7000
        machine.cpu.registers = registers
        // Vector 0x21 at 0100:0020; sti; int 0x21.
        try machine.memory.store(UInt32(0x0100_0020), at: 0x21 * 4)
        try machine.memory.write([0xF4], at: 0x1020)
        try machine.memory.write([0xFB, 0xCD, 0x21], at: 0x5000)
        machine.set {
            $0.rip = 0x5000
            $0.idtr = X86DescriptorTable(base: 0, limit: 0x3FF)
        }
        #expect(machine.cpu.runUntilIdle() == nil)
        let after = machine.cpu.registers
        #expect(after.cs.selector == 0x100 && after.rip == 0x21 && after.general[4] == 0x6FFA)
        #expect(after.rflags & 0x200 == 0)
        #expect(try machine.memory.load(UInt16.self, at: 0x6FFA) == 0x5003)
        #expect(try machine.memory.load(UInt16.self, at: 0x6FFE) & 0x200 == 0x200)
    }
}

@Suite struct InterruptTests {
    @Test func waitsForTheFlagAndTheShadow() throws {
        let machine = try SystemMachine()
        machine.controller.request([0x90], of: machine.cpu)
        // sti; inc eax; inc eax
        try machine.run([0xFB, 0xFF, 0xC0, 0xFF, 0xC0])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 0x90 && frame.rip == SystemMachine.code + 3)
        #expect(machine.cpu.registers.general[0] == 1)
    }

    @Test func wakesFromHalt() throws {
        let machine = try SystemMachine()
        machine.controller.request([0x91], of: machine.cpu)
        // sti; hlt; ud2
        try machine.run([0xFB, 0xF4, 0x0F, 0x0B])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 0x91 && frame.rip == SystemMachine.code + 2)
    }

    @Test func nonMaskableOnceUntilReturn() throws {
        let machine = try SystemMachine()
        machine.cpu.raiseNonMaskableInterrupt()
        try machine.run([0x90])
        #expect(try machine.frame()?.vector == 2)
        machine.cpu.raiseNonMaskableInterrupt()
        #expect(machine.cpu.runUntilIdle() == nil)
        #expect(machine.cpu.registers.rip == SystemMachine.handlers + 33)
        // iretq in the handler, then the second one comes.
        try machine.memory.write([0x48, 0xCF], at: SystemMachine.handlers + 33)
        machine.set { $0.rip = SystemMachine.handlers + 33 }
        #expect(machine.cpu.runUntilIdle() == nil)
        #expect(try machine.frame()?.vector == 2)
    }

    @Test func kickComesBackOnce() throws {
        let machine = try SystemMachine()
        machine.cpu.kick()
        #expect(try machine.run([0x90]) == .kicked)
        #expect(machine.cpu.runUntilIdle() == nil)
        #expect(machine.cpu.isHalted)
    }

    @Test func sleepsUntilSignalled() throws {
        let machine = try SystemMachine()
        // sti; hlt; then the handler halts for good, and the kick ends it.
        try machine.memory.write([0xFB, 0xF4], at: SystemMachine.code)
        let cpu = machine.cpu
        let controller = machine.controller
        let other = try HostThread(name: "test") {
            controller.request([0x92], of: cpu)
            cpu.kick()
        }
        #expect(cpu.run() == .kicked)
        other.join()
        #expect(cpu.runUntilIdle() == nil)
        #expect(try machine.frame()?.vector == 0x92)
    }

    @Test func startUp() throws {
        let machine = try SystemMachine()
        let second = try SoftCPU(
            index: 1,
            environment: .init(
                memory: machine.memory, ports: machine.flat.ports, devices: machine.flat.devices,
                model: try CPUModel(named: "qemu64", capabilities: SoftCPU.capabilities())))
        #expect(second.isHalted)
        try machine.memory.write([0x8C, 0xC8, 0xF4], at: 0x7000)
        second.raiseInit()
        second.raiseStartup(vector: 7)
        #expect(second.runUntilIdle() == nil)
        #expect(second.registers.general[0] & 0xFFFF == 0x700)
    }
}
