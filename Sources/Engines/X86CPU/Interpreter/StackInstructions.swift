// SPDX-License-Identifier: Apache-2.0

/// PUSH r/m in all widths.
enum PushRM: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        try state.push(try state.loadRM(instruction) as Word)
        return .next
    }
}

/// PUSH immediate.
enum PushImmediate: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        try state.push(Word(truncatingIfNeeded: instruction.pointee.immediate))
        return .next
    }
}

/// POP r/m. A memory operand's address is computed with the stack pointer after the pop.
enum PopRM: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let old = state[register: Register.rsp]
        let value: Word = try state.pop()
        do throws(CPUFault) { try state.storeRM(instruction, value) } catch {
            state[register: Register.rsp] = old
            throw error
        }
        return .next
    }
}

/// PUSH and POP of a register in 64-bit code.
enum StackHandlers {
    static let pushRegister64: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let stack = state[register: Register.rsp] &- 8
            try state.store(stack, UInt64.read(state, instruction.pointee.rm))
            state[register: Register.rsp] = stack
            return .next
        }
    }

    static let popRegister64: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let stack = state[register: Register.rsp]
            let value: UInt64 = try state.load(stack)
            // POP RSP leaves the popped value.
            state[register: Register.rsp] = stack &+ 8
            UInt64.write(state, instruction.pointee.rm, value)
            return .next
        }
    }

    /// PUSHA.
    static let pushAll: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let old = state[register: Register.rsp]
            do throws(CPUFault) {
                for index in 0..<8 {
                    let value = index == Register.rsp ? old : state[register: index]
                    if instruction.pointee.operandSize == 1 {
                        try state.push(UInt16(truncatingIfNeeded: value))
                    } else {
                        try state.push(UInt32(truncatingIfNeeded: value))
                    }
                }
            } catch {
                state[register: Register.rsp] = old
                throw error
            }
            return .next
        }
    }

    /// POPA; the image of SP is skipped.
    static let popAll: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let is16 = instruction.pointee.operandSize == 1
            let size: UInt64 = is16 ? 2 : 4
            var values = InlineArray<8, UInt32>(repeating: 0)
            for index in 0..<8 {
                let place = UInt64(7 - index) * size
                values[index] =
                    is16 ? UInt32(try state.peekStack(place) as UInt16) : try state.peekStack(place)
            }
            for index in 0..<8 where index != Register.rsp {
                if is16 {
                    UInt16.write(state, UInt8(index), UInt16(truncatingIfNeeded: values[index]))
                } else {
                    UInt32.write(state, UInt8(index), values[index])
                }
            }
            state.setStackPointer(state.stackPointer &+ 8 * size)
            return .next
        }
    }
}

/// ENTER: the frame's size in the low 16 bits of the immediate, the nesting level from bit 16 on.
enum EnterFrame: SizedOperation {
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let old = state[register: Register.rsp]
        do throws(CPUFault) {
            let frame = try build(state, instruction, Word.self)
            // The stack must be writable where it will end.
            let size = MemoryLayout<Word>.size
            try state.probeWrite(try state.stackAddress(state.stackPointer, size: size, isWrite: true), size: size)
            writeFramePointer(state, frame)
        } catch {
            state[register: Register.rsp] = old
            throw error
        }
        return .next
    }

    /// Pushes the frame and moves the stack pointer.
    /// - Returns: the new frame pointer.
    private static func build<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Word {
        let size = UInt64(MemoryLayout<Word>.size)
        let level = (instruction.pointee.immediate >> 16) & 31
        try state.push(Word.read(state, UInt8(Register.rbp)))
        // All of ESP, even where only SP counts.
        let frame = state[register: Register.rsp]
        if level > 0 {
            var display = state[register: Register.rbp]
            for _ in 1..<max(level, 1) {
                display &-= size
                let place = try state.stackAddress(display, size: Int(size), isWrite: false)
                try state.push(try state.load(place) as Word)
            }
            try state.push(Word(truncatingIfNeeded: frame))
        }
        state.setStackPointer(state.stackPointer &- (instruction.pointee.immediate & 0xFFFF))
        return Word(truncatingIfNeeded: frame)
    }

    private static func writeFramePointer<Word: OperandWord>(_ state: State, _ value: Word) {
        Word.write(state, UInt8(Register.rbp), value)
    }
}

/// LEAVE.
enum LeaveFrame: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let size = MemoryLayout<Word>.size
        let frame = state[register: Register.rbp] & state.stackMask
        let value: Word = try state.load(try state.stackAddress(frame, size: size, isWrite: false))
        state.setStackPointer(frame &+ UInt64(size))
        Word.write(state, UInt8(Register.rbp), value)
        return .next
    }
}
