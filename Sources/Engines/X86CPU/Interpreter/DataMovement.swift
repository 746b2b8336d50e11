// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import HostSystem

/// MOV r, r with the destination in rm.
enum MoveRMReg: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        Word.write(state, instruction.pointee.rm, Word.read(state, instruction.pointee.reg))
        return .next
    }
}

/// MOV r, r with the destination in reg.
enum MoveRegRM: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        Word.write(state, instruction.pointee.reg, Word.read(state, instruction.pointee.rm))
        return .next
    }
}

/// MOV memory, r.
enum MoveMemoryReg: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let address = try state.address(instruction, size: MemoryLayout<Word>.size, isWrite: true)
        try state.store(address, Word.read(state, instruction.pointee.reg))
        return .next
    }
}

/// MOV r, memory.
enum MoveRegMemory: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let value: Word = try state.load(try state.address(instruction, size: MemoryLayout<Word>.size))
        Word.write(state, instruction.pointee.reg, value)
        return .next
    }
}

/// MOV r, immediate.
enum MoveRMImmediate: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        Word.write(state, instruction.pointee.rm, Word(truncatingIfNeeded: instruction.pointee.immediate))
        return .next
    }
}

/// MOV memory, immediate.
enum MoveMemoryImmediate: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let address = try state.address(instruction, size: MemoryLayout<Word>.size, isWrite: true)
        try state.store(address, Word(truncatingIfNeeded: instruction.pointee.immediate))
        return .next
    }
}

/// LEA.
enum LoadEffectiveAddress: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        Word.write(state, instruction.pointee.reg, Word(truncatingIfNeeded: state.effectiveOffset(instruction)))
        return .next
    }
}

/// Moves with extension: the body by source width and signedness; the destination's width is the operand size.
enum Extension {
    @inline(__always)
    static func run<Source: OperandWord, Target: OperandWord>(
        _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Source.Type, _: Target.Type, isSigned: Bool
    ) -> Int32 {
        handle(raw, code) { state, instruction throws(CPUFault) in
            let value: Source = try state.loadRM(instruction)
            let wide = isSigned ? value.extended : UInt64(truncatingIfNeeded: value)
            Target.write(state, instruction.pointee.reg, Target(truncatingIfNeeded: wide))
            return .next
        }
    }
}

/// CMOVcc; `number` is a constant. The memory operand is read, and a 32-bit destination's upper half cleared, whether the
/// condition holds or not.
@inline(__always)
func moveIf<Word: OperandWord>(
    _ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Word.Type, _ number: UInt8
) -> Int32 {
    handle(raw, code) { state, instruction throws(CPUFault) in
        let value: Word = try state.loadRM(instruction)
        let old = Word.read(state, instruction.pointee.reg)
        Word.write(state, instruction.pointee.reg, state.condition(number) ? value : old)
        return .next
    }
}

/// SETcc; `number` is a constant.
@inline(__always)
func setIf(_ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _ number: UInt8) -> Int32 {
    handle(raw, code) { state, instruction throws(CPUFault) in
        let value: UInt8 = state.condition(number) ? 1 : 0
        if instruction.pointee.isMemory {
            try state.store(try state.address(instruction, size: 1, isWrite: true), value)
        } else {
            UInt8.write(state, instruction.pointee.rm, value)
        }
        return .next
    }
}

/// MOVBE in both directions: opcode F0 loads, F1 stores.
enum MoveByteSwapped: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let isStore = instruction.pointee.opcode & 1 != 0
        let address = try state.address(instruction, size: MemoryLayout<Word>.size, isWrite: isStore)
        if isStore {
            try state.store(address, Word.read(state, instruction.pointee.reg).byteSwapped)
        } else {
            let value: Word = try state.load(address)
            Word.write(state, instruction.pointee.reg, value.byteSwapped)
        }
        return .next
    }
}

/// BSWAP; of a 16-bit register it is undefined, and processors give 0.
enum ByteSwap: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let field = instruction.pointee.rm
        Word.write(state, field, Word.bits == 16 ? 0 : Word.read(state, field).byteSwapped)
        return .next
    }
}

/// XCHG; with memory always locked.
enum Exchange: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let new = Word.read(state, instruction.pointee.reg)
        var old: Word = 0
        try state.modifyRM(instruction, isLocked: true) { (value: Word) in
            old = value
            return new
        }
        Word.write(state, instruction.pointee.reg, old)
        return .next
    }
}

