// SPDX-License-Identifier: Apache-2.0

// The stack by the width of SS: 64, 32 or 16 bits of RSP count, and the rest of RSP is left.
extension UnsafeMutablePointer where Pointee == CPUState {
    /// The part of RSP that is the stack pointer.
    @inline(__always)
    var stackMask: UInt64 {
        switch pointee.stackWidth {
        case 3: .max
        case 2: 0xFFFF_FFFF
        default: 0xFFFF
        }
    }

    /// The stack pointer's offset in SS.
    @inline(__always)
    var stackPointer: UInt64 { self[register: Register.rsp] & stackMask }

    /// Sets the stack pointer; a 32-bit one clears the upper half of RSP, a 16-bit one leaves the rest.
    @inline(__always)
    func setStackPointer(_ value: UInt64) {
        if pointee.stackWidth == 1 {
            UInt16.write(self, UInt8(Register.rsp), UInt16(truncatingIfNeeded: value))
        } else {
            self[register: Register.rsp] = value & stackMask
        }
    }

    /// The linear address of `size` bytes at an offset in the stack segment.
    @inline(__always)
    func stackAddress(_ offset: UInt64, size: Int, isWrite: Bool) throws(CPUFault) -> UInt64 {
        if pointee.codeWidth == .bits64 { return offset }
        let cut = offset & stackMask
        if pointee.isFlat { return cut }
        return try checkedAddress(SegmentRegister.ss, cut, size: size, isWrite: isWrite)
    }

    /// Pushes a value.
    @inline(__always)
    func push<Word: OperandWord>(_ value: Word) throws(CPUFault) {
        let size = MemoryLayout<Word>.size
        let target = stackPointer &- UInt64(size)
        try store(try stackAddress(target, size: size, isWrite: true), value)
        setStackPointer(target)
    }

    /// The value at an offset above the stack pointer, nothing changed.
    @inline(__always)
    func peekStack<Word: OperandWord>(
        _ displacement: UInt64 = 0, as _: Word.Type = Word.self
    ) throws(CPUFault) -> Word {
        let size = MemoryLayout<Word>.size
        return try load(try stackAddress(stackPointer &+ displacement, size: size, isWrite: false))
    }

    /// Pops a value.
    @inline(__always)
    func pop<Word: OperandWord>(as _: Word.Type = Word.self) throws(CPUFault) -> Word {
        let value: Word = try peekStack()
        setStackPointer(stackPointer &+ UInt64(MemoryLayout<Word>.size))
        return value
    }
}
