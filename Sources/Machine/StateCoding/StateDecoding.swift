// SPDX-License-Identifier: Apache-2.0

extension StateValue {
    /// The value that the tree is of: every field is there, and no field is left over.
    func decode<Value: Codable>(_ type: Value.Type) throws(StateError) -> Value {
        let result: Value
        do { result = try Value(from: StateDecoder(value: self, codingPath: [])) } catch let error as StateError {
            throw error
        } catch let error as DecodingError {
            throw StateError(Self.describe(error))
        } catch {
            throw StateError("it cannot be decoded: \(error)")
        }
        guard try StateValue(encoding: result) == self else {
            throw StateError("it has fields that this version does not know")
        }
        return result
    }

    private static func describe(_ error: DecodingError) -> String {
        func place(_ context: DecodingError.Context) -> String {
            context.codingPath.map(\.stringValue).joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context):
            let path = place(context)
            return "it lacks the field '\(path.isEmpty ? "" : path + ".")\(key.stringValue)'"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            return "its field '\(place(context))' holds what cannot be there"
        @unknown default: return "it cannot be decoded"
        }
    }
}

private struct StateDecoder: Decoder {
    let value: StateValue
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func mismatch(_ type: Any.Type) -> DecodingError {
        .typeMismatch(type, DecodingError.Context(codingPath: codingPath, debugDescription: ""))
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .record(let fields) = value else { throw mismatch(type) }
        var table: [String: StateValue] = [:]
        for field in fields { table[field.name] = field.value }
        return KeyedDecodingContainer(RecordContainer<Key>(table: table, codingPath: codingPath))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        switch value {
        case .list(let values): return ElementContainer(values: values, codingPath: codingPath)
        case .bytes(let bytes):
            return ElementContainer(values: bytes.map { .unsigned(UInt64($0)) }, codingPath: codingPath)
        default: throw mismatch([Any].self)
        }
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }
}

extension StateDecoder: SingleValueDecodingContainer {
    private func number<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        switch value {
        case .unsigned(let number): if let result = Number(exactly: number) { return result }
        case .signed(let number): if let result = Number(exactly: number) { return result }
        default: break
        }
        throw mismatch(type)
    }

    func decodeNil() -> Bool { value == .null }
    func decode(_ type: Bool.Type) throws -> Bool {
        guard case .bool(let result) = value else { throw mismatch(type) }
        return result
    }
    func decode(_ type: String.Type) throws -> String {
        guard case .text(let result) = value else { throw mismatch(type) }
        return result
    }
    func decode(_ type: Double.Type) throws -> Double { Double(bitPattern: try number(UInt64.self)) }
    func decode(_ type: Float.Type) throws -> Float { Float(bitPattern: try number(UInt32.self)) }
    func decode(_ type: Int.Type) throws -> Int { try number(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try number(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try number(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try number(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try number(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try number(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try number(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try number(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try number(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try number(type) }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        // As in the encoder.
        if type == [UInt8].self, case .bytes(let bytes) = value, let result = bytes as? Value { return result }
        return try Value(from: self)
    }
}

private struct RecordContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let table: [String: StateValue]
    let codingPath: [any CodingKey]
    var allKeys: [Key] { table.keys.sorted().compactMap { Key(stringValue: $0) } }

    private func child(_ key: any CodingKey) throws -> StateDecoder {
        guard let value = table[key.stringValue] else {
            throw DecodingError.keyNotFound(
                key, DecodingError.Context(codingPath: codingPath, debugDescription: ""))
        }
        return StateDecoder(value: value, codingPath: codingPath + [key])
    }

    func contains(_ key: Key) -> Bool { table[key.stringValue] != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try child(key).decodeNil() }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try child(key).decode(type)
    }
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { try child(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try child(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder {
        guard let value = table["super"] else {
            throw StateDecoder(value: .bool(false), codingPath: codingPath).mismatch(Key.self)
        }
        return StateDecoder(value: value, codingPath: codingPath)
    }
    func superDecoder(forKey key: Key) throws -> any Decoder { try child(key) }
}

private struct ElementContainer: UnkeyedDecodingContainer {
    let values: [StateValue]
    let codingPath: [any CodingKey]
    private(set) var currentIndex = 0
    var count: Int? { values.count }
    var isAtEnd: Bool { currentIndex >= values.count }

    init(values: [StateValue], codingPath: [any CodingKey]) {
        self.values = values
        self.codingPath = codingPath
    }

    private mutating func next() throws -> StateDecoder {
        guard currentIndex < values.count else {
            throw StateDecoder(value: .bool(false), codingPath: codingPath).mismatch([Any].self)
        }
        defer { currentIndex += 1 }
        return StateDecoder(value: values[currentIndex], codingPath: codingPath)
    }

    mutating func decodeNil() throws -> Bool {
        guard currentIndex < values.count, values[currentIndex] == .null else { return false }
        currentIndex += 1
        return true
    }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try next().decode(type) }
    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> { try next().container(keyedBy: type) }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { try next() }
}
