// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// The contents of a section as a tree: what a saved struct looks like without its type.
///
/// Fields carry their names, so that a state of another layout is told from this one by name and not by accident.
package enum StateValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case unsigned(UInt64)
    case signed(Int64)
    case text(String)
    case bytes([UInt8])
    case list([StateValue])
    case record([Field])

    /// A member of a record.
    package struct Field: Equatable, Sendable {
        /// As in the struct.
        package var name: String
        /// What it holds.
        package var value: StateValue
    }

    private enum Tag: UInt8 {
        case null = 0, falseValue, trueValue, unsigned, signed, text, bytes, list, record
    }
    /// Structs in structs; no device comes near it.
    private static let maximumDepth = 24

    // MARK: bytes

    /// The tree as bytes.
    package var encoded: [UInt8] {
        var builder = ByteBuilder()
        append(to: &builder)
        return builder.bytes
    }

    private func append(to builder: inout ByteBuilder) {
        switch self {
        case .null: builder.append(Tag.null.rawValue)
        case .bool(let value): builder.append(value ? Tag.trueValue.rawValue : Tag.falseValue.rawValue)
        case .unsigned(let value):
            builder.append(Tag.unsigned.rawValue)
            Self.append(value, to: &builder)
        case .signed(let value):
            builder.append(Tag.signed.rawValue)
            builder.append(value)
        case .text(let value):
            builder.append(Tag.text.rawValue)
            Self.append(UInt64(value.utf8.count), to: &builder)
            builder.append(text: value)
        case .bytes(let value):
            builder.append(Tag.bytes.rawValue)
            Self.append(UInt64(value.count), to: &builder)
            builder.append(bytes: value)
        case .list(let values):
            builder.append(Tag.list.rawValue)
            Self.append(UInt64(values.count), to: &builder)
            for value in values { value.append(to: &builder) }
        case .record(let fields):
            builder.append(Tag.record.rawValue)
            Self.append(UInt64(fields.count), to: &builder)
            for field in fields {
                Self.append(UInt64(field.name.utf8.count), to: &builder)
                builder.append(text: field.name)
                field.value.append(to: &builder)
            }
        }
    }

    /// Seven bits a byte, the lowest first.
    private static func append(_ value: UInt64, to builder: inout ByteBuilder) {
        var rest = value
        while rest >= 0x80 {
            builder.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        builder.append(UInt8(rest))
    }

    /// The tree that the bytes hold, all of them.
    package init(decoding bytes: [UInt8]) throws(StateError) {
        var reader = ByteReader(bytes)
        do throws(ByteRangeError) {
            self = try Self.read(&reader, depth: 0)
        } catch {
            throw StateError("its contents are damaged: \(error)")
        }
        guard reader.remaining == 0 else {
            throw StateError("its contents are damaged: \(reader.remaining) bytes are left over")
        }
    }

    private static func read(_ reader: inout ByteReader, depth: Int) throws(ByteRangeError) -> StateValue {
        let byte: UInt8 = try reader.read()
        guard let tag = Tag(rawValue: byte), depth < maximumDepth else {
            throw ByteRangeError(offset: reader.offset, wanted: 0, available: reader.bytes.count)
        }
        switch tag {
        case .null: return .null
        case .falseValue: return .bool(false)
        case .trueValue: return .bool(true)
        case .unsigned: return .unsigned(try readNumber(&reader))
        case .signed: return .signed(try reader.read())
        case .text: return .text(try readText(&reader))
        case .bytes: return .bytes(try reader.read(count: try readCount(&reader)))
        case .list:
            var values: [StateValue] = []
            for _ in 0..<(try readCount(&reader)) { values.append(try read(&reader, depth: depth + 1)) }
            return .list(values)
        case .record:
            var fields: [Field] = []
            for _ in 0..<(try readCount(&reader)) {
                fields.append(Field(name: try readText(&reader), value: try read(&reader, depth: depth + 1)))
            }
            return .record(fields)
        }
    }

    private static func readText(_ reader: inout ByteReader) throws(ByteRangeError) -> String {
        String(decoding: try reader.read(count: try readCount(&reader)), as: UTF8.self)
    }

    /// A number of things of at least one byte each.
    private static func readCount(_ reader: inout ByteReader) throws(ByteRangeError) -> Int {
        let count = Int(clamping: try readNumber(&reader))
        guard count <= reader.remaining else {
            throw ByteRangeError(offset: reader.offset, wanted: count, available: reader.bytes.count)
        }
        return count
    }

    private static func readNumber(_ reader: inout ByteReader) throws(ByteRangeError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            let byte: UInt8 = try reader.read()
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { break }
        }
        return value
    }
}
