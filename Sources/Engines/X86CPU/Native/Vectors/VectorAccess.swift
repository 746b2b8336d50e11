// SPDX-License-Identifier: Apache-2.0

/// Where the parts of `CPUState.ymm`'s block lie, in bytes.
enum VectorBlock {
    static let registers = 0
    /// A memory operand's copy.
    static let scratch = 512
    /// A result that is not committed yet.
    static let result = 576
    /// What thunks exchange with MXCSR: the value to load, the value stored, the host's own value.
    static let control = 640
    /// Images of FXSAVE and XSAVE while they are built or taken apart.
    static let image = 768
    static let byteCount = image + 2752

    static let controlStored = 4, controlHost = 8
    /// MXCSR as the C library expects it.
    static let hostMXCSR: UInt32 = 0x1F80
}

/// Control registers' bits that vector instructions look at.
enum VectorControl {
    static let monitorCoprocessor: UInt64 = 1 << 1, emulation: UInt64 = 1 << 2, taskSwitched: UInt64 = 1 << 3
    static let numericError: UInt64 = 1 << 5
    static let osFXSR: UInt64 = 1 << 9, osXMMExceptions: UInt64 = 1 << 10, osXSAVE: UInt64 = 1 << 18
    static let xcr0SSE: UInt64 = 2, xcr0AVX: UInt64 = 4
}

extension UnsafeMutablePointer where Pointee == CPUState {
    @inline(__always) var scratch: UnsafeMutableRawPointer { pointee.ymm + VectorBlock.scratch }
    @inline(__always) var pendingResult: UnsafeMutableRawPointer { pointee.ymm + VectorBlock.result }
    @inline(__always) var vectorControl: UnsafeMutableRawPointer { pointee.ymm + VectorBlock.control }

    /// The register, its XMM half first.
    @inline(__always)
    func vector(_ index: UInt8) -> UnsafeMutableRawPointer { pointee.ymm + Int(index) &* 32 }

    /// The place of a general register.
    @inline(__always)
    func general(_ index: UInt8) -> UnsafeMutableRawPointer { UnsafeMutableRawPointer(self) + Int(index) &* 8 }

    @inline(__always)
    func xmm(_ index: UInt8) -> SIMD2<UInt64> { vector(index).load(as: SIMD2<UInt64>.self) }

    /// Writes the XMM half; the rest of the register stays (legacy encoding).
    @inline(__always)
    func setXMM(_ index: UInt8, _ value: SIMD2<UInt64>) { vector(index).storeBytes(of: value, as: SIMD2<UInt64>.self) }

    /// Writes the XMM half and clears the rest (VEX encoding).
    @inline(__always)
    func setXMMClearing(_ index: UInt8, _ value: SIMD2<UInt64>) {
        vector(index).storeBytes(of: value, as: SIMD2<UInt64>.self)
        vector(index).storeBytes(of: .zero, toByteOffset: 16, as: SIMD2<UInt64>.self)
    }

    @inline(__always)
    func ymm(_ index: UInt8) -> SIMD4<UInt64> { vector(index).load(as: SIMD4<UInt64>.self) }

    @inline(__always)
    func setYMM(_ index: UInt8, _ value: SIMD4<UInt64>) { vector(index).storeBytes(of: value, as: SIMD4<UInt64>.self) }

    /// Raises what stands between the guest and an SSE instruction (SDM vol. 2, table 2-21 and following).
    @inline(__always)
    func requireSSE() throws(CPUFault) {
        let blocked = pointee.cr0 & (VectorControl.emulation | VectorControl.taskSwitched)
        if blocked != 0 || pointee.cr4 & VectorControl.osFXSR == 0 { throw vectorBlocked() }
    }

    @inline(never)
    private func vectorBlocked() -> CPUFault {
        if pointee.cr0 & VectorControl.emulation != 0 || pointee.cr4 & VectorControl.osFXSR == 0 {
            return fault(Vector.invalidOpcode)
        }
        return fault(Vector.deviceNotAvailable)
    }

    /// As `requireSSE` for VEX-encoded instructions; that the mode is protected was checked by the decoder.
    @inline(__always)
    func requireAVX() throws(CPUFault) {
        let state = VectorControl.xcr0SSE | VectorControl.xcr0AVX
        guard pointee.cr4 & VectorControl.osXSAVE != 0, pointee.xcr0 & state == state else {
            throw fault(Vector.invalidOpcode)
        }
        if pointee.cr0 & VectorControl.taskSwitched != 0 { throw fault(Vector.deviceNotAvailable) }
    }

