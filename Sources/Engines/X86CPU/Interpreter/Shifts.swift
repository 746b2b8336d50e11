// SPDX-License-Identifier: Apache-2.0

/// One of the shifts and rotates. `count` is masked and not 0.
protocol ShiftOperation {
    /// The result; nothing is changed, since a locked or faulting operand may need it again.
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word
    /// Sets the flags after the result has been stored.
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word)
}

/// Bit `number` of a value.
@inline(__always)
private func bit<Word: OperandWord>(_ value: Word, _ number: UInt64) -> Bool {
    (UInt64(truncatingIfNeeded: value) >> number) & 1 != 0
}

enum RotateLeft: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        let turn = Word(truncatingIfNeeded: count & (Word.bits &- 1))
        return value &<< turn | value &>> (Word(truncatingIfNeeded: Word.bits) &- turn)
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        let carry = result & 1 != 0
        state.setCarryAndOverflow(carry, carry != result.isNegative)
    }
}

enum RotateRight: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        let turn = Word(truncatingIfNeeded: count & (Word.bits &- 1))
        return value &>> turn | value &<< (Word(truncatingIfNeeded: Word.bits) &- turn)
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        state.setCarryAndOverflow(result.isNegative, result.isNegative != bit(result, Word.bits &- 2))
    }
}

enum RotateCarryLeft: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        let turn = count % (Word.bits &+ 1)
        if turn == 0 { return value }
        let wide = UInt64(truncatingIfNeeded: value)
        // CF stands above the value; what leaves at the top comes back at the bottom through it.
        let low = turn == 1 ? 0 : wide >> (Word.bits &+ 1 &- turn)
        let carry: UInt64 = state.carryFlag ? 1 : 0
        let high = turn == 64 ? 0 : wide &<< turn
        return Word(truncatingIfNeeded: high | carry &<< (turn &- 1) | low)
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        let turn = count % (Word.bits &+ 1)
        let carry = turn == 0 ? state.carryFlag : bit(value, Word.bits &- turn)
        state.setCarryAndOverflow(carry, carry != result.isNegative)
    }
}

enum RotateCarryRight: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        let turn = count % (Word.bits &+ 1)
        if turn == 0 { return value }
        let wide = UInt64(truncatingIfNeeded: value)
        let low = turn == 64 ? 0 : wide >> turn
        let carry: UInt64 = state.carryFlag ? 1 : 0
        let high = turn == 1 ? 0 : wide &<< (Word.bits &+ 1 &- turn)
        return Word(truncatingIfNeeded: low | carry &<< (Word.bits &- turn) | high)
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        let turn = count % (Word.bits &+ 1)
        let carry = turn == 0 ? state.carryFlag : bit(value, turn &- 1)
        state.setCarryAndOverflow(carry, result.isNegative != bit(result, Word.bits &- 2))
    }
}

enum ShiftLeft: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        // 8- and 16-bit operands may be shifted by up to 31, all out; 64 bits are wide enough for that.
        Word(truncatingIfNeeded: UInt64(truncatingIfNeeded: value) &<< count)
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        let carry = count <= Word.bits && bit(value, Word.bits &- count)
        state.setFlags(result, carry: carry, overflow: carry != result.isNegative)
    }
}

enum ShiftRight: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        Word(truncatingIfNeeded: UInt64(truncatingIfNeeded: value) &>> count)
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        state.setFlags(result, carry: bit(value, count &- 1), overflow: count == 1 && value.isNegative)
    }
}

enum ShiftArithmeticRight: ShiftOperation {
    @inline(__always)
    static func compute<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64) -> Word {
        Word(truncatingIfNeeded: Int64(bitPattern: value.extended) &>> Int64(truncatingIfNeeded: count))
    }
    @inline(__always)
    static func setFlags<Word: OperandWord>(_ state: State, _ value: Word, _ count: UInt64, _ result: Word) {
        state.setFlags(result, carry: (value.extended &>> (count &- 1)) & 1 != 0, overflow: false)
    }
}

