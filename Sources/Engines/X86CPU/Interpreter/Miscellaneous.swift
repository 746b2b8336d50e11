// SPDX-License-Identifier: Apache-2.0

internal import CX86Native

/// Small instructions that fit no other group.
enum Miscellaneous {
    static let noOperation: Handler = { _, _ in Outcome.next.rawValue }

    /// PAUSE. The host's own, so that a spinning vCPU leaves its core's resources to the other thread.
    static let pause: Handler = { _, _ in
        roost_pause()
        return Outcome.next.rawValue
    }

    /// MFENCE, and LFENCE and SFENCE, which ask for less.
    static let fence: Handler = { _, _ in
        roost_fence()
        return Outcome.next.rawValue
    }

    /// CLFLUSH and its kind: the access is checked as a read of one byte, and there is nothing to flush.
    static let flushLine: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            _ = try state.load(try state.address(instruction, size: 1)) as UInt8
            return .next
        }
    }

    /// CBW, CWDE, CDQE.
    static let extendAccumulator: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            switch instruction.pointee.operandSize {
            case 1: UInt16.write(state, 0, UInt16(truncatingIfNeeded: UInt8.read(state, 0).extended))
            case 2: UInt32.write(state, 0, UInt32(truncatingIfNeeded: UInt16.read(state, 0).extended))
            default: UInt64.write(state, 0, UInt32.read(state, 0).extended)
            }
            return .next
        }
    }

    /// CWD, CDQ, CQO.
    static let signIntoData: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let rdx = UInt8(Register.rdx)
            switch instruction.pointee.operandSize {
            case 1: UInt16.write(state, rdx, UInt16.read(state, 0).isNegative ? .max : 0)
            case 2: UInt32.write(state, rdx, UInt32.read(state, 0).isNegative ? .max : 0)
            default: UInt64.write(state, rdx, UInt64.read(state, 0).isNegative ? .max : 0)
            }
            return .next
        }
    }

    /// LAHF.
    static let flagsToHigh: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            UInt8.write(state, 1, UInt8(truncatingIfNeeded: state.flags))
            return .next
        }
    }

    /// SAHF: all arithmetic flags but OF.
    static let highToFlags: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            let image = UInt64(UInt8.read(state, 1)) & Flag.arithmetic
            state.setArithmeticFlags(image | (state.overflowFlag ? Flag.overflow : 0))
            return .next
        }
    }

    /// CMC, CLC, STC (F5, F8, F9).
    static let carry: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let opcode = instruction.pointee.opcode
            state.setCarry(opcode == 0xF5 ? !state.carryFlag : opcode == 0xF9)
            return .next
        }
    }

    /// CLD and STD (FC, FD).
    static let direction: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let rest = state.pointee.systemFlags & ~Flag.direction
            state.pointee.systemFlags = rest | (instruction.pointee.opcode & 1 != 0 ? Flag.direction : 0)
            return .next
        }
    }

    /// SALC: AL filled with CF.
    static let carryToAccumulator: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            UInt8.write(state, 0, state.carryFlag ? .max : 0)
            return .next
        }
    }

    /// XLAT.
    static let translate: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let sum = state[register: Register.rbx] &+ UInt64(UInt8.read(state, 0))
            let offset = sum & instruction.pointee.addressMask
            let index = Int(instruction.pointee.segment)
            let isChecked = instruction.pointee.prefixes.contains(.checkedSegment)
            let linear =
                isChecked
                ? try state.checkedAddress(index, offset, size: 1, isWrite: false)
                : state.segment(index).pointee.base &+ offset
            UInt8.write(state, 0, try state.load(linear))
            return .next
        }
    }

    /// BOUND.
    static let bound: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let isInside: Bool
            if instruction.pointee.operandSize == 1 {
                let address = try state.address(instruction, size: 4)
                let (lower, upper): (UInt16, UInt16) = (try state.load(address), try state.load(address &+ 2))
                let index = Int16(bitPattern: UInt16.read(state, instruction.pointee.reg))
                isInside = index >= Int16(bitPattern: lower) && index <= Int16(bitPattern: upper)
            } else {
                let address = try state.address(instruction, size: 8)
                let (lower, upper): (UInt32, UInt32) = (try state.load(address), try state.load(address &+ 4))
                let index = Int32(bitPattern: UInt32.read(state, instruction.pointee.reg))
                isInside = index >= Int32(bitPattern: lower) && index <= Int32(bitPattern: upper)
            }
            guard isInside else { throw state.fault(Vector.boundRange) }
            return .next
        }
    }
}
