// SPDX-License-Identifier: Apache-2.0

/// An unsigned integer that is an operand: how a register field of `Instruction` names one.
protocol OperandWord: FixedWidthInteger, UnsignedInteger, BitwiseCopyable {
    /// The register that `field` names.
    static func read(_ state: State, _ field: UInt8) -> Self
    /// Writes it by the rules of the width: 32 bits clear the upper half, 8 and 16 leave the rest.
    static func write(_ state: State, _ field: UInt8, _ value: Self)
}

extension UInt8: OperandWord {
    @inline(__always) static func read(_ state: State, _ field: UInt8) -> UInt8 {
        UnsafeRawPointer(state).load(fromByteOffset: Int(field), as: UInt8.self)
    }
    @inline(__always) static func write(_ state: State, _ field: UInt8, _ value: UInt8) {
        UnsafeMutableRawPointer(state).storeBytes(of: value, toByteOffset: Int(field), as: UInt8.self)
    }
}

extension UInt16: OperandWord {
    @inline(__always) static func read(_ state: State, _ field: UInt8) -> UInt16 {
        UnsafeRawPointer(state).load(fromByteOffset: Int(field) &* 8, as: UInt16.self)
    }
    @inline(__always) static func write(_ state: State, _ field: UInt8, _ value: UInt16) {
        UnsafeMutableRawPointer(state).storeBytes(of: value, toByteOffset: Int(field) &* 8, as: UInt16.self)
    }
}

extension UInt32: OperandWord {
    @inline(__always) static func read(_ state: State, _ field: UInt8) -> UInt32 {
        UnsafeRawPointer(state).load(fromByteOffset: Int(field) &* 8, as: UInt32.self)
    }
    @inline(__always) static func write(_ state: State, _ field: UInt8, _ value: UInt32) {
        UnsafeMutableRawPointer(state).storeBytes(of: UInt64(value), toByteOffset: Int(field) &* 8, as: UInt64.self)
    }
}

extension UInt64: OperandWord {
    @inline(__always) static func read(_ state: State, _ field: UInt8) -> UInt64 {
        UnsafeRawPointer(state).load(fromByteOffset: Int(field) &* 8, as: UInt64.self)
    }
    @inline(__always) static func write(_ state: State, _ field: UInt8, _ value: UInt64) {
        UnsafeMutableRawPointer(state).storeBytes(of: value, toByteOffset: Int(field) &* 8, as: UInt64.self)
    }
}

extension OperandWord {
    /// Bits of the type, where the compiler folds it.
    @inline(__always) static var bits: UInt64 { UInt64(MemoryLayout<Self>.size) &* 8 }

    /// Sign-extended to 64 bits: what `flagResult` holds.
    @inline(__always) var extended: UInt64 {
        let shift = 64 &- Int64(Self.bits)
        return UInt64(bitPattern: (Int64(bitPattern: UInt64(truncatingIfNeeded: self)) &<< shift) &>> shift)
    }

    /// The top bit.
    @inline(__always) var isNegative: Bool { self >> (Self.bitWidth &- 1) != 0 }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// A general register, all 64 bits, by a number that is a constant or was decoded.
    @inline(__always)
    subscript(register index: Int) -> UInt64 {
        get { UInt64.read(self, UInt8(truncatingIfNeeded: index)) }
        nonmutating set { UInt64.write(self, UInt8(truncatingIfNeeded: index), newValue) }
    }

    /// A segment register or `SegmentRegister.flat`; the number is a constant or was decoded.
    @inline(__always)
    func segment(_ index: Int) -> UnsafeMutablePointer<SegmentState> {
        let offset = MemoryLayout<CPUState>.offset(of: \CPUState.segments).unsafelyUnwrapped
        return (UnsafeMutableRawPointer(self) + offset).assumingMemoryBound(to: SegmentState.self) + index
    }

    /// The offset of a memory operand in its segment.
    @inline(__always)
    func effectiveOffset(_ instruction: UnsafePointer<Instruction>) -> UInt64 {
        let registers = UnsafeRawPointer(self).assumingMemoryBound(to: UInt64.self)
        let index = registers[Int(instruction.pointee.index)] &<< UInt64(instruction.pointee.scale)
        let sum = registers[Int(instruction.pointee.base)] &+ index
        return (sum &+ UInt64(bitPattern: instruction.pointee.displacement)) & instruction.pointee.addressMask
    }

    /// The linear address of a memory operand of `size` bytes.
    /// - Throws: #GP(0) or #SS(0) where the segment does not allow the access.
    @inline(__always)
    func address(
        _ instruction: UnsafePointer<Instruction>, size: Int, isWrite: Bool = false
    ) throws(CPUFault) -> UInt64 {
        let offset = effectiveOffset(instruction)
        let index = Int(instruction.pointee.segment)
        if !instruction.pointee.prefixes.contains(.checkedSegment) { return segment(index).pointee.base &+ offset }
        return try checkedAddress(index, offset, size: size, isWrite: isWrite)
    }

    /// The address as LEA and the bit-string forms want it: no segment, no check.
    @inline(__always)
    func next(_ instruction: UnsafePointer<Instruction>) -> UInt64 {
        pointee.blockIP &+ UInt64(instruction.pointee.offset) &+ UInt64(instruction.pointee.length)
    }

    /// Offset of the instruction after this one, cut to the width of the code.
    @inline(__always)
    func nextIP(_ instruction: UnsafePointer<Instruction>) -> UInt64 { wrapped(next(instruction)) }

    /// Offset of this instruction.
    @inline(__always)
    func ownIP(_ instruction: UnsafePointer<Instruction>) -> UInt64 {
        wrapped(pointee.blockIP &+ UInt64(instruction.pointee.offset))
    }

    @inline(__always)
    private func wrapped(_ offset: UInt64) -> UInt64 {
        pointee.codeWidth == .bits64 ? offset : offset & 0xFFFF_FFFF
    }

    /// Reads the r/m operand.
    @inline(__always)
    func loadRM<Word: OperandWord>(
        _ instruction: UnsafePointer<Instruction>, as _: Word.Type = Word.self
    ) throws(CPUFault) -> Word {
        if instruction.pointee.prefixes.contains(.memory) {
            return try load(try address(instruction, size: MemoryLayout<Word>.size))
        }
        return Word.read(self, instruction.pointee.rm)
    }

    /// Writes the r/m operand.
    @inline(__always)
    func storeRM<Word: OperandWord>(
        _ instruction: UnsafePointer<Instruction>, _ value: Word
    ) throws(CPUFault) {
        if instruction.pointee.prefixes.contains(.memory) {
            try store(try address(instruction, size: MemoryLayout<Word>.size, isWrite: true), value)
        } else {
            Word.write(self, instruction.pointee.rm, value)
        }
    }
}
