// SPDX-License-Identifier: Apache-2.0

internal import CX86Native

/// Instruction-set extensions whose instructions the host's own units run: what `Native` offers is what both the host
/// and the table of forms have.
struct HostFeatures: OptionSet, Sendable {
    let rawValue: UInt32
    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// MMX, SSE and SSE2 with FXSR: part of every x86-64 processor.
    static let baseline = HostFeatures(rawValue: 1 << 0)
    static let sse3 = HostFeatures(rawValue: 1 << 1)
    static let ssse3 = HostFeatures(rawValue: 1 << 2)
    static let sse41 = HostFeatures(rawValue: 1 << 3)
    static let sse42 = HostFeatures(rawValue: 1 << 4)
    static let aes = HostFeatures(rawValue: 1 << 5)
    static let pclmul = HostFeatures(rawValue: 1 << 6)
    static let sha = HostFeatures(rawValue: 1 << 7)
    static let avx = HostFeatures(rawValue: 1 << 8)
    static let avx2 = HostFeatures(rawValue: 1 << 9)
    static let fma = HostFeatures(rawValue: 1 << 10)
    static let f16c = HostFeatures(rawValue: 1 << 11)
    static let vaes = HostFeatures(rawValue: 1 << 12)
    static let vpclmul = HostFeatures(rawValue: 1 << 13)
    static let gfni = HostFeatures(rawValue: 1 << 14)

    /// What this host has.
    static let host = detect()

    /// The host's maker is AMD, or Hygon with AMD's design: its processors do not demand alignment everywhere.
    static let isAMD: Bool = {
        var out: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &out) { roost_cpuid(0, 0, $0.baseAddress!.assumingMemoryBound(to: UInt32.self)) }
        // "Auth" and "Hygo" in EBX.
        return out.1 == 0x6874_7541 || out.1 == 0x6F67_7948
    }()

    /// A leaf of CPUID: EAX, EBX, ECX, EDX; all 0 where the host has no such leaf.
    static func leaf(_ leaf: UInt32) -> InlineArray<4, UInt32> {
        func read(_ leaf: UInt32) -> InlineArray<4, UInt32> {
            var out: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
            withUnsafeMutableBytes(of: &out) {
                roost_cpuid(leaf, 0, $0.baseAddress!.assumingMemoryBound(to: UInt32.self))
            }
            return [out.0, out.1, out.2, out.3]
        }
        let extended: UInt32 = 0x8000_0000
        return read(leaf & extended)[0] >= leaf ? read(leaf) : [0, 0, 0, 0]
    }

    private static func detect() -> HostFeatures {
        var found: HostFeatures = .baseline
        func note(_ feature: HostFeatures, _ register: UInt32, bit: UInt32) {
            if register >> bit & 1 != 0 { found.insert(feature) }
        }
        let basic = leaf(1)
        note(.sse3, basic[2], bit: 0)
        note(.pclmul, basic[2], bit: 1)
        note(.ssse3, basic[2], bit: 9)
        note(.sse41, basic[2], bit: 19)
        note(.sse42, basic[2], bit: 20)
        note(.aes, basic[2], bit: 25)
        let extended = leaf(7)
        note(.sha, extended[1], bit: 29)
        note(.gfni, extended[2], bit: 8)
        // The YMM registers are usable where the host's kernel enabled them.
        let ymmState: UInt64 = 6
        guard basic[2] >> 27 & 1 != 0, roost_xgetbv(0) & ymmState == ymmState else { return found }
        note(.avx, basic[2], bit: 28)
        guard found.contains(.avx) else { return found }
        note(.fma, basic[2], bit: 12)
        note(.f16c, basic[2], bit: 29)
        note(.avx2, extended[1], bit: 5)
        note(.vaes, extended[2], bit: 9)
        note(.vpclmul, extended[2], bit: 10)
        return found
    }
}
