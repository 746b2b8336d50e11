// SPDX-License-Identifier: Apache-2.0

/// Finds the values in a stream of bytes that arrives in pieces, such as a QMP connection.
///
/// Values need no separator between them. A mistake costs only the value it stands in: parsing goes on behind it.
/// Beside JSON, strings in single quotes are taken, as QEMU does.
public struct JSONStreamParser: Sendable {
    private let limits: JSONLimits
    private var lexer = JSONLexer()
    private var tokens: [JSONToken] = []
    private var byteCount = 0
    private var braces = 0
    private var brackets = 0

    /// A parser at the start of a stream.
    public init(limits: JSONLimits = JSONLimits()) { self.limits = limits }

    /// Takes the next bytes.
    /// - Returns: the values and mistakes that they complete, in order.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Result<JSONValue, JSONError>] {
        var results: [Result<JSONValue, JSONError>] = []
        var fresh: [JSONToken] = []
        for byte in bytes {
            lexer.feed(byte) { fresh.append($0) }
            if !fresh.isEmpty {
                for token in fresh { process(token, &results) }
                fresh.removeAll(keepingCapacity: true)
            } else if byteCount + lexer.pendingCount > limits.bytes {
                results.append(.failure(limitError("size")))
                lexer.reset()
            }
        }
        return results
    }

    /// The end of the stream: completes a number, reports an unfinished value.
    public mutating func finish() -> [Result<JSONValue, JSONError>] {
        var results: [Result<JSONValue, JSONError>] = []
        var fresh: [JSONToken] = []
        lexer.finish { fresh.append($0) }
        for token in fresh { process(token, &results) }
        if !tokens.isEmpty { results.append(parsed()) }
        return results
    }

    /// Forgets an unfinished value, for the next connection.
    public mutating func reset() {
        clear()
        lexer.reset()
    }

    private mutating func process(_ token: JSONToken, _ results: inout [Result<JSONValue, JSONError>]) {
        switch token.kind {
        case .stray(let text):
            let shown = String(decoding: text, as: UTF8.self)
            results.append(.failure(error("JSON parse error, stray '\(shown)'", at: token)))
            return clear()
        case .punctuation(UInt8(ascii: "{")): braces += 1
        case .punctuation(UInt8(ascii: "}")): braces -= 1
        case .punctuation(UInt8(ascii: "[")): brackets += 1
        case .punctuation(UInt8(ascii: "]")): brackets -= 1
        case .string(let text), .integer(let text), .float(let text), .keyword(let text): byteCount += text.count
        case .punctuation: break
        }
        byteCount += 1
        tokens.append(token)
        if braces + brackets > limits.depth {
            results.append(.failure(error("JSON nesting depth limit exceeded", at: token)))
            clear()
        } else if tokens.count > limits.tokens || byteCount > limits.bytes {
            results.append(.failure(limitError(byteCount > limits.bytes ? "size" : "count")))
        } else if braces < 0 || brackets < 0 || (braces == 0 && brackets == 0) {
            results.append(parsed())
        }
    }

    private mutating func parsed() -> Result<JSONValue, JSONError> {
        var parser = JSONTokenParser(tokens)
        clear()
        do throws(JSONError) { return .success(try parser.parse()) } catch { return .failure(error) }
    }

    private mutating func limitError(_ what: String) -> JSONError {
        clear()
        return JSONError(
            message: "JSON token \(what) limit exceeded", offset: lexer.offset, line: lexer.line, column: lexer.column)
    }

    private func error(_ message: String, at token: JSONToken) -> JSONError {
        JSONError(message: message, offset: token.offset, line: token.line, column: token.column)
    }

    private mutating func clear() {
        tokens = []
        byteCount = 0
        braces = 0
        brackets = 0
    }
}

extension JSONValue {
    /// The one value of a whole text; strings may stand in single quotes, as in `json:` file names.
    /// - Throws: `JSONError` with QEMU's wording for a text without a value, with a broken one, or with more than one.
    public init(parsing text: String, limits: JSONLimits = JSONLimits()) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), limits: limits)
    }

    /// The one value of a whole file.
    public init(parsing bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) {
        var parser = JSONStreamParser(limits: limits)
        let results = parser.feed(bytes) + parser.finish()
        guard let first = results.first else {
            throw JSONError(message: "Expecting a JSON value", offset: 0, line: 1, column: 1)
        }
        let value = try first.get()
        guard results.count == 1 else {
            throw JSONError(message: "Expecting at most one JSON value", offset: 0, line: 1, column: 1)
        }
        self = value
    }
}
