// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native
public import StateCoding

/// What a saved machine keeps of one processor, without its local APIC.
struct SoftCPUState: SavedState, Equatable {
    var registers: X86Registers
    var xcr0: UInt64, xss: UInt64
    var pkru: UInt32
    /// The guest's counter when it was saved: it goes on from there.
    var timeStamp: UInt64
    var timeStampAuxiliary: UInt64
    /// STAR, LSTAR, CSTAR, SFMASK, then SYSENTER's CS, ESP and EIP.
    var systemCalls: [UInt64]
    var fixedRanges: [UInt64], variableRanges: [UInt64]
    var machineCheckBanks: [UInt64]
    /// As `SoftCPU.otherRegisters` has them.
    var others: [UInt64]
    var shadow: InstructionShadow
    var isNonMaskableBlocked: Bool, isHalted: Bool, waitsForStartup: Bool
    var pendingDebug: UInt64
    /// NMI, INIT and SIPI that have not been taken, and the last one's vector.
    var signals: UInt32, startupVector: UInt32

    func problem(replacing current: SoftCPUState) -> String? {
        let sizesAgree =
            registers.general.count == 16 && registers.debug.count == 8
            && registers.fxsave.count == current.registers.fxsave.count
            && registers.ymmHigh.count == current.registers.ymmHigh.count
            && systemCalls.count == current.systemCalls.count && fixedRanges.count == current.fixedRanges.count
            && variableRanges.count == current.variableRanges.count
            && machineCheckBanks.count == current.machineCheckBanks.count && others.count == current.others.count
        guard sizesAgree else { return "its tables have other lengths" }
        guard xcr0 & 1 != 0 else { return "XCR0 is impossible" }
        return nil
    }
}

extension SoftCPU: Stateful {
    /// Signals that the local APIC does not drive by level.
    private static let savedSignals = Attention.nonMaskable | Attention.initialize | Attention.startup

    /// Everything a guest can see of the processor but the APIC's; its thread must stand.
    public func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, savedState)
    }

    /// Refuses impossible registers without touching any; the result puts the new state in.
    public func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let new = try record.decode(replacing: savedState)
        guard new.xcr0 & ~environment.model.supportedXCR0 & ~1 == 0 else {
            throw StateError(
                "the saved state of '\(record.name)' is refused: it uses extended state that this processor model lacks"
            )
        }
        return { [self] in restore(new) }
    }

    private var savedState: SoftCPUState {
        let cpu = state.pointee
        return SoftCPUState(
            registers: registers, xcr0: cpu.xcr0, xss: cpu.xss, pkru: cpu.pkru, timeStamp: state.timeStamp,
            timeStampAuxiliary: cpu.tscAux,
            systemCalls: [
                cpu.star, cpu.lstar, cpu.cstar, cpu.syscallMask, cpu.sysenterCS, cpu.sysenterESP, cpu.sysenterEIP,
            ],
            fixedRanges: stored.fixedRanges.indices.map { stored.fixedRanges[$0] },
            variableRanges: stored.variableRanges.indices.map { stored.variableRanges[$0] },
            machineCheckBanks: stored.machineCheckBanks.indices.map { stored.machineCheckBanks[$0] },
            others: Self.otherRegisters.map { stored[keyPath: $0] }, shadow: cpu.shadow,
            isNonMaskableBlocked: cpu.nonMaskableBlocked, isHalted: cpu.isHalted, waitsForStartup: waitsForStartup,
            pendingDebug: cpu.pendingDebug, signals: roost_atomic_load32(signalWord) & Self.savedSignals,
            startupVector: cpu.startupVector)
    }

    private static var otherRegisters: [WritableKeyPath<StoredRegisters, UInt64>] {
        [
            \.defaultMemoryType, \.pageAttributes, \.machineCheckStatus, \.machineCheckControl,
            \.miscellaneousEnable, \.timeStampAdjust, \.hardwareConfiguration, \.decodeConfiguration,
        ]
    }

    private func restore(_ saved: SoftCPUState) {
        state.pointee.xcr0 = saved.xcr0
        state.pointee.xss = saved.xss
        state.pointee.pkru = saved.pkru
        state.pointee.tscOffset = saved.timeStamp &- roost_rdtsc()
        state.pointee.tscAux = saved.timeStampAuxiliary
        state.pointee.star = saved.systemCalls[0]
        state.pointee.lstar = saved.systemCalls[1]
        state.pointee.cstar = saved.systemCalls[2]
        state.pointee.syscallMask = saved.systemCalls[3]
        state.pointee.sysenterCS = saved.systemCalls[4]
        state.pointee.sysenterESP = saved.systemCalls[5]
        state.pointee.sysenterEIP = saved.systemCalls[6]
        for index in stored.fixedRanges.indices { stored.fixedRanges[index] = saved.fixedRanges[index] }
        for index in stored.variableRanges.indices { stored.variableRanges[index] = saved.variableRanges[index] }
        for index in stored.machineCheckBanks.indices {
            stored.machineCheckBanks[index] = saved.machineCheckBanks[index]
        }
        for (path, value) in zip(Self.otherRegisters, saved.others) { stored[keyPath: path] = value }
        // Also makes the translations and the mode of the code anew.
        registers = saved.registers
        state.pointee.shadow = saved.shadow
        state.pointee.nonMaskableBlocked = saved.isNonMaskableBlocked
        state.pointee.isHalted = saved.isHalted
        state.pointee.pendingDebug = saved.pendingDebug
        waitsForStartup = saved.waitsForStartup
        state.pointee.startupVector = saved.startupVector & 0xFF
        _ = roost_atomic_and32(signalWord, ~Self.savedSignals)
        _ = roost_atomic_or32(signalWord, saved.signals & Self.savedSignals)
        raiseAttention(
            saved.signals & Self.savedSignals | (saved.pendingDebug != 0 ? Attention.debugTrap : 0)
                | Attention.reconfigured)
    }
}
