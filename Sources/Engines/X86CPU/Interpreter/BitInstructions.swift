// SPDX-License-Identifier: Apache-2.0

/// What BT, BTS, BTR and BTC do with the bit.
enum BitChange {
    @inline(__always)
    static func apply<Word: OperandWord>(_ kind: UInt8, _ value: Word, _ mask: Word) -> Word {
        switch kind & 3 {
        case 0: value
        case 1: value | mask
        case 2: value & ~mask
        default: value ^ mask
        }
    }
}

/// BT, BTS, BTR, BTC; `detail` is 0...3. With a register index (opcodes A3, AB, B3, BB) memory is a string of bits.
enum BitTest: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let kind = instruction.pointee.detail
        let isImmediate = instruction.pointee.opcode == 0xBA
        let index =
            isImmediate ? instruction.pointee.immediate : Word.read(state, instruction.pointee.reg).extended
        let mask = (1 as Word) &<< Word(truncatingIfNeeded: index & (Word.bits &- 1))
        var old: Word = 0
        if !instruction.pointee.isMemory {
            old = Word.read(state, instruction.pointee.rm)
            if kind != 0 { Word.write(state, instruction.pointee.rm, BitChange.apply(kind, old, mask)) }
        } else {
            let address = try address(state, instruction, isImmediate ? 0 : index, Word.self, isWrite: kind != 0)
            if kind == 0 {
                old = try state.load(address)
            } else {
                try state.modify(address, isLocked: instruction.pointee.prefixes.contains(.lock)) { (value: Word) in
                    old = value
                    return BitChange.apply(kind, value, mask)
                }
            }
        }
        state.setCarry(old & mask != 0)
        return .next
    }

    /// The word that holds bit `index` of the string, counted with sign from the operand on.
    @inline(__always)
    private static func address<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ index: UInt64, _: Word.Type, isWrite: Bool
    ) throws(CPUFault) -> UInt64 {
        let size = MemoryLayout<Word>.size
        let words = Int64(bitPattern: index) &>> Int64(Word.bits.trailingZeroBitCount)
        let offset = state.effectiveOffset(instruction) &+ UInt64(bitPattern: words &* Int64(size))
        let cut = offset & instruction.pointee.addressMask
        let segment = Int(instruction.pointee.segment)
        if instruction.pointee.prefixes.contains(.checkedSegment) {
            return try state.checkedAddress(segment, cut, size: size, isWrite: isWrite)
        }
        return state.segment(segment).pointee.base &+ cut
    }
}

/// BSF (BC) and BSR (BD). Of 0 the destination is left as it is.
enum BitScan: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let value: Word = try state.loadRM(instruction)
        if value != 0 {
            let isReverse = instruction.pointee.opcode & 1 != 0
            let place = isReverse ? Word.bitWidth &- 1 &- value.leadingZeroBitCount : value.trailingZeroBitCount
            Word.write(state, instruction.pointee.reg, Word(truncatingIfNeeded: place))
        }
        state.setLogicFlags(value)
        return .next
    }
}

/// TZCNT (BC) and LZCNT (BD).
enum ZeroCount: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let value: Word = try state.loadRM(instruction)
        let isLeading = instruction.pointee.opcode & 1 != 0
        let count = Word(truncatingIfNeeded: isLeading ? value.leadingZeroBitCount : value.trailingZeroBitCount)
        Word.write(state, instruction.pointee.reg, count)
        state.setFlags(count, carry: value == 0, overflow: false)
        return .next
    }
}

/// POPCNT.
enum PopulationCount: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let value: Word = try state.loadRM(instruction)
        Word.write(state, instruction.pointee.reg, Word(truncatingIfNeeded: value.nonzeroBitCount))
        state.setArithmeticFlags(value == 0 ? Flag.zero : 0)
        return .next
    }
}

