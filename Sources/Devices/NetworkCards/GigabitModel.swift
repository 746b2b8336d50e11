// SPDX-License-Identifier: Apache-2.0

/// What distinguishes Intel's gigabit controllers from each other.
public struct GigabitModel: Equatable, Sendable {
    /// QEMU's name: "e1000".
    public let name: String
    let device: UInt16
    let revision: UInt8
    let phyIdentifier: UInt16
    /// The 82574: PCI Express, MSI-X, extended descriptors.
    let isExpress: Bool

    /// 82540EM, QEMU's card on pc.
    public static let i82540EM = GigabitModel(
        name: "e1000", device: 0x100E, revision: 3, phyIdentifier: 0x0C20, isExpress: false)
    /// 82544GC.
    public static let i82544GC = GigabitModel(
        name: "e1000-82544gc", device: 0x1008, revision: 3, phyIdentifier: 0x0C30, isExpress: false)
    /// 82545EM.
    public static let i82545EM = GigabitModel(
        name: "e1000-82545em", device: 0x100F, revision: 3, phyIdentifier: 0x0C20, isExpress: false)
    /// 82574L, QEMU's card on q35.
    public static let i82574L = GigabitModel(
        name: "e1000e", device: 0x10D3, revision: 0, phyIdentifier: 0x0CB1, isExpress: true)

    /// All, by name.
    public static let all = [i82540EM, i82544GC, i82545EM, i82574L]

    private static let wordCount = 64
    /// What the words add up to (8254x manual, 5.6.35).
    private static let checksum: UInt16 = 0xBABA

    /// The words of the EEPROM for an address of six bytes.
    func words(address: [UInt8]) -> [UInt16] {
        var words = [UInt16](repeating: 0, count: Self.wordCount)
        for index in 0..<3 { words[index] = UInt16(address[index * 2]) | UInt16(address[index * 2 + 1]) << 8 }
        words[0x04] = 0xFFFF
        words[0x0A] = isExpress ? 0x60B0 : 0x6403
        words[0x0B] = isExpress ? 0x0000 : 0x1100
        words[0x0C] = isExpress ? 0x8086 : 0x1AF4
        words[0x0D] = device
        words[0x0E] = 0x8086
        let sum = words.reduce(UInt16(0)) { $0 &+ $1 }
        words[0x3F] = Self.checksum &- sum
        return words
    }
}
