// SPDX-License-Identifier: Apache-2.0

package import RandomKit

/// Changes that turn something right into something that may be wrong.
package enum Damage {
    /// Numbers at which lengths and counts go wrong.
    private static let words: [UInt32] = [
        0, 1, 2, 255, 65535, 65536, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
    ]

    /// Changes a few bytes: set, removed, put in, doubled, or a word that is a strange number.
    package static func bytes(_ bytes: [UInt8], _ numbers: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...4, using: &numbers) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &numbers)
            switch Int.random(in: 0..<6, using: &numbers) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &numbers)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &numbers), at: place)
            case 3: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &numbers)
            case 4:
                let word = words.randomElement(using: &numbers)!
                for index in 0..<4 where (place & ~3) + index < bytes.count {
                    bytes[(place & ~3) + index] = UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32(index)))
                }
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }

    /// Changes a document: parts of it doubled, removed, moved into each other, values replaced.
    package static func text(_ text: String, _ numbers: inout SeededGenerator) -> String {
        var pieces = text.split(separator: "<", omittingEmptySubsequences: false).map(String.init)
        for _ in 0..<Int.random(in: 0...4, using: &numbers) where pieces.count > 1 {
            let place = Int.random(in: 1..<pieces.count, using: &numbers)
            switch Int.random(in: 0..<5, using: &numbers) {
            case 0: pieces.remove(at: place)
            case 1: pieces.insert(pieces.randomElement(using: &numbers)!, at: place)
            case 2: pieces.swapAt(place, Int.random(in: 1..<pieces.count, using: &numbers))
            case 3: pieces[place] = value(in: pieces[place], &numbers)
            default:
                let damaged = bytes(Array(pieces[place].utf8), &numbers)
                pieces[place] = String(decoding: damaged, as: UTF8.self)
            }
        }
        return pieces.joined(separator: "<")
    }

    private static let values = [
        "", "0", "-1", "1", "0xffffffffffffffff", "18446744073709551615", "9223372036854775807", "4294967295", "65535",
        "../../etc/passwd", "0x", "1.5", "no", "a,b", "::", "99999999999999999999999", "pci", "virtio", "file",
        "\u{fe0f}",
    ]

    /// The piece with one of its quoted values, or its text, replaced.
    private static func value(in piece: String, _ numbers: inout SeededGenerator) -> String {
        var parts = piece.split(separator: "'", omittingEmptySubsequences: false).map(String.init)
        let value = values.randomElement(using: &numbers)!
        if parts.count > 2, Bool.random(using: &numbers) || !piece.contains(">") {
            parts[Int.random(in: 0..<(parts.count / 2), using: &numbers) * 2 + 1] = value
            return parts.joined(separator: "'")
        }
        return (piece.split(separator: ">").first.map(String.init) ?? "") + ">" + value
    }
}
