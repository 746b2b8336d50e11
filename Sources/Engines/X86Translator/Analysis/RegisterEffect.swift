// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// What an instruction does with the general registers, as far as addresses that are relative to one of them go.
enum RegisterEffect: Equatable {
    /// It may write these, a bit for each.
    case writes(UInt16)
    /// It adds a constant to one and writes no other.
    case moves(UInt8, Int64)

    private static let rax: UInt16 = 1, rcx: UInt16 = 2, rdx: UInt16 = 4, stack: UInt8 = 4, rsp: UInt16 = 1 << 4
    private static let rbp: UInt16 = 1 << 5, all = UInt16.max, word: Int64 = 8

    private static func bit(_ register: UInt8) -> UInt16 { 1 << UInt16(register & 15) }

    static func of(_ item: BlockInstruction) -> RegisterEffect {
        let raw = item.raw
        switch item.kind {
        case .interpreted: return .writes(all)
        case .nothing: return .writes(0)
        case .floating: return .writes(rax)
        case .verbatim: return ofVerbatim(item)
        case .system: return ofSystem(item)
        case .flow: return ofFlow(item)
        case .special: return ofSpecial(item)
        case .shaped:
            if raw.map == 0, !raw.isVEX { return ofPrimary(item) }
            if let shape = Shape.of(raw, item.decoded), shape.isVector || shape.isMMX {
                return .writes(ofVector(raw, shape))
            }
            return .writes(ofOther(item))
        }
    }

    /// Those without a modrm byte: with RAX or a part of it and an immediate, and what sets flags or fences alone.
    private static func ofVerbatim(_ item: BlockInstruction) -> RegisterEffect {
        guard item.raw.map == 0, !item.raw.isVEX else { return .writes(0) }
        let value = Int64(bitPattern: item.instruction.immediate)
        let isWhole = item.instruction.operandSize == 3
        switch item.raw.opcode {
        case 0x05 where isWhole: return .moves(0, value)
        case 0x2D where isWhole: return .moves(0, 0 &- value)
        case 0x3C, 0x3D, 0x90, 0x9E, 0xA8, 0xA9, 0xF5, 0xF8, 0xF9: return .writes(0)
        case 0x99: return .writes(rdx)
        default: return .writes(rax)
        }
    }

    private static func ofFlow(_ item: BlockInstruction) -> RegisterEffect {
        switch item.raw.opcode {
        case 0x70...0x7F, 0xE9, 0xEB: return .writes(0)
        case 0xE2, 0xE3: return .writes(rcx)
        default: return item.raw.map == 1 ? .writes(0) : .writes(rsp)
        }
    }

    /// POPF, CLAC and STAC change what the rest of the block may reach, as far as the interpreter does them or not: no
    /// address is known behind them.
    private static func ofSystem(_ item: BlockInstruction) -> RegisterEffect {
        switch (item.raw.map, item.raw.opcode, item.raw.modRM) {
        case (0, 0x9C, _): .moves(stack, -word)
        case (0, 0x9D, _): .writes(all)
        case (0, 0xA4...0xAD, _): .writes(rax | rcx | 1 << 6 | 1 << 7)
        case (0, _, _), (1, 0x01, 0xF8): .writes(0)
        case (1, 0x31, _), (1, 0x01, 0xF9): .writes(rax | rcx | rdx)
        default: .writes(all)
        }
    }

    /// Whether it may write a register.
    func mayWrite(_ register: UInt8) -> Bool {
        switch self {
        case .writes(let registers): registers & Self.bit(register) != 0
        case .moves(let moved, _): moved == register
        }
    }

