// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// What an instruction does with the six arithmetic flags, taken together.
struct FlagEffect: OptionSet {
    let rawValue: UInt8
    /// It looks at some of them.
    static let reads = FlagEffect(rawValue: 1)
    /// It changes some of them.
    static let writes = FlagEffect(rawValue: 2)
    /// It changes all of them, whatever they were.
    static let replaces = FlagEffect(rawValue: 4)

    static let replacing: FlagEffect = [.writes, .replaces]
    /// What an instruction may do that is not known.
    static let unknown: FlagEffect = [.reads, .writes]

    /// Of a translatable instruction: those that are interpreted count as `unknown`.
    static func of(_ raw: RawInstruction, _ decoded: DecodedInstruction) -> FlagEffect {
        if let vector = decoded.vector { return vector.setsFlags ? .replacing : [] }
        if raw.isVEX { return ofVEX(raw) }
        switch raw.map {
        case 0: return ofPrimary(raw, decoded.instruction)
        case 1: return ofMap1(raw)
        case 2:
            // CRC32 and MOVBE leave them; ADCX and ADOX look at one and change one.
            return raw.opcode == 0xF6 ? .unknown : []
        default: return []
        }
    }

    private static func ofPrimary(_ raw: RawInstruction, _ instruction: Instruction) -> FlagEffect {
        switch raw.opcode {
        case 0x00..<0x40: return ofArithmetic(raw.opcode >> 3 & 7)
        case 0x80...0x83: return ofArithmetic(raw.digit)
        case 0x40...0x4F: return .writes
        case 0x9C: return .reads
        case 0x69, 0x6B, 0x84, 0x85, 0xA8, 0xA9: return .replacing
        case 0x70...0x7F: return .reads
        case 0x9D: return .replacing
        case 0x9E: return .writes
        case 0x9F: return .reads
        case 0xC0, 0xC1, 0xD0, 0xD1:
            return ofShift(
                raw.digit, count: UInt8(truncatingIfNeeded: instruction.immediate), instruction)
        case 0xD2, 0xD3: return raw.digit == 2 || raw.digit == 3 ? .unknown : .writes
        case 0xF5: return .unknown
        case 0xF8, 0xF9: return .writes
        case 0xF6, 0xF7: return raw.digit == 2 ? [] : .replacing
        case 0xD8...0xDF: return X87Form.flagEffect(raw)
        case 0xFE, 0xFF: return raw.digit < 2 ? .writes : []
        default: return []
        }
    }

    private static func ofArithmetic(_ number: UInt8) -> FlagEffect {
        number == 2 || number == 3 ? [.reads, .writes, .replaces] : .replacing
    }

    private static func ofShift(_ digit: UInt8, count: UInt8, _ instruction: Instruction)
        -> FlagEffect
    {
        let count = count & (instruction.operandSize == 3 ? 63 : 31)
        if digit == 2 || digit == 3 { return .unknown }
        return digit >= 4 && count != 0 ? .replacing : .writes
    }

    private static func ofMap1(_ raw: RawInstruction) -> FlagEffect {
        switch raw.opcode {
        // SYSCALL saves them, SYSRET brings others.
        case 0x05: .reads
        case 0x07: .replacing
        case 0x40...0x4F, 0x80...0x8F, 0x90...0x9F: .reads
        case 0xA3, 0xAB, 0xB3, 0xBB, 0xBA: .writes
        case 0xA4, 0xA5, 0xAC, 0xAD: .writes
        case 0xAF, 0xB0, 0xB1, 0xC0, 0xC1: .replacing
        // The scans leave what they do not define.
        case 0xBC, 0xBD: .writes
        case 0xB8: .replacing
        case 0xC7: .writes
        default: []
        }
    }

    private static func ofVEX(_ raw: RawInstruction) -> FlagEffect {
        guard raw.map == 2 else { return [] }
        switch raw.opcode {
        case 0xF2, 0xF3: return .replacing
        case 0xF5, 0xF7: return raw.prefix == 0 ? .replacing : []
        default: return []
        }
    }
}
