// SPDX-License-Identifier: Apache-2.0

/// A lexical element with where it starts.
struct JSONToken {
    enum Kind: Equatable {
        /// One of `{ } [ ] : ,`
        case punctuation(UInt8)
        /// With its quotes and escapes as written.
        case string([UInt8])
        case integer([UInt8])
        case float([UInt8])
        case keyword([UInt8])
        /// The bytes up to and with the one that fits nowhere.
        case stray([UInt8])
    }
    var kind: Kind
    var offset: Int
    var line: Int
    var column: Int
}

/// Splits a stream of bytes into tokens, one byte at a time.
///
/// After a stray byte the lexer skips until a control or structural character, so that one bad value does not swallow
/// the rest of a QMP session; this is where QEMU resumes too.
///
///     start -> string, number, keyword -> start
///       \-> (stray) -> recovery -> start
struct JSONLexer {
    private enum State {
        case start, recovery
        case string(quote: UInt8, escaped: Bool)
        case minus, zero, digits, point, fraction, exponent, exponentSign, exponentDigits
        case keyword
    }

    private var state = State.start
    private var text: [UInt8] = []
    private var began = (offset: 0, line: 1, column: 1)
    private(set) var offset = 0
    private(set) var line = 1
    private(set) var column = 1

    /// Bytes of the token that is under way.
    var pendingCount: Int { text.count }

    /// Takes one byte; `emit` gets each token that it completes (at most two).
    mutating func feed(_ byte: UInt8, _ emit: (JSONToken) -> Void) {
        var consumed = false
        while !consumed { consumed = step(byte, emit) }
        offset += 1
        column += 1
        if byte == UInt8(ascii: "\n") {
            line += 1
            column = 1
        }
    }

    /// The end of the text: completes a number or keyword, reports an unfinished token.
    mutating func finish(_ emit: (JSONToken) -> Void) {
        switch state {
        case .start, .recovery: break
        case .zero, .digits: close(.integer(text), emit)
        case .fraction, .exponentDigits: close(.float(text), emit)
        case .keyword: close(.keyword(text), emit)
        default: close(.stray(text), emit)
        }
        state = .start
    }

    /// Forgets what is under way; the position stays.
    mutating func reset() {
        state = .start
        text = []
    }

    /// - Returns: whether the byte belongs to what was processed; otherwise it begins the next token.
    private mutating func step(_ byte: UInt8, _ emit: (JSONToken) -> Void) -> Bool {
        switch state {
        case .start: begin(byte, emit)
        case .recovery:
            if byte < 0x20 || byte >= 0xFE || Self.isStructural(byte) {
                state = .start
                return false
            }
        case .string(let quote, let escaped): inString(byte, quote, escaped, emit)
        case .keyword:
            guard Self.isLetter(byte) else { return closeBefore(.keyword(text), emit) }
            text.append(byte)
        default: return inNumber(byte, emit)
        }
        return true
    }

    private mutating func begin(_ byte: UInt8, _ emit: (JSONToken) -> Void) {
        began = (offset, line, column)
        text = [byte]
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): text = []
        case UInt8(ascii: "\""), UInt8(ascii: "'"): state = .string(quote: byte, escaped: false)
        case UInt8(ascii: "-"): state = .minus
        case UInt8(ascii: "0"): state = .zero
        case UInt8(ascii: "1")...UInt8(ascii: "9"): state = .digits
        case _ where Self.isStructural(byte): close(.punctuation(byte), emit)
        case _ where Self.isLetter(byte): state = .keyword
        default: fail(emit)
        }
    }

    private mutating func inString(_ byte: UInt8, _ quote: UInt8, _ escaped: Bool, _ emit: (JSONToken) -> Void) {
        text.append(byte)
        if byte < 0x20 || byte >= 0xFE { return fail(emit) }
        if !escaped && byte == quote { return close(.string(text), emit) }
        state = .string(quote: quote, escaped: !escaped && byte == UInt8(ascii: "\\"))
    }

    private mutating func inNumber(_ byte: UInt8, _ emit: (JSONToken) -> Void) -> Bool {
        let isDigit = byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
        let isExponent = byte | 0x20 == UInt8(ascii: "e")
        let next: State?
        switch state {
        case .minus: next = isDigit ? (byte == UInt8(ascii: "0") ? .zero : .digits) : nil
        case .zero, .digits:
            if byte == UInt8(ascii: ".") {
                next = .point
            } else if isExponent {
                next = .exponent
            } else if isDigit, case .digits = state {
                next = .digits
            } else if isDigit {
                next = nil
            } else {
                return closeBefore(.integer(text), emit)
            }
        case .point: next = isDigit ? .fraction : nil
        case .fraction:
            if !isDigit && !isExponent { return closeBefore(.float(text), emit) }
            next = isDigit ? .fraction : .exponent
        case .exponent where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"): next = .exponentSign
        case .exponent, .exponentSign: next = isDigit ? .exponentDigits : nil
        default:
            if !isDigit { return closeBefore(.float(text), emit) }
            next = .exponentDigits
        }
        text.append(byte)
        if let next { state = next } else { fail(emit) }
        return true
    }

    private mutating func close(_ kind: JSONToken.Kind, _ emit: (JSONToken) -> Void) {
        emit(JSONToken(kind: kind, offset: began.offset, line: began.line, column: began.column))
        state = .start
        text = []
    }

    private mutating func closeBefore(_ kind: JSONToken.Kind, _ emit: (JSONToken) -> Void) -> Bool {
        close(kind, emit)
        return false
    }

    private mutating func fail(_ emit: (JSONToken) -> Void) {
        close(.stray(text), emit)
        state = .recovery
    }

    private static func isStructural(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ":"),
            UInt8(ascii: ","):
            true
        default: false
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") }
}
