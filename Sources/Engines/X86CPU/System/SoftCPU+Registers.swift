// SPDX-License-Identifier: Apache-2.0

public import CPUInterface

extension SoftCPU {
    /// All registers that a person or a debugger looks at. The processor is stopped.
    public var registers: X86Registers {
        get { readRegisters() }
        set { writeRegisters(newValue) }
    }

    private func readRegisters() -> X86Registers {
        var registers = X86Registers()
        for index in 0..<16 { registers.general[index] = state[register: index] }
        registers.rip = state.pointee.rip
        registers.rflags = state.flags
        registers.es = segment(SegmentRegister.es)
        registers.cs = segment(SegmentRegister.cs)
        registers.ss = segment(SegmentRegister.ss)
        registers.ds = segment(SegmentRegister.ds)
        registers.fs = segment(SegmentRegister.fs)
        registers.gs = segment(SegmentRegister.gs)
        registers.ldtr = segment(SegmentRegister.ldtr)
        registers.tr = segment(SegmentRegister.tr)
        registers.gdtr = X86DescriptorTable(base: state.pointee.gdtBase, limit: state.pointee.gdtLimit)
        registers.idtr = X86DescriptorTable(base: state.pointee.idtBase, limit: state.pointee.idtLimit)
        registers.cr0 = state.pointee.cr0
        registers.cr2 = state.pointee.cr2
        registers.cr3 = state.pointee.cr3
        registers.cr4 = state.pointee.cr4
        registers.cr8 = UInt64(localController?.taskPriorityClass ?? 0)
        registers.efer = state.pointee.efer
        for index in 0..<8 { registers.debug[index] = state.pointee.debug[index] }
        registers.fxsave = state.exportFXSAVE()
        registers.ymmHigh = state.exportYMMHigh()
        registers.kernelGSBase = state.pointee.kernelGSBase
        return registers
    }

    private func writeRegisters(_ registers: X86Registers) {
        for index in 0..<min(16, registers.general.count) { state[register: index] = registers.general[index] }
        state.pointee.rip = registers.rip
        state.pointee.systemFlags = registers.rflags & ~Flag.arithmetic & 0x3F_7FD7 | 2
        state.setArithmeticFlags(registers.rflags)
        setSegment(SegmentRegister.es, registers.es)
        setSegment(SegmentRegister.cs, registers.cs)
        setSegment(SegmentRegister.ss, registers.ss)
        setSegment(SegmentRegister.ds, registers.ds)
        setSegment(SegmentRegister.fs, registers.fs)
        setSegment(SegmentRegister.gs, registers.gs)
        setSegment(SegmentRegister.ldtr, registers.ldtr)
        setSegment(SegmentRegister.tr, registers.tr)
        state.pointee.gdtBase = registers.gdtr.base
        state.pointee.gdtLimit = registers.gdtr.limit
        state.pointee.idtBase = registers.idtr.base
        state.pointee.idtLimit = registers.idtr.limit
        setControl(registers)
        for index in 0..<min(8, registers.debug.count) { state.pointee.debug[index] = registers.debug[index] }
        if registers.fxsave.count == 512 { state.importFXSAVE(registers.fxsave) }
        if registers.ymmHigh.count == 256 { state.importYMMHigh(registers.ymmHigh) }
        state.pointee.kernelGSBase = registers.kernelGSBase
        state.updateWatches()
    }

    private func setControl(_ registers: X86Registers) {
        state.pointee.cr0 = registers.cr0 & ControlRegister0.all | ControlRegister0.extensionType
        state.pointee.cr2 = registers.cr2
        state.pointee.cr3 = registers.cr3
        state.pointee.cr4 = registers.cr4
        var efer = registers.efer & ~ExtendedFeature.longModeActive
        if efer & ExtendedFeature.longMode != 0, state.pointee.cr0 & ControlRegister0.paging != 0 {
            efer |= ExtendedFeature.longModeActive
        }
        state.pointee.efer = efer
        if registers.cr8 != UInt64(localController?.taskPriorityClass ?? 0) {
            localController?.taskPriorityClass = UInt8(truncatingIfNeeded: registers.cr8 & 15)
        }
        state.pointee.cpl =
            state.isVirtual8086 ? 3 : state.isProtected ? UInt8(truncatingIfNeeded: registers.cs.selector & 3) : 0
        state.pointee.mmu.pointee.controllerPage = localController?.registerPage ?? .max
        state.switchContext(keepsTranslations: false)
        state.pagingChanged()
        state.reloadDirectoryPointers()
        state.updateWidths()
        state.updateAccessClass()
    }

    private func segment(_ index: Int) -> X86Segment {
        let segment = state.segment(index).pointee
        return X86Segment(
            selector: segment.selector, base: segment.base, limit: segment.limit, attributes: segment.attributes)
    }

    private func setSegment(_ index: Int, _ segment: X86Segment) {
        state.segment(index).pointee = SegmentState(
            base: segment.base, limit: segment.limit, attributes: segment.attributes, selector: segment.selector)
    }

    /// Guest-physical address of a linear address through the current page tables, without faulting or setting A/D.
    public func physicalAddress(ofLinear address: UInt64) -> UInt64? {
        let walk = state.walk(address, marks: false)
        return walk.failure == nil ? walk.physical : nil
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// PAE paging's four entries again, for a debugger that set registers at will: nothing is checked.
    func reloadDirectoryPointers() {
        guard pointee.mmu.pointee.mode == .pae else { return }
        for index in 0..<4 {
            pointee.mmu.pointee.directoryPointers[index] = readPhysical(
                pointee.cr3 & 0xFFFF_FFE0 &+ UInt64(index) * 8, size: 8)
        }
    }
}
