// SPDX-License-Identifier: Apache-2.0

/// The memory type range registers as PC firmware leaves them (SDM vol. 3, "Memory Type Range Registers"): RAM is
/// write-back, video memory and device registers are not cached, the ROM shadow is write-protected.
enum MemoryTypeSetup {
    private static let uncacheable: UInt64 = 0, writeProtected: UInt64 = 5, writeBack: UInt64 = 6
    private static let firstVariableBase: UInt32 = 0x200, firstVariableMask: UInt32 = 0x201
    private static let fixed64K: UInt32 = 0x250, fixed16K: UInt32 = 0x258, fixed4K: UInt32 = 0x268
    private static let fixed4KCount: UInt32 = 8
    private static let defaultType: UInt32 = 0x2FF
    /// Ranges, and among them the fixed ones, are enabled.
    private static let enabled: UInt64 = 1 << 11, fixedEnabled: UInt64 = 1 << 10
    private static let valid: UInt64 = 1 << 11
    /// All processors here have at least 36 physical address bits.
    private static let addressMask: UInt64 = 0xF_FFFF_F000
    private static let fourGiB: UInt64 = 1 << 32

    /// Registers with their values.
    /// - Parameter uncached: where device registers begin; they end at 4 GiB.
    static func registers(uncached: UInt64) -> [(register: UInt32, value: UInt64)] {
        var list = [
            (fixed64K, everywhere(writeBack)), (fixed16K, everywhere(writeBack)),
            (fixed16K + 1, everywhere(uncacheable)),
        ]
        for index in 0..<fixed4KCount { list.append((fixed4K + index, everywhere(writeProtected))) }
        // One range needs a power of two: the upper quarter or half of the 4 GiB.
        let start: UInt64 = uncached >= 0xC000_0000 ? 0xC000_0000 : 0x8000_0000
        list.append((firstVariableBase, start | uncacheable))
        list.append((firstVariableMask, ~(fourGiB - start - 1) & addressMask | valid))
        list.append((defaultType, enabled | fixedEnabled | writeBack))
        return list
    }

    /// The same type for all eight parts of a fixed range register.
    private static func everywhere(_ type: UInt64) -> UInt64 { type &* 0x0101_0101_0101_0101 }
}
