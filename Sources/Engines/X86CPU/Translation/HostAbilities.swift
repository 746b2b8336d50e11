// SPDX-License-Identifier: Apache-2.0

/// Integer instructions beyond those of every x86-64 processor that translated code may use: the interpreter computes them
/// by itself, so that a guest may have them where the host has not. (Vector instructions are the host's own on both tiers:
/// a guest never has others.)
package struct HostAbilities: OptionSet, Sendable {
    package let rawValue: UInt8
    /// A set by its bits.
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// POPCNT.
    package static let popcnt = HostAbilities(rawValue: 1 << 0)
    /// LZCNT, which other processors take for BSR.
    package static let lzcnt = HostAbilities(rawValue: 1 << 1)
    /// TZCNT, which other processors take for BSF.
    package static let tzcnt = HostAbilities(rawValue: 1 << 2)
    /// ANDN, BEXTR and their kind.
    package static let bmi1 = HostAbilities(rawValue: 1 << 3)
    /// RORX, SHLX and their kind, which leave the flags alone.
    package static let bmi2 = HostAbilities(rawValue: 1 << 4)
    /// ADCX and ADOX.
    package static let adx = HostAbilities(rawValue: 1 << 5)
    /// MOVBE.
    package static let movbe = HostAbilities(rawValue: 1 << 6)
    /// CRC32.
    package static let crc32 = HostAbilities(rawValue: 1 << 7)

    /// What this host has.
    package static let host: HostAbilities = {
        let (basic, extended, far) = (
            HostFeatures.leaf(1), HostFeatures.leaf(7), HostFeatures.leaf(0x8000_0001)
        )
        // VEX encoding needs the host kernel's consent, as AVX does.
        let hasVEX = HostFeatures.host.contains(.avx)
        var found: HostAbilities = []
        func note(_ ability: HostAbilities, _ register: UInt32, bit: UInt32, unless isRefused: Bool = false) {
            if register >> bit & 1 != 0, !isRefused { found.insert(ability) }
        }
        note(.popcnt, basic[2], bit: 23)
        note(.movbe, basic[2], bit: 22)
        note(.crc32, basic[2], bit: 20)
        note(.lzcnt, far[2], bit: 5)
        note(.tzcnt, extended[1], bit: 3)
        note(.adx, extended[1], bit: 19)
        note(.bmi1, extended[1], bit: 3, unless: !hasVEX)
        note(.bmi2, extended[1], bit: 8, unless: !hasVEX)
        return found
    }()
}
