// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native

/// Numbers of the model-specific registers (SDM vol. 4; AMD APM vol. 2, appendix A).
enum ModelSpecific {
    static let timestamp: UInt32 = 0x10, platform: UInt32 = 0x17, apicBase: UInt32 = 0x1B, featureControl: UInt32 = 0x3A
    static let timestampAdjust: UInt32 = 0x3B, speculationControl: UInt32 = 0x48, predictionCommand: UInt32 = 0x49
    static let microcode: UInt32 = 0x8B, memoryTypeCapability: UInt32 = 0xFE, sysenterCS: UInt32 = 0x174
    static let sysenterESP: UInt32 = 0x175, sysenterEIP: UInt32 = 0x176, machineCheckCapability: UInt32 = 0x179
    static let machineCheckStatus: UInt32 = 0x17A, machineCheckControl: UInt32 = 0x17B, miscEnable: UInt32 = 0x1A0
    static let debugControl: UInt32 = 0x1D9, variableRanges: ClosedRange<UInt32> = 0x200...0x20F
    static let fixedRanges: [UInt32] = [0x250, 0x258, 0x259] + Array(0x268...0x26F)
    static let pageAttributes: UInt32 = 0x277, memoryTypeDefault: UInt32 = 0x2FF
    static let machineCheckBanks: ClosedRange<UInt32> = 0x400...0x427
    static let deadline: UInt32 = 0x6E0, x2APIC: ClosedRange<UInt32> = 0x800...0x8FF, xss: UInt32 = 0xDA0
    static let efer: UInt32 = 0xC000_0080, star: UInt32 = 0xC000_0081, lstar: UInt32 = 0xC000_0082
    static let cstar: UInt32 = 0xC000_0083, syscallMask: UInt32 = 0xC000_0084, fsBase: UInt32 = 0xC000_0100
    static let gsBase: UInt32 = 0xC000_0101, kernelGSBase: UInt32 = 0xC000_0102, timestampAux: UInt32 = 0xC000_0103
    /// AMD's SYSCFG, HWCR, the northbridge's and patch loader's registers: Linux reads them on family 0xF and later.
    static let systemConfiguration: UInt32 = 0xC001_0010, hardwareConfiguration: UInt32 = 0xC001_0015
    static let topMemory: ClosedRange<UInt32> = 0xC001_001A...0xC001_001D, northbridge: UInt32 = 0xC001_001F
    static let interruptPending: UInt32 = 0xC001_0055, osvw: ClosedRange<UInt32> = 0xC001_0140...0xC001_0141
    static let loadStoreConfiguration: UInt32 = 0xC001_1020, decodeConfiguration: UInt32 = 0xC001_1029
}

/// Registers that hold a value and do nothing else here.
struct StoredRegisters {
    var variableRanges = [UInt64](repeating: 0, count: 16)
    var fixedRanges = [UInt64](repeating: 0, count: 11)
    var memoryTypeDefault: UInt64 = 0
    var pageAttributes: UInt64 = StoredRegisters.resetPageAttributes
    var timestampAdjust: UInt64 = 0
    var miscEnable: UInt64 = 1
    var machineCheckControl: UInt64 = .max
    var machineCheckStatus: UInt64 = 0
    var machineCheckBanks = [UInt64](repeating: 0, count: 40)
    var debugControl: UInt64 = 0
    /// AMD's, by number.
    var vendor: [UInt32: UInt64] = [:]

    static let resetPageAttributes: UInt64 = 0x0007_0406_0007_0406
    static let variableRangeCount: UInt64 = 8
    /// Ten banks, and MCG_CTL is there.
    static let machineCheckCapability: UInt64 = 10 | 1 << 8
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// RDMSR's value, or nil for #GP(0).
    func readModelSpecific(_ number: UInt32) -> UInt64? {
        let cpu = cpu
        switch number {
        case ModelSpecific.timestamp: return timestamp
        case ModelSpecific.timestampAdjust: return cpu.storedRegisters.timestampAdjust
        case ModelSpecific.apicBase, ModelSpecific.deadline, ModelSpecific.x2APIC:
            return cpu.localController?.readModelSpecificRegister(number)
        case ModelSpecific.efer: return pointee.efer
        case ModelSpecific.star: return pointee.star
        case ModelSpecific.lstar: return pointee.lstar
        case ModelSpecific.cstar: return pointee.cstar
        case ModelSpecific.syscallMask: return pointee.syscallMask
        case ModelSpecific.fsBase: return segment(SegmentRegister.fs).pointee.base
        case ModelSpecific.gsBase: return segment(SegmentRegister.gs).pointee.base
        case ModelSpecific.kernelGSBase: return pointee.kernelGSBase
        case ModelSpecific.timestampAux:
            let isKnown = cpu.environment.model.has("rdtscp") || cpu.environment.model.has("rdpid")
            return isKnown ? pointee.tscAux : nil
        case ModelSpecific.sysenterCS: return pointee.sysenterCS
        case ModelSpecific.sysenterESP: return pointee.sysenterESP
        case ModelSpecific.sysenterEIP: return pointee.sysenterEIP
        case ModelSpecific.xss: return cpu.environment.model.has("xsaves") ? pointee.xss : nil
        default: return cpu.storedRegisters.read(number)
        }
    }