    private static func ofSpecial(_ item: BlockInstruction) -> RegisterEffect {
        let raw = item.raw
        if raw.map == 1 { return .writes(bit(raw.opcodeRegister)) }
        switch raw.opcode {
        case 0x50...0x57, 0x68, 0x6A, 0xFF: return .moves(stack, -word)
        case 0x58...0x5F: return .writes(rsp | bit(raw.opcodeRegister))
        case 0xC9: return .writes(rsp | rbp)
        case 0x8D:
            let instruction = item.instruction
            if instruction.base == raw.reg, instruction.index >= 16, instruction.operandSize == 3,
                instruction.addressSize == 3
            {
                return .moves(raw.reg, instruction.displacement)
            }
            return .writes(bit(raw.reg))
        case 0xF6, 0xF7: return .writes(rax | rdx)
        case 0xB0...0xB7 where raw.rex == 0: return .writes(bit(raw.opcodeRegister & 3))
        case 0xB0...0xBF: return .writes(bit(raw.opcodeRegister))
        case 0x90...0x97: return .writes(rax | bit(raw.opcodeRegister))
        default: return .writes(all)
        }
    }

    /// Of byte operands without REX 4...7 are the high halves of 0...3.
    private static func operand(_ number: UInt8, _ raw: RawInstruction) -> UInt16 {
        bit(number) | (raw.rex == 0 && !raw.isVEX && number < 8 ? bit(number & 3) : 0)
    }

    private static func ofPrimary(_ item: BlockInstruction) -> RegisterEffect {
        let raw = item.raw
        let rm: UInt16 = raw.isMemory ? 0 : operand(raw.rm, raw)
        let reg = operand(raw.reg, raw)
        switch raw.opcode {
        case 0x38...0x3B, 0x84, 0x85: return .writes(0)
        case 0x00..<0x40: return .writes(raw.opcode & 7 < 2 ? rm : reg)
        case 0x63, 0x69, 0x6B, 0x8A, 0x8B: return .writes(reg)
        case 0x88, 0x89, 0xC0, 0xC1, 0xC6, 0xC7, 0xD0...0xD3: return .writes(rm)
        case 0x81, 0x83:
            if raw.digit == 7 { return .writes(0) }
            guard !raw.isMemory, item.instruction.operandSize == 3, raw.digit == 0 || raw.digit == 5 else {
                return .writes(rm)
            }
            let value = Int64(bitPattern: item.instruction.immediate)
            return .moves(raw.rm, raw.digit == 0 ? value : 0 &- value)
        case 0x80: return .writes(raw.digit == 7 ? 0 : rm)
        case 0xF6, 0xF7:
            return .writes(raw.digit < 2 ? 0 : raw.digit < 4 ? rm : rax | rdx)
        case 0xFE: return .writes(rm)
        case 0xFF:
            guard !raw.isMemory, item.instruction.operandSize == 3, raw.digit < 2 else { return .writes(rm) }
            return .moves(raw.rm, raw.digit == 0 ? 1 : -1)
        default: return .writes(rm | reg)
        }
    }

    /// General registers are operands where the shape says so; PCMPxSTRI leaves its result in RCX.
    private static func ofVector(_ raw: RawInstruction, _ shape: Shape) -> UInt16 {
        var registers: UInt16 = raw.map == 3 && raw.opcode & 0xFC == 0x60 ? rcx : 0
        if shape.reg == .general { registers |= bit(raw.reg) }
        if shape.rm == .general, !raw.isMemory { registers |= bit(raw.rm) }
        return registers
    }

    private static func ofOther(_ item: BlockInstruction) -> UInt16 {
        let raw = item.raw
        let rm: UInt16 = raw.isMemory ? 0 : operand(raw.rm, raw)
        let both = rm | operand(raw.reg, raw)
        if raw.isVEX { return both | bit(raw.vvvv) | rcx }
        guard raw.map == 1, item.decoded.vector == nil else {
            // PCMPxSTRI; one that a prefix makes nothing but a vector's writes more than it does.
            return both | rcx
        }
        switch raw.opcode {
        case 0x40...0x4F, 0xAF, 0xB6, 0xB7, 0xB8, 0xBC...0xBF: return operand(raw.reg, raw)
        case 0x90...0x9F, 0xA4, 0xA5, 0xAC, 0xAD, 0xA3, 0xAB, 0xB3, 0xBA, 0xBB: return rm
        case 0x10...0x17, 0x28, 0x29, 0x6F, 0x7F, 0xD6, 0xE7: return 0
        default: return both | rax | rdx
        }
    }
}
