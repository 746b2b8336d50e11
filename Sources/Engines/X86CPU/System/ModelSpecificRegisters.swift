// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native

/// Numbers of model-specific registers.
enum ModelSpecific {
    static let timeStamp: UInt32 = 0x10, platformIdentifier: UInt32 = 0x17, apicBase: UInt32 = 0x1B
    static let powerOn: UInt32 = 0x2A, timeStampAdjust: UInt32 = 0x3B, updateSignature: UInt32 = 0x8B
    static let memoryTypeCapabilities: UInt32 = 0xFE, sysenterCS: UInt32 = 0x174, sysenterESP: UInt32 = 0x175
    static let sysenterEIP: UInt32 = 0x176, machineCheckCapabilities: UInt32 = 0x179
    static let machineCheckStatus: UInt32 = 0x17A, machineCheckControl: UInt32 = 0x17B
    static let performanceStatus: UInt32 = 0x198, miscellaneousEnable: UInt32 = 0x1A0, debugControl: UInt32 = 0x1D9
    static let variableRanges: ClosedRange<UInt32> = 0x200...0x20F
    static let fixed64K: UInt32 = 0x250, fixed16K: ClosedRange<UInt32> = 0x258...0x259
    static let fixed4K: ClosedRange<UInt32> = 0x268...0x26F
    static let pageAttributes: UInt32 = 0x277, defaultMemoryType: UInt32 = 0x2FF
    static let machineCheckBanks: ClosedRange<UInt32> = 0x400...0x427
    static let deadline: UInt32 = 0x6E0, extendedController: ClosedRange<UInt32> = 0x800...0x8FF
    /// IA32_APIC_BASE's bit of x2APIC mode.
    static let extendedMode: UInt64 = 1 << 10
    static let supervisorState: UInt32 = 0xDA0
    static let extendedFeature: UInt32 = 0xC000_0080, star: UInt32 = 0xC000_0081, longStar: UInt32 = 0xC000_0082
    static let compatibilityStar: UInt32 = 0xC000_0083, syscallMask: UInt32 = 0xC000_0084
    static let fsBase: UInt32 = 0xC000_0100, gsBase: UInt32 = 0xC000_0101, kernelGSBase: UInt32 = 0xC000_0102
    static let timeStampAuxiliary: UInt32 = 0xC000_0103
    /// Event selectors and counters of the first AMD processors that had any.
    static let performanceCounters: ClosedRange<UInt32> = 0xC001_0000...0xC001_0007
    static let systemConfiguration: UInt32 = 0xC001_0010, hardwareConfiguration: UInt32 = 0xC001_0015
    static let topOfMemory: UInt32 = 0xC001_001A, topOfMemory2: UInt32 = 0xC001_001D
    static let northbridgeConfiguration: UInt32 = 0xC001_001F, interruptPending: UInt32 = 0xC001_0055
    static let virtualMachineControl: UInt32 = 0xC001_0114, decodeConfiguration: UInt32 = 0xC001_1029
}

/// Registers that are only kept.
struct StoredRegisters {
    var fixedRanges = InlineArray<11, UInt64>(repeating: 0)
    var variableRanges = InlineArray<16, UInt64>(repeating: 0)
    var defaultMemoryType: UInt64 = 0
    /// Write-back, write-through, UC- and UC, twice.
    var pageAttributes: UInt64 = 0x0007_0406_0007_0406
    var machineCheckStatus: UInt64 = 0
    var machineCheckControl: UInt64 = .max
    var machineCheckBanks = InlineArray<40, UInt64>(repeating: 0)
    /// Fast strings.
    var miscellaneousEnable: UInt64 = 1
    var timeStampAdjust: UInt64 = 0
    var hardwareConfiguration: UInt64 = 0
    var decodeConfiguration: UInt64 = 0

    static let bankCount: UInt64 = 10
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The guest's time-stamp counter now.
    @inline(__always)
    var timeStamp: UInt64 { roost_rdtsc() &+ pointee.tscOffset }

