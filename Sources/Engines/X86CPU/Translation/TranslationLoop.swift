// SPDX-License-Identifier: Apache-2.0

// The outer loop's rounds that translated code makes by itself: an exception is delivered, a system call or an interrupt
// return is done, and nothing else asks for a look.
extension SoftCPU {
    /// Delivers the exception that an instruction under translated code left pending.
    /// - Returns: false where the outer loop must do it, or must see that the processor shut down.
    package func deliverForTranslation() -> Bool {
        guard goesOnInTranslatedCode else { return false }
        if !raiseFault() { hasShutDown = true }
        return true
    }

    /// After an instruction that ends its run, or a delivery: whether 64-bit code may go on at once. The flags are saved
    /// for translated code then.
    package func settleForTranslation() -> Bool {
        guard goesOnInTranslatedCode, !hasShutDown, state.pointee.attention == 0, !isIdle, !needsStepping,
            !hasDeliverableSignal, !state.pointee.hasTaskFault, state.pointee.pendingDebug == 0
        else { return false }
        let mode = CodeMode(state, isSingle: false)
        guard mode.is64 else { return false }
        // No trap flag: `needsStepping` looked.
        state.pointee.stepsByResult = false
        state.pointee.systemFlags &= ~Flag.resume
        state.pointee.suspendedStringIP = .max
        state.pointee.fetchKey = state.pointee.fetchKey & ~0xFF | UInt64(mode.rawValue)
        saveFlagsForTranslation()
        return true
    }
}
