// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// How an instruction of 64- or 32-bit code is translated.
enum InstructionKind: Equatable {
    /// By a call of the interpreter.
    case interpreted
    /// It does nothing.
    case nothing
    /// The very bytes of the guest: no operand lies elsewhere.
    case verbatim
    /// Emitted again with other registers or the host's address, by `Shape`.
    case shaped
    /// By code of its own.
    case special
    /// One of the system instructions and string instructions with code of their own.
    case system
    /// On the x87 unit.
    case floating
    /// Ends the block, or leads out of it.
    case flow

    init(_ raw: RawInstruction, _ decoded: DecodedInstruction) {
        if decoded.status != .complete {
            self = .interpreted
        } else if BlockTranslator.isSystem(raw, decoded) {
            self = .system
        } else if decoded.vector != nil || raw.isVEX {
            self = Self.ofVector(raw, decoded)
        } else {
            switch raw.map {
            case 0: self = raw.is64 ? Self.ofPrimary(raw, decoded.instruction) : Self.ofLegacy(raw, decoded.instruction)
            case 1: self = Self.ofMap1(raw, decoded)
            default: self = Shape.of(raw, decoded) == nil ? .interpreted : .shaped
            }
        }
    }

    private static func ofVector(_ raw: RawInstruction, _ decoded: DecodedInstruction)
        -> InstructionKind
    {
        if raw.isVEX, raw.map == 1, raw.opcode == 0x77 { return .verbatim }
        return Shape.of(raw, decoded) == nil ? .interpreted : .shaped
    }

    private static func shaped(_ raw: RawInstruction, _ decoded: DecodedInstruction)
        -> InstructionKind
    {
        Shape.of(raw, decoded) == nil ? .interpreted : .shaped
    }

    /// Of the one-byte opcodes of 32-bit code. Words of the stack and targets have 32 bits.
    private static func ofLegacy(_ raw: RawInstruction, _ instruction: Instruction) -> InstructionKind {
        let isUsual = instruction.operandSize == 2
        switch raw.opcode {
        case 0x40...0x4F: return .special
        case 0x50...0x5F, 0x68, 0x6A, 0xC9: return isUsual ? .special : .interpreted
        case 0x63: return .interpreted
        case 0xA0...0xA3: return instruction.addressSize == 2 ? .special : .interpreted
        case 0x70...0x7F, 0xE8, 0xE9, 0xEB, 0xC2, 0xC3: return isUsual ? .flow : .interpreted
        case 0xE2, 0xE3: return isUsual && instruction.addressSize == 2 ? .flow : .interpreted
        case 0xFF where raw.digit >= 2:
            guard isUsual else { return .interpreted }
            if raw.digit == 6 { return raw.isMemory ? .special : .interpreted }
            return ofGroup5(raw, instruction)
        default: return ofPrimary(raw, instruction)
        }
    }

    private static func ofPrimary(_ raw: RawInstruction, _ instruction: Instruction)
        -> InstructionKind
    {
        let is64 = instruction.operandSize == 3
        switch raw.opcode {
        case 0x00..<0x40:
            if raw.opcode & 7 >= 6 { return .interpreted }
            return raw.opcode & 7 >= 4 ? .verbatim : .shaped
        case 0x50...0x5F: return is64 ? .special : .interpreted
        case 0x63: return instruction.operandSize == 1 ? .interpreted : .shaped
        case 0x68, 0x6A, 0xC9: return is64 ? .special : .interpreted
        case 0x69, 0x6B, 0x80, 0x81, 0x83...0x8B, 0xC0, 0xC1, 0xC6, 0xC7, 0xD0...0xD3: return .shaped
        case 0x70...0x7F, 0xE8, 0xE9, 0xEB, 0xC2, 0xC3: return .flow
        case 0xE2, 0xE3: return instruction.addressSize == 3 ? .flow : .interpreted
        case 0x8D, 0x91...0x97, 0xB0...0xBF: return .special
        case 0x90:
            if instruction.rm != 0 { return .special }
            return raw.repeatPrefix == 0xF3 ? .verbatim : .nothing
        case 0x98, 0x99, 0x9E, 0x9F, 0xA8, 0xA9, 0xF5, 0xF8, 0xF9: return .verbatim
        case 0xF6, 0xF7:
            if raw.digit >= 6 { return instruction.operandSize >= 2 ? .special : .interpreted }
            return .shaped
        case 0x9B: return .floating
        case 0xD8...0xDF: return X87Form(raw) == nil ? .interpreted : .floating
        case 0xFE: return raw.digit < 2 ? .shaped : .interpreted
        case 0xFF: return ofGroup5(raw, instruction)
        default: return .interpreted
        }
    }

    private static func ofGroup5(_ raw: RawInstruction, _ instruction: Instruction) -> InstructionKind {
        switch raw.digit {
        case 0, 1: return .shaped
        // The target would have to be kept over the push where it is relative to RSP.
        case 2: return raw.isMemory || raw.rm != 4 ? .flow : .interpreted
        case 4: return .flow
        case 6: return instruction.operandSize == 3 && raw.isMemory ? .special : .interpreted
        default: return .interpreted
        }
    }

    private static func ofMap1(_ raw: RawInstruction, _ decoded: DecodedInstruction)
        -> InstructionKind
    {
        switch raw.opcode {
        case 0x0D, 0x18...0x1F: return .nothing
        case 0x80...0x8F: return raw.is64 || decoded.instruction.operandSize == 2 ? .flow : .interpreted
        case 0xAE:
            // The fences.
            return !raw.isMemory && raw.digit >= 5 && raw.prefix == 0 ? .verbatim : .interpreted
        case 0xA3, 0xAB, 0xB3, 0xBB: return raw.isMemory ? .special : shaped(raw, decoded)
        case 0xC8...0xCF: return decoded.instruction.operandSize == 1 ? .interpreted : .special
        default: return shaped(raw, decoded)
        }
    }

    /// SYSCALL and SYSRET.
    static func isSystemCall(_ raw: RawInstruction) -> Bool {
        raw.map == 1 && (raw.opcode == 0x05 || raw.opcode == 0x07)
    }

    /// Whether an interpreted instruction may change what `TranslationMode` says, or more, so that code behind it must be
    /// looked up anew.
    static func changesMode(_ raw: RawInstruction) -> Bool {
        if raw.map == 0 { return changesFPUMode(raw) }
        guard raw.map == 1 else { return false }
        switch raw.opcode {
        case 0x01: return raw.isMemory || ![0xCA, 0xCB, 0xF8, 0xF9].contains(raw.modRM)
        case 0x05...0x09, 0x20...0x23, 0x30, 0x34, 0x35: return true
        case 0xAE: return raw.isMemory && [1, 2, 5].contains(raw.digit)
        case 0xC7: return raw.isMemory && raw.digit != 1
        default: return false
        }
    }

    /// FLDENV, FLDCW, FRSTOR and FNINIT.
    private static func changesFPUMode(_ raw: RawInstruction) -> Bool {
        switch raw.opcode {
        case 0xD9: raw.isMemory && (raw.digit == 4 || raw.digit == 5)
        case 0xDD: raw.isMemory && raw.digit == 4
        case 0xDB: raw.modRM == 0xE3
        default: false
        }
    }
}
