// SPDX-License-Identifier: Apache-2.0

// How each kind of operation leaves the lazy flags (see Flags.swift for their form).
extension UnsafeMutablePointer where Pointee == CPUState {
    /// Brings the carries of an operation to their places: top two bits to 63 and 62, bit 3 stays.
    @inline(__always)
    private func placed<Word: OperandWord>(_ carries: Word) -> UInt64 {
        let wide = UInt64(truncatingIfNeeded: carries)
        return (wide &<< (64 &- Word.bits)) & (3 << 62) | (wide & 8)
    }

    /// CF and OF at their places in `flagCarries`, without branches.
    @inline(__always)
    private func topCarries(_ carry: Bool, _ overflow: Bool) -> UInt64 {
        let carry: UInt64 = carry ? 1 : 0
        let overflow: UInt64 = overflow ? 1 : 0
        return carry &<< 63 | (carry ^ overflow) &<< 62
    }

    /// After `result = a + b (+ carry)`.
    @inline(__always)
    func setAddFlags<Word: OperandWord>(_ a: Word, _ b: Word, _ result: Word) {
        pointee.flagCarries = placed((a & b) | ((a | b) & ~result))
        pointee.flagResult = result.extended
    }

    /// After `result = a - b (- borrow)`.
    @inline(__always)
    func setSubtractFlags<Word: OperandWord>(_ a: Word, _ b: Word, _ result: Word) {
        pointee.flagCarries = placed((~a & b) | ((~a | b) & result))
        pointee.flagResult = result.extended
    }

    /// After a logical operation: CF, OF and AF clear.
    @inline(__always)
    func setLogicFlags<Word: OperandWord>(_ result: Word) {
        pointee.flagCarries = 0
        pointee.flagResult = result.extended
    }

    /// SF, ZF and PF from a result; CF and OF as given, AF clear.
    @inline(__always)
    func setFlags<Word: OperandWord>(_ result: Word, carry: Bool, overflow: Bool) {
        pointee.flagCarries = topCarries(carry, overflow)
        pointee.flagResult = result.extended
    }

    /// Changes CF alone.
    @inline(__always)
    func setCarry(_ carry: Bool) {
        let overflow = overflowFlag
        pointee.flagCarries = pointee.flagCarries & ~(3 << 62) | topCarries(carry, overflow)
    }

    /// Changes CF and OF alone.
    @inline(__always)
    func setCarryAndOverflow(_ carry: Bool, _ overflow: Bool) {
        pointee.flagCarries = pointee.flagCarries & ~(3 << 62) | topCarries(carry, overflow)
    }

    /// After INC: all but CF.
    @inline(__always)
    func setIncrementFlags<Word: OperandWord>(_ result: Word) {
        let carry = pointee.flagCarries & (1 << 63)
        let overflow = result == (1 as Word) &<< (Word(truncatingIfNeeded: Word.bits) &- 1)
        // Bit 62 is CF ^ OF; AF says that the low four bits went from 15 to 0.
        pointee.flagCarries = carry | ((carry >> 1) ^ (overflow ? 1 << 62 : 0)) | (result & 15 == 0 ? 8 : 0)
        pointee.flagResult = result.extended
    }

    /// After DEC: all but CF.
    @inline(__always)
    func setDecrementFlags<Word: OperandWord>(_ result: Word) {
        let carry = pointee.flagCarries & (1 << 63)
        let overflow = result == ((1 as Word) &<< (Word(truncatingIfNeeded: Word.bits) &- 1)) &- 1
        pointee.flagCarries = carry | ((carry >> 1) ^ (overflow ? 1 << 62 : 0)) | (result & 15 == 15 ? 8 : 0)
        pointee.flagResult = result.extended
    }

    /// A condition by its number in opcodes (SDM vol. 1, appendix B): a constant, or the opcode's low four bits.
    @inline(__always)
    func condition(_ number: UInt8) -> Bool {
        let holds =
            switch (number >> 1) & 7 {
            case 0: overflowFlag
            case 1: carryFlag
            case 2: zeroFlag
            case 3: carryFlag || zeroFlag
            case 4: signFlag
            case 5: parityFlag
            case 6: signFlag != overflowFlag
            default: zeroFlag || signFlag != overflowFlag
            }
        return holds != (number & 1 != 0)
    }
}