    /// RDMSR.
    /// - Returns: nil where there is no such register.
    func readModelSpecific(_ index: UInt32) -> UInt64? {
        typealias M = ModelSpecific
        switch index {
        case M.timeStamp: return timeStamp
        case M.deadline where !cpu.features.has.contains(.deadline): return nil
        case M.apicBase, M.deadline, M.extendedController: return cpu.localController?.readModelSpecificRegister(index)
        case M.sysenterCS: return pointee.sysenterCS
        case M.sysenterESP: return pointee.sysenterESP
        case M.sysenterEIP: return pointee.sysenterEIP
        case M.extendedFeature: return pointee.efer
        case M.star: return pointee.star
        case M.longStar: return pointee.lstar
        case M.compatibilityStar: return pointee.cstar
        case M.syscallMask: return pointee.syscallMask
        case M.fsBase: return segment(SegmentRegister.fs).pointee.base
        case M.gsBase: return segment(SegmentRegister.gs).pointee.base
        case M.kernelGSBase: return pointee.kernelGSBase
        case M.timeStampAuxiliary:
            return cpu.features.has.isDisjoint(with: [.rdtscp, .rdpid]) ? nil : pointee.tscAux
        case M.supervisorState: return cpu.features.has.contains(.xsaves) ? pointee.xss : nil
        default: return readStored(index)
        }
    }

    private func readStored(_ index: UInt32) -> UInt64? {
        typealias M = ModelSpecific
        let stored = cpu.stored
        switch index {
        case M.timeStampAdjust: return cpu.features.has.contains(.tscAdjust) ? stored.timeStampAdjust : nil
        case M.platformIdentifier, M.powerOn, M.debugControl: return 0
        case M.updateSignature: return cpu.features.has.contains(.amd) ? 0x0100_0065 : 0x1_0000_0000
        // Eight variable ranges, fixed ranges, write combining.
        case M.memoryTypeCapabilities: return 0x508
        case M.variableRanges: return stored.variableRanges[Int(index - M.variableRanges.lowerBound)]
        case M.fixed64K: return stored.fixedRanges[0]
        case M.fixed16K: return stored.fixedRanges[1 + Int(index - M.fixed16K.lowerBound)]
        case M.fixed4K: return stored.fixedRanges[3 + Int(index - M.fixed4K.lowerBound)]
        case M.pageAttributes: return stored.pageAttributes
        case M.defaultMemoryType: return stored.defaultMemoryType
        // MCG_CTL_P and the count of banks.
        case M.machineCheckCapabilities: return 1 << 8 | StoredRegisters.bankCount
        case M.machineCheckStatus: return stored.machineCheckStatus
        case M.machineCheckControl: return stored.machineCheckControl
        case M.machineCheckBanks: return stored.machineCheckBanks[Int(index - M.machineCheckBanks.lowerBound)]
        // As QEMU answers: a bus ratio for those who compute a frequency from it.
        case M.performanceStatus: return 1000 | 4 << 40
        case M.miscellaneousEnable: return stored.miscellaneousEnable
        case M.hardwareConfiguration: return cpu.features.has.contains(.amd) ? stored.hardwareConfiguration : nil
        case M.decodeConfiguration: return cpu.features.has.contains(.amd) ? stored.decodeConfiguration : nil
        case M.systemConfiguration, M.topOfMemory, M.topOfMemory2, M.northbridgeConfiguration, M.interruptPending,
            M.virtualMachineControl, M.performanceCounters:
            return cpu.features.has.contains(.amd) ? 0 : nil
        default: return nil
        }
    }

