// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import CPUInterface
internal import CX86Native
internal import HostSystem

// The outer loop: between runs of guest code it takes interrupts, delivers exceptions, sleeps while the guest halts, and
// stops for the runtime and the debugger.
//
//     run ──► attend ──► (sleep) ──► executeBlocks ──► fault? raise ──► run
//               │                        └─ stepping: one instruction, then debug traps
//               └─► .kicked / .shutdown / .debug
extension SoftCPU: VirtualCPU {
    /// Runs the guest until someone else must act; only ever on the processor's own thread.
    public func run() -> CPUExit {
        if hostThreadIdentifier == 0 { hostThreadIdentifier = Int(roost_thread_number()) }
        goesOnInTranslatedCode = true
        turns?.take(self)
        defer { turns?.release() }
        while true {
            if let exit = turn(limit: .max, sleeps: true) { return exit }
        }
    }

    /// One round of the loop.
    /// - Parameters:
    ///   - limit: of instructions.
    ///   - sleeps: waits while the guest halts; else comes back with nothing done.
    func turn(limit: UInt64, sleeps: Bool) -> CPUExit? {
        if state.pointee.attention != 0 || isIdle || hasDeliverableSignal, let exit = attend(sleeps: sleeps) {
            return exit
        }
        if isIdle { return nil }
        if needsStepping { return stepOnce() }
        state.pointee.systemFlags &= ~Flag.resume
        state.pointee.suspendedStringIP = .max
        if executeBlocks(state, limit: limit) == .fault { return raiseFault() ? nil : .shutdown }
        if hasShutDown {
            hasShutDown = false
            return .shutdown
        }
        if let failure {
            self.failure = nil
            return .failed(failure)
        }
        if state.pointee.hasTaskFault { return raiseTaskFault() }
        if state.pointee.stepsByResult {
            state.pointee.stepsByResult = false
            if state.pointee.systemFlags & Flag.trap != 0 { return raiseDebugTrap(DebugStatus.singleStep) }
        }
        // A breakpoint on a port, or the T bit of a task.
        if state.pointee.pendingDebug != 0 { return raiseDebugTrap(state.pointee.pendingDebug) }
        return nil
    }

    var isIdle: Bool { state.pointee.isHalted || waitsForStartup }

    /// Sleeping in HLT, or waiting for SIPI.
    public var isHalted: Bool { isIdle }

    /// A signal waits that could not be taken when it came and can be now.
    var hasDeliverableSignal: Bool {
        let signals = state.pointee.signals
        guard signals != 0 else { return false }
        return signals & Attention.interrupt != 0 && state.pointee.systemFlags & Flag.interrupt != 0
            || signals & Attention.nonMaskable != 0 && !state.pointee.nonMaskableBlocked
    }

    var needsStepping: Bool {
        state.pointee.systemFlags & Flag.trap != 0 || state.pointee.shadow != .none
            || state.pointee.hasInstructionBreakpoints || state.pointee.mmu.pointee.hasWatches || hasDebugPoints
    }

    // MARK: attention

    /// Answers what asks for attention, most urgent first (SDM vol. 3, "Prioritization of Concurrent Events").
    private func attend(sleeps: Bool) -> CPUExit? {
        while true {
            let bits = state.pointee.attention
            if bits & Attention.kick != 0 {
                clearAttention(Attention.kick)
                return .kicked
            }
            if bits & Attention.turnOver != 0 { yieldTurn() }
            if bits & Attention.codeChanged != 0 { processCodeChanges() }
            if bits & Attention.reconfigured != 0 { applyReconfiguration() }
            clearAttention(
                Attention.interrupt | Attention.nonMaskable | Attention.initialize | Attention.startup
                    | Attention.debugTrap)
            let signals = roost_atomic_load32(signalWord)
            if signals & Attention.initialize != 0 {
                _ = roost_atomic_and32(signalWord, ~(Attention.initialize | Attention.startup))
                initialize()
            }
            if waitsForStartup {
                if signals & Attention.startup != 0 { startUp() }
            } else {
                _ = roost_atomic_and32(signalWord, ~Attention.startup)
                if state.pointee.shadow == .none, !takeInterrupt(signals) { return .shutdown }
            }
            guard isIdle, sleeps else { return nil }
            if debugPoints.singleStep { return .debug(.step) }
            if hasDeliverableSignal { continue }
            sleepUntilAttention()
        }
    }

