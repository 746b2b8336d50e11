// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

extension UnsafeMutablePointer where Pointee == CPUState {
    /// MOV to CR0.
    func loadCR0(_ value: UInt64) throws(CPUFault) {
        typealias Bit = ControlRegister0
        guard value >> 32 == 0 else { throw generalProtection() }
        let new = value & Bit.all | Bit.extensionType
        let old = pointee.cr0
        let pages = new & Bit.paging != 0
        if pages, new & Bit.protection == 0 { throw generalProtection() }
        if new & Bit.notWriteThrough != 0, new & Bit.cacheDisable == 0 { throw generalProtection() }
        var efer = pointee.efer
        if pages, old & Bit.paging == 0, efer & ExtendedFeature.longMode != 0 {
            let cs = segment(SegmentRegister.cs).pointee.attributes
            guard pointee.cr4 & ControlRegister4.pae != 0, cs & SegmentAttribute.long == 0 else {
                throw generalProtection()
            }
            efer |= ExtendedFeature.longModeActive
        }
        if !pages, old & Bit.paging != 0 {
            guard !is64Bit, pointee.cr4 & ControlRegister4.pcid == 0 else { throw generalProtection() }
            efer &= ~ExtendedFeature.longModeActive
        }
        let looked = Bit.paging | Bit.cacheDisable | Bit.notWriteThrough
        if pages, efer & ExtendedFeature.longModeActive == 0, pointee.cr4 & ControlRegister4.pae != 0,
            (old ^ new) & looked != 0
        {
            try loadDirectoryPointers(pointee.cr3)
        }
        pointee.cr0 = new
        pointee.efer = efer
        if (old ^ new) & (Bit.paging | Bit.writeProtect | Bit.protection) != 0 { pagingChanged() }
        updateWidths()
        updateAccessClass()
    }

    /// MOV to CR3, and the task switch's load.
    func loadCR3(_ value: UInt64) throws(CPUFault) {
        var new = value
        var keeps = false
        if pointee.cr4 & ControlRegister4.pcid != 0 {
            keeps = new >> 63 != 0
            new &= ~(1 << 63)
        }
        if isLongMode, new >> pointee.mmu.pointee.width.bits != 0 { throw generalProtection() }
        if pointee.cr0 & ControlRegister0.paging != 0, !isLongMode, pointee.cr4 & ControlRegister4.pae != 0 {
            try loadDirectoryPointers(new)
        }
        pointee.cr3 = new
        switchContext(keepsTranslations: keeps)
    }

    /// The four entries that PAE paging keeps in the processor.
    private func loadDirectoryPointers(_ table: UInt64) throws(CPUFault) {
        let reserved: UInt64 = 0x1E6 | ~((1 << pointee.mmu.pointee.width.bits) - 1)
        var entries: InlineArray<4, UInt64> = [0, 0, 0, 0]
        for index in 0..<4 {
            let entry = readPhysical((table & 0xFFFF_FFE0 &+ UInt64(index) * 8), size: 8)
            guard entry & PageEntry.present == 0 || entry & reserved == 0 else { throw generalProtection() }
            entries[index] = entry
        }
        pointee.mmu.pointee.directoryPointers = entries
    }

    /// MOV to CR4.
    func loadCR4(_ value: UInt64) throws(CPUFault) {
        typealias Bit = ControlRegister4
        let old = pointee.cr4
        guard value & ~cpu.features.controlRegister4 == 0 else { throw generalProtection() }
        if isLongMode {
            guard value & Bit.pae != 0, (old ^ value) & Bit.fiveLevel == 0 else { throw generalProtection() }
        }
        if value & Bit.pcid != 0, old & Bit.pcid == 0 {
            guard isLongMode, pointee.cr3 & 0xFFF == 0 else { throw generalProtection() }
        }
        let looked = Bit.pae | Bit.globalPages | Bit.pageSizeExtensions | Bit.smep
        if pointee.cr0 & ControlRegister0.paging != 0, !isLongMode, value & Bit.pae != 0, (old ^ value) & looked != 0 {
            try loadDirectoryPointers(pointee.cr3)
        }
        pointee.cr4 = value
        let flushing =
            Bit.pae | Bit.globalPages | Bit.pageSizeExtensions | Bit.smep | Bit.smap | Bit.protectionKeys | Bit.pcid
            | Bit.fiveLevel
        if (old ^ value) & flushing != 0 { pagingChanged() }
        updateAccessClass()
    }
}