    /// WRMSR.
    /// - Returns: false raises #GP(0).
    func writeModelSpecific(_ index: UInt32, _ value: UInt64) -> Bool {
        typealias M = ModelSpecific
        switch index {
        case M.timeStamp: setTimeStamp(value)
        case M.apicBase, M.deadline, M.extendedController:
            let features = cpu.features.has
            if index == M.apicBase, value & M.extendedMode != 0, !features.contains(.x2apic) { return false }
            if index == M.deadline, !features.contains(.deadline) { return false }
            guard cpu.localController?.writeModelSpecificRegister(index, value: value) ?? false else { return false }
            if index == M.apicBase { controllerMoved() }
        case M.sysenterCS: pointee.sysenterCS = value & 0xFFFF
        case M.sysenterESP: return setAddress(value) { $0.pointee.sysenterESP = $1 }
        case M.sysenterEIP: return setAddress(value) { $0.pointee.sysenterEIP = $1 }
        case M.extendedFeature: return setExtendedFeature(value)
        case M.star: pointee.star = value
        case M.longStar: return setAddress(value) { $0.pointee.lstar = $1 }
        case M.compatibilityStar: return setAddress(value) { $0.pointee.cstar = $1 }
        case M.syscallMask: pointee.syscallMask = value & 0xFFFF_FFFF
        case M.fsBase: return setAddress(value) { $0.segment(SegmentRegister.fs).pointee.base = $1 }
        case M.gsBase: return setAddress(value) { $0.segment(SegmentRegister.gs).pointee.base = $1 }
        case M.kernelGSBase: return setAddress(value) { $0.pointee.kernelGSBase = $1 }
        case M.timeStampAuxiliary:
            guard !cpu.features.has.isDisjoint(with: [.rdtscp, .rdpid]), value >> 32 == 0 else { return false }
            pointee.tscAux = value
        case M.supervisorState:
            guard cpu.features.has.contains(.xsaves), value == 0 else { return false }
            pointee.xss = value
        default: return writeStored(index, value)
        }
        return true
    }

    private func setAddress(_ value: UInt64, _ body: (State, UInt64) -> Void) -> Bool {
        guard isCanonical(value) else { return false }
        body(self, value)
        return true
    }

    private func setTimeStamp(_ value: UInt64) {
        let change = value &- timeStamp
        pointee.tscOffset &+= change
        cpu.stored.timeStampAdjust &+= change
        cpu.localController?.timestampCounterChanged()
    }

    private func setExtendedFeature(_ value: UInt64) -> Bool {
        typealias Bit = ExtendedFeature
        let allowed = cpu.features.extendedFeature
        guard value & ~allowed == 0 else { return false }
        let old = pointee.efer
        if pointee.cr0 & ControlRegister0.paging != 0, (old ^ value) & Bit.longMode != 0 { return false }
        pointee.efer = value & ~Bit.longModeActive | old & Bit.longModeActive
        if (old ^ value) & Bit.noExecute != 0 { pagingChanged() }
        return true
    }

    /// IA32_APIC_BASE was written: the page of the registers may be another one.
    func controllerMoved() {
        let page = cpu.localController?.registerPage ?? .max
        guard page != pointee.mmu.pointee.controllerPage else { return }
        pointee.mmu.pointee.controllerPage = page
        flushAllTranslations()
    }