    /// - Returns: false where its delivery shut the processor down.
    private func takeInterrupt(_ signals: UInt32) -> Bool {
        if signals & Attention.nonMaskable != 0, !state.pointee.nonMaskableBlocked {
            let old = roost_atomic_and32(signalWord, ~(Attention.nonMaskable | Attention.nonMaskableAgain))
            if old & Attention.nonMaskableAgain != 0 { _ = roost_atomic_or32(signalWord, Attention.nonMaskable) }
            state.pointee.nonMaskableBlocked = true
            return raise(external(Vector.nonMaskable))
        }
        guard signals & Attention.interrupt != 0, state.pointee.systemFlags & Flag.interrupt != 0,
            let vector = localController?.acknowledgeInterrupt()
        else { return true }
        return raise(external(vector))
    }

    private func external(_ vector: UInt8) -> PendingEvent {
        PendingEvent(
            vector: vector, origin: .external, errorCode: nil, returnIP: state.pointee.rip,
            setsResume: state.isStringSuspended)
    }

    private func sleepUntilAttention() {
        var isWatched = idleness.isWorthWatching(codeBytes)
        if isWatched, idleness.isIdle(isTranslated: translator != nil) {
            releaseMemory()
            isWatched = false
        }
        // Announced before the last look, so that whoever sets a bit after that look sees that it must wake.
        _ = roost_atomic_or32(sleepWord, 1)
        if roost_atomic_load32(attentionWord) == 0 {
            turns?.release()
            if isWatched {
                var patience = Idleness.patience
                let isWoken = roost_futex_wait(attentionWord, 0, &patience) == 0
                // The look at `attention` that follows sleeps again.
                if !isWoken, roost_atomic_load32(attentionWord) == 0 { releaseMemory() }
            } else {
                _ = roost_futex_wait(attentionWord, 0, nil)
            }
            turns?.take(self)
        }
        _ = roost_atomic_and32(sleepWord, 0)
        noteSleep()
    }

    /// Host memory of decoded and translated code.
    private var codeBytes: Int { blocks.resident + (translator?.residentBytes ?? 0) }

    /// Gives back what the code of a busy guest took, and the TLBs of address spaces other than the one in force; code is
    /// decoded and translated anew when it runs again.
    func releaseMemory() {
        blocks.release()
        translator?.release()
        state.discardTables()
        state.releaseContexts()
        ProgramPages.release()
    }

    private func yieldTurn() {
        clearAttention(Attention.turnOver)
        turns?.release()
        turns?.take(self)
    }

    // MARK: exceptions

    /// Delivers the pending fault.
    /// - Returns: false for a triple fault.
    func raiseFault(setsResume: Bool = true) -> Bool {
        let vector = state.pointee.faultVector
        if vector == Vector.pageFault { state.pointee.cr2 = state.pointee.faultAddress }
        if vector == Vector.debug { noteDebugStatus(state.pointee.faultDebugBits) }
        state.pointee.pendingDebug = 0
        return raise(
            PendingEvent(
                vector: vector, origin: .exception,
                errorCode: state.pointee.faultHasErrorCode ? state.pointee.faultErrorCode : nil,
                returnIP: state.pointee.rip, setsResume: setsResume))
    }

    private func raiseTaskFault() -> CPUExit? {
        state.pointee.hasTaskFault = false
        return raiseFault() ? nil : .shutdown
    }

