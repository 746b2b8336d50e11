// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

/// The expressions of the human monitor: 64-bit arithmetic with C's operators, numbers, characters and registers.
struct Expression {
    /// What is wrong, in QEMU's words.
    struct Failure: Error, Equatable {
        let text: String
    }

    private let bytes: [UInt8]
    private var place = 0
    private var depth = 0
    private let register: (String) -> UInt64?
    private static let deepest = 64

    /// - Parameter register: the value of a register without its `$`.
    init(_ text: String, register: @escaping (String) -> UInt64?) {
        bytes = Array(text.utf8)
        self.register = register
    }

    /// Reads one expression from the start of the text.
    /// - Returns: its value and what stands behind it.
    static func evaluate(
        _ text: String, register: @escaping (String) -> UInt64?
    ) throws(Failure) -> (value: Int64, rest: String) {
        var expression = Expression(text, register: register)
        let value = try expression.sum()
        expression.skipBlanks()
        return (value, String(decoding: expression.bytes[expression.place...], as: UTF8.self))
    }

    private mutating func skipBlanks() {
        while place < bytes.count, bytes[place] == 32 || (9...13).contains(bytes[place]) { place += 1 }
    }

    private mutating func peek() -> Unicode.Scalar? {
        skipBlanks()
        return place < bytes.count ? Unicode.Scalar(bytes[place]) : nil
    }

    private mutating func sum() throws(Failure) -> Int64 {
        var value = try logic()
        while let sign = peek(), sign == "+" || sign == "-" {
            place += 1
            let other = try logic()
            value = sign == "+" ? value &+ other : value &- other
        }
        return value
    }

    private mutating func logic() throws(Failure) -> Int64 {
        var value = try product()
        while let sign = peek(), "&|^".unicodeScalars.contains(sign) {
            place += 1
            let other = try product()
            value = sign == "&" ? value & other : sign == "|" ? value | other : value ^ other
        }
        return value
    }

    private mutating func product() throws(Failure) -> Int64 {
        var value = try unary()
        while let sign = peek(), "*/%".unicodeScalars.contains(sign) {
            place += 1
            let other = try unary()
            if sign == "*" {
                value = value &* other
            } else {
                guard other != 0 else { throw Failure(text: "division by zero") }
                let result = value.dividedReportingOverflow(by: other).partialValue
                value = sign == "/" ? result : other == -1 ? 0 : value % other
            }
        }
        return value
    }

    private mutating func unary() throws(Failure) -> Int64 {
        depth += 1
        defer { depth -= 1 }
        guard depth < Self.deepest else { throw Failure(text: "expression is nested too deeply") }
        guard let first = peek() else { throw Failure(text: "unexpected end of expression") }
        switch first {
        case "+":
            place += 1
            return try unary()
        case "-":
            place += 1
            return 0 &- (try unary())
        case "~":
            place += 1
            return ~(try unary())
        case "(":
            place += 1
            let value = try sum()
            guard peek() == ")" else { throw Failure(text: "')' expected") }
            place += 1
            return value
        case "'": return try character()
        case "$": return try registerValue()
        default: return try number()
        }
    }

    private mutating func character() throws(Failure) -> Int64 {
        place += 1
        guard place < bytes.count else { throw Failure(text: "character constant expected") }
        let value = bytes[place]
        place += 1
        guard place < bytes.count, bytes[place] == UInt8(ascii: "'") else {
            throw Failure(text: "missing terminating \' character")
        }
        place += 1
        return Int64(value)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "_")
            || byte == UInt8(ascii: ".")
    }

    private mutating func word() -> String {
        let start = place
        while place < bytes.count, Self.isWord(bytes[place]) { place += 1 }
        return String(decoding: bytes[start..<place], as: UTF8.self)
    }

    private mutating func registerValue() throws(Failure) -> Int64 {
        place += 1
        guard let value = register(word()) else { throw Failure(text: "unknown register") }
        return Int64(bitPattern: value)
    }

    private mutating func number() throws(Failure) -> Int64 {
        let start = place
        let text = word()
        let lower = text.lowercased()
        let radix = lower.hasPrefix("0x") ? 16 : lower.hasPrefix("0") && lower.utf8.count > 1 ? 8 : 10
        let digits = radix == 16 ? lower.dropFirst(2) : Substring(lower)
        guard !digits.isEmpty, digits.allSatisfy({ ($0.hexDigitValue ?? radix) < radix }) else {
            place = start
            throw Failure(
                text:
                    "invalid char '\(text.first.map(String.init) ?? String(Character(Unicode.Scalar(bytes[start]))))' in expression"
            )
        }
        guard let value = UInt64(digits, radix: radix) else { throw Failure(text: "number too large") }
        return Int64(bitPattern: value)
    }
}

extension X86Registers {
    /// A register by the name that the monitor knows it by.
    func value(named name: String) -> UInt64? {
        let general = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
        let name = name.lowercased()
        if let place = general.firstIndex(where: { name == $0 || name == "e" + $0 || name == "r" + $0 }) {
            return self.general[place]
        }
        if name.hasPrefix("r"), let number = Int(name.dropFirst()), (8...15).contains(number) {
            return self.general[number]
        }
        switch name {
        case "eip", "rip", "pc": return rip
        case "eflags", "rflags": return rflags
        case "cr0": return cr0
        case "cr2": return cr2
        case "cr3": return cr3
        case "cr4": return cr4
        case "efer": return efer
        default: break
        }
        let segments: [(String, X86Segment)] = [
            ("cs", cs), ("ds", ds), ("es", es), ("ss", ss), ("fs", fs), ("gs", gs),
        ]
        for (prefix, segment) in segments {
            if name == prefix { return UInt64(segment.selector) }
            if name == prefix + ".base" { return segment.base }
            if name == prefix + ".limit" { return UInt64(segment.limit) }
        }
        return nil
    }
}