    private func writeStored(_ index: UInt32, _ value: UInt64) -> Bool {
        typealias M = ModelSpecific
        let isAMD = cpu.features.has.contains(.amd)
        switch index {
        case M.timeStampAdjust:
            guard cpu.features.has.contains(.tscAdjust) else { return false }
            pointee.tscOffset &+= value &- cpu.stored.timeStampAdjust
            cpu.stored.timeStampAdjust = value
            cpu.localController?.timestampCounterChanged()
        case M.updateSignature, M.powerOn, M.platformIdentifier: return true
        case M.debugControl: return value & ~0x3F == 0
        case M.variableRanges:
            let isBase = index & 1 == 0
            let reserved = ~((1 as UInt64) << pointee.mmu.pointee.width.bits - 1) | (isBase ? 0xF00 : 0x7FF)
            guard value & reserved == 0, !isBase || Self.isMemoryType(value) else { return false }
            cpu.stored.variableRanges[Int(index - M.variableRanges.lowerBound)] = value
        case M.fixed64K: return setFixedRange(0, value)
        case M.fixed16K: return setFixedRange(1 + Int(index - M.fixed16K.lowerBound), value)
        case M.fixed4K: return setFixedRange(3 + Int(index - M.fixed4K.lowerBound), value)
        case M.pageAttributes:
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                let type = value >> shift & 0xFF
                guard type == 7 || Self.isMemoryType(type) else { return false }
            }
            cpu.stored.pageAttributes = value
        case M.defaultMemoryType:
            guard value & ~0xCFF == 0, Self.isMemoryType(value) else { return false }
            cpu.stored.defaultMemoryType = value
        case M.machineCheckStatus: cpu.stored.machineCheckStatus = value
        case M.machineCheckControl:
            guard value == 0 || value == .max else { return false }
            cpu.stored.machineCheckControl = value
        case M.machineCheckBanks:
            // Control registers take all or nothing (or all but bit 10, the table walk errors that Linux turns off for
            // AMD's family 15), status registers only 0 but where HWCR.McStatusWrEn lets AMD's
            // software make up errors; addresses and the rest are only kept.
            let isStatusOpen = isAMD && cpu.stored.hardwareConfiguration & 1 << 18 != 0
            switch index & 3 {
            case 0: guard value == 0 || value | 1 << 10 == .max else { return false }
            case 1: guard value == 0 || isStatusOpen else { return false }
            default: break
            }
            cpu.stored.machineCheckBanks[Int(index - M.machineCheckBanks.lowerBound)] = value
        case M.miscellaneousEnable: cpu.stored.miscellaneousEnable = value
        case M.hardwareConfiguration where isAMD: cpu.stored.hardwareConfiguration = value
        case M.decodeConfiguration where isAMD: cpu.stored.decodeConfiguration = value
        // No event is counted.
        case M.systemConfiguration, M.northbridgeConfiguration, M.interruptPending, M.virtualMachineControl,
            M.performanceCounters:
            return isAMD
        default: return false
        }
        return true
    }

    private func setFixedRange(_ index: Int, _ value: UInt64) -> Bool {
        for shift in stride(from: UInt64(0), to: 64, by: 8) where !Self.isMemoryType(value >> shift) { return false }
        cpu.stored.fixedRanges[index] = value
        return true
    }

    /// UC, WC, WT, WP, WB.
    private static func isMemoryType(_ value: UInt64) -> Bool {
        let type = value & 0xFF
        return type == 0 || type == 1 || (4...6).contains(type)
    }
}

extension SoftCPU {
    /// A model-specific register, for loaders that do what firmware would, and for the monitor. The processor is stopped.
    /// - Returns: nil where there is no such register.
    public func modelSpecificRegister(_ index: UInt32) -> UInt64? { state.readModelSpecific(index) }

    /// Writes a model-specific register as WRMSR does. The processor is stopped.
    /// - Returns: false where the register does not exist or does not take the value.
    public func setModelSpecificRegister(_ index: UInt32, to value: UInt64) -> Bool {
        state.writeModelSpecific(index, value)
    }
}

/// RDMSR, WRMSR.
enum ModelSpecificInstructions {
    static let read: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            try state.requireSupervisor()
            let index = UInt32(truncatingIfNeeded: state[register: Register.rcx])
            guard let value = state.readModelSpecific(index) else { throw state.generalProtection() }
            state[register: Register.rax] = value & 0xFFFF_FFFF
            state[register: Register.rdx] = value >> 32
            return .next
        }
    }

    static let write: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let index = UInt32(truncatingIfNeeded: state[register: Register.rcx])
            let value = state[register: Register.rax] & 0xFFFF_FFFF | state[register: Register.rdx] << 32
            guard state.writeModelSpecific(index, value) else { throw state.generalProtection() }
            return state.end(instruction)
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        table.add("RDMSR", .map0F, 0x32, .system, run: read)
        table.add("WRMSR", .map0F, 0x30, [.system, .endsBlock], run: write)
    }
}
