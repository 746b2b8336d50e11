// SPDX-License-Identifier: Apache-2.0

/// Where the double-width operands of MUL and DIV lie: AX for bytes, else rDX:rAX.
private enum Accumulator {
    @inline(__always)
    static func high<Word: OperandWord>(_ state: State, _: Word.Type) -> Word {
        // AH is at byte offset 1, the place that a byte field names.
        Word.bits == 8 ? Word.read(state, 1) : Word.read(state, UInt8(Register.rdx))
    }
    @inline(__always)
    static func set<Word: OperandWord>(_ state: State, high: Word, low: Word) {
        Word.write(state, 0, low)
        Word.write(state, Word.bits == 8 ? 1 : UInt8(Register.rdx), high)
    }
}

/// MUL.
enum Multiply: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let b: Word = try state.loadRM(instruction)
        let product = Word.read(state, 0).multipliedFullWidth(by: b)
        let low = Word(truncatingIfNeeded: product.low)
        Accumulator.set(state, high: product.high, low: low)
        state.setFlags(low, carry: product.high != 0, overflow: product.high != 0)
        return .next
    }
}

/// The full product of two signed operands.
@inline(__always)
private func signedProduct<Word: OperandWord>(_ a: Word, _ b: Word) -> (high: Word, low: Word, overflows: Bool) {
    let product = a.multipliedFullWidth(by: b)
    let low = Word(truncatingIfNeeded: product.low)
    // An operand read as unsigned is 2^bits too large where it is negative.
    let high = product.high &- (a.isNegative ? b : 0) &- (b.isNegative ? a : 0)
    return (high, low, high != (low.isNegative ? Word.max : 0))
}

/// IMUL with one operand.
enum SignedMultiply: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let b: Word = try state.loadRM(instruction)
        let product = signedProduct(Word.read(state, 0), b)
        Accumulator.set(state, high: product.high, low: product.low)
        state.setFlags(product.low, carry: product.overflows, overflow: product.overflows)
        return .next
    }
}

/// IMUL r, r/m (0F AF) and IMUL r, r/m, immediate (69, 6B).
enum SignedMultiplyTruncated: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let b: Word = try state.loadRM(instruction)
        let a =
            instruction.pointee.map == 0
            ? Word(truncatingIfNeeded: instruction.pointee.immediate) : Word.read(state, instruction.pointee.reg)
        let product = signedProduct(a, b)
        Word.write(state, instruction.pointee.reg, product.low)
        state.setFlags(product.low, carry: product.overflows, overflow: product.overflows)
        return .next
    }
}

/// DIV.
enum Divide: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let divisor: Word = try state.loadRM(instruction)
        let high = Accumulator.high(state, Word.self)
        // Covers a divisor of 0 and a quotient that does not fit.
        guard high < divisor else { throw state.fault(Vector.divideError) }
        let (quotient, remainder) = divideWide(high, Word.read(state, 0), divisor)
        Accumulator.set(state, high: remainder, low: quotient)
        return .next
    }
}

/// Divides `high:low` by a divisor greater than `high`.
@inline(__always)
private func divideWide<Word: OperandWord>(_ high: Word, _ low: Word, _ divisor: Word) -> (Word, Word) {
    if Word.bits < 64 {
        let dividend = UInt64(truncatingIfNeeded: high) &<< Word.bits | UInt64(truncatingIfNeeded: low)
        let wide = UInt64(truncatingIfNeeded: divisor)
        return (Word(truncatingIfNeeded: dividend / wide), Word(truncatingIfNeeded: dividend % wide))
    }
    if high == 0 { return (low / divisor, low % divisor) }
    let result = UInt64(truncatingIfNeeded: divisor).dividingFullWidth(
        (UInt64(truncatingIfNeeded: high), UInt64(truncatingIfNeeded: low)))
    return (Word(truncatingIfNeeded: result.quotient), Word(truncatingIfNeeded: result.remainder))
}

/// IDIV.
enum SignedDivide: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let divisor: Word = try state.loadRM(instruction)
        var high = Accumulator.high(state, Word.self)
        var low = Word.read(state, 0)
        let isNegative = high.isNegative
        if isNegative {
            // Two's complement of high:low.
            low = 0 &- low
            high = ~high &+ (low == 0 ? 1 : 0)
        }
        let magnitude = divisor.isNegative ? 0 &- divisor : divisor
        guard high < magnitude else { throw state.fault(Vector.divideError) }
        var (quotient, remainder) = divideWide(high, low, magnitude)
        let isQuotientNegative = isNegative != divisor.isNegative
        // The quotient's magnitude may be 2^(bits-1) only where it is negative.
        let limit = (1 as Word) &<< Word(truncatingIfNeeded: Word.bits &- 1)
        guard quotient < limit || (isQuotientNegative && quotient == limit) else {
            throw state.fault(Vector.divideError)
        }
        if isQuotientNegative { quotient = 0 &- quotient }
        if isNegative { remainder = 0 &- remainder }
        Accumulator.set(state, high: remainder, low: quotient)
        return .next
    }
}
