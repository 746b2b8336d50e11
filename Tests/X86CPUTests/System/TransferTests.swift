// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import MachineModel
import Testing
import X86CPU

@Suite struct SystemCallTests {
    private func prepare(_ machine: SystemMachine) throws {
        // STAR: kernel CS 8, user base 0x18; LSTAR; FMASK clears IF and TF. WRMSR three times.
        let setup: [UInt8] = [
            0xB9, 0x81, 0x00, 0x00, 0xC0, 0xBA, 0x08, 0x00, 0x18, 0x00, 0x31, 0xC0, 0x0F, 0x30,  // star
            0xB9, 0x82, 0x00, 0x00, 0xC0, 0x31, 0xD2, 0xB8, 0x00, 0x40, 0x00, 0x00, 0x0F, 0x30,  // lstar = 0x4000
            0xB9, 0x84, 0x00, 0x00, 0xC0, 0x31, 0xD2, 0xB8, 0x00, 0x03, 0x00, 0x00, 0x0F, 0x30,  // fmask = 0x300
        ]
        try machine.run(setup)
        #expect(machine.cpu.isHalted)
        #expect(try machine.frame() == nil)
    }

    @Test func thereAndBack() throws {
        let machine = try SystemMachine()
        try prepare(machine)
        try machine.memory.write([0xF4], at: 0x4000)
        machine.enterUser()
        machine.set { $0.rflags = 0x247 }
        // syscall; ud2
        try machine.run([0x0F, 0x05, 0x0F, 0x0B])
        var registers = machine.cpu.registers
        #expect(registers.rip == 0x4001 && registers.cs.selector == 8 && registers.ss.selector == 0x10)
        #expect(registers.general[1] == SystemMachine.userCode + 2 && registers.general[11] == 0x247)
        #expect(registers.rflags == 0x47 && registers.general[4] == SystemMachine.userStack)
        // sysretq
        try machine.memory.write([0x48, 0x0F, 0x07], at: 0x4001)
        machine.set { $0.rip = 0x4001 }
        #expect(machine.cpu.runUntilIdle() == nil)
        registers = machine.cpu.registers
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 6 && frame.cs == 0x2B && frame.ss == 0x23 && frame.flags & 0xFFFF == 0x247)
    }

    @Test func needsItsEnableBit() throws {
        let machine = try SystemMachine()
        machine.set { $0.efer &= ~1 }
        try machine.run([0x0F, 0x05])
        #expect(try machine.frame()?.vector == 6)
    }

    @Test func basesOfFSAndGS() throws {
        let machine = try SystemMachine()
        machine.set { $0.cr4 |= 1 << 16 }
        try machine.run([
            0x48, 0xB8, 0x9A, 0x78, 0x56, 0x34, 0x12, 0x00, 0x00, 0x00,  // mov rax, 0x123456789A
            0xF3, 0x48, 0x0F, 0xAE, 0xD0, 0xF3, 0x48, 0x0F, 0xAE, 0xC3,  // wrfsbase rax; rdfsbase rbx
            0xB9, 0x01, 0x01, 0x00, 0xC0, 0xBA, 0x11, 0x00, 0x00, 0x00, 0xB8, 0x22, 0x00, 0x00, 0x00, 0x0F, 0x30,
            0x0F, 0x01, 0xF8, 0xB9, 0x02, 0x01, 0x00, 0xC0, 0x0F, 0x32,  // swapgs; rdmsr kernel gs base
            0x48, 0xC1, 0xE2, 0x20, 0x48, 0x09, 0xD0,
        ])
        let registers = machine.cpu.registers
        #expect(registers.general[3] == 0x12_3456_789A && registers.fs.base == 0x12_3456_789A)
        #expect(registers.general[0] == 0x11_0000_0022 && registers.gs.base == 0)
    }
}