    /// WRMSR.
    /// - Throws: #GP(0) for an unknown register or a value with reserved bits.
    func writeModelSpecific(_ number: UInt32, _ value: UInt64) throws(CPUFault) {
        let cpu = cpu
        switch number {
        case ModelSpecific.timestamp: setTimestamp(value)
        case ModelSpecific.timestampAdjust:
            pointee.tscOffset &+= value &- cpu.storedRegisters.timestampAdjust
            cpu.storedRegisters.timestampAdjust = value
            timestampMoved()
        case ModelSpecific.apicBase, ModelSpecific.deadline, ModelSpecific.x2APIC:
            guard let controller = cpu.localController, controller.writeModelSpecificRegister(number, value: value)
            else {
                throw generalProtection()
            }
            if number == ModelSpecific.apicBase { localControllerMoved() }
        case ModelSpecific.efer: try writeEFER(value)
        case ModelSpecific.star: pointee.star = value
        case ModelSpecific.lstar: pointee.lstar = try canonical(value)
        case ModelSpecific.cstar: pointee.cstar = try canonical(value)
        case ModelSpecific.syscallMask: pointee.syscallMask = value & 0xFFFF_FFFF
        case ModelSpecific.fsBase: segment(SegmentRegister.fs).pointee.base = try canonical(value)
        case ModelSpecific.gsBase: segment(SegmentRegister.gs).pointee.base = try canonical(value)
        case ModelSpecific.kernelGSBase: pointee.kernelGSBase = try canonical(value)
        case ModelSpecific.timestampAux:
            guard readModelSpecific(number) != nil, value >> 32 == 0 else { throw generalProtection() }
            pointee.tscAux = value
        case ModelSpecific.sysenterCS: pointee.sysenterCS = value & 0xFFFF_FFFF
        case ModelSpecific.sysenterESP: pointee.sysenterESP = try canonical(value)
        case ModelSpecific.sysenterEIP: pointee.sysenterEIP = try canonical(value)
        case ModelSpecific.xss:
            // No supervisor state component exists.
            guard cpu.environment.model.has("xsaves"), value == 0 else { throw generalProtection() }
            pointee.xss = value
        default:
            guard cpu.storedRegisters.write(number, value) else { throw generalProtection() }
        }
    }

    private func canonical(_ value: UInt64) throws(CPUFault) -> UInt64 {
        guard isCanonicalCode(value) else { throw generalProtection() }
        return value
    }

    /// Writing the counter moves TSC_ADJUST by the same amount (SDM vol. 3, "IA32_TSC_ADJUST Register Support").
    private func setTimestamp(_ value: UInt64) {
        let offset = value &- roost_rdtsc()
        cpu.storedRegisters.timestampAdjust &+= offset &- pointee.tscOffset
        pointee.tscOffset = offset
        timestampMoved()
    }

    private func timestampMoved() { cpu.timestampChanged?() }

    private func writeEFER(_ value: UInt64) throws(CPUFault) {
        let model = cpu.environment.model
        var allowed: UInt64 = 0
        if model.has("syscall") { allowed |= ExtendedFeature.systemCall }
        if model.has("lm") { allowed |= ExtendedFeature.longMode | ExtendedFeature.longModeActive }
        if model.has("nx") { allowed |= ExtendedFeature.noExecute }
        if model.has("fxsr-opt") { allowed |= ExtendedFeature.fastFXSR }
        guard value & ~allowed == 0 else { throw generalProtection() }
        let isPaging = pointee.cr0 & ControlRegister0.paging != 0
        if isPaging, (value ^ pointee.efer) & ExtendedFeature.longMode != 0 { throw generalProtection() }
        // LMA follows LME and CR0.PG; writes to it are ignored.
        pointee.efer = value & ~ExtendedFeature.longModeActive | pointee.efer & ExtendedFeature.longModeActive
        pagingChanged()
    }

