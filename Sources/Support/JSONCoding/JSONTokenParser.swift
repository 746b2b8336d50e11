// SPDX-License-Identifier: Apache-2.0

/// Builds one value from the tokens that lie between balanced brackets.
struct JSONTokenParser {
    private let tokens: [JSONToken]
    private var next = 0

    init(_ tokens: [JSONToken]) { self.tokens = tokens }

    /// The one value that all tokens make up.
    mutating func parse() throws(JSONError) -> JSONValue {
        let value = try value()
        // Balanced brackets end a value, so tokens can follow only where the grammar was broken before.
        guard next == tokens.count else { throw error("expecting value") }
        return value
    }

    private func error(_ reason: String) -> JSONError {
        let token = tokens[min(next, tokens.count - 1)]
        return JSONError(
            message: "JSON parse error, \(reason)", offset: token.offset, line: token.line, column: token.column)
    }

    private func peek() throws(JSONError) -> JSONToken.Kind {
        guard next < tokens.count else { throw error("premature EOI") }
        return tokens[next].kind
    }

    private mutating func take(_ punctuation: Character) throws(JSONError) -> Bool {
        guard try peek() == .punctuation(punctuation.asciiValue ?? 0) else { return false }
        next += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        switch try peek() {
        case .punctuation(UInt8(ascii: "{")): return try object()
        case .punctuation(UInt8(ascii: "[")): return try array()
        case .string(let raw):
            let text = try string(raw)
            next += 1
            return .string(text)
        case .integer(let digits), .float(let digits):
            let number = try number(digits)
            next += 1
            return number
        case .keyword(let word):
            let value = try keyword(word)
            next += 1
            return value
        case .punctuation, .stray: throw error("expecting value")
        }
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        next += 1
        var object = JSONObject()
        if try take("}") { return .object(object) }
        repeat {
            let key = try value()
            guard case .string(let name) = key else {
                next -= 1
                throw error("key is not a string in object")
            }
            guard try take(":") else { throw error("missing : in object pair") }
            let member = try value()
            guard object[name] == nil else { throw error("duplicate key") }
            object[name] = member
            if try take("}") { return .object(object) }
        } while try take(",")
        throw error("expected separator in dict")
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        next += 1
        var elements: [JSONValue] = []
        if try take("]") { return .array(elements) }
        repeat {
            elements.append(try value())
            if try take("]") { return .array(elements) }
        } while try take(",")
        throw error("expected separator in list")
    }

    private func keyword(_ word: [UInt8]) throws(JSONError) -> JSONValue {
        switch String(decoding: word, as: UTF8.self) {
        case "true": return true
        case "false": return false
        case "null": return .null
        case let other: throw error("invalid keyword '\(other)'")
        }
    }

    /// Integers that fit 64 bits stay exact, everything else is a double.
    private func number(_ digits: [UInt8]) throws(JSONError) -> JSONValue {
        let text = String(decoding: digits, as: UTF8.self)
        if case .integer = tokens[next].kind {
            if let value = Int64(text) { return .integer(value) }
            if let value = UInt64(text) { return .unsigned(value) }
        }
        guard let value = Double(text), value.isFinite else { throw error("number '\(text)' is out of range") }
        return .double(value)
    }

    private func string(_ raw: [UInt8]) throws(JSONError) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count)
        var place = 1
        while place < raw.count - 1 {
            if raw[place] == UInt8(ascii: "\\") {
                place = try appendEscape(raw, at: place, to: &bytes)
            } else {
                bytes.append(raw[place])
                place += 1
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("invalid UTF-8 sequence in string")
        }
        return text
    }

    /// Decodes one backslash escape.
    /// - Returns: the place behind it.
    private func appendEscape(_ raw: [UInt8], at place: Int, to bytes: inout [UInt8]) throws(JSONError) -> Int {
        switch raw[place + 1] {
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"), UInt8(ascii: "/"):
            bytes.append(raw[place + 1])
        case UInt8(ascii: "u"):
            let (scalar, end) = try unicodeEscape(raw, at: place)
            bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
            return end
        default: throw error("invalid escape sequence in string")
        }
        return place + 2
    }

    private func unicodeEscape(_ raw: [UInt8], at place: Int) throws(JSONError) -> (Unicode.Scalar, Int) {
        var end = place + 6
        var code = Self.hexadecimal(raw, at: place + 2)
        if let high = code, high & 0xFC00 == 0xD800, end + 6 <= raw.count, raw[end] == UInt8(ascii: "\\"),
            raw[end + 1] == UInt8(ascii: "u"), let low = Self.hexadecimal(raw, at: end + 2), low & 0xFC00 == 0xDC00
        {
            code = 0x10000 + (high & 0x3FF) << 10 + low & 0x3FF
            end += 6
        }
        guard let code, let scalar = Unicode.Scalar(code) else {
            let shown = String(decoding: raw[place..<min(place + 6, raw.count)], as: UTF8.self)
            throw error("\(shown) is not a valid Unicode character")
        }
        return (scalar, end)
    }

    /// Four hexadecimal digits; the closing quote ends the search before the end of the token.
    private static func hexadecimal(_ raw: [UInt8], at place: Int) -> UInt32? {
        guard place + 4 <= raw.count else { return nil }
        var value: UInt32 = 0
        for byte in raw[place..<place + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return value
    }
}
