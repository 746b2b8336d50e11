// SPDX-License-Identifier: Apache-2.0

/// The place of a function on a bus.
public struct PCIAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Slots of a bus, and functions of a slot.
    public static let slotCount = 32, functionCount = 8

    /// Device number, 0...31.
    public let slot: Int
    /// Function number, 0...7.
    public let function: Int

    /// The function in bits 2:0 and the slot in bits 7:3, as configuration addresses and routing tables hold it.
    public var packed: UInt8 { UInt8(truncatingIfNeeded: slot << 3 | function) }

    /// An address; nil outside of 0...31 and 0...7.
    public init?(slot: Int, function: Int = 0) {
        guard (0..<Self.slotCount).contains(slot), (0..<Self.functionCount).contains(function) else { return nil }
        self.slot = slot
        self.function = function
    }

    /// The address in the low byte of a configuration address.
    public init(packed: UInt8) {
        slot = Int(packed >> 3)
        function = Int(packed & 7)
    }

    /// What people type after `addr=`: "2", "1f.3", "0x1f.0x3", hexadecimal throughout; nil for anything else.
    public init?(parsing text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, let slot = parts.first.flatMap(Self.hexadecimal) else { return nil }
        guard parts.count == 2 else {
            self.init(slot: slot)
            return
        }
        guard let function = Self.hexadecimal(parts[1]) else { return nil }
        self.init(slot: slot, function: function)
    }

    private static func hexadecimal(_ text: Substring) -> Int? {
        let digits = text.hasPrefix("0x") || text.hasPrefix("0X") ? text.dropFirst(2) : text
        guard let first = digits.first, first.isHexDigit else { return nil }
        return Int(digits, radix: 16)
    }

    /// As lspci writes it, slot and function in hexadecimal: "1f.0".
    public var description: String {
        "\(slot < 16 ? "0" : "")\(String(slot, radix: 16)).\(function)"
    }

    /// By slot, then function.
    public static func < (left: PCIAddress, right: PCIAddress) -> Bool { left.packed < right.packed }
}
