// SPDX-License-Identifier: Apache-2.0

/// Reads the options in a `json:{...}` name into flat, dotted keys.
enum JSONOptions {
    private static let deepest = 32

    static func parse(_ name: String) throws(BlockError) -> BlockOptions {
        var parser = Parser(bytes: Array(name.utf8.dropFirst("json:".utf8.count)))
        var options = BlockOptions()
        parser.skipSpace()
        guard parser.peek == UInt8(ascii: "{") else {
            throw BlockError(.invalidArgument, "Could not parse the JSON options: JSON object expected")
        }
        try parser.value(key: "", into: &options, depth: 0)
        parser.skipSpace()
        guard parser.peek == nil else { throw parser.failure() }
        return options
    }

    private struct Parser {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

        func failure() -> BlockError {
            BlockError(
                .invalidArgument, "Could not parse the JSON options: JSON parse error, invalid text at byte \(index)")
        }

        mutating func skipSpace() {
            while let byte = peek, byte == 32 || (9...13).contains(byte) { index += 1 }
        }

        mutating func expect(_ byte: Unicode.Scalar) throws(BlockError) {
            skipSpace()
            guard peek == UInt8(ascii: byte) else { throw failure() }
            index += 1
        }

        mutating func value(key: String, into options: inout BlockOptions, depth: Int) throws(BlockError) {
            guard depth < deepest else { throw failure() }
            skipSpace()
            switch peek {
            case UInt8(ascii: "{"): try members(key, &options, depth, end: "}")
            case UInt8(ascii: "["): try members(key, &options, depth, end: "]")
            case UInt8(ascii: "\""), UInt8(ascii: "'"): options[key] = .string(try string())
            default: options[key] = try word()
            }
        }

        /// The members of an object or the elements of an array, which get their index as a key.
        mutating func members(
            _ key: String, _ options: inout BlockOptions, _ depth: Int, end: Unicode.Scalar
        ) throws(BlockError) {
            index += 1
            skipSpace()
            if peek == UInt8(ascii: end) {
                index += 1
                return
            }
            var position = 0
            while true {
                skipSpace()
                var name = String(position)
                if end == "}" {
                    name = try string()
                    try expect(":")
                }
                try value(key: key.isEmpty ? name : "\(key).\(name)", into: &options, depth: depth + 1)
                position += 1
                skipSpace()
                guard peek == UInt8(ascii: ",") else { break }
                index += 1
            }
            try expect(end)
        }

        mutating func string() throws(BlockError) -> String {
            skipSpace()
            guard let quote = peek, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else { throw failure() }
            index += 1
            var text: [UInt8] = []
            while let byte = peek, byte != quote {
                index += 1
                if byte == UInt8(ascii: "\\") { try escape(into: &text) } else { text.append(byte) }
            }
            guard peek == quote else { throw failure() }
            index += 1
            return String(decoding: text, as: UTF8.self)
        }

        mutating func escape(into text: inout [UInt8]) throws(BlockError) {
            guard let byte = peek else { throw failure() }
            index += 1
            switch byte {
            case UInt8(ascii: "n"): text.append(10)
            case UInt8(ascii: "t"): text.append(9)
            case UInt8(ascii: "r"): text.append(13)
            case UInt8(ascii: "b"): text.append(8)
            case UInt8(ascii: "f"): text.append(12)
            case UInt8(ascii: "u"):
                guard index + 4 <= bytes.count,
                    let code = UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16),
                    let scalar = Unicode.Scalar(code)
                else { throw failure() }
                index += 4
                text.append(contentsOf: String(Character(scalar)).utf8)
            default: text.append(byte)
            }
        }

        mutating func word() throws(BlockError) -> BlockOptions.Value {
            let start = index
            while let byte = peek, !",]} \n\t\r".utf8.contains(byte) { index += 1 }
            let text = String(decoding: bytes[start..<index], as: UTF8.self)
            switch text {
            case "true": return .boolean(true)
            case "false": return .boolean(false)
            case "null": return .null
            default:
                guard let number = Int64(text) else { throw failure() }
                return .number(number)
            }
        }
    }
}