    /// XSETBV: XCR0 alone exists (SDM vol. 2, XSETBV).
    fileprivate func setExtendedControl() throws(CPUFault) {
        try requireSupervisor()
        let value = pair
        let supported = cpu.environment.model.supportedXCR0
        let vectors: UInt64 = 6
        guard self[register: Register.rcx] & 0xFFFF_FFFF == 0, value & 1 != 0, value & ~supported == 0,
            value & vectors != 4
        else { throw generalProtection() }
        pointee.xcr0 = value
    }

    fileprivate func getExtendedControl() throws(CPUFault) {
        switch self[register: Register.rcx] & 0xFFFF_FFFF {
        case 0: setPair(pointee.xcr0)
        case 1 where cpu.environment.model.has("xgetbv1"): setPair(pointee.xcr0 & stateInUse)
        default: throw generalProtection()
        }
    }

    /// XINUSE: components that are not in their initial state. Saying that a component is in use is always right.
    var stateInUse: UInt64 { pointee.xcr0 }

    fileprivate func requireExtendedState() throws(CPUFault) {
        if pointee.cr4 & ControlRegister4.osXSAVE == 0 { throw fault(Vector.invalidOpcode) }
    }

    fileprivate func requireProtectionKeys() throws(CPUFault) {
        if pointee.cr4 & ControlRegister4.protectionKeys == 0 { throw fault(Vector.invalidOpcode) }
        if self[register: Register.rcx] & 0xFFFF_FFFF != 0 { throw generalProtection() }
    }
}

extension StoredRegisters {
    /// The value of a register of this kind, or nil.
    func read(_ number: UInt32) -> UInt64? {
        switch number {
        case ModelSpecific.platform, ModelSpecific.featureControl: return 0
        case ModelSpecific.microcode: return 0x0100_0065_0000_0000
        case ModelSpecific.memoryTypeCapability:
            let fixedRanges: UInt64 = 1 << 8
            let writeCombining: UInt64 = 1 << 10
            return Self.variableRangeCount | fixedRanges | writeCombining
        case ModelSpecific.variableRanges: return variableRanges[Int(number - ModelSpecific.variableRanges.lowerBound)]
        case ModelSpecific.memoryTypeDefault: return memoryTypeDefault
        case ModelSpecific.pageAttributes: return pageAttributes
        case ModelSpecific.machineCheckCapability: return Self.machineCheckCapability
        case ModelSpecific.machineCheckStatus: return machineCheckStatus
        case ModelSpecific.machineCheckControl: return machineCheckControl
        case ModelSpecific.machineCheckBanks:
            return machineCheckBanks[Int(number - ModelSpecific.machineCheckBanks.lowerBound)]
        case ModelSpecific.miscEnable: return miscEnable
        case ModelSpecific.debugControl: return debugControl
        case ModelSpecific.systemConfiguration, ModelSpecific.hardwareConfiguration, ModelSpecific.topMemory,
            ModelSpecific.northbridge, ModelSpecific.interruptPending, ModelSpecific.osvw,
            ModelSpecific.loadStoreConfiguration, ModelSpecific.decodeConfiguration:
            return vendor[number] ?? 0
        default:
            return ModelSpecific.fixedRanges.firstIndex(of: number).map { fixedRanges[$0] }
        }
    }

    /// Stores a value.
    /// - Returns: false for an unknown register or a value that it cannot hold.
    mutating func write(_ number: UInt32, _ value: UInt64) -> Bool {
        switch number {
        case ModelSpecific.variableRanges:
            variableRanges[Int(number - ModelSpecific.variableRanges.lowerBound)] = value
        case ModelSpecific.memoryTypeDefault:
            guard value & ~0xCFF == 0, Self.isMemoryType(value & 0xFF) else { return false }
            memoryTypeDefault = value
        case ModelSpecific.pageAttributes:
            guard Self.areMemoryTypes(value, allowingUncachedMinus: true) else { return false }
            pageAttributes = value
        case ModelSpecific.machineCheckStatus: machineCheckStatus = value
        case ModelSpecific.machineCheckControl:
            guard value == 0 || value == .max else { return false }
            machineCheckControl = value
        case ModelSpecific.machineCheckBanks:
            // The control registers take anything, status and address only zero or all ones.
            let place = Int(number - ModelSpecific.machineCheckBanks.lowerBound)
            guard place % 4 == 0 || value == 0 || value == .max else { return false }
            machineCheckBanks[place] = value
        case ModelSpecific.miscEnable: miscEnable = value
        case ModelSpecific.debugControl: debugControl = value & 0x3
        case ModelSpecific.microcode, 0x79: break
        case ModelSpecific.systemConfiguration, ModelSpecific.hardwareConfiguration, ModelSpecific.topMemory,
            ModelSpecific.northbridge, ModelSpecific.interruptPending, ModelSpecific.osvw,
            ModelSpecific.loadStoreConfiguration, ModelSpecific.decodeConfiguration:
            vendor[number] = value
        default:
            guard let place = ModelSpecific.fixedRanges.firstIndex(of: number),
                Self.areMemoryTypes(value, allowingUncachedMinus: false)
            else { return false }
            fixedRanges[place] = value
        }
        return true
    }

