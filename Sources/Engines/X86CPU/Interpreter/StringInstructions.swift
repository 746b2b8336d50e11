// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#endif

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The host address of `size` bytes in one page that may be read now, or nil where the TLB does not know it.
    @inline(__always)
    func readablePointer(_ address: UInt64, size: Int) -> UnsafeRawPointer? {
        let entry = pointee.readTLB + Int(truncatingIfNeeded: (address >> 12) & pointee.tlbMask)
        guard address ^ entry.pointee.tag <= UInt64(4096 - size) else { return nil }
        return UnsafeRawPointer(bitPattern: UInt(entry.pointee.page &+ address & 4095))
    }

    /// The linear address of a string's element: the source by the instruction's segment, the destination in ES.
    @inline(__always)
    func stringAddress(
        _ instruction: UnsafePointer<Instruction>, _ register: Int, size: Int, isWrite: Bool = false
    ) throws(CPUFault) -> UInt64 {
        let offset = self[register: register] & instruction.pointee.addressMask
        if register == Register.rsi {
            let index = Int(instruction.pointee.segment)
            if instruction.pointee.prefixes.contains(.checkedSegment) {
                return try checkedAddress(index, offset, size: size, isWrite: isWrite)
            }
            return segment(index).pointee.base &+ offset
        }
        if pointee.isFlat || pointee.codeWidth == .bits64 { return offset }
        return try checkedAddress(SegmentRegister.es, offset, size: size, isWrite: isWrite)
    }

    /// Goes back to a repeated instruction that is not at its end.
    @inline(__always)
    func suspendString(_ instruction: UnsafePointer<Instruction>) {
        let place = ownIP(instruction)
        pointee.rip = place
        pointee.suspendedStringIP = place
    }

    /// The next instruction is one that was left in the middle.
    var isStringSuspended: Bool { pointee.suspendedStringIP == pointee.rip }

    /// Moves rSI or rDI on by `count` elements in the direction of DF.
    @inline(__always)
    func advance(_ instruction: UnsafePointer<Instruction>, _ register: Int, size: Int, by count: UInt64 = 1) {
        let step = count &* UInt64(size)
        let isBackward = pointee.systemFlags & Flag.direction != 0
        let value = self[register: register]
        setCounter(register, isBackward ? value &- step : value &+ step, instruction)
    }
}

/// One string instruction: an element at a time, and as much of a page as can be done at once.
protocol StringOperation {
    /// Handles one element and moves the index registers.
    static func step<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault)
    /// Handles up to `count` elements that lie in RAM that the TLB knows, going up.
    /// - Returns: how many it did; 0 leaves one to `step`.
    static func chunk<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> UInt64
    /// REPE and REPNE look at ZF after each element.
    static var compares: Bool { get }
}

extension StringOperation {
    @inline(__always) static var compares: Bool { false }

    @inline(__always)
    static func chunk<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> UInt64 { 0 }

    /// Elements from `offset` to the end of its page or of the address width.
    @inline(__always)
    static func elements<Word: OperandWord>(
        _ linear: UInt64, _ offset: UInt64, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) -> UInt64 {
        let size = UInt64(MemoryLayout<Word>.size)
        let inPage = (4096 &- (linear & 4095)) / size
        let mask = instruction.pointee.addressMask
        return offset > mask &- 4096 ? 0 : inPage
    }

    /// Up to `count` elements of a source and a target that each lie in one page, and the linear addresses of both.
    @inline(__always)
    static func pair<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> (count: UInt64, source: UInt64, target: UInt64) {
        let mask = instruction.pointee.addressMask
        let sourceOffset = state[register: Register.rsi] & mask
        let source = state.segment(Int(instruction.pointee.segment)).pointee.base &+ sourceOffset
        let target = state[register: Register.rdi] & mask
        let limit = min(
            elements(source, sourceOffset, instruction, Word.self), elements(target, target, instruction, Word.self))
        return (min(count, limit), source, target)
    }

    /// Moves both index registers on.
    @inline(__always)
    static func advanceBoth<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, by count: UInt64 = 1, _: Word.Type
    ) {
        state.advance(instruction, Register.rsi, size: MemoryLayout<Word>.size, by: count)
        state.advance(instruction, Register.rdi, size: MemoryLayout<Word>.size, by: count)
    }
}

/// How long a repeated instruction runs before the run loop has a look at its limit.
enum StringLimit {
    /// Pages or single elements.
    @inline(__always) static var slices: Int { 1024 }
}

