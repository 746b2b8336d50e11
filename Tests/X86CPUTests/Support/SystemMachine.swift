// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import X86CPU

/// Segments of `SystemMachine`'s descriptor table.
enum Selector {
    static let code: UInt16 = 0x08, data: UInt16 = 0x10, userCode32: UInt16 = 0x1B, userData: UInt16 = 0x23
    static let userCode: UInt16 = 0x2B, task: UInt16 = 0x30, code32: UInt16 = 0x40, code16: UInt16 = 0x48
    static let data16: UInt16 = 0x50, conforming: UInt16 = 0x58, notPresent: UInt16 = 0x60, callGate: UInt16 = 0x6B
    static let secondTask: UInt16 = 0x78, local: UInt16 = 0x88
}

/// What a handler found on its stack.
struct ExceptionFrame: Equatable {
    var vector: Int
    var errorCode: UInt64?
    var rip: UInt64
    var cs: UInt16
    var flags: UInt64
    var rsp: UInt64
    var ss: UInt16
}

/// A flat machine with descriptor tables, a TSS and a handler for each vector, which halts; code and data below 2 MiB are
/// the kernel's, from 2 MiB on the user's.
final class SystemMachine {
    static let gdt: UInt64 = 0x8000, idt: UInt64 = 0x9000, task: UInt64 = 0xB000, handlers: UInt64 = 0x2_0000
    static let kernelStack: UInt64 = 0x3_0000, interruptStack: UInt64 = 0x3_8000, code: UInt64 = 0x1000
    static let userCode: UInt64 = 0x20_0000, userStack: UInt64 = 0x28_0000, secondTask: UInt64 = 0xC000

    let flat: FlatMachine
    let tables: PageTables
    let isLong: Bool
    var cpu: SoftCPU { flat.cpu }
    var memory: GuestMemory { flat.memory }
    let controller = ScriptedController()

    /// Vectors with an error code.
    static let withErrorCode: Set<Int> = [8, 10, 11, 12, 13, 14, 17]

    /// - Parameters:
    ///   - isLong: 64-bit mode with paging; else 32-bit protected mode without.
    ///   - model: what CPUID shows; "max" without.
    init(isLong: Bool = true, model: CPUModel? = nil) throws {
        flat = try FlatMachine(bits: isLong ? 64 : 32, model: model)
        self.isLong = isLong
        tables = PageTables(flat.memory)
        flat.cpu.localController = controller
        try writeDescriptors()
        try writeHandlers()
        try tables.map(0, to: 0, PageTables.writable, level: 2)
        try tables.map(0x20_0000, to: 0x20_0000, PageTables.writable | PageTables.user, level: 2)
        cpu.registers = initialRegisters()
    }

    static func descriptor(base: UInt64 = 0, limit: UInt64, _ attributes: UInt64) -> UInt64 {
        limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | (attributes & 0xF0FF) << 40 | (limit >> 16 & 15) << 48
            | (base >> 24 & 0xFF) << 56
    }

    private func writeDescriptors() throws {
        let flatLimit: UInt64 = 0xF_FFFF
        let kernelCode: UInt64 = isLong ? 0xA09B : 0xC09B
        let entries: [UInt16: UInt64] = [
            Selector.code: Self.descriptor(limit: flatLimit, kernelCode),
            Selector.data: Self.descriptor(limit: flatLimit, 0xC093),
            Selector.userCode32 & ~3: Self.descriptor(limit: flatLimit, 0xC0FB),
            Selector.userData & ~3: Self.descriptor(limit: flatLimit, 0xC0F3),
            Selector.userCode & ~3: Self.descriptor(limit: flatLimit, 0xA0FB),
            Selector.task: Self.descriptor(base: Self.task, limit: 0x1FF, 0x8B),
            Selector.code32: Self.descriptor(limit: flatLimit, 0xC09B),
            Selector.code16: Self.descriptor(limit: 0xFFFF, 0x009B),
            Selector.data16: Self.descriptor(limit: 0xFFFF, 0x0093),
            Selector.conforming: Self.descriptor(limit: flatLimit, isLong ? 0xA09F : 0xC09F),
            Selector.notPresent: Self.descriptor(limit: flatLimit, 0xC013),
            Selector.secondTask: Self.descriptor(base: Self.secondTask, limit: 0x67, 0x89),
        ]
        for (selector, value) in entries { try memory.store(value, at: Self.gdt + UInt64(selector)) }
        if isLong {
            try memory.store(Self.kernelStack, at: Self.task + 4)
            try memory.store(Self.interruptStack, at: Self.task + 0x24)
        } else {
            try memory.store(UInt32(Self.kernelStack), at: Self.task + 4)
            try memory.store(UInt32(Selector.data), at: Self.task + 8)
        }
        try memory.store(UInt16(0x68), at: Self.task + 0x66)
    }

    /// A gate for a vector.
    func setGate(_ vector: Int, to offset: UInt64, type: UInt64 = 14, privilege: UInt64 = 0, stack: UInt64 = 0) throws {
        let low =
            offset & 0xFFFF | UInt64(Selector.code) << 16 | stack << 32 | type << 40 | privilege << 45 | 1 << 47
            | (offset >> 16 & 0xFFFF) << 48
        try memory.store(low, at: Self.idt + UInt64(vector) * (isLong ? 16 : 8))
        if isLong { try memory.store(offset >> 32, at: Self.idt + UInt64(vector) * 16 + 8) }
    }

