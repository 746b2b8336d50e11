// SPDX-License-Identifier: Apache-2.0

/// SCAS.
enum ScanString: StringOperation {
    @inline(__always) static var compares: Bool { true }

    @inline(__always)
    static func step<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) {
        let size = MemoryLayout<Word>.size
        let value: Word = try state.load(try state.stringAddress(instruction, Register.rdi, size: size))
        _ = Subtract.apply(state, Word.read(state, 0), value)
        state.advance(instruction, Register.rdi, size: size)
    }

    @inline(__always)
    static func chunk<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> UInt64 {
        let size = MemoryLayout<Word>.size
        let target = state[register: Register.rdi] & instruction.pointee.addressMask
        let chunk = min(count, elements(target, target, instruction, Word.self))
        guard chunk > 0, let place = state.readablePointer(target, size: Int(chunk) &* size) else { return 0 }
        let wanted = Word.read(state, 0)
        let stopsWithZero = instruction.pointee.prefixes.contains(.repeatNotEqual)
        var done = 0
        var value: Word
        repeat {
            value = place.loadUnaligned(fromByteOffset: done &* size, as: Word.self)
            done &+= 1
        } while done < Int(chunk) && (value == wanted) != stopsWithZero
        _ = Subtract.apply(state, wanted, value)
        state.advance(instruction, Register.rdi, size: size, by: UInt64(done))
        return UInt64(done)
    }
}

/// CMPS.
enum CompareString: StringOperation {
    @inline(__always) static var compares: Bool { true }

    @inline(__always)
    static func step<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) {
        let size = MemoryLayout<Word>.size
        let a: Word = try state.load(try state.stringAddress(instruction, Register.rsi, size: size))
        let b: Word = try state.load(try state.stringAddress(instruction, Register.rdi, size: size))
        _ = Subtract.apply(state, a, b)
        advanceBoth(state, instruction, Word.self)
    }

    @inline(__always)
    static func chunk<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> UInt64 {
        let size = MemoryLayout<Word>.size
        let (chunk, source, target) = pair(state, instruction, count: count, Word.self)
        let bytes = Int(chunk) &* size
        guard chunk > 0, let left = state.readablePointer(source, size: bytes),
            let right = state.readablePointer(target, size: bytes)
        else { return 0 }
        let stopsWithZero = instruction.pointee.prefixes.contains(.repeatNotEqual)
        var done = 0
        var a: Word, b: Word
        repeat {
            a = left.loadUnaligned(fromByteOffset: done &* size, as: Word.self)
            b = right.loadUnaligned(fromByteOffset: done &* size, as: Word.self)
            done &+= 1
        } while done < Int(chunk) && (a == b) != stopsWithZero
        _ = Subtract.apply(state, a, b)
        advanceBoth(state, instruction, by: UInt64(done), Word.self)
        return UInt64(done)
    }
}