/// XADD.
enum ExchangeAdd: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let addend = Word.read(state, instruction.pointee.reg)
        var old: Word = 0
        try state.modifyRM(instruction) { (value: Word) in
            old = value
            return value &+ addend
        }
        let sum = old &+ addend
        // The sum wins where both operands are the same register.
        Word.write(state, instruction.pointee.reg, old)
        if !instruction.pointee.isMemory { Word.write(state, instruction.pointee.rm, sum) }
        state.setAddFlags(old, addend, sum)
        return .next
    }
}

/// CMPXCHG. Memory is written in either case, a register only where something changes.
enum CompareExchange: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let accumulator = Word.read(state, 0)
        let new = Word.read(state, instruction.pointee.reg)
        var old: Word = 0
        if instruction.pointee.isMemory {
            try state.modifyRM(instruction) { (value: Word) in
                old = value
                return value == accumulator ? new : value
            }
        } else {
            old = Word.read(state, instruction.pointee.rm)
            // Without equality the upper half of a 32-bit register stays as well.
            if old == accumulator { Word.write(state, instruction.pointee.rm, new) }
        }
        if old != accumulator { Word.write(state, 0, old) }
        state.setSubtractFlags(accumulator, old, accumulator &- old)
        return .next
    }
}

/// CMPXCHG8B and CMPXCHG16B.
enum CompareExchangePair {
    static func run8(_ state: State, _ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> Outcome {
        let pair = { (high: Int, low: Int) in
            UInt64(UInt32.read(state, UInt8(high))) << 32 | UInt64(UInt32.read(state, UInt8(low)))
        }
        let expected = pair(Register.rdx, Register.rax)
        let new = pair(Register.rcx, Register.rbx)
        var old: UInt64 = 0
        try state.modifyRM(instruction, isLocked: true) { (value: UInt64) in
            old = value
            return value == expected ? new : value
        }
        if old != expected {
            UInt32.write(state, UInt8(Register.rax), UInt32(truncatingIfNeeded: old))
            UInt32.write(state, UInt8(Register.rdx), UInt32(truncatingIfNeeded: old >> 32))
        }
        setZero(state, old == expected)
        return .next
    }

    static func run16(_ state: State, _ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> Outcome {
        let address = try state.address(instruction, size: 16, isWrite: true)
        guard address & 15 == 0 else { throw state.generalProtection() }
        if state.writablePointer(address, size: 16) == nil { try state.probeWrite(address, size: 16) }
        var expected: InlineArray<2, UInt64> = [state[register: Register.rax], state[register: Register.rdx]]
        let low = state[register: Register.rbx]
        let high = state[register: Register.rcx]
        let isEqual: Bool
        if let host = state.writablePointer(address, size: 16) {
            isEqual = withUnsafeMutableBytes(of: &expected) { pair in
                roost_locked_compare128(
                    host, pair.baseAddress?.assumingMemoryBound(to: UInt64.self), low, high) != 0
            }
        } else {
            isEqual = try slowly(state, address, &expected, low, high)
        }
        if !isEqual {
            state[register: Register.rax] = expected[0]
            state[register: Register.rdx] = expected[1]
        }
        setZero(state, isEqual)
        return .next
    }

    /// To a page with decoded code, or to a device.
    private static func slowly(
        _ state: State, _ address: UInt64, _ expected: inout InlineArray<2, UInt64>, _ low: UInt64, _ high: UInt64
    ) throws(CPUFault) -> Bool {
        if let place = try state.lockedPlace(address, size: 16) {
            let isEqual = withUnsafeMutableBytes(of: &expected) { pair in
                roost_locked_compare128(
                    place.host, pair.baseAddress?.assumingMemoryBound(to: UInt64.self), low, high) != 0
            }
            state.noteLocked(place)
            return isEqual
        }
        splitLock.lock()
        defer { splitLock.unlock() }
        let old: InlineArray<2, UInt64> = [try state.load(address) as UInt64, try state.load(address &+ 8) as UInt64]
        let isEqual = old[0] == expected[0] && old[1] == expected[1]
        try state.store(address, isEqual ? low : old[0])
        try state.store(address &+ 8, isEqual ? high : old[1])
        expected = old
        return isEqual
    }

    private static func setZero(_ state: State, _ isEqual: Bool) {
        state.setArithmeticFlags(state.arithmeticFlags & ~Flag.zero | (isEqual ? Flag.zero : 0))
    }
}
