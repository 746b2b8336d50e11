// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// A run of instructions that both tiers run one after the other: those that the translator has code for, up to the
/// first that only the interpreter runs, and no further than one block.
final class LockstepRegion {
    let items: [BlockInstruction]
    /// As `items` for the interpreter, with one more behind.
    let instructions: UnsafePointer<Instruction>
    /// Of the translated code.
    let entry: UnsafeRawPointer
    /// Offset of the first in its page, and the page's number.
    let start: Int
    let physicalPage: UInt64
    /// Some use the vector registers or the x87 unit.
    let usesUnits: Bool

    init(
        _ items: [BlockInstruction], _ instructions: UnsafePointer<Instruction>, _ entry: UnsafeRawPointer,
        page: UInt64
    ) {
        physicalPage = page
        self.items = items
        self.instructions = instructions
        self.entry = entry
        start = items.first?.offset ?? 0
        usesUnits = items.contains {
            $0.decoded.vector != nil || $0.raw.isVEX || $0.kind == .floating || $0.raw.map != 0
        }
    }

    /// One operand in memory.
    struct Access {
        var linear: UInt64
        var bytes: Int
        var isWrite: Bool
    }

    /// Whether an instruction may run twice: what it changes is known, and it asks no device.
    static func isComparable(_ item: BlockInstruction) -> Bool {
        switch item.kind {
        case .interpreted: return false
        case .nothing, .verbatim, .shaped, .floating: return !readsTime(item.raw)
        case .special, .flow: return isKnown(item.raw)
        }
    }

    private static func readsTime(_ raw: RawInstruction) -> Bool {
        raw.map == 1 && (raw.opcode == 0x31 || raw.opcode == 0x01)
    }

    private static func isKnown(_ raw: RawInstruction) -> Bool {
        switch (raw.map, raw.opcode) {
        case (0, 0x40...0x5F), (0, 0x68), (0, 0x6A), (0, 0xC9), (0, 0x8D), (0, 0x90...0x97), (0, 0xB0...0xBF): true
        case (0, 0xF6), (0, 0xF7), (1, 0xC8...0xCF): true
        case (0, 0x70...0x7F), (0, 0xE2), (0, 0xE3), (0, 0xE8), (0, 0xE9), (0, 0xEB), (0, 0xC2), (0, 0xC3): true
        case (1, 0x80...0x8F): true
        case (0, 0xFF): raw.digit == 2 || raw.digit == 4 || raw.digit == 6
        default: false
        }
    }

    /// The memory that an instruction is about to access, with the registers as they are now.
    func accesses(_ index: Int, _ cpu: SoftCPU, blockIP: UInt64) -> [Access] {
        let item = items[index]
        let instruction = instructions + index
        switch item.kind {
        case .shaped:
            guard item.raw.isMemory, let shape = Shape.of(item.raw, item.decoded) else { return [] }
            let linear = cpu.linearAddress(of: instruction, blockIP: blockIP)
            return [Access(linear: linear, bytes: shape.bytes, isWrite: shape.writesMemory)]
        case .floating:
            guard item.raw.isMemory, let form = X87Form(item.raw) else { return [] }
            let linear = cpu.linearAddress(of: instruction, blockIP: blockIP)
            return [Access(linear: linear, bytes: form.bytes, isWrite: form.isWrite)]
        case .special, .flow: return implicitAccesses(item, instruction, cpu, blockIP)
        case .interpreted, .nothing, .verbatim: return []
        }
    }

    private func implicitAccesses(
        _ item: BlockInstruction, _ instruction: UnsafePointer<Instruction>, _ cpu: SoftCPU, _ blockIP: UInt64
    ) -> [Access] {
        guard item.raw.map == 0 else { return [] }
        let size = 1 << Int(item.instruction.operandSize)
        let stack = cpu[general: 4], frame = cpu[general: 5], stackSegment = 2
        let push = Access(
            linear: cpu.linearAddress(segment: stackSegment, offset: stack &- UInt64(size)), bytes: size, isWrite: true)
        func pop(_ offset: UInt64) -> Access {
            Access(linear: cpu.linearAddress(segment: stackSegment, offset: offset), bytes: size, isWrite: false)
        }
        var accesses: [Access] = []
        switch item.raw.opcode {
        case 0x50...0x57, 0x68, 0x6A, 0xE8: accesses = [push]
        case 0x58...0x5F, 0xC2, 0xC3: accesses = [pop(stack)]
        case 0xC9: accesses = [pop(frame)]
        case 0xF6, 0xF7, 0xFF:
            if item.raw.isMemory {
                let linear = cpu.linearAddress(of: instruction, blockIP: blockIP)
                accesses = [Access(linear: linear, bytes: size, isWrite: false)]
            }
            if item.raw.opcode == 0xFF, item.raw.digit != 4 { accesses.append(push) }
        default: break
        }
        return accesses
    }

    /// What of the flags both tiers must leave alike after the first `count` instructions: nothing where they are dead,
    /// or where the architecture leaves some open.
    func definedFlags(after count: Int) -> UInt64 {
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