    private static func isMemoryType(_ type: UInt64) -> Bool { [0, 1, 4, 5, 6].contains(type) }

    private static func areMemoryTypes(_ value: UInt64, allowingUncachedMinus: Bool) -> Bool {
        (0..<8).allSatisfy { byte in
            let type = value >> UInt64(byte * 8) & 0xFF
            return isMemoryType(type) || allowingUncachedMinus && type == 7
        }
    }
}

extension OpcodeTable {
    static func registerModelSpecificRows(_ table: inout OpcodeTableBuilder) {
        table.add("RDMSR", .map0F, 0x32, .system) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                try state.requireSupervisor()
                let number = UInt32(truncatingIfNeeded: state[register: Register.rcx])
                guard let value = state.readModelSpecific(number) else { throw state.generalProtection() }
                state.setPair(value)
                return .next
            }
        }
        table.add("WRMSR", .map0F, 0x30, [.endsBlock, .system]) { state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in
                try state.requireSupervisor()
                let number = UInt32(truncatingIfNeeded: state[register: Register.rcx])
                try state.writeModelSpecific(number, state.pair)
                state.pointee.rip = state.nextIP(instruction)
                return .exit
            }
        }
        registerControlRows(&table)
    }

    /// XGETBV, XSETBV, RDPKRU, WRPKRU, CLAC, STAC, INVD, WBINVD: 0F 01 by its whole modrm byte, and neighbours.
    private static func registerControlRows(_ table: inout OpcodeTableBuilder) {
        table.add("XGETBV", .map0F, 0x01, digit: 2, rm: 0, mod: .register, [.modRM, .system]) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                try state.requireExtendedState()
                try state.getExtendedControl()
                return .next
            }
        }
        table.add("XSETBV", .map0F, 0x01, digit: 2, rm: 1, mod: .register, [.modRM, .endsBlock, .system]) {
            state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in
                try state.requireExtendedState()
                try state.setExtendedControl()
                state.pointee.rip = state.nextIP(instruction)
                return .exit
            }
        }
        table.add("RDPKRU", .map0F, 0x01, digit: 5, rm: 6, mod: .register, [.modRM, .system]) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                try state.requireProtectionKeys()
                state.setPair(UInt64(state.pointee.pkru))
                return .next
            }
        }
        table.add("WRPKRU", .map0F, 0x01, digit: 5, rm: 7, mod: .register, [.modRM, .endsBlock, .system]) {
            state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in
                try state.requireProtectionKeys()
                guard state[register: Register.rdx] & 0xFFFF_FFFF == 0 else { throw state.generalProtection() }
                state.pointee.pkru = UInt32(truncatingIfNeeded: state[register: Register.rax])
                state.flushAllTranslations()
                state.pointee.rip = state.nextIP(instruction)
                return .branch
            }
        }
        for (name, rm) in [("CLAC", UInt8(2)), ("STAC", 3)] {
            table.add(name, .map0F, 0x01, prefix: .none, digit: 1, rm: rm, mod: .register, [.modRM, .system]) {
                state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    guard state.cpu.environment.model.has("smap"), state.pointee.cpl == 0 else {
                        throw state.fault(Vector.invalidOpcode)
                    }
                    if instruction.pointee.rm & 7 == 3 {
                        state.pointee.systemFlags |= Flag.alignmentCheck
                    } else {
                        state.pointee.systemFlags &= ~Flag.alignmentCheck
                    }
                    state.updateAccessClass()
                    return .next
                }
            }
        }
        for (name, opcode) in [("INVD", UInt8(0x08)), ("WBINVD", 0x09)] {
            table.add(name, .map0F, opcode, .system) { state, instruction in
                handle(state, instruction) { state, _ throws(CPUFault) in
                    // Caches are the host's and coherent.
                    try state.requireSupervisor()
                    return .next
                }
            }
        }
    }
}
