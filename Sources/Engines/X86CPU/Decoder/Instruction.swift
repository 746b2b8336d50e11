// SPDX-License-Identifier: Apache-2.0

/// What a handler tells the run loop.
package enum Outcome: Int32 {
    /// Go on with the next instruction of the block.
    case next = 0
    /// Control was transferred or the block must end: `CPUState.rip` is the offset of the next instruction.
    case branch = 1
    /// An exception is pending (`throw state.fault(...)`); nothing of the instruction's effects has happened, except
    /// for the finished iterations of a repeated string instruction.
    case fault = 2
    /// As `branch`, and the run loop must look at what changed (halt, mode, paging, interrupts enabled) first.
    case exit = 3
}

/// Runs one instruction, given the `State` and a pointer to the `Instruction`. The C convention makes a handler an
/// eight-byte pointer without reference counting, which translated code calls as well.
package typealias Handler = @convention(c) @Sendable (UnsafeMutableRawPointer, UnsafeRawPointer) -> Int32

/// The body of a handler, which may throw a fault:
/// `{ handle($0, $1) { state, instruction throws(CPUFault) in ...; return .next } }`.
@inline(__always)
func handle(
    _ state: UnsafeMutableRawPointer, _ instruction: UnsafeRawPointer,
    _ body: (State, UnsafePointer<Instruction>) throws(CPUFault) -> Outcome
) -> Int32 {
    do throws(CPUFault) {
        return try body(
            state.assumingMemoryBound(to: CPUState.self), instruction.assumingMemoryBound(to: Instruction.self)
        ).rawValue
    } catch { return Outcome.fault.rawValue }
}

/// One decoded instruction of a block. 56 bytes.
package struct Instruction {
    /// What runs it; called with the state and this record.
    package var handler: Handler
    /// The immediate, sign- or zero-extended as the instruction wants it.
    package var immediate: UInt64 = 0
    /// Displacement of a memory operand, sign-extended; for RIP-relative operands relative to the block's start.
    package var displacement: Int64 = 0
    /// What the offset of a memory operand is cut to: 64, 32 or 16 ones.
    package var addressMask: UInt64 = .max
    /// Bytes from the block's first instruction to this one.
    package var offset: UInt16 = 0
    /// Bytes of this instruction, 1...15.
    package var length: UInt8 = 0
    /// Register operand: modrm.reg with REX.R (or VEX.R). For a byte register (rows with `.byteReg`) its byte offset in
    /// `CPUState.gpr` instead, so that AH...BH need no special case.
    package var reg: UInt8 = 0
    /// Register operand of modrm.rm (or of the opcode's low bits) with REX.B; for a byte register as in `reg` (rows
    /// with `.byteRM`); meaningless for a memory operand.
    package var rm: UInt8 = 0
    /// Base register of a memory operand, 0...15, or `noRegister`, or `ripRegister`.
    package var base: UInt8 = Instruction.noRegister
    /// Index register, 0...15, or `noRegister`.
    package var index: UInt8 = Instruction.noRegister
    /// log2 of the index's factor.
    package var scale: UInt8 = 0
    /// Segment of the memory operand, as `SegmentRegister`; `.flat` where no base and no limit apply.
    package var segment: UInt8 = UInt8(SegmentRegister.ds)
    /// log2 of the operand's bytes: 0...3 for integers.
    package var operandSize: UInt8 = 0
    /// log2 of the address's bytes: 1...3.
    package var addressSize: UInt8 = 0
    /// VEX.vvvv, 0...15.
    package var vvvv: UInt8 = 0
    /// Opcode byte, for handlers that serve several.
    package var opcode: UInt8 = 0
    /// Opcode map: 0 one-byte, 1 0F, 2 0F38, 3 0F3A.
    package var map: UInt8 = 0
    /// Prefixes as they count, and what else the decoder found out.
    package var prefixes: Prefixes = []
    /// More about the instruction that its group's handlers define.
    package var detail: UInt8 = 0
    /// Instructions of the block before this one.
    package var ordinal: UInt8 = 0
    /// Among the translator's instructions: what they are counted under (`InterpretedCounts`).
    package var counter: UInt16 = 0

    /// Indices past the general registers that name the words after them in `CPUState`, so that an address is computed
    /// without branches: `zero` and `blockIP`.
    package static let noRegister: UInt8 = 16
    /// As the base of a RIP-relative operand: the word `blockIP`.
    package static let ripRegister: UInt8 = 18

    /// Prefixes, and what else the decoder notes for handlers.
    package struct Prefixes: OptionSet {
        /// One bit for each prefix or finding.
        package let rawValue: UInt16
        /// A set from its bits.
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        /// F0, where the instruction allows it.
        package static let lock = Prefixes(rawValue: 1 << 0)
        /// F3: REP or REPE, or part of the opcode.
        package static let repeatEqual = Prefixes(rawValue: 1 << 1)
        /// F2: REPNE, or part of the opcode.
        package static let repeatNotEqual = Prefixes(rawValue: 1 << 2)
        /// 66.
        package static let operandSize = Prefixes(rawValue: 1 << 3)
        /// 67.
        package static let addressSize = Prefixes(rawValue: 1 << 4)
        /// Any REX: the byte registers 4...7 are SPL, BPL, SIL, DIL.
        package static let rex = Prefixes(rawValue: 1 << 5)
        /// REX.W or VEX.W: 64-bit operands.
        package static let rexW = Prefixes(rawValue: 1 << 6)
        /// Encoded with VEX (C4 or C5).
        package static let vex = Prefixes(rawValue: 1 << 7)
        /// VEX.L: 256 bits.
        package static let vexL = Prefixes(rawValue: 1 << 8)
        /// modrm.rm is a memory operand.
        package static let memory = Prefixes(rawValue: 1 << 9)
        /// One of 26, 2E, 36, 3E, 64, 65 that counts.
        package static let segmentOverride = Prefixes(rawValue: 1 << 10)
        /// The memory operand's segment has a base or limit that must be looked at.
        package static let checkedSegment = Prefixes(rawValue: 1 << 11)
        /// The memory operand lies in SS: a non-canonical address raises #SS.
        package static let stackSegment = Prefixes(rawValue: 1 << 12)
        /// Implicit memory operands lie on the stack: a non-canonical address raises #SS.
        package static let implicitStack = Prefixes(rawValue: 1 << 13)
    }
}
