// SPDX-License-Identifier: Apache-2.0

/// Where the parts of the FXSAVE64 image lie (SDM vol. 2, "FXSAVE", table 3-46), in bytes, and their initial values.
enum FXImage {
    static let control = 0, status = 2, tags = 4, opcode = 6, instruction = 8, data = 16
    static let mxcsr = 24, mxcsrMask = 28, registers = 32, xmm = 160
    static let byteCount = 512
    static let registerStride = 16

    static let initialControl: UInt16 = 0x37F
    /// FNINIT's control word; RESET's is this too, since real software runs FNINIT first anyway.
    static let resetControl: UInt16 = 0x040
    static let initialMXCSR: UInt32 = 0x1F80
}

/// Bits of the x87 status word.
enum FPUStatus {
    static let flags: UInt16 = 0x3F
    static let invalid: UInt16 = 1 << 0, overflow: UInt16 = 1 << 3, underflow: UInt16 = 1 << 4
    /// ES: an unmasked exception is pending. B mirrors it.
    static let summary: UInt16 = 1 << 7, busy: UInt16 = 1 << 15
    static let topShift: UInt16 = 11, topMask: UInt16 = 7 << 11
}

// The x87 registers stand in `CPUState.fxsave` as FXSAVE64 lays them out, ST(0) first.
extension UnsafeMutablePointer where Pointee == CPUState {
    @inline(__always)
    var fpuControl: UInt16 {
        get { pointee.fxsave.load(fromByteOffset: FXImage.control, as: UInt16.self) }
        nonmutating set { pointee.fxsave.storeBytes(of: newValue, toByteOffset: FXImage.control, as: UInt16.self) }
    }

    @inline(__always)
    var fpuStatus: UInt16 {
        get { pointee.fxsave.load(fromByteOffset: FXImage.status, as: UInt16.self) }
        nonmutating set { pointee.fxsave.storeBytes(of: newValue, toByteOffset: FXImage.status, as: UInt16.self) }
    }

    /// One bit a physical register: set where it is not empty.
    @inline(__always)
    var fpuTags: UInt8 {
        get { pointee.fxsave.load(fromByteOffset: FXImage.tags, as: UInt8.self) }
        nonmutating set { pointee.fxsave.storeBytes(of: newValue, toByteOffset: FXImage.tags, as: UInt8.self) }
    }

    var fpuTop: Int { Int((fpuStatus & FPUStatus.topMask) >> FPUStatus.topShift) }

    /// The ten bytes of ST(index).
    @inline(__always)
    func fpuRegister(_ index: Int) -> UnsafeMutableRawPointer {
        pointee.fxsave + FXImage.registers + index &* FXImage.registerStride
    }

    /// Loads the status word. The physical registers stay, so another TOP gives them other places in the image.
    func setFPUStatus(_ status: UInt16) {
        let change = Int((status & FPUStatus.topMask) >> FPUStatus.topShift) - fpuTop
        fpuStatus = status
        guard change != 0 else { return }
        var registers = InlineArray<8, SIMD2<UInt64>>(repeating: .zero)
        for index in 0..<8 { registers[index] = fpuRegister(index).load(as: SIMD2<UInt64>.self) }
        for index in 0..<8 {
            fpuRegister(index).storeBytes(of: registers[(index + change) & 7], as: SIMD2<UInt64>.self)
        }
    }

    /// The state of FNINIT. The registers' contents stay, as empty ones.
    func initializeFPU() {
        fpuControl = FXImage.initialControl
        setFPUStatus(0)
        fpuTags = 0
        pointee.fpuOpcode = 0
        pointee.fpuIP = 0
        pointee.fpuDP = 0
    }

    /// All x87 and vector state as RESET leaves it.
    func resetFloatingPoint() {
        pointee.fxsave.initializeMemory(as: UInt8.self, repeating: 0, count: FXImage.byteCount)
        pointee.ymm.initializeMemory(as: UInt8.self, repeating: 0, count: VectorBlock.byteCount)
        initializeFPU()
        fpuControl = FXImage.resetControl
        fpuTags = 0xFF
        pointee.mxcsr = FXImage.initialMXCSR
        prepareHostExchange()
    }

    /// The values of the host's own that thunks load. Needed after anything that overwrites the whole blocks.
    func prepareHostExchange() {
        pointee.fxsave.storeBytes(of: VectorBlock.hostMXCSR, toByteOffset: FXImage.mxcsr, as: UInt32.self)
        vectorControl.storeBytes(of: VectorBlock.hostMXCSR, toByteOffset: VectorBlock.controlHost, as: UInt32.self)
    }

    /// Makes ES and B say whether an unmasked exception flag is set, as loading the words does.
    func updateFPUSummary() {
        let unmasked = fpuStatus & ~fpuControl & FPUStatus.flags
        let both = FPUStatus.summary | FPUStatus.busy
        fpuStatus = unmasked != 0 ? fpuStatus | both : fpuStatus & ~both
    }

    // MARK: checks

    /// What stands before a waiting x87 instruction: #NM, then #MF.
    @inline(__always)
    func requireFPU() throws(CPUFault) {
        if pointee.cr0 & (VectorControl.emulation | VectorControl.taskSwitched) != 0 {
            throw fault(Vector.deviceNotAvailable)
        }
        if fpuStatus & FPUStatus.summary != 0 { throw pendingFPUException() }
    }

    /// What stands before an x87 instruction that does not wait.
    @inline(__always)
    func requireFPUWithoutWait() throws(CPUFault) {
        if pointee.cr0 & (VectorControl.emulation | VectorControl.taskSwitched) != 0 {
            throw fault(Vector.deviceNotAvailable)
        }
    }

    /// #MF. Without CR0.NE the machine reports by IRQ 13; this processor has no FERR# pin, and reports #MF as well.
    @inline(never)
    func pendingFPUException() -> CPUFault { fault(Vector.floatingPoint) }

    /// What stands before an MMX instruction.
    /// - Parameter isSSE: it uses vector registers as well.
    @inline(__always)
    func requireMMX(isSSE: Bool) throws(CPUFault) {
        if pointee.cr0 & VectorControl.emulation != 0 { throw fault(Vector.invalidOpcode) }
        if isSSE { try requireSSE() }
        if pointee.cr0 & VectorControl.taskSwitched != 0 { throw fault(Vector.deviceNotAvailable) }
        if fpuStatus & FPUStatus.summary != 0 { throw pendingFPUException() }
    }

    // MARK: MMX

    /// Every MMX instruction but EMMS makes TOP 0 and all registers valid.
    @inline(__always)
    func enterMMX() {
        if fpuStatus & FPUStatus.topMask != 0 { setFPUStatus(fpuStatus & ~FPUStatus.topMask) }
        fpuTags = 0xFF
    }

    /// The eight bytes of an MMX register; `enterMMX` came before.
    @inline(__always)
    func mmx(_ index: UInt8) -> UnsafeMutableRawPointer { fpuRegister(Int(index)) }

    /// A written MMX register reads as a NaN or infinity to x87.
    @inline(__always)
    func markMMXWritten(_ index: UInt8) {
        fpuRegister(Int(index)).storeBytes(of: 0xFFFF, toByteOffset: 8, as: UInt16.self)
    }
}
