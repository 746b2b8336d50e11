// SPDX-License-Identifier: Apache-2.0

/// INC.
enum Increment: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        var result: Word = 0
        try state.modifyRM(instruction) { (value: Word) in
            result = value &+ 1
            return result
        }
        state.setIncrementFlags(result)
        return .next
    }
}

/// DEC.
enum Decrement: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        var result: Word = 0
        try state.modifyRM(instruction) { (value: Word) in
            result = value &- 1
            return result
        }
        state.setDecrementFlags(result)
        return .next
    }
}

/// NEG.
enum Negate: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        var old: Word = 0
        try state.modifyRM(instruction) { (value: Word) in
            old = value
            return 0 &- value
        }
        state.setSubtractFlags(0, old, 0 &- old)
        return .next
    }
}

/// NOT.
enum Complement: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        try state.modifyRM(instruction) { (value: Word) in ~value }
        return .next
    }
}

/// ADCX (66) and ADOX (F3): addition with CF or OF alone as carry in and out.
enum AddWithFlag: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let usesOverflow = instruction.pointee.prefixes.contains(.repeatEqual)
        let b: Word = try state.loadRM(instruction)
        let a = Word.read(state, instruction.pointee.reg)
        let carry = state.carryFlag
        let overflow = state.overflowFlag
        let (first, carry1) = a.addingReportingOverflow(b)
        let (sum, carry2) = first.addingReportingOverflow((usesOverflow ? overflow : carry) ? 1 : 0)
        Word.write(state, instruction.pointee.reg, sum)
        let out = carry1 || carry2
        state.setCarryAndOverflow(usesOverflow ? carry : out, usesOverflow ? out : overflow)
        return .next
    }
}