/// MOV CR, CLTS, LMSW, SMSW, XGETBV, XSETBV, INVLPG, INVPCID and the like.
enum ControlInstructions {
    static let fromControl: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let value: UInt64
            switch instruction.pointee.reg {
            case 0: value = state.pointee.cr0
            case 2: value = state.pointee.cr2
            case 3: value = state.pointee.cr3
            case 4: value = state.pointee.cr4
            case 8 where state.is64Bit: value = UInt64(state.cpu.localController?.taskPriorityClass ?? 0)
            default: throw state.fault(Vector.invalidOpcode)
            }
            try state.requireSupervisor()
            state.writeRegister(instruction.pointee.rm, value, size: state.is64Bit ? 3 : 2)
            return .next
        }
    }

    static let toControl: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let number = instruction.pointee.reg
            guard number == 0 || (2...4).contains(number) || number == 8 && state.is64Bit else {
                throw state.fault(Vector.invalidOpcode)
            }
            try state.requireSupervisor()
            let raw = state[register: Int(instruction.pointee.rm)]
            let value = state.is64Bit ? raw : raw & 0xFFFF_FFFF
            switch number {
            case 0: try state.loadCR0(value)
            case 2:
                state.pointee.cr2 = value
                return .next
            case 3:
                try state.loadCR3(value)
                return state.end(instruction, .branch)
            case 4: try state.loadCR4(value)
            default:
                guard value < 16 else { throw state.generalProtection() }
                state.cpu.localController?.taskPriorityClass = UInt8(truncatingIfNeeded: value)
            }
            return state.end(instruction)
        }
    }

    static let clearTaskSwitched: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            try state.requireSupervisor()
            state.pointee.cr0 &= ~ControlRegister0.taskSwitched
            return .next
        }
    }

    static let loadStatusWord: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let word = UInt64(try state.loadSelector(instruction))
            // PE can be set and not cleared.
            let kept = state.pointee.cr0 & ~0xE
            try state.loadCR0(kept | word & 0xF)
            return state.end(instruction)
        }
    }

    static let storeStatusWord: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireUserModeAllowed()
            let value = state.pointee.cr0
            if instruction.pointee.prefixes.contains(.memory) {
                try state.store(
                    try state.address(instruction, size: 2, isWrite: true), UInt16(truncatingIfNeeded: value))
            } else {
                state.writeRegister(instruction.pointee.rm, value, size: instruction.pointee.operandSize)
            }
            return .next
        }
    }

    static let invalidatePage: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let place =
                state.segment(Int(instruction.pointee.segment)).pointee.base
                &+ state.effectiveOffset(instruction)
            state.flushTranslation(page: state.is64Bit ? place : place & 0xFFFF_FFFF)
            return state.end(instruction, .branch)
        }
    }

    static let invalidateContext: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.cpu.features.has.contains(.invpcid), !state.isVirtual8086 else {
                throw state.fault(Vector.invalidOpcode)
            }
            try state.requireSupervisor()
            let raw = state[register: Int(instruction.pointee.reg)]
            let kind = state.is64Bit ? raw : raw & 0xFFFF_FFFF
            let place = try state.address(instruction, size: 16)
            let low: UInt64 = try state.load(place)
            let linear: UInt64 = try state.load(place &+ 8)
            let identifier = UInt16(truncatingIfNeeded: low & 0xFFF)
            guard low >> 12 == 0, kind <= 3 else { throw state.generalProtection() }
            if state.pointee.cr4 & ControlRegister4.pcid == 0, kind <= 1, identifier != 0 {
                throw state.generalProtection()
            }
            switch kind {
            case 0:
                guard state.isCanonical(linear) else { throw state.generalProtection() }
                state.flushTranslations(ofContext: identifier, page: linear)
            case 1: state.flushTranslations(ofContext: identifier, page: nil)
            case 2: state.flushAllTranslations()
            default: state.flushNonGlobalTranslations()
            }
            return state.end(instruction, .branch)
        }
    }

    /// INVD, WBINVD: there is no cache.
    static let flushCaches: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            try state.requireSupervisor()
            return .next
        }
    }

    static let getExtended: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            guard state.pointee.cr4 & ControlRegister4.osXSAVE != 0 else { throw state.fault(Vector.invalidOpcode) }
            let index = UInt32(truncatingIfNeeded: state[register: Register.rcx])
            let value: UInt64
            switch index {
            case 0: value = state.pointee.xcr0
            case 1 where state.cpu.features.has.contains(.xgetbv1):
                value = state.componentsInUse & state.pointee.xcr0
            default: throw state.generalProtection()
            }
            state[register: Register.rax] = value & 0xFFFF_FFFF
            state[register: Register.rdx] = value >> 32
            return .next
        }
    }

    static let setExtended: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.pointee.cr4 & ControlRegister4.osXSAVE != 0 else { throw state.fault(Vector.invalidOpcode) }
            try state.requireSupervisor()
            let index = UInt32(truncatingIfNeeded: state[register: Register.rcx])
            let value = state[register: Register.rax] & 0xFFFF_FFFF | state[register: Register.rdx] << 32
            let sse: UInt64 = 2
            let avx: UInt64 = 4
            guard index == 0, value & 1 != 0, value & ~state.cpu.features.extendedControl == 0,
                value & avx == 0 || value & sse != 0
            else { throw state.generalProtection() }
            state.pointee.xcr0 = value
            return state.end(instruction)
        }
    }

    static let readKeys: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            try checkKeys(state)
            state[register: Register.rax] = UInt64(state.pointee.pkru)
            state[register: Register.rdx] = 0
            return .next
        }
    }

    static let writeKeys: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try checkKeys(state)
            guard UInt32(truncatingIfNeeded: state[register: Register.rdx]) == 0 else {
                throw state.generalProtection()
            }
            state.setProtectionKeys(UInt32(truncatingIfNeeded: state[register: Register.rax]))
            return .next
        }
    }

    private static func checkKeys(_ state: State) throws(CPUFault) {
        guard state.pointee.cr4 & ControlRegister4.protectionKeys != 0 else { throw state.fault(Vector.invalidOpcode) }
        guard UInt32(truncatingIfNeeded: state[register: Register.rcx]) == 0 else { throw state.generalProtection() }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        let privileged: RowFlags = [.modRM, .registerAlways, .system]
        table.add("MOV", .map0F, 0x20, privileged, run: fromControl)
        table.add("MOV", .map0F, 0x22, privileged, run: toControl)
        table.add("CLTS", .map0F, 0x06, .system, run: clearTaskSwitched)
        table.add("INVD", .map0F, 0x08, .system, run: flushCaches)
        table.add("WBINVD", .map0F, 0x09, .system, run: flushCaches)
        table.add("SMSW", .map0F, 0x01, digit: 4, [.modRM, .system], run: storeStatusWord)
        table.add("LMSW", .map0F, 0x01, digit: 6, [.modRM, .system, .endsBlock], run: loadStatusWord)
        table.add("INVLPG", .map0F, 0x01, digit: 7, mod: .memory, [.modRM, .system], run: invalidatePage)
        table.add("INVPCID", .map0F38, 0x82, prefix: .x66, mod: .memory, [.modRM, .system], run: invalidateContext)
        table.add(
            "XGETBV", .map0F, 0x01, prefix: .none, digit: 2, rm: 0, mod: .register, [.modRM, .system], run: getExtended)
        table.add(
            "XSETBV", .map0F, 0x01, prefix: .none, digit: 2, rm: 1, mod: .register, [.modRM, .system, .endsBlock],
            run: setExtended)
        table.add(
            "RDPKRU", .map0F, 0x01, prefix: .none, digit: 5, rm: 6, mod: .register, [.modRM, .system], run: readKeys)
        table.add(
            "WRPKRU", .map0F, 0x01, prefix: .none, digit: 5, rm: 7, mod: .register, [.modRM, .system], run: writeKeys)
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// #GP(0) where CR4.UMIP keeps SGDT and its kind from user code.
    func requireUserModeAllowed() throws(CPUFault) {
        if pointee.cpl != 0, pointee.cr4 & ControlRegister4.umip != 0 { throw generalProtection() }
    }

    /// PKRU; translations that were made under other rights go.
    func setProtectionKeys(_ value: UInt32) {
        guard value != pointee.pkru else { return }
        pointee.pkru = value
        cpu.answerMarks()
        let mmu = pointee.mmu
        for index in 0..<mmu.pointee.contextCount { mmu.pointee.contexts[index].flushData() }
        dropSites()
    }
}
