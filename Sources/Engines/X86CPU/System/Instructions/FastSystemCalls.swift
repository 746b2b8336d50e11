// SPDX-License-Identifier: Apache-2.0

// SYSCALL, SYSRET, SYSENTER, SYSEXIT: transfers between fixed flat segments (SDM vol. 2; AMD APM vol. 3).
extension UnsafeMutablePointer where Pointee == CPUState {
    private static var flatLimit: UInt32 { .max }
    /// Accessed, readable code, or accessed, writable data; present; 4 KiB granularity.
    private static var codeAttributes: UInt32 {
        SegmentAttribute.accessed | SegmentAttribute.readWrite | SegmentAttribute.code | SegmentAttribute.codeOrData
            | SegmentAttribute.present | SegmentAttribute.granularity
    }
    private static var dataAttributes: UInt32 {
        SegmentAttribute.accessed | SegmentAttribute.readWrite | SegmentAttribute.codeOrData | SegmentAttribute.present
            | SegmentAttribute.granularity | SegmentAttribute.big
    }

    /// Loads flat CS and SS without reading descriptors, and sets CPL.
    fileprivate func enterFlat(code selector: UInt16, stack stackSelector: UInt16, privilege: UInt8, is64: Bool) {
        let level = UInt32(privilege) << SegmentAttribute.privilegeShift
        segment(SegmentRegister.cs).pointee = SegmentState(
            base: 0, limit: Self.flatLimit,
            attributes: Self.codeAttributes | level | (is64 ? SegmentAttribute.long : SegmentAttribute.big),
            selector: selector)
        segment(SegmentRegister.ss).pointee = SegmentState(
            base: 0, limit: Self.flatLimit, attributes: Self.dataAttributes | level, selector: stackSelector)
        pointee.cpl = privilege
        segmentsChanged()
    }

    private var isSystemCallEnabled: Bool { pointee.efer & ExtendedFeature.systemCall != 0 }

