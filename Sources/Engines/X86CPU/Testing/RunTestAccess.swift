// SPDX-License-Identifier: Apache-2.0

package import CPUInterface

extension SoftCPU {
    /// Bytes of host memory that decoded code takes up.
    package var residentCodeBytes: Int { blocks.resident }
    /// Bytes of host memory that translated code and what belongs to it take up.
    package var residentTranslationBytes: Int { translator?.residentBytes ?? 0 }
    /// What a processor does whose guest has come to rest.
    package func releaseDecodedCode() { releaseMemory() }

    /// Ends HLT as an interrupt would.
    package func leaveHalt() { state.pointee.isHalted = false }

    /// Runs with delivery of exceptions and interrupts until the guest halts with nothing to wake it, something stops
    /// the processor, or about `limit` instructions have run.
    /// - Parameter turns: rounds of the outer loop at most; a guest that takes one exception after the other retires no
    ///   instruction.
    /// - Returns: what `run` would return; nil for a halt or the limit.
    package func runUntilIdle(limit: UInt64 = 1_000_000, turns: Int = .max) -> CPUExit? {
        let end = state.pointee.instructionCount &+ limit
        var rest = turns
        while Int64(bitPattern: end &- state.pointee.instructionCount) > 0 {
            guard rest > 0 else { return nil }
            rest -= 1
            if let exit = turn(limit: max(2, end &- state.pointee.instructionCount), sleeps: false) { return exit }
            if isHalted, state.pointee.attention == 0, !hasDeliverableSignal { return nil }
        }
        return nil
    }
}
