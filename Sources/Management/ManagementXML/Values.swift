// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// Reading numbers as they are written in documents.
enum Values {
    /// Bytes in a unit; nil for one that does not exist.
    static func bytes(inUnit unit: String) -> UInt64? {
        let decimal = ["k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6]
        let lower = unit.lowercased()
        if lower == "b" || lower == "bytes" || lower == "byte" { return 1 }
        guard let first = lower.first, let power = decimal[String(first)] else { return nil }
        let isDecimal = lower.count == 2 && lower.last == "b"
        guard lower.count == 1 || isDecimal || (lower.count == 3 && lower.hasSuffix("ib")) else { return nil }
        return (0..<power).reduce(UInt64(1)) { product, _ in product &* (isDecimal ? 1000 : 1024) }
    }

    /// A size in KiB, rounded up.
    /// - Throws: an error that names the element.
    static func kibibytes(_ element: XMLElement) throws -> UInt64 {
        let text = element.text.trimmed
        guard let number = UInt64(text) else {
            throw ManagementError(
                .xmlError, "Invalid value '\(text)' for element or attribute './\(element.name)'", from: .domain)
        }
        let unit = element["unit"] ?? "KiB"
        guard let scale = bytes(inUnit: unit) else {
            throw ManagementError(.invalidArg, "unknown suffix '\(unit)'", from: .none)
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: scale)
        guard !overflow else { throw ManagementError(.overflow, "value too large: \(number)\(unit)", from: .none) }
        return product / 1024 + (product % 1024 == 0 ? 0 : 1)
    }

    /// A number in decimal, or hexadecimal with 0x.
    static func integer(_ text: String) -> Int? {
        text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
    }

    /// `0x` and at least `digits` digits.
    static func hex(_ number: Int, digits: Int) -> String {
        let text = String(number, radix: 16)
        return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// The number of a disk's target: vda is 0, vdz 25, vdaa 26; nil when the name has no letters after its prefix.
    static func driveIndex(_ target: String) -> Int? {
        let prefixes = ["fd", "hd", "vd", "sd", "xvd", "ubd"]
        guard let prefix = prefixes.first(where: target.hasPrefix) else { return nil }
        let letters = target.dropFirst(prefix.count).prefix { $0.isLowercase && $0.isASCII }
        guard !letters.isEmpty, letters.count <= 6 else { return nil }
        var number = 0
        for letter in letters.utf8 { number = number * 26 + Int(letter - UInt8(ascii: "a")) + 1 }
        return number - 1
    }
}

extension String {
    /// Without blanks at both ends.
    var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
