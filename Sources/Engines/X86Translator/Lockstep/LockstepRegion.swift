// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// A run of instructions that both tiers run one after the other: those that the translator has code for, up to the
/// first that only the interpreter runs, and no further than one block.
final class LockstepRegion {
    let items: [BlockInstruction]
    private let plans: [Plan]
    /// As `items` for the interpreter, with one more behind.
    let instructions: UnsafePointer<Instruction>
    /// Of the translated code, whose accesses are made as those of other code.
    let entry: UnsafeRawPointer
    /// Of the code whose accesses are made one by one; nil before they had to be.
    var plainEntry: UnsafeRawPointer?
    var count: Int { plans.count }
    /// Offset of the first in its page, and the page's number.
    let start: Int
    let physicalPage: UInt64
    /// See `definedFlags`, by the index of the last instruction.
    let flagsAfter: [UInt64]
    /// See `OpenFlags`, by the index of the last instruction.
    let openFlags: [UInt64]
    /// Some use the vector registers or the x87 unit.
    let usesUnits: Bool

    init(
        _ items: [BlockInstruction], _ instructions: UnsafePointer<Instruction>, _ entry: UnsafeRawPointer,
        page: UInt64
    ) {
        physicalPage = page
        self.items = items
        flagsAfter = items.indices.map { Self.definedFlags(items, after: $0 + 1) }
        var open: UInt64 = 0
        openFlags = items.map { item in
            open = OpenFlags.after(item, open)
            return open
        }
        var plans = items.map(Plan.init)
        // PUSHF shows what an instruction left open: by then both tiers have gone on with the same.
        for index in items.indices.dropFirst() where items[index].kind == .system && openFlags[index - 1] != 0 {
            plans[index].isComparable = false
        }
        self.plans = plans
        self.instructions = instructions
        self.entry = entry
        start = items.first?.offset ?? 0
        usesUnits = items.contains {
            $0.decoded.vector != nil || $0.raw.isVEX || $0.kind == .floating || $0.raw.map != 0
        }
    }

    /// Whether an instruction may run twice: what it changes is known, and it asks no device.
    static func isComparable(_ item: BlockInstruction) -> Bool {
        switch item.kind {
        case .interpreted: return false
        case .nothing, .verbatim, .shaped, .floating: return !readsTime(item.raw)
        case .system: return item.raw.map == 0 && item.raw.opcode == 0x9C
        case .special, .flow: return isKnown(item.raw)
        }
    }

    private static func readsTime(_ raw: RawInstruction) -> Bool {
        raw.map == 1 && (raw.opcode == 0x31 || raw.opcode == 0x01)
    }

    private static func isKnown(_ raw: RawInstruction) -> Bool {
        switch (raw.map, raw.opcode) {
        case (0, 0x40...0x5F), (0, 0x68), (0, 0x6A), (0, 0xC9), (0, 0x8D), (0, 0x90...0x97), (0, 0xB0...0xBF): true
        case (0, 0xF6), (0, 0xF7), (0, 0xA0...0xA3), (1, 0xC8...0xCF): true
        case (0, 0x70...0x7F), (0, 0xE2), (0, 0xE3), (0, 0xE8), (0, 0xE9), (0, 0xEB), (0, 0xC2), (0, 0xC3): true
        case (1, 0x80...0x8F): true
        case (0, 0xFF): raw.digit == 2 || raw.digit == 4 || raw.digit == 6
        default: false
        }
    }

    /// Which memory an instruction accesses, known from its encoding.
    struct Plan {
        var isComparable: Bool
        /// Bytes of the operand that modrm names; 0 for none.
        var operandBytes = 0
        var writesOperand = false
        /// Bytes that are pushed, popped, or taken from where rBP points; 0 for none.
        var pushBytes = 0, popBytes = 0, frameBytes = 0

