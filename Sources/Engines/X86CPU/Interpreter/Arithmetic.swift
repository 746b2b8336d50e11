// SPDX-License-Identifier: Apache-2.0

/// One of the eight operations of the classic ALU opcodes, and TEST.
protocol ArithmeticOperation {
    /// The result is stored; false for CMP and TEST.
    static var stores: Bool { get }
    /// Computes and sets the flags.
    static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word
    /// Computes only: for a locked change, whose flags are set once it has happened.
    static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word
}

extension ArithmeticOperation {
    @inline(__always) static var stores: Bool { true }
}

enum Add: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a &+ b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = a &+ b
        state.setAddFlags(a, b, result)
        return result
    }
}

enum AddCarry: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        a &+ b &+ (state.carryFlag ? 1 : 0)
    }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = compute(state, a, b)
        state.setAddFlags(a, b, result)
        return result
    }
}

enum Subtract: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a &- b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = a &- b
        state.setSubtractFlags(a, b, result)
        return result
    }
}

enum SubtractBorrow: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        a &- b &- (state.carryFlag ? 1 : 0)
    }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = compute(state, a, b)
        state.setSubtractFlags(a, b, result)
        return result
    }
}

enum Compare: ArithmeticOperation {
    @inline(__always) static var stores: Bool { false }
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a &- b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        Subtract.apply(state, a, b)
    }
}

enum And: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a & b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = a & b
        state.setLogicFlags(result)
        return result
    }
}

enum Or: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a | b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = a | b
        state.setLogicFlags(result)
        return result
    }
}

enum ExclusiveOr: ArithmeticOperation {
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a ^ b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        let result = a ^ b
        state.setLogicFlags(result)
        return result
    }
}

enum Test: ArithmeticOperation {
    @inline(__always) static var stores: Bool { false }
    @inline(__always) static func compute<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word { a & b }
    @inline(__always) static func apply<Word: OperandWord>(_ state: State, _ a: Word, _ b: Word) -> Word {
        And.apply(state, a, b)
    }
}

/// The forms in which an ALU operation has its operands.
enum ArithmeticForm {
    /// r, r with the destination in rm.
    @inline(__always)
    static func rmReg<Operation: ArithmeticOperation, Word: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type, _: Word.Type
    ) -> Int32 {
        let state = raw.assumingMemoryBound(to: CPUState.self)
        let instruction = code.assumingMemoryBound(to: Instruction.self)
        let result = Operation.apply(
            state, Word.read(state, instruction.pointee.rm), Word.read(state, instruction.pointee.reg))
        if Operation.stores { Word.write(state, instruction.pointee.rm, result) }
        return Outcome.next.rawValue
    }

    /// r, r with the destination in reg.
    @inline(__always)
    static func regRM<Operation: ArithmeticOperation, Word: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type, _: Word.Type
    ) -> Int32 {
        let state = raw.assumingMemoryBound(to: CPUState.self)
        let instruction = code.assumingMemoryBound(to: Instruction.self)
        let result = Operation.apply(
            state, Word.read(state, instruction.pointee.reg), Word.read(state, instruction.pointee.rm))
        if Operation.stores { Word.write(state, instruction.pointee.reg, result) }
        return Outcome.next.rawValue
    }

    /// r, immediate.
    @inline(__always)
    static func rmImmediate<Operation: ArithmeticOperation, Word: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type, _: Word.Type
    ) -> Int32 {
        let state = raw.assumingMemoryBound(to: CPUState.self)
        let instruction = code.assumingMemoryBound(to: Instruction.self)
        let result = Operation.apply(
            state, Word.read(state, instruction.pointee.rm), Word(truncatingIfNeeded: instruction.pointee.immediate))
        if Operation.stores { Word.write(state, instruction.pointee.rm, result) }
        return Outcome.next.rawValue
    }

    /// r, memory.
    @inline(__always)
    static func regMemory<Operation: ArithmeticOperation, Word: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type, _: Word.Type
    ) -> Int32 {
        handle(raw, code) { state, instruction throws(CPUFault) in
            let b: Word = try state.load(try state.address(instruction, size: MemoryLayout<Word>.size))
            let result = Operation.apply(state, Word.read(state, instruction.pointee.reg), b)
            if Operation.stores { Word.write(state, instruction.pointee.reg, result) }
            return .next
        }
    }

    /// Memory, r.
    @inline(__always)
    static func memoryReg<Operation: ArithmeticOperation, Word: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _ operation: Operation.Type, _: Word.Type
    ) -> Int32 {
        handle(raw, code) { state, instruction throws(CPUFault) in
            try onMemory(state, instruction, operation, Word.read(state, instruction.pointee.reg))
        }
    }

    /// Memory, immediate.
    @inline(__always)
    static func memoryImmediate<Operation: ArithmeticOperation, Word: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _ operation: Operation.Type, _: Word.Type
    ) -> Int32 {
        handle(raw, code) { state, instruction throws(CPUFault) in
            try onMemory(state, instruction, operation, Word(truncatingIfNeeded: instruction.pointee.immediate))
        }
    }

    @inline(__always)
    private static func onMemory<Operation: ArithmeticOperation, Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Operation.Type, _ b: Word
    ) throws(CPUFault) -> Outcome {
        let size = MemoryLayout<Word>.size
        let address = try state.address(instruction, size: size, isWrite: Operation.stores)
        if !Operation.stores {
            _ = Operation.apply(state, try state.load(address) as Word, b)
            return .next
        }
        var old: Word = 0
        try state.modify(address, isLocked: instruction.pointee.prefixes.contains(.lock)) { (value: Word) in
            old = value
            return Operation.compute(state, value, b)
        }
        _ = Operation.apply(state, old, b)
        return .next
    }
}