@Suite struct ModeTests {
    @Test func realToProtectedToLong() throws {
        let machine = try SystemMachine()
        machine.cpu.registers = X86Registers.atReset
        machine.set {
            $0.cs.base = 0
            $0.cs.selector = 0
            $0.rip = 0x5000
        }
        try machine.memory.store(UInt16(0xFF), at: 0x7F00)
        try machine.memory.store(UInt32(SystemMachine.gdt), at: 0x7F02)
        try machine.memory.write(
            [
                0xFA, 0x0F, 0x01, 0x16, 0x00, 0x7F, 0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0,  // cli; lgdt; PE
                0x66, 0xEA, 0x16, 0x50, 0x00, 0x00, 0x40, 0x00,  // jmp 0x40:pm
                0x66, 0xB8, 0x10, 0x00, 0x8E, 0xD8, 0x8E, 0xD0,  // ds, ss = 0x10
                0x0F, 0x20, 0xE0, 0x83, 0xC8, 0x20, 0x0F, 0x22, 0xE0,  // cr4 |= PAE
                0xB8, 0x00, 0x00, 0x10, 0x00, 0x0F, 0x22, 0xD8,  // cr3
                0xB9, 0x80, 0x00, 0x00, 0xC0, 0x0F, 0x32, 0x0D, 0x00, 0x01, 0x00, 0x00, 0x0F, 0x30,  // LME
                0x0F, 0x20, 0xC0, 0x0D, 0x00, 0x00, 0x00, 0x80, 0x0F, 0x22, 0xC0,  // PG
                0xEA, 0x4F, 0x50, 0x00, 0x00, 0x08, 0x00,  // jmp 8:lm
                0x48, 0xC7, 0xC0, 0x77, 0x00, 0x00, 0x00, 0xF4,  // mov rax, 0x77
            ], at: 0x5000)
        #expect(machine.cpu.runUntilIdle() == nil)
        let registers = machine.cpu.registers
        #expect(registers.general[0] == 0x77 && registers.efer == 0x500 && registers.cs.selector == 8)
        #expect(registers.rip == 0x5057)
    }

    @Test func protectedBackToReal() throws {
        let machine = try SystemMachine(isLong: false)
        try machine.run([
            0xEA, 0x07, 0x10, 0x00, 0x00, 0x48, 0x00,  // jmp 0x48:c16
            0xB8, 0x50, 0x00, 0x8E, 0xD8, 0x8E, 0xD0, 0x0F, 0x20, 0xC0, 0x24, 0xFE, 0x0F, 0x22, 0xC0,
            0xEA, 0x1B, 0x10, 0x00, 0x00,  // jmp 0:rm
            0xB8, 0x23, 0x01, 0x8E, 0xD8, 0x8C, 0xD8,  // mov ds, 0x123; mov ax, ds
        ])
        let registers = machine.cpu.registers
        #expect(registers.general[0] & 0xFFFF == 0x123 && registers.ds.base == 0x1230 && registers.cr0 & 1 == 0)
        #expect(registers.cs.selector == 0)
    }

    @Test(arguments: [0x11 as UInt64, 0x8000_0010, 0x2000_0011]) func controlRegisterZeroRules(value: UInt64) throws {
        // mov cr0, rax in 64-bit code: no paging, paging without protection, NW without CD.
        let machine = try SystemMachine()
        machine.set { $0.general[0] = value }
        try machine.run([0x0F, 0x22, 0xC0])
        #expect(try machine.frame()?.vector == 13)
    }

    @Test func reservedBitOfControlRegisterFour() throws {
        let machine = try SystemMachine()
        machine.set { $0.general[0] = 1 << 30 | 0x6B0 }
        try machine.run([0x0F, 0x22, 0xE0])
        #expect(try machine.frame()?.vector == 13)
        #expect(machine.cpu.registers.cr4 == 0x6B0)
    }

    @Test func unknownModelSpecificRegister() throws {
        let machine = try SystemMachine()
        machine.set { $0.general[1] = 0x1234_5678 }
        try machine.run([0x0F, 0x32])
        #expect(try machine.frame()?.vector == 13)
    }
}

