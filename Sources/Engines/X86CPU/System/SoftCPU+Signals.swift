// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import CPUInterface
internal import CX86Native

// What other threads tell the processor: a level or an edge in `CPUState.signals`, then an attention bit, then a wake-up
// where it sleeps.
extension SoftCPU: CPUSignals {
    /// The level of INTR, as the APIC or the PIC drives it; taken when RFLAGS.IF allows.
    public func setInterruptRequest(_ asserted: Bool) {
        if asserted {
            signal(Attention.interrupt)
        } else {
            _ = roost_atomic_and32(signalWord, ~Attention.interrupt)
        }
    }

    /// An edge of NMI. During the handler one more is remembered, and no second.
    public func raiseNonMaskableInterrupt() {
        // One that waits for the end of another's handler takes all that come in the meantime; one that is about to be
        // taken leaves room for the next.
        let old = roost_atomic_or32(signalWord, Attention.nonMaskable)
        if old & Attention.nonMaskable != 0, !state.pointee.nonMaskableBlocked {
            _ = roost_atomic_or32(signalWord, Attention.nonMaskableAgain)
        }
        raiseAttention(Attention.nonMaskable)
    }

    /// INIT from the APIC: taken between instructions; the processor then waits for a startup.
    public func raiseInit() { signal(Attention.initialize) }

    /// SIPI: begins at `vector` << 12 in real mode; ignored unless it waits after INIT.
    public func raiseStartup(vector: UInt8) {
        _ = roost_atomic_and32(startupWord, 0)
        _ = roost_atomic_or32(startupWord, UInt32(vector))
        signal(Attention.startup)
    }

    /// There is no system-management mode: CPUID and the chipset offer none, and the request is dropped as by a
    /// processor whose firmware has installed no handler.
    public func raiseSystemManagementInterrupt() {}

    /// Makes `run` return as soon as the present block ends; from any thread.
    public func kick() { raiseAttention(Attention.kick) }

    private func signal(_ bit: UInt32) {
        _ = roost_atomic_or32(signalWord, bit)
        raiseAttention(bit)
    }

    /// Sets attention bits from any thread.
    func raiseAttention(_ bits: UInt32) {
        _ = roost_atomic_or32(attentionWord, bits)
        if roost_atomic_load32(sleepWord) != 0 { _ = roost_futex_wake(attentionWord, 1) }
    }

    /// Clears attention bits.
    func clearAttention(_ bits: UInt32) { _ = roost_atomic_and32(attentionWord, ~bits) }

    private func word(_ field: KeyPath<CPUState, UInt32>) -> UnsafeMutablePointer<UInt32> {
        // The fields are stored ones, whose places in the block never change.
        let offset = MemoryLayout<CPUState>.offset(of: field).unsafelyUnwrapped
        return (UnsafeMutableRawPointer(state) + offset).assumingMemoryBound(to: UInt32.self)
    }

    var attentionWord: UnsafeMutablePointer<UInt32> { word(\.attention) }
    var signalWord: UnsafeMutablePointer<UInt32> { word(\.signals) }
    var sleepWord: UnsafeMutablePointer<UInt32> { word(\.isSleeping) }
    private var startupWord: UnsafeMutablePointer<UInt32> { word(\.startupVector) }

    // MARK: configuration from other threads

    /// Masks address line 20, or lets it through, as the keyboard controller's gate does. Callable on any thread.
    public func setAddressLine20(_ isOpen: Bool) {
        if isOpen {
            _ = roost_atomic_and32(word(\.isLine20Masked), 0)
        } else {
            _ = roost_atomic_or32(word(\.isLine20Masked), 1)
        }
        raiseAttention(Attention.reconfigured)
    }

    /// Forgets which pages may be written without a look, after dirty flags were cleared or memory regions moved. Callable on any thread; takes
    /// effect before the processor's next block.
    public func forgetTranslations() { raiseAttention(Attention.reconfigured) }

    func applyReconfiguration() {
        clearAttention(Attention.reconfigured)
        let line: UInt64 = 1 << 20
        state.pointee.mmu.pointee.addressMask =
            roost_atomic_load32(word(\.isLine20Masked)) != 0 ? ~line : .max
        state.pointee.mmu.pointee.followRegions(of: environment.memory)
        state.flushAllTranslations()
    }
}
