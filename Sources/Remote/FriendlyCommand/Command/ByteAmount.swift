// SPDX-License-Identifier: Apache-2.0

package import Diagnostics

/// Amounts of bytes as people write and read them.
package enum ByteAmount {
    private static let units: [(letter: Character, shift: UInt64)] = [
        ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50),
    ]

    /// "512M", "20G", "1.5TiB"; a plain number is in mebibytes.
    package static func parse(_ text: String, option: String) throws(UserError) -> UInt64 {
        var digits = Substring(text.uppercased())
        if digits.hasSuffix("IB") {
            digits = digits.dropLast(2)
        } else if digits.hasSuffix("B") {
            digits = digits.dropLast()
        }
        var shift: UInt64 = 20
        if let unit = units.first(where: { digits.last == $0.letter }) {
            shift = unit.shift
            digits = digits.dropLast()
        }
        guard let number = Double(digits), number > 0, number * Double(UInt64(1) << shift) < 0x1p62 else {
            throw UserError("--\(option) \(text) is not a size", remedy: "write it as 512M or 20G")
        }
        return UInt64(number * Double(UInt64(1) << shift))
    }

    /// "1.5 GiB".
    package static func text(_ bytes: UInt64) -> String {
        guard let unit = units.last(where: { bytes >> $0.shift > 0 }) else { return "\(bytes) B" }
        let tenths = ((bytes >> (unit.shift - 10)) * 10) >> 10
        return tenths % 10 == 0 ? "\(tenths / 10) \(unit.letter)iB" : "\(tenths / 10).\(tenths % 10) \(unit.letter)iB"
    }
}