@Suite struct GateTests {
    @Test func callThroughAGateAndBack() throws {
        let machine = try SystemMachine(isLong: false)
        // 32-bit call gate, two parameters, privilege 3, to 0x4000.
        let gate: UInt64 = 0x4000 | UInt64(Selector.code) << 16 | 2 << 32 | 0xEC << 40
        try machine.memory.store(gate, at: SystemMachine.gdt + 0x68)
        try machine.memory.write([0x8B, 0x44, 0x24, 0x08, 0xCA, 0x08, 0x00], at: 0x4000)  // mov eax, [esp+8]; retf 8
        machine.enterUser()
        try machine.run([0x6A, 0x11, 0x6A, 0x22, 0x9A, 0, 0, 0, 0, 0x6B, 0, 0x0F, 0x0B])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 6 && frame.cs == Selector.userCode32 && frame.ss == Selector.userData)
        #expect(frame.rsp == SystemMachine.userStack && frame.rip == SystemMachine.userCode + 11)
        #expect(machine.cpu.registers.general[0] == 0x22)
    }

    @Test func callIntoAnotherTaskAndBack() throws {
        let machine = try SystemMachine(isLong: false)
        let base = SystemMachine.secondTask
        let fields: [(UInt64, UInt32)] = [
            (0x20, 0x4000), (0x24, 2), (0x34, 7), (0x38, 0x2_F000), (0x48, UInt32(Selector.data)),
            (0x4C, UInt32(Selector.code)), (0x50, UInt32(Selector.data)), (0x54, UInt32(Selector.data)),
        ]
        for (offset, value) in fields { try machine.memory.store(value, at: base + offset) }
        try machine.memory.write([0x83, 0xC3, 0x05, 0xCF], at: 0x4000)  // add ebx, 5; iret
        machine.set { $0.general[0] = 1 }
        // call 0x78:0; inc eax
        try machine.run([0x9A, 0, 0, 0, 0, 0x78, 0, 0x40])
        let registers = machine.cpu.registers
        let frame = try machine.frame()
        #expect(frame == nil)
        #expect(registers.general[0] == 2 && registers.tr.selector == Selector.task)
        #expect(try machine.memory.load(UInt32.self, at: base + 0x34) == 12)
        #expect(try machine.memory.load(UInt16.self, at: base) == Selector.task)
        #expect(registers.cr0 & 8 != 0)
        // Available again, and the first one busy.
        #expect(try machine.memory.load(UInt8.self, at: SystemMachine.gdt + UInt64(Selector.secondTask) + 5) == 0x89)
    }

    @Test func taskGateForAnException() throws {
        let machine = try SystemMachine(isLong: false)
        let base = SystemMachine.secondTask
        let fields: [(UInt64, UInt32)] = [
            (0x20, 0x4000), (0x24, 2), (0x38, 0x2_F000), (0x48, UInt32(Selector.data)),
            (0x4C, UInt32(Selector.code)), (0x50, UInt32(Selector.data)), (0x54, UInt32(Selector.data)),
        ]
        for (offset, value) in fields { try machine.memory.store(value, at: base + offset) }
        try machine.memory.write([0xF4], at: 0x4000)
        try machine.memory.store(UInt64(Selector.secondTask) << 16 | 0x85 << 40, at: SystemMachine.idt + 13 * 8)
        // mov ds, 0xF8: beyond nothing, a null-typed descriptor.
        try machine.run([0x66, 0xB8, 0xF0, 0x00, 0x8E, 0xD8])
        let registers = machine.cpu.registers
        #expect(registers.rip == 0x4001 && registers.tr.selector == Selector.secondTask)
        #expect(registers.general[4] == 0x2_EFFC && registers.rflags & 0x4000 != 0)
        #expect(try machine.memory.load(UInt32.self, at: 0x2_EFFC) == 0xF0)
        #expect(try machine.memory.load(UInt32.self, at: SystemMachine.task + 0x20) == 0x1004)
    }

    @Test func virtual8086() throws {
        let machine = try SystemMachine(isLong: false)
        // iret to V86: GS FS DS ES SS ESP EFLAGS CS EIP from the top down.
        let words: [UInt32] = [0, 0x100, 0x2_3002, 0x800, 0x300, 0x222, 0x333, 0, 0]
        let stack = SystemMachine.kernelStack - 0x300
        for (index, word) in words.enumerated() { try machine.memory.store(word, at: stack + UInt64(index) * 4) }
        try machine.memory.store(UInt8(0x5A), at: 0x3340)
        // mov ax, ds; mov bx, es; mov cl, [0x10]; int 0x81
        try machine.memory.write([0x8C, 0xD8, 0x8C, 0xC3, 0x8A, 0x0E, 0x10, 0x00, 0xCD, 0x81], at: 0x1000 + 0)
        machine.set {
            $0.general[4] = stack
            $0.rip = 0x4000
        }
        try machine.memory.write([0xCF], at: 0x4000)
        #expect(machine.cpu.runUntilIdle() == nil)
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 0x81 && frame.cs == 0x100 && frame.rip == 10)
        #expect(frame.flags & 0x2_0000 != 0 && frame.rsp == 0x800 && frame.ss == 0x300)
        let registers = machine.cpu.registers
        #expect(registers.general[0] & 0xFFFF == 0x333 && registers.general[3] & 0xFFFF == 0x222)
        #expect(registers.general[1] & 0xFF == 0x5A && registers.cs.selector == Selector.code)
        #expect(registers.ds.attributes & 1 << 16 != 0)
        #expect(try machine.memory.load(UInt32.self, at: registers.general[4] + 24) == 0x333)
    }
}

