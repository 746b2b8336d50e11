// SPDX-License-Identifier: Apache-2.0

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Ends the block after this instruction.
    /// - Parameter outcome: `.exit` where the run loop must look at what changed.
    @inline(__always)
    func end(_ instruction: UnsafePointer<Instruction>, _ outcome: Outcome = .exit) -> Outcome {
        pointee.rip = nextIP(instruction)
        return outcome
    }

    /// Leaves an instruction of which nothing has happened, for the run loop to take what waits before it.
    func startOver(_ instruction: UnsafePointer<Instruction>) -> Outcome {
        pointee.rip = ownIP(instruction)
        return .exit
    }

    /// #GP(0) unless at CPL 0, which real mode is and V86 mode is not.
    @inline(__always)
    func requireSupervisor() throws(CPUFault) {
        guard pointee.cpl == 0 else { throw generalProtection() }
    }

    @inline(__always)
    var ioPrivilege: UInt8 { UInt8(truncatingIfNeeded: (pointee.systemFlags & Flag.ioPrivilege) >> 12) }

    /// Writes a general register by the operand's width.
    @inline(__always)
    func writeRegister(_ index: UInt8, _ value: UInt64, size: UInt8) {
        switch size {
        case 1: UInt16.write(self, index, UInt16(truncatingIfNeeded: value))
        case 2: UInt32.write(self, index, UInt32(truncatingIfNeeded: value))
        default: UInt64.write(self, index, value)
        }
    }

    /// Reads the instruction's r/m operand of 16 bits: a selector.
    @inline(__always)
    func loadSelector(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> UInt16 {
        try loadRM(instruction)
    }

    /// Writes a 16-bit value to r/m: memory gets 16 bits, a register what the operand size says.
    func storeSelector(_ instruction: UnsafePointer<Instruction>, _ value: UInt16) throws(CPUFault) {
        if instruction.pointee.prefixes.contains(.memory) {
            try store(try address(instruction, size: 2, isWrite: true), value)
        } else {
            writeRegister(instruction.pointee.rm, UInt64(value), size: instruction.pointee.operandSize)
        }
    }
}
