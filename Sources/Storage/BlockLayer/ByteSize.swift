// SPDX-License-Identifier: Apache-2.0

/// Sizes as people type and read them.
public enum ByteSize {
    /// What parsing a size can end with besides a number.
    public enum Failure: Error, Sendable { case malformed, outOfRange }

    private static let suffixes: [(letter: Character, shift: Int)] = [
        ("B", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60),
    ]

    /// Parses a non-negative size: decimal (also with a fraction: "1.5G") or 0x-hexadecimal, with an optional suffix
    /// b, k, M, G, T, P or E (powers of 1024).
    /// - Parameter kind: also allow the friendly endings "KB", "KiB", "GB"...
    public static func parse(_ text: String, kind: Bool = false) throws(Failure) -> Int64 {
        // As C's strtoull takes them.
        var body = text.drop { $0.isASCII && $0.isWhitespace }
        if body.hasPrefix("+") { body.removeFirst() }
        if kind {
            let upper = body.uppercased()
            if upper.hasSuffix("IB") {
                body = body.dropLast(2)
            } else if upper.count > 1, upper.hasSuffix("B"), let last = upper.dropLast().last, last.isLetter {
                body = body.dropLast(1)
            }
        }
        if body.hasPrefix("0x") || body.hasPrefix("0X") { return try parseHexadecimal(body.dropFirst(2)) }
        var shift = 0
        if let last = body.last, let suffix = suffixes.first(where: { String($0.letter) == last.uppercased() }) {
            shift = suffix.shift
            body = body.dropLast()
        }
        return try parseDecimal(body, shift: shift)
    }

    private static func parseHexadecimal(_ digits: Substring) throws(Failure) -> Int64 {
        guard !digits.isEmpty, digits.allSatisfy(\.isHexDigit) else { throw .malformed }
        guard let value = Int64(digits, radix: 16) else { throw .outOfRange }
        return value
    }

    private static func parseDecimal(_ text: Substring, shift: Int) throws(Failure) -> Int64 {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty, whole.allSatisfy({ $0.isASCII && $0.isNumber }) else {
            throw .malformed
        }
        guard let units = UInt64(whole), units <= UInt64.max >> UInt64(shift) else { throw .outOfRange }
        var value = units << UInt64(shift)
        if parts.count == 2 {
            guard !parts[1].isEmpty, parts[1].allSatisfy({ $0.isASCII && $0.isNumber }),
                let fraction = Double("0." + parts[1])
            else { throw .malformed }
            // A fraction of a byte means a wrong suffix.
            guard shift > 0 || fraction == 0 else { throw .malformed }
            value &+= UInt64((fraction * Double(UInt64(1) << UInt64(shift))).rounded(.toNearestOrEven))
        }
        guard let signed = Int64(exactly: value) else { throw .outOfRange }
        return signed
    }

    /// A size given as an option.
    public static func parseOption(_ text: String, name: String) throws(BlockError) -> Int64 {
        do {
            return try parse(text)
        } catch .outOfRange {
            throw BlockError(.invalidArgument, "Value '\(text)' is out of range for parameter '\(name)'")
        } catch {
            throw BlockError(
                .invalidArgument, "Parameter '\(name)' expects a non-negative number below 2^64",
                hint: """
                    Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-
                    and exabytes, respectively.
                    """)
        }
    }

    /// A plain number given as an option.
    public static func parseNumber(_ text: String, name: String) throws(BlockError) -> Int64 {
        if text.hasPrefix("-"), let value = Int64(text) { return value }
        let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
        guard let value = isHexadecimal ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text) else {
            throw BlockError(.invalidArgument, "Parameter '\(name)' expects a number")
        }
        // As in C, where such a number wraps around: no option has that many of anything.
        return Int64(truncatingIfNeeded: value)
    }

    /// "1.5 GiB" with at most three significant digits, as in `info`'s output.
    public static func text(_ bytes: Int64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        // The unit grows when the value would round to 1000 or more of the smaller one.
        var value = Double(bytes)
        var unit = 0
        while value >= 1000, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(threeDigits(value)) \(units[unit])"
    }

    /// printf's "%0.3g" for 0 ..< 10000.
    static func threeDigits(_ value: Double) -> String {
        let decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2
        var scale = 1.0
        for _ in 0..<max(decimals, 0) { scale *= 10 }
        if value < 1, value > 0 { scale = 1000 }
        let scaled = (value * scale).rounded(.toNearestOrEven)
        let whole = Int64(scaled / scale)
        // Four digits are more than it writes.
        if whole >= 1000 { return "1e+03" }
        var fraction = Int64(scaled) - whole * Int64(scale)
        if fraction == 0 { return "\(whole)" }
        var width = value < 1 ? 3 : decimals
        while fraction % 10 == 0 {
            fraction /= 10
            width -= 1
        }
        let digits = String(fraction)
        return "\(whole)." + String(repeating: "0", count: max(width - digits.count, 0)) + digits
    }
}