@Suite struct DebugTests {
    @Test func singleStep() throws {
        let machine = try SystemMachine()
        // pushf; or dword [rsp], 0x100; popf; nop; nop: the trap is after the instruction behind POPF.
        try machine.run([0x9C, 0x81, 0x0C, 0x24, 0x00, 0x01, 0x00, 0x00, 0x9D, 0x90, 0x90])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 1 && frame.rip == SystemMachine.code + 10 && frame.flags & 0x100 != 0)
        #expect(machine.cpu.registers.debug[6] & 0x4000 != 0)
        #expect(machine.cpu.registers.rflags & 0x100 == 0)
    }

    @Test func watchedStore() throws {
        let machine = try SystemMachine()
        try machine.run([
            0xB8, 0x00, 0x30, 0x00, 0x00, 0x0F, 0x23, 0xC0, 0xB8, 0x02, 0x04, 0x0D, 0x00, 0x0F, 0x23, 0xF8,
            0xC7, 0x04, 0x25, 0xFC, 0x2F, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,  // mov dword [0x2FFC], 1
            0xC7, 0x04, 0x25, 0x00, 0x30, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,  // mov dword [0x3000], 2
            0x90,
        ])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 1 && frame.rip == SystemMachine.code + 38)
        #expect(machine.cpu.registers.debug[6] & 0xF == 1)
        #expect(try machine.memory.load(UInt32.self, at: 0x3000) == 2)
    }

    @Test func instructionBreakpointAndResumeFlag() throws {
        let machine = try SystemMachine()
        machine.set {
            $0.debug[1] = SystemMachine.code + 1
            $0.debug[7] = 0x408
        }
        try machine.run([0x90, 0x90, 0x90])
        let frame = try #require(try machine.frame())
        #expect(frame.vector == 1 && frame.rip == SystemMachine.code + 1 && frame.flags & 0x1_0000 == 0)
        // Back with RF, which is the handler's to set: it goes on.
        let place = machine.cpu.registers.general[4] + 16
        try machine.memory.store(frame.flags | 0x1_0000, at: place)
        try machine.memory.write([0x48, 0xCF], at: SystemMachine.handlers + 17)
        machine.set { $0.rip = SystemMachine.handlers + 17 }
        #expect(machine.cpu.runUntilIdle() == nil)
        #expect(machine.cpu.registers.rip == SystemMachine.code + 4)
    }

    @Test func debuggerStops() throws {
        let machine = try SystemMachine()
        var points = DebugPoints()
        points.breakpoints = [SystemMachine.code + 2]
        machine.cpu.debugPoints = points
        #expect(try machine.run([0xFF, 0xC0, 0xFF, 0xC0, 0xFF, 0xC0]) == .debug(.breakpoint))
        #expect(machine.cpu.registers.general[0] == 1)
        points.singleStep = true
        machine.cpu.debugPoints = points
        #expect(machine.cpu.runUntilIdle() == .debug(.step))
        #expect(machine.cpu.registers.general[0] == 2)
        points.singleStep = false
        points.watchpoints = [.init(address: 0x3000, count: 4, onRead: false, onWrite: true)]
        machine.cpu.debugPoints = points
        // mov [0x3002], al
        try machine.memory.write([0x88, 0x04, 0x25, 0x02, 0x30, 0, 0, 0xF4], at: SystemMachine.code + 4)
        #expect(machine.cpu.runUntilIdle() == .debug(.watchpoint(address: 0x3000)))
    }

    @Test func loadOfStackSegmentHidesInterrupts() throws {
        let machine = try SystemMachine(isLong: false)
        machine.set { $0.rflags |= 0x200 }
        machine.controller.request([], of: machine.cpu)
        // mov ax, ss; mov ss, ax; inc ecx; inc ecx, single-stepped: no trap between MOV SS and the next.
        machine.cpu.setInterruptRequest(false)
        machine.set { $0.rflags = 0x102 }
        try machine.run([0x66, 0x8C, 0xD0])
        #expect(try machine.frame()?.rip == SystemMachine.code + 3)
        machine.set {
            $0.rflags = 0x102
            $0.general[4] = SystemMachine.kernelStack - 0x1000
        }
        try machine.run([0x8E, 0xD0, 0x41, 0x41])
        #expect(try machine.frame()?.rip == SystemMachine.code + 3)
    }
}

