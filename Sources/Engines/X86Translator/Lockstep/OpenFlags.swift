// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Arithmetic flags that the architecture leaves open, as bits of RFLAGS: whatever either tier makes of them is right, but
/// PUSHF shows it, so that both must go on with the same.
enum OpenFlags {
    private static let carry: UInt64 = 0x1, parity: UInt64 = 0x4, auxiliary: UInt64 = 0x10, zero: UInt64 = 0x40
    private static let sign: UInt64 = 0x80, overflow: UInt64 = 0x800
    private static let all = SoftCPU.arithmeticFlagBits

    /// What is open after an instruction.
    /// - Parameter before: what was open before it.
    static func after(_ item: BlockInstruction, _ before: UInt64) -> UInt64 {
        guard item.effect.contains(.writes) else { return before }
        let (defined, open) = effect(item)
        return before & ~defined | open
    }

    private typealias Effect = (defined: UInt64, open: UInt64)
    private static let arithmetic: Effect = (all, 0), logic: Effect = (all & ~auxiliary, auxiliary)
    private static let product: Effect = (carry | overflow, all & ~(carry | overflow))

    private static func effect(_ item: BlockInstruction) -> Effect {
        if item.decoded.vector != nil { return arithmetic }
        if item.raw.isVEX { return (carry | zero | overflow, auxiliary | parity | sign) }
        switch item.raw.map {
        case 0: return ofPrimary(item)
        case 1: return ofMap1(item)
        // ADCX and ADOX.
        default: return (0, 0)
        }
    }

    private static func ofPrimary(_ item: BlockInstruction) -> Effect {
        switch item.raw.opcode {
        case 0x00..<0x40: ofArithmetic(item.raw.opcode >> 3)
        case 0x80...0x83: ofArithmetic(item.raw.digit)
        case 0x40...0x4F, 0xFE, 0xFF: (all & ~carry, 0)
        case 0x69, 0x6B: product
        case 0x84, 0x85, 0xA8, 0xA9: logic
        case 0x9E: (all & ~overflow, 0)
        case 0xC0, 0xC1, 0xD0, 0xD1: ofShift(item)
        // By CL, which may hold 0: then they stay.
        case 0xD2, 0xD3: (0, auxiliary | overflow)
        case 0xF5, 0xF8, 0xF9: (carry, 0)
        case 0xF6, 0xF7: ofGroup3(item.raw.digit)
        default: arithmetic
        }
    }

    private static func ofArithmetic(_ number: UInt8) -> Effect {
        number == 1 || number == 4 || number == 6 ? logic : arithmetic
    }

    private static func ofGroup3(_ digit: UInt8) -> Effect {
        switch digit {
        case 0, 1: logic
        case 2, 3: arithmetic
        case 4, 5: product
        default: (0, all)
        }
    }

    private static func ofShift(_ item: BlockInstruction) -> Effect {
        guard item.effect.contains(.replaces) else { return (0, item.raw.digit < 4 ? overflow : 0) }
        return (carry | parity | zero | sign, auxiliary | overflow)
    }

    private static func ofMap1(_ item: BlockInstruction) -> Effect {
        switch item.raw.opcode {
        case 0xA3, 0xAB, 0xB3, 0xBA, 0xBB: (carry, overflow | sign | auxiliary | parity)
        case 0xA4, 0xA5, 0xAC, 0xAD: (0, auxiliary | overflow)
        case 0xAF: product
        case 0xBC, 0xBD: (zero, all & ~zero)
        case 0xC7: (zero, 0)
        default: arithmetic
        }
    }
}
