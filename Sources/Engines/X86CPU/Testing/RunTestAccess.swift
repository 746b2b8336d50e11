// SPDX-License-Identifier: Apache-2.0

package import CPUInterface

extension SoftCPU {
    /// Ends HLT as an interrupt would.
    package func leaveHalt() { state.pointee.isHalted = false }

    /// Runs with delivery of exceptions and interrupts until the guest halts with nothing to wake it, something stops
    /// the processor, or about `limit` instructions have run.
    /// - Returns: what `run` would return; nil for a halt or the limit.
    package func runUntilIdle(limit: UInt64 = 1_000_000) -> CPUExit? {
        let end = state.pointee.instructionCount &+ limit
        while Int64(bitPattern: end &- state.pointee.instructionCount) > 0 {
            if let exit = turn(limit: max(2, end &- state.pointee.instructionCount), sleeps: false) { return exit }
            if isHalted, state.pointee.attention == 0, !hasDeliverableSignal { return nil }
        }
        return nil
    }
}