    func systemCall(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> Outcome {
        guard isSystemCallEnabled, isProtected else { throw fault(Vector.invalidOpcode) }
        let next = nextIP(instruction)
        let selector = UInt16(truncatingIfNeeded: pointee.star >> 32) & 0xFFFC
        self[register: Register.rcx] = next
        if isLongMode {
            let target = is64Bit ? pointee.lstar : pointee.cstar
            self[register: 11] = flags & ~Flag.resume
            replaceFlags(flags & ~pointee.syscallMask & ~Flag.resume)
            enterFlat(code: selector, stack: selector &+ 8, privilege: 0, is64: true)
            pointee.rip = target
        } else {
            replaceFlags(flags & ~(Flag.virtual8086 | Flag.interrupt | Flag.resume))
            enterFlat(code: selector, stack: selector &+ 8, privilege: 0, is64: false)
            pointee.rip = pointee.star & 0xFFFF_FFFF
        }
        return .exit
    }

    func systemReturn(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> Outcome {
        guard isSystemCallEnabled, isProtected else { throw fault(Vector.invalidOpcode) }
        try requireSupervisor()
        let base = UInt16(truncatingIfNeeded: pointee.star >> 48)
        let to64 = instruction.pointee.operandSize == 3
        let target = self[register: Register.rcx]
        if to64, isLongMode, !isCanonicalCode(target) { throw generalProtection() }
        let selector = (to64 ? base &+ 16 : base) | 3
        if isLongMode {
            // RF and VM cannot be set by it.
            replaceFlags(self[register: 11] & 0x3C_7FD7 | 2)
        } else {
            replaceFlags(flags | Flag.interrupt)
        }
        enterFlat(code: selector, stack: (base &+ 8) | 3, privilege: 3, is64: to64 && isLongMode)
        pointee.rip = to64 ? target : target & 0xFFFF_FFFF
        return .exit
    }

    func systemEnter() throws(CPUFault) -> Outcome {
        guard isProtected else { throw generalProtection() }
        let selector = UInt16(truncatingIfNeeded: pointee.sysenterCS) & 0xFFFC
        guard selector != 0 else { throw generalProtection() }
        replaceFlags(flags & ~(Flag.virtual8086 | Flag.interrupt))
        let is64 = isLongMode
        enterFlat(code: selector, stack: selector &+ 8, privilege: 0, is64: is64)
        self[register: Register.rsp] = is64 ? pointee.sysenterESP : pointee.sysenterESP & 0xFFFF_FFFF
        pointee.rip = is64 ? pointee.sysenterEIP : pointee.sysenterEIP & 0xFFFF_FFFF
        return .exit
    }

    func systemExit(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> Outcome {
        let base = UInt16(truncatingIfNeeded: pointee.sysenterCS)
        guard isProtected, pointee.cpl == 0, base & 0xFFFC != 0 else { throw generalProtection() }
        let to64 = instruction.pointee.operandSize == 3
        let target = self[register: Register.rdx]
        let stack = self[register: Register.rcx]
        if to64, !isCanonicalCode(target) || !isCanonicalCode(stack) { throw generalProtection() }
        let selector = (base &+ (to64 ? 32 : 16)) | 3
        enterFlat(code: selector, stack: selector &+ 8, privilege: 3, is64: to64)
        self[register: Register.rsp] = to64 ? stack : stack & 0xFFFF_FFFF
        pointee.rip = to64 ? target : target & 0xFFFF_FFFF
        return .exit
    }

    /// Whether an address is canonical for the paging in force (57 bits with five levels, else 48).
    func isCanonicalCode(_ address: UInt64) -> Bool {
        let shift: UInt64 = pointee.cr4 & ControlRegister4.fiveLevel != 0 ? 7 : 16
        return UInt64(bitPattern: Int64(bitPattern: address << shift) >> Int64(shift)) == address
    }

    func swapGS() throws(CPUFault) {
        guard is64Bit else { throw fault(Vector.invalidOpcode) }
        try requireSupervisor()
        let base = segment(SegmentRegister.gs).pointee.base
        segment(SegmentRegister.gs).pointee.base = pointee.kernelGSBase
        pointee.kernelGSBase = base
    }

    /// RDFSBASE and its siblings: /0 and /1 read FS and GS, /2 and /3 write.
    func accessSegmentBase(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) {
        guard is64Bit, pointee.cr4 & ControlRegister4.fsgsbase != 0 else { throw fault(Vector.invalidOpcode) }
        let number = instruction.pointee.reg & 7
        let target = segment(number & 1 == 0 ? SegmentRegister.fs : SegmentRegister.gs)
        let register = Int(instruction.pointee.rm)
        let isWide = instruction.pointee.operandSize == 3
        if number < 2 {
            self[register: register] = isWide ? target.pointee.base : target.pointee.base & 0xFFFF_FFFF
        } else {
            let value = isWide ? self[register: register] : self[register: register] & 0xFFFF_FFFF
            guard isCanonicalCode(value) else { throw generalProtection() }
            target.pointee.base = value
        }
    }
}

extension OpcodeTable {
    static func registerFastCallRows(_ table: inout OpcodeTableBuilder) {
        table.add("SYSCALL", .map0F, 0x05, [.endsBlock, .system]) { state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in try state.systemCall(instruction) }
        }
        table.add("SYSRET", .map0F, 0x07, size: .doubleOrQuad, [.endsBlock, .system]) { state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in try state.systemReturn(instruction) }
        }
        table.add("SYSENTER", .map0F, 0x34, [.endsBlock, .system]) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in try state.systemEnter() }
        }
        table.add("SYSEXIT", .map0F, 0x35, size: .doubleOrQuad, [.endsBlock, .system]) { state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in try state.systemExit(instruction) }
        }
        table.add("SWAPGS", .map0F, 0x01, digit: 7, rm: 0, mod: .register, [.modRM, .system]) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                try state.swapGS()
                return .next
            }
        }
        for digit: UInt8 in 0...3 {
            table.add(
                ["RDFSBASE", "RDGSBASE", "WRFSBASE", "WRGSBASE"][Int(digit)], .map0F, 0xAE, prefix: .xF3, digit: digit,
                mod: .register, size: .doubleOrQuad, [.modRM, .system]
            ) { state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.accessSegmentBase(instruction)
                    return .next
                }
            }
        }
    }
}