        init(_ item: BlockInstruction) {
            isComparable = LockstepRegion.isComparable(item)
            switch item.kind {
            case .shaped:
                guard item.raw.isMemory, let shape = Shape.of(item.raw, item.decoded) else { return }
                (operandBytes, writesOperand) = (shape.bytes, shape.writesMemory)
            case .floating:
                guard item.raw.isMemory, let form = X87Form(item.raw) else { return }
                (operandBytes, writesOperand) = (form.bytes, form.isWrite)
            case .system: pushBytes = 1 << Int(item.instruction.operandSize)
            case .special, .flow: setImplicit(item)
            case .interpreted, .nothing, .verbatim: break
            }
        }

        private mutating func setImplicit(_ item: BlockInstruction) {
            guard item.raw.map == 0 else { return }
            let size = 1 << Int(item.instruction.operandSize)
            switch item.raw.opcode {
            case 0x50...0x57, 0x68, 0x6A, 0xE8: pushBytes = size
            case 0x58...0x5F, 0xC2, 0xC3: popBytes = size
            case 0xC9: frameBytes = size
            case 0xA0...0xA3: (operandBytes, writesOperand) = (size, item.raw.opcode >= 0xA2)
            case 0xF6, 0xF7, 0xFF:
                if item.raw.isMemory { operandBytes = size }
                if item.raw.opcode == 0xFF, item.raw.digit != 4 { pushBytes = size }
            default: break
            }
        }
    }

    /// Notes the memory that an instruction is about to access, with the registers as they are now.
    /// - Returns: false where it may not run twice.
    func prepare(_ index: Int, _ cpu: SoftCPU, blockIP: UInt64, _ journal: inout LockstepJournal) -> Bool {
        let plan = plans[index]
        guard plan.isComparable else { return false }
        if plan.operandBytes != 0 {
            let linear = cpu.linearAddress(of: instructions + index, blockIP: blockIP)
            guard journal.note(linear, plan.operandBytes, isWrite: plan.writesOperand, cpu) else { return false }
        }
        let stackSegment = 2
        if plan.pushBytes != 0 {
            let linear = cpu.linearAddress(segment: stackSegment, offset: cpu[general: 4] &- UInt64(plan.pushBytes))
            guard journal.note(linear, plan.pushBytes, isWrite: true, cpu) else { return false }
        }
        if plan.popBytes != 0 {
            let linear = cpu.linearAddress(segment: stackSegment, offset: cpu[general: 4])
            guard journal.note(linear, plan.popBytes, isWrite: false, cpu) else { return false }
        }
        if plan.frameBytes != 0 {
            let linear = cpu.linearAddress(segment: stackSegment, offset: cpu[general: 5])
            guard journal.note(linear, plan.frameBytes, isWrite: false, cpu) else { return false }
        }
        return true
    }

    /// What of the flags both tiers must leave alike after the first `count` instructions: nothing where they are dead,
    /// or where the architecture leaves some open.
    private static func definedFlags(_ items: [BlockInstruction], after count: Int) -> UInt64 {
        guard items[count - 1].flagsAreLive,
            let last = items[..<count].last(where: { $0.effect.contains(.writes) }), last.effect.contains(.replaces),
            last.kind == .shaped || last.kind == .verbatim, last.raw.map == 0,
            !last.raw.isVEX
        else { return 0 }
        let number: UInt8
        switch last.raw.opcode {
        case 0x00..<0x40: number = last.raw.opcode >> 3
        case 0x80...0x83: number = last.raw.digit
        case 0x84, 0x85, 0xA8, 0xA9: number = 4
        case 0xF6, 0xF7:
            guard last.raw.digit == 0 || last.raw.digit == 3 else { return 0 }
            number = last.raw.digit == 0 ? 4 : 5
        default: return 0
        }
        let isLogic = number == 1 || number == 4 || number == 6
        return isLogic ? SoftCPU.arithmeticFlagBits & ~SoftCPU.auxiliaryFlagBit : SoftCPU.arithmeticFlagBits
    }
}