    /// The linear address of a vector operand, aligned to `alignmentMask + 1` or #GP(0).
    @inline(__always)
    func vectorAddress(
        _ instruction: UnsafePointer<Instruction>, size: Int, alignmentMask: UInt64 = 0, isWrite: Bool = false
    ) throws(CPUFault) -> UInt64 {
        let address = try address(instruction, size: size, isWrite: isWrite)
        if address & alignmentMask != 0 { throw generalProtection() }
        return address
    }

    /// Loads a value of 16 or 32 bytes.
    @inline(__always)
    func loadVector<Value: BitwiseCopyable>(_ address: UInt64, as type: Value.Type = Value.self) throws(CPUFault)
        -> Value
    {
        let entry = pointee.readTLB + Int(truncatingIfNeeded: (address >> 12) & pointee.tlbMask)
        if address ^ entry.pointee.tag <= UInt64(4096 - MemoryLayout<Value>.size) {
            let host = UnsafeRawPointer(bitPattern: UInt(entry.pointee.page &+ address & 4095)).unsafelyUnwrapped
            return host.loadUnaligned(as: Value.self)
        }
        try slowLoadBytes(address, count: MemoryLayout<Value>.size, into: scratch)
        return scratch.load(as: Value.self)
    }

    /// Stores a value of 16 or 32 bytes: all of it or, with a fault, nothing.
    @inline(__always)
    func storeVector<Value: BitwiseCopyable>(_ address: UInt64, _ value: Value) throws(CPUFault) {
        if let host = writablePointer(address, size: MemoryLayout<Value>.size) {
            host.storeBytes(of: value, as: Value.self)
            return
        }
        pendingResult.storeBytes(of: value, as: Value.self)
        try slowStoreBytes(address, count: MemoryLayout<Value>.size, from: pendingResult)
    }

    /// Loads `count` bytes in pieces that device registers understand.
    @inline(never)
    func slowLoadBytes(_ address: UInt64, count: Int, into target: UnsafeMutableRawPointer) throws(CPUFault) {
        var done = 0
        while done < count {
            let place = address &+ UInt64(done)
            switch count - done {
            case 8...: target.storeBytes(of: try load(place, as: UInt64.self), toByteOffset: done, as: UInt64.self)
            case 4...7: target.storeBytes(of: try load(place, as: UInt32.self), toByteOffset: done, as: UInt32.self)
            case 2...3: target.storeBytes(of: try load(place, as: UInt16.self), toByteOffset: done, as: UInt16.self)
            default: target.storeBytes(of: try load(place, as: UInt8.self), toByteOffset: done, as: UInt8.self)
            }
            done += Self.piece(count - done)
        }
    }

    /// Stores `count` bytes: all or, with a fault, nothing.
    @inline(never)
    func slowStoreBytes(_ address: UInt64, count: Int, from source: UnsafeRawPointer) throws(CPUFault) {
        try probeWrite(address, size: count)
        var done = 0
        while done < count {
            let place = address &+ UInt64(done)
            let from = source + done
            switch count - done {
            case 8...: try store(place, from.loadUnaligned(as: UInt64.self))
            case 4...7: try store(place, from.loadUnaligned(as: UInt32.self))
            case 2...3: try store(place, from.loadUnaligned(as: UInt16.self))
            default: try store(place, from.load(as: UInt8.self))
            }
            done += Self.piece(count - done)
        }
    }

    private static func piece(_ rest: Int) -> Int { rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1 }

    /// Loads a memory operand of `count` bytes (1...32).
    @inline(__always)
    func loadOperand(_ address: UInt64, count: Int, into target: UnsafeMutableRawPointer) throws(CPUFault) {
        switch count {
        case 16: target.storeBytes(of: try loadVector(address), as: SIMD2<UInt64>.self)
        case 32: target.storeBytes(of: try loadVector(address), as: SIMD4<UInt64>.self)
        case 8: target.storeBytes(of: try load(address), as: UInt64.self)
        case 4: target.storeBytes(of: try load(address), as: UInt32.self)
        default: try slowLoadBytes(address, count: count, into: target)
        }
    }

    /// Stores a memory operand of `count` bytes (1...32).
    @inline(__always)
    func storeOperand(_ address: UInt64, count: Int, from source: UnsafeRawPointer) throws(CPUFault) {
        switch count {
        case 16: try storeVector(address, source.loadUnaligned(as: SIMD2<UInt64>.self))
        case 32: try storeVector(address, source.loadUnaligned(as: SIMD4<UInt64>.self))
        case 8: try store(address, source.loadUnaligned(as: UInt64.self))
        case 4: try store(address, source.loadUnaligned(as: UInt32.self))
        default: try slowStoreBytes(address, count: count, from: source)
        }
    }
}