/// The forms of shifts.
enum ShiftForm<Operation: ShiftOperation> {
    @inline(__always)
    private static func shift<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type, by unmasked: UInt64
    ) throws(CPUFault) {
        let count = unmasked & (Word.bits == 64 ? 63 : 31)
        if count == 0 {
            try keep(state, instruction, Word.self)
            return
        }
        if !instruction.pointee.isMemory {
            let value = Word.read(state, instruction.pointee.rm)
            let result = Operation.compute(state, value, count)
            Word.write(state, instruction.pointee.rm, result)
            Operation.setFlags(state, value, count, result)
            return
        }
        var old: Word = 0
        let address = try state.address(instruction, size: MemoryLayout<Word>.size, isWrite: true)
        try state.modify(address, isLocked: false) { (value: Word) in
            old = value
            return Operation.compute(state, value, count)
        }
        Operation.setFlags(state, old, count, Operation.compute(state, old, count))
    }

    /// A count of 0 leaves flags and value, but a 32-bit register's upper half is cleared and memory must be writable.
    @inline(__always)
    private static func keep<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) {
        try state.modifyRM(instruction) { (value: Word) in value }
    }

    /// The count is the immediate.
    enum ByImmediate: SizedOperation {
        @inline(__always)
        static func run<Word: OperandWord>(
            _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
        ) throws(CPUFault) -> Outcome {
            try shift(state, instruction, Word.self, by: instruction.pointee.immediate)
            return .next
        }
    }

    /// The count is CL.
    enum ByCounter: SizedOperation {
        @inline(__always)
        static func run<Word: OperandWord>(
            _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
        ) throws(CPUFault) -> Outcome {
            try shift(state, instruction, Word.self, by: state[register: Register.rcx])
            return .next
        }
    }
}

/// SHLD (opcodes A4, A5) and SHRD (AC, AD); the odd ones count by CL.
enum DoubleShift: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let isByCounter = instruction.pointee.opcode & 1 != 0
        let unmasked = isByCounter ? state[register: Register.rcx] : instruction.pointee.immediate
        let count = unmasked & (Word.bits == 64 ? 63 : 31)
        let isRight = instruction.pointee.opcode & 8 != 0
        let filler = Word.read(state, instruction.pointee.reg)
        var old: Word = 0
        var result: Word = 0
        try state.modifyRM(instruction) { (value: Word) in
            old = value
            result = count == 0 ? value : shifted(value, filler, count, isRight)
            return result
        }
        if count == 0 { return .next }
        state.setFlags(
            result, carry: carry(old, filler, count, isRight), overflow: old.isNegative != result.isNegative)
        return .next
    }

    @inline(__always)
    private static func shifted<Word: OperandWord>(
        _ value: Word, _ filler: Word, _ count: UInt64, _ isRight: Bool
    ) -> Word {
        if Word.bits == 16, count > 16 {
            // Undefined by the manual; processors go on with the destination behind the filler.
            return isRight
                ? RotateRight.plain(UInt64(truncatingIfNeeded: filler), UInt64(truncatingIfNeeded: value), count &- 16)
                : RotateLeft.plain(UInt64(truncatingIfNeeded: filler), UInt64(truncatingIfNeeded: value), count &- 16)
        }
        let by = Word(truncatingIfNeeded: count)
        let rest = Word(truncatingIfNeeded: Word.bits &- count)
        // `>>` and `<<` give 0 for a whole width, which 16 of 16 needs.
        return isRight ? value >> by | filler << rest : value << by | filler >> rest
    }

    @inline(__always)
    private static func carry<Word: OperandWord>(
        _ value: Word, _ filler: Word, _ count: UInt64, _ isRight: Bool
    ) -> Bool {
        if count > Word.bits {
            let past = count &- Word.bits
            return isRight ? bit(filler, past &- 1) : bit(filler, Word.bits &- past)
        }
        return isRight ? bit(value, count &- 1) : bit(value, Word.bits &- count)
    }
}

extension RotateLeft {
    /// The upper 16 bits of `value:filler` shifted left.
    @inline(__always)
    fileprivate static func plain<Word: OperandWord>(_ value: UInt64, _ filler: UInt64, _ count: UInt64) -> Word {
        Word(truncatingIfNeeded: value << count | filler >> (16 &- count))
    }
}

extension RotateRight {
    /// The lower 16 bits of `filler:value` shifted right.
    @inline(__always)
    fileprivate static func plain<Word: OperandWord>(_ value: UInt64, _ filler: UInt64, _ count: UInt64) -> Word {
        Word(truncatingIfNeeded: value >> count | filler << (16 &- count))
    }
}