@Suite struct PortTests {
    private final class Recorder: RegisterWindow {
        var log: [String] = []
        func read(offset: UInt64, size: Int) -> UInt64 {
            log.append("r\(offset).\(size)")
            return 0x1122_3344
        }
        func write(offset: UInt64, size: Int, value: UInt64) { log.append("w\(offset).\(size)=\(value)") }
    }

    @Test func bitmapAllowsOnlyItsPorts() throws {
        for isLong in [true, false] {
            let machine = try SystemMachine(isLong: isLong)
            let window = Recorder()
            machine.flat.ports.map(window, at: 0x3F8, count: 8, name: "test")
            // The bitmap begins at 0x68: all allowed but 0x3FF.
            try machine.memory.store(UInt8(0x80), at: SystemMachine.task + 0x68 + 0x7F)
            machine.enterUser()
            // mov dx, 0x3F8; in al, dx; out dx, al; mov dx, 0x3FF; in al, dx
            try machine.run([0x66, 0xBA, 0xF8, 0x03, 0xEC, 0xEE, 0x66, 0xBA, 0xFF, 0x03, 0xEC])
            let frame = try #require(try machine.frame())
            #expect(frame.vector == 13 && frame.rip == SystemMachine.userCode + 10)
            #expect(window.log == ["r0.1", "w0.1=68"])
        }
    }

    @Test func stringInput() throws {
        let machine = try SystemMachine()
        let window = Recorder()
        machine.flat.ports.map(window, at: 0x1F0, count: 8, name: "test")
        machine.set {
            $0.general[7] = 0x3000
            $0.general[1] = 3
            $0.general[2] = 0x1F0
        }
        // rep insw
        try machine.run([0xF3, 0x66, 0x6D])
        #expect(window.log == ["r0.2", "r0.2", "r0.2"])
        #expect(try machine.memory.load(UInt64.self, at: 0x3000) == 0x3344_3344_3344)
        #expect(machine.cpu.registers.general[7] == 0x3006 && machine.cpu.registers.general[1] == 0)
    }

    @Test func controllerPage() throws {
        let machine = try SystemMachine()
        try machine.tables.map(0x40_0000, to: 0xFEE0_0000, PageTables.writable)
        // mov eax, [0x400030]; mov [0x4000B0], eax
        try machine.run([0x8B, 0x04, 0x25, 0x30, 0, 0x40, 0, 0x89, 0x04, 0x25, 0xB0, 0, 0x40, 0])
        #expect(machine.cpu.registers.general[0] == 0x1030)
        #expect(machine.controller.writes.map(\.offset) == [0xB0])
    }
}
