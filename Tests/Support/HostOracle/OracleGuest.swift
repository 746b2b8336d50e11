// SPDX-License-Identifier: Apache-2.0

internal import CHostOracle
internal import X86CPU

/// The software CPU's side of one case.
struct OracleGuest {
    private let cpu: SoftCPU
    private let hasAVX: Bool

    /// Loads the registers.
    init(_ cpu: SoftCPU, _ before: roost_oracle_state, hasAVX: Bool) {
        self.cpu = cpu
        self.hasAVX = hasAVX
        for index in 0..<16 { cpu[general: index] = before.general(index) }
        cpu.instructionPointer = before.rip
        cpu.flagsImage = before.rflags
        cpu.fxsaveImage = before.image
        for index in 0..<16 { cpu[vector: index] = before.vectorRegister(index) }
    }

    /// Repeated string instructions may stop between iterations, to let interrupts in: goes on until they are done.
    func run() -> ExecutionStop {
        let start = cpu.instructionPointer
        for _ in 0..<Self.maximumRounds {
            let stop = cpu.execute(limit: 1)
            if stop != .limit || cpu.instructionPointer != start { return stop }
        }
        return .limit
    }

    /// Runs the instruction and what stands behind it, which faults at once: a fault elsewhere than at the instruction
    /// says that it is done.
    func runTranslated() -> ExecutionStop {
        let start = cpu.instructionPointer
        let stop = cpu.execute(limit: 100_000)
        if case .fault = stop, cpu.instructionPointer != start { return .limit }
        return stop
    }

    private static let maximumRounds = 256

    /// The registers as the host reports them.
    var state: roost_oracle_state {
        var state = roost_oracle_state()
        for index in 0..<16 {
            state.setGeneral(index, cpu[general: index])
            state.setVectorRegister(index, cpu[vector: index])
        }
        state.rip = cpu.instructionPointer
        state.rflags = cpu.flagsImage
        state.image = cpu.fxsaveImage
        return state
    }
}

// The C struct's arrays are tuples in Swift; these reach their elements.
extension roost_oracle_state {
    private static let gprOffset = MemoryLayout<Self>.offset(of: \Self.gpr)!
    private static let ymmOffset = MemoryLayout<Self>.offset(of: \Self.ymm)!
    private static let imageOffset = MemoryLayout<Self>.offset(of: \Self.fxsave)!
    static let imageBytes = 512

    func general(_ index: Int) -> UInt64 {
        // index < 16 by the callers' loops and masks, so the load lies inside `gpr`.
        unsafe withUnsafeBytes(of: self) { unsafe $0.load(fromByteOffset: Self.gprOffset + index * 8, as: UInt64.self) }
    }

    mutating func setGeneral(_ index: Int, _ value: UInt64) {
        // As above.
        unsafe withUnsafeMutableBytes(of: &self) {
            unsafe $0.storeBytes(of: value, toByteOffset: Self.gprOffset + index * 8, as: UInt64.self)
        }
    }

    func vectorRegister(_ index: Int) -> SIMD4<UInt64> {
        // As above, inside `ymm`.
        unsafe withUnsafeBytes(of: self) {
            unsafe $0.loadUnaligned(fromByteOffset: Self.ymmOffset + index * 32, as: SIMD4<UInt64>.self)
        }
    }

    mutating func setVectorRegister(_ index: Int, _ value: SIMD4<UInt64>) {
        // As above.
        unsafe withUnsafeMutableBytes(of: &self) {
            unsafe $0.storeBytes(of: value, toByteOffset: Self.ymmOffset + index * 32, as: SIMD4<UInt64>.self)
        }
    }

    /// The FXSAVE image.
    var image: [UInt8] {
        get {
            // The image's 512 bytes lie inside the struct.
            unsafe withUnsafeBytes(of: self) {
                unsafe [UInt8]($0[Self.imageOffset..<Self.imageOffset + Self.imageBytes])
            }
        }
        set {
            // As above; a shorter array changes only its own length.
            unsafe withUnsafeMutableBytes(of: &self) { bytes in
                for (index, byte) in newValue.prefix(Self.imageBytes).enumerated() {
                    unsafe bytes[Self.imageOffset + index] = byte
                }
            }
        }
    }

    var mxcsr: UInt32 {
        get {
            // Bytes 24...27 of the image.
            unsafe withUnsafeBytes(of: self) {
                unsafe $0.loadUnaligned(fromByteOffset: Self.imageOffset + 24, as: UInt32.self)
            }
        }
        set {
            // As above.
            unsafe withUnsafeMutableBytes(of: &self) {
                unsafe $0.storeBytes(of: newValue, toByteOffset: Self.imageOffset + 24, as: UInt32.self)
            }
        }
    }
}