/// The BMI1 and BMI2 instructions, by opcode and prefix: `detail` is one of `Kind`.
enum ExtendedBits: SizedOperation {
    enum Kind: UInt8 {
        case andNot, extract, isolateLowest, maskToLowest, resetLowest, zeroHigh, deposit, gather, multiply
        case rotateRight, shiftLeft, shiftRight, shiftArithmeticRight
    }

    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let source: Word = try state.loadRM(instruction)
        let other = Word.read(state, instruction.pointee.vvvv)
        guard let kind = Kind(rawValue: instruction.pointee.detail) else { throw state.fault(Vector.invalidOpcode) }
        let field = instruction.pointee.reg
        switch kind {
        case .andNot:
            Word.write(state, field, ~other & source)
            state.setLogicFlags(~other & source)
        case .extract, .zeroHigh: Word.write(state, field, cut(state, source, other, kind))
        case .isolateLowest, .maskToLowest, .resetLowest:
            Word.write(state, instruction.pointee.vvvv, lowest(state, source, kind))
        case .deposit: Word.write(state, field, deposit(other, source))
        case .gather: Word.write(state, field, gather(other, source))
        case .multiply:
            let product = Word.read(state, UInt8(Register.rdx)).multipliedFullWidth(by: source)
            // The high half wins where both destinations are the same register.
            Word.write(state, instruction.pointee.vvvv, Word(truncatingIfNeeded: product.low))
            Word.write(state, field, product.high)
        case .rotateRight:
            Word.write(state, field, RotateRight.compute(state, source, instruction.pointee.immediate))
        case .shiftLeft: Word.write(state, field, source &<< other)
        case .shiftRight: Word.write(state, field, source &>> other)
        case .shiftArithmeticRight:
            let count = UInt64(truncatingIfNeeded: other) & (Word.bits &- 1)
            Word.write(state, field, ShiftArithmeticRight.compute(state, source, count))
        }
        return .next
    }

    /// BEXTR and BZHI.
    @inline(__always)
    private static func cut<Word: OperandWord>(_ state: State, _ source: Word, _ control: Word, _ kind: Kind) -> Word {
        let control = UInt64(truncatingIfNeeded: control)
        let width = kind == .zeroHigh ? control & 0xFF : (control >> 8) & 0xFF
        let start = kind == .zeroHigh ? 0 : control & 0xFF
        let moved = start >= Word.bits ? 0 : source >> Word(truncatingIfNeeded: start)
        let result = width >= Word.bits ? moved : moved & (((1 as Word) << Word(truncatingIfNeeded: width)) &- 1)
        state.setFlags(result, carry: kind == .zeroHigh && width >= Word.bits, overflow: false)
        return result
    }

    /// BLSI, BLSMSK and BLSR.
    @inline(__always)
    private static func lowest<Word: OperandWord>(_ state: State, _ source: Word, _ kind: Kind) -> Word {
        let result =
            switch kind {
            case .isolateLowest: source & (0 &- source)
            case .maskToLowest: source ^ (source &- 1)
            default: source & (source &- 1)
            }
        state.setFlags(result, carry: (source == 0) != (kind == .isolateLowest), overflow: false)
        return result
    }

    /// PDEP: the low bits of `source` to the places of `mask`.
    private static func deposit<Word: OperandWord>(_ source: Word, _ mask: Word) -> Word {
        var (result, rest, bits) = (0 as Word, mask, source)
        while rest != 0 {
            let lowest = rest & (0 &- rest)
            if bits & 1 != 0 { result |= lowest }
            bits >>= 1
            rest ^= lowest
        }
        return result
    }

    /// PEXT: the bits of `source` at the places of `mask` to the low bits.
    private static func gather<Word: OperandWord>(_ source: Word, _ mask: Word) -> Word {
        var (result, rest, place) = (0 as Word, mask, 1 as Word)
        while rest != 0 {
            let lowest = rest & (0 &- rest)
            if source & lowest != 0 { result |= place }
            place &<<= 1
            rest ^= lowest
        }
        return result
    }
}

/// CRC32: the operand's width is `Word`, the accumulator's 32 bits.
enum CyclicRedundancyCheck: SizedOperation {
    /// The polynomial 11EDC6F41 with its bits reversed, as the instruction counts them.
    private static let polynomial: UInt32 = 0x82F6_3B78
    private static let table: [UInt32] = (0..<256).map { (byte: UInt32) in
        (0..<8).reduce(byte) { value, _ in value & 1 != 0 ? value >> 1 ^ polynomial : value >> 1 }
    }

    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        var data: Word = try state.loadRM(instruction)
        var value = UInt32.read(state, instruction.pointee.reg)
        for _ in 0..<MemoryLayout<Word>.size {
            value = value >> 8 ^ table[Int((value ^ UInt32(truncatingIfNeeded: data)) & 0xFF)]
            data = Word.bits == 8 ? 0 : data >> 8
        }
        UInt32.write(state, instruction.pointee.reg, value)
        return .next
    }
}
