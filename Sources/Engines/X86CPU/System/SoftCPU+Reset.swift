// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native
internal import HostSystem

extension SoftCPU {
    /// RESET. An application processor then waits for SIPI.
    public func reset() {
        // Code changes and kicks are for whoever runs it next.
        clearAttention(~(Attention.kick | Attention.codeChanged))
        _ = roost_atomic_and32(signalWord, 0)
        registers = .atReset
        state[register: Register.rdx] = UInt64(processorSignature)
        stored = StoredRegisters()
        state.pointee.xcr0 = 1
        state.pointee.xss = 0
        state.pointee.pkru = 0
        state.pointee.star = 0
        state.pointee.lstar = 0
        state.pointee.cstar = 0
        state.pointee.syscallMask = 0
        state.pointee.sysenterCS = 0
        state.pointee.sysenterESP = 0
        state.pointee.sysenterEIP = 0
        state.pointee.tscAux = 0
        state.pointee.tscOffset = 0 &- Self.timestampOrigin
        state.resetFloatingPoint()
        clearEvents()
        waitsForStartup = index != 0
        if state.pointee.isLine20Masked != 0 { setAddressLine20(true) }
    }

    /// INIT: as RESET, but floating point, time stamp and most model-specific registers stay.
    func initialize() {
        var registers = X86Registers.atReset
        registers.fxsave = state.exportFXSAVE()
        registers.ymmHigh = state.exportYMMHigh()
        // CD and NW keep their values.
        registers.cr0 = state.pointee.cr0 & (ControlRegister0.cacheDisable | ControlRegister0.notWriteThrough) | 0x10
        self.registers = registers
        state[register: Register.rdx] = UInt64(processorSignature)
        clearEvents()
        waitsForStartup = index != 0
    }

    private func clearEvents() {
        state.pointee.isHalted = false
        state.pointee.nonMaskableBlocked = false
        state.pointee.shadow = .none
        state.pointee.pendingDebug = 0
        state.pointee.stepsByResult = false
        hitWatchpoint = nil
        isResumingFromDebugger = false
    }

    /// SIPI: real mode at the vector's page.
    func startUp() {
        _ = roost_atomic_and32(signalWord, ~Attention.startup)
        waitsForStartup = false
        let vector = UInt16(truncatingIfNeeded: state.pointee.startupVector & 0xFF)
        let cs = state.segment(SegmentRegister.cs)
        cs.pointee.selector = vector << 8
        cs.pointee.base = UInt64(vector) << 12
        state.pointee.rip = 0
    }

    /// EAX of CPUID leaf 1, which EDX holds after RESET and INIT.
    private var processorSignature: UInt32 {
        environment.model.leaf(function: 1, index: 0, state: CPUIDState(identifier: UInt32(truncatingIfNeeded: index)))
            .eax
    }

    // MARK: time

    /// The host's counter when the first processor was made: all processors count from there.
    static let timestampOrigin = roost_rdtsc()

    /// The guest's time-stamp counter now, with the guest's own offset. Callable on any thread.
    public var timestamp: UInt64 { state.timeStamp }

    /// Ticks of the time-stamp counter in a second: the host's.
    public var timestampFrequency: UInt64 { Self.timestampFrequency }

    /// As the instance's.
    public static let timestampFrequency = measureFrequency()

    /// The host's own statement where it makes one, else a measurement of a few milliseconds.
    private static func measureFrequency() -> UInt64 {
        var words: [UInt32] = [0, 0, 0, 0]
        roost_cpuid(0, 0, &words)
        if words[0] >= 0x15 {
            // Crystal clock (ECX) times EBX / EAX.
            roost_cpuid(0x15, 0, &words)
            if words[0] != 0, words[1] != 0, words[2] != 0 {
                return UInt64(words[2]) * UInt64(words[1]) / UInt64(words[0])
            }
        }
        let wanted: UInt64 = 4_000_000
        let start = monotonicNanoseconds()
        let first = roost_rdtsc()
        var now = start
        while now &- start < wanted { now = monotonicNanoseconds() }
        let ticks = roost_rdtsc() &- first
        return max(1, ticks &* 1_000_000 / max(1, (now &- start) / 1000))
    }
}