/// A string instruction without or with a repeat prefix.
enum Repeated<Operation: StringOperation>: SizedOperation {
    @inline(__always)
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let prefixes = instruction.pointee.prefixes
        if prefixes.isDisjoint(with: [.repeatEqual, .repeatNotEqual]) {
            try Operation.step(state, instruction, Word.self)
            return .next
        }
        return try repeated(state, instruction, Word.self)
    }

    @inline(never)
    private static func repeated<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome {
        let mask = instruction.pointee.addressMask
        let stopsWithZero = instruction.pointee.prefixes.contains(.repeatNotEqual)
        let isSingle = state.pointee.fetchKey & UInt64(CodeMode.singleBit) != 0
        let goesUp = state.pointee.systemFlags & Flag.direction == 0
        // Flat addresses only: others are looked at one by one for their limits.
        let isPlain =
            goesUp && !isSingle && !instruction.pointee.prefixes.contains(.checkedSegment)
            && (state.pointee.isFlat || state.pointee.codeWidth == .bits64)
        var slices = StringLimit.slices
        while true {
            let count = state[register: Register.rcx] & mask
            if count == 0 { return .next }
            var done: UInt64 = 0
            if isPlain { done = Operation.chunk(state, instruction, count: count, Word.self) }
            if done == 0 {
                try Operation.step(state, instruction, Word.self)
                done = 1
            }
            state.setCounter(Register.rcx, count &- done, instruction)
            if Operation.compares, state.zeroFlag == stopsWithZero { return .next }
            if count == done { return .next }
            slices &-= 1
            if state.pointee.attention != 0 || isSingle || slices == 0 {
                // The rest is done when the instruction is resumed.
                state.suspendString(instruction)
                return .branch
            }
        }
    }
}

/// MOVS.
enum MoveString: StringOperation {
    @inline(__always)
    static func step<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) {
        let size = MemoryLayout<Word>.size
        let value: Word = try state.load(try state.stringAddress(instruction, Register.rsi, size: size))
        try state.store(try state.stringAddress(instruction, Register.rdi, size: size, isWrite: true), value)
        advanceBoth(state, instruction, Word.self)
    }

    @inline(__always)
    static func chunk<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> UInt64 {
        let (chunk, source, target) = pair(state, instruction, count: count, Word.self)
        let bytes = Int(chunk) &* MemoryLayout<Word>.size
        guard chunk > 0, let from = state.readablePointer(source, size: bytes),
            let to = state.writablePointer(target, size: bytes)
        else { return 0 }
        // A target shortly above the source repeats what lies between them.
        if UInt(bitPattern: to) &- UInt(bitPattern: from) < UInt(bytes) {
            for index in 0..<Int(chunk) {
                let offset = index &* MemoryLayout<Word>.size
                to.storeBytes(
                    of: from.loadUnaligned(fromByteOffset: offset, as: Word.self), toByteOffset: offset, as: Word.self)
            }
        } else {
            memmove(to, from, bytes)
        }
        advanceBoth(state, instruction, by: chunk, Word.self)
        return chunk
    }
}

/// STOS.
enum StoreString: StringOperation {
    @inline(__always)
    static func step<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) {
        let size = MemoryLayout<Word>.size
        let address = try state.stringAddress(instruction, Register.rdi, size: size, isWrite: true)
        try state.store(address, Word.read(state, 0))
        state.advance(instruction, Register.rdi, size: size)
    }

    @inline(__always)
    static func chunk<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, count: UInt64, _: Word.Type
    ) -> UInt64 {
        let target = state[register: Register.rdi] & instruction.pointee.addressMask
        let chunk = min(count, elements(target, target, instruction, Word.self))
        let size = MemoryLayout<Word>.size
        guard chunk > 0, let to = state.writablePointer(target, size: Int(chunk) &* size) else { return 0 }
        let value = Word.read(state, 0)
        if value == 0 || size == 1 {
            memset(to, Int32(truncatingIfNeeded: value), Int(chunk) &* size)
        } else {
            for index in 0..<Int(chunk) { to.storeBytes(of: value, toByteOffset: index &* size, as: Word.self) }
        }
        state.advance(instruction, Register.rdi, size: size, by: chunk)
        return chunk
    }
}

/// LODS.
enum LoadString: StringOperation {
    @inline(__always)
    static func step<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) {
        let size = MemoryLayout<Word>.size
        let value: Word = try state.load(try state.stringAddress(instruction, Register.rsi, size: size))
        Word.write(state, 0, value)
        state.advance(instruction, Register.rsi, size: size)
    }
}
