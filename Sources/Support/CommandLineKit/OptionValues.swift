// SPDX-License-Identifier: Apache-2.0

public import Diagnostics

/// Values of options in QEMU's spelling. Errors use QEMU's words, so that scripts that look for them keep working.
public enum OptionValue {
    /// on, yes, true, y and off, no, false, n.
    public static func bool(_ text: String, for key: String) throws(UserError) -> Bool {
        switch text {
        case "on", "yes", "true", "y": true
        case "off", "no", "false", "n": false
        default: throw UserError("Parameter '\(key)' expects 'on' or 'off'", because: "not '\(text)'")
        }
    }

    /// An integer in decimal, hexadecimal (0x) or octal (leading 0), as strtoull reads it.
    public static func integer(_ text: String, for key: String) throws(UserError) -> Int64 {
        guard let value = parseInteger(text) else {
            throw UserError("Parameter '\(key)' expects integer", because: "not '\(text)'")
        }
        return value
    }

    /// An integer in a range.
    public static func integer(_ text: String, for key: String, in range: ClosedRange<Int>) throws(UserError) -> Int {
        let value = try integer(text, for: key)
        guard let small = Int(exactly: value), range.contains(small) else {
            throw UserError(
                "Parameter '\(key)' expects a value from \(range.lowerBound) to \(range.upperBound)",
                because: "not '\(text)'")
        }
        return small
    }

    /// A number of bytes with an optional suffix and fraction: "512", "1.5G", "0x1000".
    /// - Parameter unit: what a number without suffix counts, a power of two: 1 or 1 << 20.
    public static func size(_ text: String, for key: String, unit: UInt64 = 1) throws(UserError) -> UInt64 {
        switch parseSize(text, unit: unit) {
        case .success(let bytes): return bytes
        case .failure(.outOfRange): throw UserError("Value '\(text)' is out of range for parameter '\(key)'")
        case .failure(.malformed):
            throw UserError(
                "Parameter '\(key)' expects a non-negative number below 2^64", because: "not '\(text)'",
                remedy: "an optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta- or exabytes")
        }
    }

    /// One of a set of words.
    public static func choice<Choice: RawRepresentable & CaseIterable>(
        _ text: String, for key: String, of type: Choice.Type = Choice.self
    ) throws(UserError) -> Choice where Choice.RawValue == String {
        guard let choice = Choice(rawValue: text) else {
            throw refusal(of: text, for: key, among: Choice.allCases.map(\.rawValue))
        }
        return choice
    }

    /// The error for a word that is none of the accepted ones; names the nearest, or all of a few.
    public static func refusal(of text: String, for key: String, among words: [String]) -> UserError {
        UserError(
            "Parameter '\(key)' does not accept value '\(text)'",
            remedy: Suggestion.sentence(for: text, among: words))
    }

    /// A name for a device, node or object: a letter, then letters, digits, '-', '.' and '_'.
    public static func identifier(_ text: String, for key: String = "id") throws(UserError) -> String {
        guard isIdentifier(text) else {
            throw UserError(
                "Parameter '\(key)' expects an identifier", because: "not '\(text)'",
                remedy: "identifiers consist of letters, digits, '-', '.', '_', starting with a letter")
        }
        return text
    }

    /// Whether a text may name something.
    public static func isIdentifier(_ text: String) -> Bool {
        guard let first = text.utf8.first, isLetter(first) else { return false }
        return text.utf8.allSatisfy { byte in
            isLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    /// strtoll with base 0; nil for anything left over or out of range. Up to 2^64 - 1 is taken as its bit pattern.
    public static func parseInteger(_ text: String) -> Int64? {
        var digits = Substring(text)
        let isNegative = digits.hasPrefix("-")
        if isNegative || digits.hasPrefix("+") { digits = digits.dropFirst() }
        var radix = 10
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            digits = digits.dropFirst(2)
            radix = 16
        } else if digits.hasPrefix("0"), digits.utf8.count > 1 {
            radix = 8
        }
        guard let first = digits.first, first != "-", first != "+", let value = UInt64(digits, radix: radix) else {
            return nil
        }
        if !isNegative { return Int64(bitPattern: value) }
        return value <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- value) : nil
    }

    /// What is wrong with a size.
    public enum SizeFailure: Error, Sendable { case malformed, outOfRange }

    /// As `size`, without the words.
    public static func parseSize(_ text: String, unit: UInt64 = 1) -> Result<UInt64, SizeFailure> {
        var digits = Substring(text)
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            guard digits.dropFirst(2).allSatisfy(\.isHexDigit), digits.utf8.count > 2 else {
                return .failure(.malformed)
            }
            guard let value = UInt64(digits.dropFirst(2), radix: 16) else { return .failure(.outOfRange) }
            return scaled(value, by: unit)
        }
        var multiplier = unit
        if let last = digits.last, let place = "BKMGTPE".firstIndex(of: Character(last.uppercased())) {
            multiplier = 1 << UInt64(10 * "BKMGTPE".distance(from: "BKMGTPE".startIndex, to: place))
            digits = digits.dropLast()
        }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        let isNumber = { (part: Substring) in
            !part.isEmpty && part.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
        }
        guard (1...2).contains(parts.count), parts.allSatisfy(isNumber) else { return .failure(.malformed) }
        guard let whole = UInt64(parts[0]) else { return .failure(.outOfRange) }
        guard parts.count == 2 else { return scaled(whole, by: multiplier) }
        guard let fraction = Double("0." + parts[1]), multiplier > 1 || fraction == 0 else {
            return .failure(.malformed)
        }
        let rest = UInt64((fraction * Double(multiplier)).rounded())
        return scaled(whole, by: multiplier).flatMap { bytes in
            let (sum, overflow) = bytes.addingReportingOverflow(rest)
            return overflow ? .failure(.outOfRange) : .success(sum)
        }
    }

    private static func scaled(_ value: UInt64, by multiplier: UInt64) -> Result<UInt64, SizeFailure> {
        let (product, overflow) = value.multipliedReportingOverflow(by: multiplier)
        return overflow ? .failure(.outOfRange) : .success(product)
    }
}
