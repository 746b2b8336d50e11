// SPDX-License-Identifier: Apache-2.0

/// The decimal adjustments of 16- and 32-bit code (SDM vol. 2: AAA, AAD, AAM, AAS, DAA, DAS).
enum DecimalAdjust {
    private static func accumulator(_ state: State) -> (al: UInt8, ah: UInt8) {
        (UInt8.read(state, 0), UInt8.read(state, 1))
    }

    /// Sets SF, ZF and PF from AL, CF and AF as given, OF clear.
    private static func setFlags(_ state: State, _ al: UInt8, carry: Bool, auxiliary: Bool) {
        state.setFlags(al, carry: carry, overflow: false)
        if auxiliary { state.pointee.flagCarries |= 8 }
    }

    /// DAA (27) and DAS (2F).
    static let packed: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let isSubtraction = instruction.pointee.opcode == 0x2F
            let old = UInt8.read(state, 0)
            let hadCarry = state.carryFlag
            var al = old
            var carry = false
            let auxiliary = old & 15 > 9 || state.auxiliaryFlag
            if auxiliary {
                let (value, overflow) =
                    isSubtraction ? al.subtractingReportingOverflow(6) : al.addingReportingOverflow(6)
                al = value
                carry = hadCarry || overflow
            }
            if old > 0x99 || hadCarry {
                al = isSubtraction ? al &- 0x60 : al &+ 0x60
                carry = true
            } else if !isSubtraction {
                carry = false
            }
            UInt8.write(state, 0, al)
            setFlags(state, al, carry: carry, auxiliary: auxiliary)
            return .next
        }
    }

    /// AAA (37) and AAS (3F).
    static let unpacked: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let isSubtraction = instruction.pointee.opcode == 0x3F
            let (al, _) = accumulator(state)
            let adjusts = al & 15 > 9 || state.auxiliaryFlag
            if adjusts {
                let ax = UInt16.read(state, 0)
                UInt16.write(state, 0, isSubtraction ? ax &- 0x106 : ax &+ 0x106)
            }
            let result = UInt8.read(state, 0) & 15
            UInt8.write(state, 0, result)
            setFlags(state, result, carry: adjusts, auxiliary: adjusts)
            return .next
        }
    }

    /// AAM.
    static let multiply: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let base = UInt8(truncatingIfNeeded: instruction.pointee.immediate)
            guard base != 0 else { throw state.fault(Vector.divideError) }
            let (al, _) = accumulator(state)
            UInt8.write(state, 1, al / base)
            UInt8.write(state, 0, al % base)
            setFlags(state, al % base, carry: false, auxiliary: false)
            return .next
        }
    }

    /// AAD.
    static let divide: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let base = UInt8(truncatingIfNeeded: instruction.pointee.immediate)
            let (al, ah) = accumulator(state)
            let result = al &+ ah &* base
            UInt16.write(state, 0, UInt16(result))
            setFlags(state, result, carry: false, auxiliary: false)
            return .next
        }
    }
}