    /// Delivers an event, and what comes up on the way, to the double fault.
    /// - Returns: false for a triple fault.
    func raise(_ first: PendingEvent) -> Bool {
        var event = first
        logDelivery(event)
        state.pointee.isHalted = false
        for _ in 0..<Self.maximumNesting {
            do throws(CPUFault) {
                try state.deliver(event)
                return true
            } catch { state.pointee.hasTaskFault = false }
            if state.pointee.faultIsNonCanonical {
                state.pointee.faultIsNonCanonical = false
                _ = state.fault(Vector.stackFault, code: event.external)
            }
            let nested = state.pointee.faultVector
            if nested == Vector.pageFault { state.pointee.cr2 = state.pointee.faultAddress }
            let isException = event.origin == .exception
            if isException, event.vector == Vector.doubleFault, NestedException.isShutdown(nested) { return false }
            let isDouble = isException && NestedException.isDoubleFault(event.vector, nested)
            let code = state.pointee.faultHasErrorCode ? state.pointee.faultErrorCode : nil
            event = PendingEvent(
                vector: isDouble ? Vector.doubleFault : nested, origin: .exception, errorCode: isDouble ? 0 : code,
                returnIP: state.pointee.rip, setsResume: !isDouble)
            logDelivery(event)
        }
        return false
    }

    /// More events in a row cannot come up by the rules but through a guest that makes the delivery of a benign
    /// exception raise the same again.
    private static let maximumNesting = 8

    // MARK: debugging

    /// Runs one instruction with all that is looked at before and after it.
    private func stepOnce() -> CPUExit? {
        let hadTrap = state.pointee.systemFlags & Flag.trap != 0
        let hidesTraps = state.pointee.shadow == .all
        state.pointee.shadow = .none
        let isResuming = isResumingFromDebugger
        isResumingFromDebugger = false
        let points = debugPoints
        if !isResuming, !points.breakpoints.isEmpty, points.breakpoints.contains(linearInstructionPointer) {
            return stop(.breakpoint)
        }
        if state.pointee.hasInstructionBreakpoints, !hidesTraps, state.pointee.systemFlags & Flag.resume == 0 {
            let hit = state.instructionBreakpoints()
            if hit != 0 {
                state.pointee.faultDebugBits = hit
                _ = state.fault(Vector.debug)
                // RF is for the handler to set (SDM vol. 3, "Masking Instruction Breakpoints").
                return raiseFault(setsResume: false) ? nil : .shutdown
            }
        }
        state.pointee.systemFlags &= ~Flag.resume
        state.pointee.suspendedStringIP = .max
        state.pointee.stepsByResult = false
        if executeBlocks(state, limit: 1) == .fault {
            hitWatchpoint = nil
            guard raiseFault() else { return .shutdown }
            return points.singleStep ? stop(.step) : nil
        }
        if state.pointee.hasTaskFault { return raiseTaskFault() }
        if let exit = trapAfterStep(hadTrap) { return exit }
        if let address = hitWatchpoint {
            hitWatchpoint = nil
            return stop(.watchpoint(address: address))
        }
        return points.singleStep ? stop(.step) : nil
    }

    private func trapAfterStep(_ hadTrap: Bool) -> CPUExit? {
        // Traps of an instruction that loads SS wait for the next one.
        guard state.pointee.shadow != .all else { return nil }
        var bits = state.pointee.pendingDebug
        let traps = state.pointee.stepsByResult ? state.pointee.systemFlags & Flag.trap != 0 : hadTrap
        state.pointee.stepsByResult = false
        if traps { bits |= DebugStatus.singleStep }
        return bits == 0 ? nil : raiseDebugTrap(bits)
    }

    private func raiseDebugTrap(_ bits: UInt64) -> CPUExit? {
        state.pointee.pendingDebug = 0
        noteDebugStatus(bits)
        let event = PendingEvent(
            vector: Vector.debug, origin: .exception, errorCode: nil, returnIP: state.pointee.rip,
            setsResume: state.isStringSuspended)
        return raise(event) ? nil : .shutdown
    }

    private func noteDebugStatus(_ bits: UInt64) {
        state.pointee.debug[6] = state.pointee.debug[6] & ~DebugStatus.breakpoints | bits
        state.pointee.debug[7] &= ~DebugControl.generalDetect
    }

    private func stop(_ reason: DebugStop) -> CPUExit {
        isResumingFromDebugger = true
        return .debug(reason)
    }

    private var linearInstructionPointer: UInt64 {
        let base = state.is64Bit ? 0 : state.segment(SegmentRegister.cs).pointee.base
        return state.codeLinear(base &+ state.pointee.rip)
    }
}
