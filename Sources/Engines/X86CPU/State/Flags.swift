// SPDX-License-Identifier: Apache-2.0

/// Bits of RFLAGS.
enum Flag {
    static let carry: UInt64 = 1 << 0, parity: UInt64 = 1 << 2, auxiliary: UInt64 = 1 << 4
    static let zero: UInt64 = 1 << 6, sign: UInt64 = 1 << 7, trap: UInt64 = 1 << 8, interrupt: UInt64 = 1 << 9
    static let direction: UInt64 = 1 << 10, overflow: UInt64 = 1 << 11, ioPrivilege: UInt64 = 3 << 12
    static let nestedTask: UInt64 = 1 << 14, resume: UInt64 = 1 << 16, virtual8086: UInt64 = 1 << 17
    static let alignmentCheck: UInt64 = 1 << 18, virtualInterrupt: UInt64 = 1 << 19
    static let virtualInterruptPending: UInt64 = 1 << 20, identification: UInt64 = 1 << 21
    /// The six flags that arithmetic sets.
    static let arithmetic: UInt64 = carry | parity | auxiliary | zero | sign | overflow
}

// The lazy form. `flagResult` holds a result sign-extended to 64 bits: ZF is "all zero", SF is bit 63 and PF the parity
// of its low byte. `flagCarries` holds the carries out of each bit of the operation that made the result, with the top
// one moved to bit 63 and the next to bit 62: CF is bit 63, OF is bit 63 ^ bit 62, AF is bit 3. Combinations that no
// single result can express (ZF with SF, say, after POPF) are made by `parityDelta` and `signDelta` in `flagCarries`:
// bits 8...15 are XORed into the byte whose parity is PF, and bit 4 is XORed into SF.
extension UnsafeMutablePointer where Pointee == CPUState {
    @inline(__always) var carryFlag: Bool { Int64(bitPattern: pointee.flagCarries) < 0 }
    @inline(__always) var zeroFlag: Bool { pointee.flagResult == 0 }
    @inline(__always) var signFlag: Bool { (pointee.flagResult >> 63) ^ ((pointee.flagCarries >> 4) & 1) != 0 }
    @inline(__always) var overflowFlag: Bool {
        let carries = pointee.flagCarries
        return (carries ^ (carries << 1)) >> 63 != 0
    }
    @inline(__always) var parityFlag: Bool {
        let byte = (pointee.flagResult ^ (pointee.flagCarries >> 8)) & 0xFF
        // A bit for each value of four bits: whether it is odd.
        return 0x6996 &>> ((byte ^ byte &>> 4) & 15) & 1 == 0
    }
    @inline(__always) var auxiliaryFlag: Bool { pointee.flagCarries & 8 != 0 }

    /// The six arithmetic flags at their places in RFLAGS.
    var arithmeticFlags: UInt64 {
        let (result, carries) = (pointee.flagResult, pointee.flagCarries)
        let sign = (result &>> 63) ^ (carries &>> 4 & 1)
        let overflow = (carries ^ (carries &<< 1)) &>> 63
        return carries &>> 63 | (parityFlag ? Flag.parity : 0) | (carries & 8) &<< 1 | (zeroFlag ? Flag.zero : 0)
            | sign &<< 7 | overflow &<< 11
    }

    /// Sets the six arithmetic flags from an RFLAGS image; other bits are not looked at.
    func setArithmeticFlags(_ image: UInt64) {
        let zero = image & Flag.zero != 0
        // With ZF the result is 0, whose parity is even and sign clear; without it, 2: odd, clear.
        pointee.flagResult = zero ? 0 : 2
        let carry = image & Flag.carry != 0
        let overflow = image & Flag.overflow != 0
        var carries: UInt64 = carry ? 1 << 63 : 0
        if carry != overflow { carries |= 1 << 62 }
        if image & Flag.auxiliary != 0 { carries |= 8 }
        if image & Flag.sign != 0 { carries |= 1 << 4 }
        // The low byte has even parity with ZF and odd without.
        if (image & Flag.parity != 0) != zero { carries |= 1 << 8 }
        pointee.flagCarries = carries
    }

    /// All of RFLAGS.
    var flags: UInt64 { pointee.systemFlags | arithmeticFlags }
}
