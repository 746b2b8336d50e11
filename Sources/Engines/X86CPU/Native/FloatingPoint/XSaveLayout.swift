// SPDX-License-Identifier: Apache-2.0

/// Where XSAVE puts the state components (SDM vol. 1, chapter 13): what CPUID leaf 0xD tells and the instructions do.
enum XSaveLayout {
    static let x87: UInt64 = 1 << 0, sse: UInt64 = 1 << 1, avx: UInt64 = 1 << 2, pkru: UInt64 = 1 << 9

    /// Components above SSE: the bit, bytes, and offset in the standard format. Components are not aligned in the
    /// compacted format.
    static let extended: [(bit: Int, size: Int, offset: Int)] = [(2, 256, 576), (9, 8, 2688)]

    static let headerOffset = 512, headerBytes = 64
    static let legacyBytes = headerOffset + headerBytes
    /// XCOMP_BV bit 63: the compacted format.
    static let compacted: UInt64 = 1 << 63
    /// An XSAVE area is aligned to this.
    static let alignmentMask: UInt64 = 63

    /// What this engine can hold on this host; XCR0 may have these bits.
    static var supported: UInt64 { x87 | sse | pkru | (HostFeatures.host.contains(.avx) ? avx : 0) }

    /// Bytes of the standard format with these components.
    static func standardSize(_ components: UInt64) -> Int {
        extended.reduce(legacyBytes) { components >> UInt64($1.bit) & 1 != 0 ? max($0, $1.offset + $1.size) : $0 }
    }

    /// Bytes of the compacted format with these components.
    static func compactedSize(_ components: UInt64) -> Int {
        extended.reduce(legacyBytes) { components >> UInt64($1.bit) & 1 != 0 ? $0 + $1.size : $0 }
    }

    /// Offset of a component, by its place in `extended`.
    @inline(__always)
    static func offset(_ place: Int, isCompacted: Bool, components: UInt64) -> Int {
        guard isCompacted else { return extended[place].offset }
        // AVX is the only one before PKRU.
        return place == 0 || components & avx == 0 ? legacyBytes : legacyBytes + extended[0].size
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The components that are not in their initial state: XINUSE.
    var componentsInUse: UInt64 {
        var used: UInt64 = 0
        if fpuControl != FXImage.initialControl || fpuStatus != 0 || fpuTags != 0 || pointee.fpuIP != 0
            || pointee.fpuDP != 0 || pointee.fpuOpcode != 0 || (0..<8).contains(where: { isFPURegisterUsed($0) })
        {
            used |= XSaveLayout.x87
        }
        var low = SIMD2<UInt64>.zero, high = SIMD2<UInt64>.zero
        for index in UInt8(0)..<16 {
            low |= xmm(index)
            high |= vector(index).load(fromByteOffset: 16, as: SIMD2<UInt64>.self)
        }
        if low != .zero { used |= XSaveLayout.sse }
        if high != .zero { used |= XSaveLayout.avx }
        if pointee.pkru != 0 { used |= XSaveLayout.pkru }
        return used
    }

    private func isFPURegisterUsed(_ index: Int) -> Bool {
        let register = fpuRegister(index)
        return register.load(as: UInt64.self) != 0 || register.load(fromByteOffset: 8, as: UInt16.self) != 0
    }
}
