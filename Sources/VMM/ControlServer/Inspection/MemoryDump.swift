// SPDX-License-Identifier: Apache-2.0

/// The format behind the slash of x, xp, print, i and o: count, format letter and size letter in any order.
struct DumpFormat: Equatable {
    var count = 1
    /// x, d, u, o, c.
    var letter: Character = "x"
    /// Bytes of a unit: 1, 2, 4 or 8.
    var size = 4

    /// Reads "8xb"; nil with the letter that is wrong.
    /// - Parameter standard: what counts where nothing is said.
    static func parse(_ text: Substring, standard: DumpFormat) -> (format: DumpFormat?, wrong: Character?) {
        var format = standard
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        if !digits.isEmpty { format.count = Int(digits) ?? Int.max }
        for letter in text.dropFirst(digits.count) {
            switch letter {
            case "o", "d", "u", "x", "c", "i": format.letter = letter
            case "b": format.size = 1
            case "h": format.size = 2
            case "w": format.size = 4
            case "g", "L": format.size = 8
            default: return (nil, letter)
            }
        }
        return (format, nil)
    }
}

/// Prints memory as the monitor's x and xp do.
enum MemoryDump {
    private static let mostBytes = 1 << 20

    /// - Parameter read: bytes at an address, or nil where none can be read.
    static func text(at start: UInt64, _ format: DumpFormat, read: (UInt64, Int) -> [UInt8]?) -> String {
        let size = format.letter == "c" ? 1 : format.size
        let lineBytes = size == 1 ? 8 : 16
        var left = min(format.count.multipliedReportingOverflow(by: size).partialValue, mostBytes)
        if format.count > mostBytes { left = mostBytes }
        var address = start
        var text = ""
        while left > 0 {
            text += hex(address, 16) + ":"
            let count = min(left, lineBytes)
            // Unit by unit where the line as a whole cannot be read, so that device registers can be looked at.
            guard let bytes = read(address, count) ?? units(address, count, size, read) else {
                return text + " Cannot access memory\n"
            }
            for place in stride(from: 0, to: bytes.count - size + 1, by: size) {
                text += " " + unit(bytes[place..<place + size], format.letter, size)
            }
            text += "\n"
            address &+= UInt64(count)
            left -= count
        }
        return text
    }

    private static func units(
        _ address: UInt64, _ count: Int, _ size: Int, _ read: (UInt64, Int) -> [UInt8]?
    ) -> [UInt8]? {
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: count, by: size) {
            guard let part = read(address &+ UInt64(place), size) else { return nil }
            bytes += part
        }
        return bytes
    }

    private static func unit(_ bytes: ArraySlice<UInt8>, _ letter: Character, _ size: Int) -> String {
        let value = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let octalDigits = (size * 8 + 2) / 3
        // 33/10 bits a decimal digit.
        let decimalDigits = (size * 80 + 32) / 33
        switch letter {
        case "o": return padded(value == 0 ? "0" : "0" + String(value, radix: 8), octalDigits)
        case "u": return padded(String(value), decimalDigits)
        case "d":
            let shift = UInt64(64 - size * 8)
            return padded(String(Int64(bitPattern: value << shift) >> Int64(shift)), decimalDigits)
        case "c": return character(UInt8(truncatingIfNeeded: value))
        default: return "0x" + hex(value, size * 2)
        }
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.utf8.count)) + text
    }

    static func character(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "'"): "'\\''"
        case UInt8(ascii: "\\"): "'\\\\'"
        case UInt8(ascii: "\n"): "'\\n'"
        case UInt8(ascii: "\r"): "'\\r'"
        case 32...126: "'\(Character(Unicode.Scalar(byte)))'"
        default: "'\\x\(hex(byte, 2))'"
        }
    }
}
