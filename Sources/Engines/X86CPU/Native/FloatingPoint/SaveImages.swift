// SPDX-License-Identifier: Apache-2.0

// Images of FXSAVE and XSAVE, built and taken apart in a buffer of the processor's own (`VectorBlock.image`).
extension UnsafeMutablePointer where Pointee == CPUState {
    var saveImage: UnsafeMutableRawPointer { pointee.ymm + VectorBlock.image }

    /// The x87 part: bytes 0...23 and 32...159.
    /// - Parameter wide: the 64-bit pointers of REX.W; else 32-bit ones with selectors, which read as 0.
    func exportX87(to image: UnsafeMutableRawPointer, wide: Bool) {
        image.storeBytes(of: fpuControl, toByteOffset: FXImage.control, as: UInt16.self)
        image.storeBytes(of: fpuStatus, toByteOffset: FXImage.status, as: UInt16.self)
        image.storeBytes(of: UInt16(fpuTags), toByteOffset: FXImage.tags, as: UInt16.self)
        image.storeBytes(of: pointee.fpuOpcode, toByteOffset: FXImage.opcode, as: UInt16.self)
        let pointerMask: UInt64 = wide ? .max : 0xFFFF_FFFF
        image.storeBytes(of: pointee.fpuIP & pointerMask, toByteOffset: FXImage.instruction, as: UInt64.self)
        image.storeBytes(of: pointee.fpuDP & pointerMask, toByteOffset: FXImage.data, as: UInt64.self)
        for index in 0..<8 {
            // Six reserved bytes after each register are written as 0.
            let place = FXImage.registers + index * FXImage.registerStride
            let register = fpuRegister(index)
            image.storeBytes(of: register.load(as: UInt64.self), toByteOffset: place, as: UInt64.self)
            let top = UInt64(register.load(fromByteOffset: 8, as: UInt16.self))
            image.storeBytes(of: top, toByteOffset: place + 8, as: UInt64.self)
        }
    }

    func importX87(from image: UnsafeRawPointer, wide: Bool) {
        setFPUControl(image.load(fromByteOffset: FXImage.control, as: UInt16.self))
        fpuStatus = image.load(fromByteOffset: FXImage.status, as: UInt16.self)
        fpuTags = image.load(fromByteOffset: FXImage.tags, as: UInt8.self)
        updateFPUSummary()
        let pointerMask: UInt64 = wide ? .max : 0xFFFF_FFFF
        pointee.fpuOpcode = image.load(fromByteOffset: FXImage.opcode, as: UInt16.self) & 0x7FF
        pointee.fpuIP = image.load(fromByteOffset: FXImage.instruction, as: UInt64.self) & pointerMask
        pointee.fpuDP = image.load(fromByteOffset: FXImage.data, as: UInt64.self) & pointerMask
        for index in 0..<8 {
            let place = FXImage.registers + index * FXImage.registerStride
            let register = fpuRegister(index)
            register.storeBytes(of: image.load(fromByteOffset: place, as: UInt64.self), as: UInt64.self)
            let top = image.load(fromByteOffset: place + 8, as: UInt16.self)
            register.storeBytes(of: top, toByteOffset: 8, as: UInt16.self)
        }
    }

    /// The state that XRSTOR gives a component whose bit in XSTATE_BV is clear.
    func resetX87Component() {
        initializeFPU()
        for index in 0..<8 { fpuRegister(index).storeBytes(of: .zero, as: SIMD2<UInt64>.self) }
    }

    func exportMXCSR(to image: UnsafeMutableRawPointer) {
        image.storeBytes(of: pointee.mxcsr, toByteOffset: FXImage.mxcsr, as: UInt32.self)
        image.storeBytes(of: MXCSR.writable, toByteOffset: FXImage.mxcsrMask, as: UInt32.self)
    }

    /// How many vector registers the mode reaches.
    var vectorRegisterCount: UInt8 { pointee.codeWidth == .bits64 ? 16 : 8 }

    func exportXMM(to image: UnsafeMutableRawPointer, count: UInt8) {
        for index in 0..<count {
            image.storeBytes(of: xmm(index), toByteOffset: FXImage.xmm + Int(index) * 16, as: SIMD2<UInt64>.self)
        }
    }

    /// - Parameter image: nil for the initial state.
    func importXMM(from image: UnsafeRawPointer?, count: UInt8) {
        for index in 0..<count {
            setXMM(index, image?.load(fromByteOffset: FXImage.xmm + Int(index) * 16, as: SIMD2<UInt64>.self) ?? .zero)
        }
    }

    /// The upper halves of YMM registers, `data` at the component's place.
    func exportYMMHigh(to data: UnsafeMutableRawPointer, count: UInt8) {
        for index in 0..<count {
            (data + Int(index) * 16).copyMemory(from: vector(index) + 16, byteCount: 16)
        }
    }

    func importYMMHigh(from data: UnsafeRawPointer?, count: UInt8) {
        for index in 0..<count {
            let high = data?.loadUnaligned(fromByteOffset: Int(index) * 16, as: SIMD2<UInt64>.self) ?? .zero
            vector(index).storeBytes(of: high, toByteOffset: 16, as: SIMD2<UInt64>.self)
        }
    }

    // MARK: the whole state, for debuggers and saved machines

    /// The x87 and SSE state as `X86Registers.fxsave` has it.
    func exportFXSAVE() -> [UInt8] {
        let image = saveImage
        image.initializeMemory(as: UInt8.self, repeating: 0, count: FXImage.byteCount)
        exportX87(to: image, wide: true)
        exportMXCSR(to: image)
        exportXMM(to: image, count: 16)
        return [UInt8](UnsafeRawBufferPointer(start: image, count: FXImage.byteCount))
    }

    /// Takes over an image of `X86Registers.fxsave`; a shorter one leaves the state as it is, and reserved bits of
    /// MXCSR are dropped.
    func importFXSAVE(_ bytes: [UInt8]) {
        guard bytes.count >= FXImage.byteCount else { return }
        let image = saveImage
        bytes.withUnsafeBytes { image.copyMemory(from: $0.baseAddress!, byteCount: FXImage.byteCount) }
        importX87(from: image, wide: true)
        pointee.mxcsr = image.load(fromByteOffset: FXImage.mxcsr, as: UInt32.self) & MXCSR.writable
        importXMM(from: image, count: 16)
    }

    /// The upper halves of YMM0...YMM15.
    func exportYMMHigh() -> [UInt8] {
        exportYMMHigh(to: saveImage, count: 16)
        return [UInt8](UnsafeRawBufferPointer(start: saveImage, count: 256))
    }

    func importYMMHigh(_ bytes: [UInt8]) {
        guard bytes.count >= 256 else { return }
        bytes.withUnsafeBytes { importYMMHigh(from: $0.baseAddress, count: 16) }
    }
}