    private func writeHandlers() throws {
        for vector in 0..<256 {
            let place = Self.handlers + UInt64(vector) * 16
            try memory.write([0xF4], at: place)
            try setGate(vector, to: place, privilege: vector == 3 || vector >= 0x80 ? 3 : 0)
        }
    }

    private func initialRegisters() -> X86Registers {
        var registers = X86Registers.atReset
        let codeAttributes: UInt32 = isLong ? 0xA09B : 0xC09B
        registers.cs = X86Segment(selector: Selector.code, base: 0, limit: .max, attributes: codeAttributes)
        let data = X86Segment(selector: Selector.data, base: 0, limit: .max, attributes: 0xC093)
        registers.ss = data
        registers.ds = data
        registers.es = data
        registers.fs = data
        registers.gs = data
        registers.tr = X86Segment(selector: Selector.task, base: Self.task, limit: 0x1FF, attributes: 0x8B)
        registers.gdtr = X86DescriptorTable(base: Self.gdt, limit: 0xFF)
        registers.idtr = X86DescriptorTable(base: Self.idt, limit: isLong ? 0xFFF : 0x7FF)
        registers.cr0 = isLong ? 0x8001_0033 : 0x33
        registers.cr3 = isLong ? tables.root : 0
        registers.cr4 = 0x6B0
        registers.efer = isLong ? 0xD01 : 0
        registers.rip = Self.code
        registers.general[4] = Self.kernelStack - 0x1000
        return registers
    }

    /// Changes registers.
    func set(_ change: (inout X86Registers) -> Void) {
        var registers = cpu.registers
        change(&registers)
        cpu.registers = registers
        cpu.leaveHalt()
    }

    /// Puts the processor at CPL 3.
    func enterUser() {
        set {
            let wide: UInt32 = isLong ? 0xA0FB : 0xC0FB
            let selector = isLong ? Selector.userCode : Selector.userCode32
            $0.cs = X86Segment(selector: selector, base: 0, limit: .max, attributes: wide)
            let data = X86Segment(selector: Selector.userData, base: 0, limit: .max, attributes: 0xC0F3)
            $0.ss = data
            $0.ds = data
            $0.es = data
            $0.general[4] = Self.userStack
            $0.rip = Self.userCode
        }
    }

    /// Runs code at the place for its privilege until something halts.
    @discardableResult
    func run(_ code: [UInt8], limit: UInt64 = 100_000) throws -> CPUExit? {
        let place = cpu.registers.cs.selector & 3 == 3 ? Self.userCode : Self.code
        try memory.write(code + [0xF4], at: place)
        set { $0.rip = place }
        return cpu.runUntilIdle(limit: limit)
    }

    /// The frame of the handler that halted; nil where the code itself halted.
    func frame() throws -> ExceptionFrame? {
        let registers = cpu.registers
        let offset = registers.rip &- Self.handlers
        guard offset < 256 * 16 else { return nil }
        let vector = Int(offset / 16)
        let size: UInt64 = isLong ? 8 : 4
        var place = registers.general[4]
        func next() throws -> UInt64 {
            defer { place += size }
            return size == 8 ? try memory.load(UInt64.self, at: place) : UInt64(try memory.load(UInt32.self, at: place))
        }
        var errorCode: UInt64?
        if Self.withErrorCode.contains(vector) { errorCode = try next() }
        let rip = try next()
        let cs = UInt16(truncatingIfNeeded: try next())
        let flags = try next()
        let hasStack = isLong || cs & 3 != 0 || flags & 0x2_0000 != 0
        let rsp = hasStack ? try next() : place
        let ss = hasStack ? UInt16(truncatingIfNeeded: try next()) : registers.ss.selector
        return ExceptionFrame(vector: vector, errorCode: errorCode, rip: rip, cs: cs, flags: flags, rsp: rsp, ss: ss)
    }
}

/// A local APIC that gives the vectors it was told to.
final class ScriptedController: LocalInterruptController, @unchecked Sendable {
    var vectors: [UInt8] = []
    weak var target: SoftCPU?
    var taskPriorityClass: UInt8 = 0
    var registerPage: UInt64? = 0xFEE0_0000
    var isEnabled: Bool { true }
    var identifier: UInt32 { 0 }
    private(set) var writes: [(offset: UInt64, value: UInt64)] = []

    func acknowledgeInterrupt() -> UInt8? {
        let vector = vectors.isEmpty ? nil : vectors.removeFirst()
        if vectors.isEmpty { target?.setInterruptRequest(false) }
        return vector
    }

    /// Asks for these vectors.
    func request(_ vectors: [UInt8], of cpu: SoftCPU) {
        self.vectors = vectors
        target = cpu
        cpu.setInterruptRequest(true)
    }

    func readRegister(offset: UInt64, size: Int) -> UInt64 { 0x1000 + offset }
    func writeRegister(offset: UInt64, size: Int, value: UInt64) { writes.append((offset, value)) }
    func readModelSpecificRegister(_ index: UInt32) -> UInt64? { index == 0x1B ? 0xFEE0_0900 : nil }
    func writeModelSpecificRegister(_ index: UInt32, value: UInt64) -> Bool { index == 0x1B }
    func timestampCounterChanged() { timestampChanges += 1 }
    private(set) var timestampChanges = 0
}
