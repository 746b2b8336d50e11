// SPDX-License-Identifier: Apache-2.0

/// Everything besides its bytes that decides how code is decoded: part of the key of blocks.
struct CodeMode: Equatable {
    let rawValue: UInt8

    /// Bits of `rawValue`: width 0...1, stack width 2...3, then single flags.
    static let flatBit: UInt8 = 1 << 4, userBit: UInt8 = 1 << 5, protectedBit: UInt8 = 1 << 6, singleBit: UInt8 = 1 << 7
    static let bitCount: UInt64 = 8

    init(rawValue: UInt8) { self.rawValue = rawValue }

    /// - Parameter isSingle: blocks hold one instruction each.
    @inline(__always)
    init(_ state: State, isSingle: Bool) {
        let protected = state.pointee.cr0 & 1 != 0 && state.pointee.systemFlags & Flag.virtual8086 == 0
        rawValue =
            state.pointee.codeWidth.rawValue | state.pointee.stackWidth << 2 | (state.pointee.isFlat ? Self.flatBit : 0)
            | (state.pointee.cpl == 3 ? Self.userBit : 0) | (protected ? Self.protectedBit : 0)
            | (isSingle ? Self.singleBit : 0)
    }

    var width: CodeWidth { CodeWidth(rawValue: rawValue & 3) ?? .bits64 }
    var is64: Bool { rawValue & 3 == CodeWidth.bits64.rawValue }
    /// log2 of the bytes of a stack address.
    var stackWidth: UInt8 { (rawValue >> 2) & 3 }
    var isFlat: Bool { rawValue & Self.flatBit != 0 }
    /// Protected mode, and not V86.
    var isProtected: Bool { rawValue & Self.protectedBit != 0 }
    var isSingle: Bool { rawValue & Self.singleBit != 0 }
}
