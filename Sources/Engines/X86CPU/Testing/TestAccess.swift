// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// Why `SoftCPU.execute` stopped.
package enum ExecutionStop: Equatable, Sendable {
    /// The limit was reached or attention is wanted.
    case limit
    /// An instruction asked the outer loop to look; not HLT.
    case exit
    /// HLT.
    case halted
    /// An exception, which is not delivered.
    case fault(vector: UInt8, code: UInt32?)
}

/// What tests need of a processor beyond its public surface: single blocks and instructions, without the delivery of
/// exceptions and interrupts.
extension SoftCPU {
    /// General registers by their number in instructions.
    package subscript(general index: Int) -> UInt64 {
        get { state[register: index & 15] }
        set { state[register: index & 15] = newValue }
    }

    /// RIP, unchecked: a non-canonical one faults only when code is fetched.
    package var instructionPointer: UInt64 {
        get { state.pointee.rip }
        set { state.pointee.rip = newValue }
    }

    /// RFLAGS.
    package var flagsImage: UInt64 {
        get { state.flags }
        set {
            state.pointee.systemFlags = newValue & ~Flag.arithmetic | 2
            state.setArithmeticFlags(newValue)
        }
    }

    /// Instructions retired.
    package var retiredCount: UInt64 { state.pointee.instructionCount }

    /// Makes the processor run `bits`-wide code (16: real mode, 32: flat protected mode, 64) without paging at CPL 0.
    package func setFlatMode(bits: Int) {
        let attributes = SegmentAttribute.present | SegmentAttribute.codeOrData | SegmentAttribute.readWrite | 1
        state.pointee.cr0 = bits == 16 ? 0x10 : 0x11
        state.pointee.efer = bits == 64 ? ExtendedFeature.longModeActive | ExtendedFeature.longMode : 0
        state.pointee.codeWidth = bits == 16 ? .bits16 : bits == 32 ? .bits32 : .bits64
        state.pointee.stackWidth = bits == 16 ? 1 : bits == 32 ? 2 : 3
        state.pointee.isFlat = bits != 16
        state.pointee.cpl = 0
        for index in 0..<6 {
            var segment = SegmentState()
            segment.limit = bits == 16 ? 0xFFFF : .max
            segment.attributes = attributes | (bits == 16 ? 0 : SegmentAttribute.big | SegmentAttribute.granularity)
            if index == SegmentRegister.cs {
                segment.attributes |= SegmentAttribute.code
                if bits == 64 {
                    segment.attributes = segment.attributes & ~SegmentAttribute.big | SegmentAttribute.long
                }
            }
            state.segment(index).pointee = segment
        }
        state.forgetFetches()
    }

    /// Sets a segment's hidden part alone.
    package func setSegment(_ index: Int, base: UInt64, limit: UInt32) {
        state.segment(index).pointee.base = base
        state.segment(index).pointee.limit = limit
        if state.pointee.codeWidth != .bits64 { state.pointee.isFlat = false }
    }

    /// Says whether 32-bit code takes CS, DS, ES and SS for segments without base and limit.
    package func setFlat(_ isFlat: Bool) { state.pointee.isFlat = isFlat }

    /// Runs until something stops it or about `limit` instructions have run; with 1 exactly one.
    package func execute(limit: UInt64 = 1_000_000) -> ExecutionStop {
        let end = state.pointee.instructionCount &+ limit
        state.pointee.isHalted = false
        if state.pointee.attention & Attention.codeChanged != 0 { processCodeChanges() }
        while true {
            let rest = limit == 1 ? 1 : end &- state.pointee.instructionCount
            switch executeBlocks(state, limit: rest) {
            case .fault:
                let code = state.pointee.faultHasErrorCode ? state.pointee.faultErrorCode : nil
                return .fault(vector: state.pointee.faultVector, code: code)
            case .exit: return state.pointee.isHalted ? .halted : .exit
            case .next, .branch:
                if limit == 1 || Int64(bitPattern: end &- state.pointee.instructionCount) <= 0 { return .limit }
                if state.pointee.attention & Attention.codeChanged != 0 { processCodeChanges() }
                if state.pointee.attention != 0 { return .limit }
            }
        }
    }
}
