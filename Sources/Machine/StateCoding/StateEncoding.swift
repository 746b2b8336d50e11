// SPDX-License-Identifier: Apache-2.0

/// A node of the tree that is being built.
private final class EncodingNode {
    enum Content {
        case empty
        case value(StateValue)
        case list([EncodingNode])
        case record([(name: String, node: EncodingNode)])
    }
    var content = Content.empty

    var value: StateValue {
        switch content {
        case .empty: return .record([])
        case .value(let value): return value
        case .record(let fields):
            return .record(fields.map { StateValue.Field(name: $0.name, value: $0.node.value) })
        case .list(let nodes): return Self.list(nodes.map(\.value))
        }
    }

    /// Lists of small numbers are bytes.
    private static func list(_ values: [StateValue]) -> StateValue {
        var bytes: [UInt8] = []
        for value in values {
            guard case .unsigned(let number) = value, number <= 0xFF else { return .list(values) }
            bytes.append(UInt8(number))
        }
        return bytes.isEmpty ? .list([]) : .bytes(bytes)
    }

    func child(_ name: String) -> EncodingNode {
        let node = EncodingNode()
        if case .record(var fields) = content {
            content = .empty
            fields.append((name, node))
            content = .record(fields)
        } else {
            content = .record([(name, node)])
        }
        return node
    }

    func append() -> EncodingNode {
        let node = EncodingNode()
        if case .list(var nodes) = content {
            content = .empty
            nodes.append(node)
            content = .list(nodes)
        } else {
            content = .list([node])
        }
        return node
    }
}

extension StateValue {
    /// The tree of a value.
    init(encoding value: some Encodable) throws(StateError) {
        let node = EncodingNode()
        do { try value.encode(to: StateEncoder(node: node, codingPath: [])) } catch {
            throw StateError("it cannot be encoded: \(error)")
        }
        self = node.value
    }
}

private struct StateEncoder: Encoder {
    let node: EncodingNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        node.content = .record([])
        return KeyedEncodingContainer(KeyedContainer<Key>(node: node, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.content = .list([])
        return ListContainer(node: node, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }
}

extension StateEncoder: SingleValueEncodingContainer {
    private func put(_ value: StateValue) { node.content = .value(value) }

    func encodeNil() throws { put(.null) }
    func encode(_ value: Bool) throws { put(.bool(value)) }
    func encode(_ value: String) throws { put(.text(value)) }
    func encode(_ value: Double) throws { put(.unsigned(value.bitPattern)) }
    func encode(_ value: Float) throws { put(.unsigned(UInt64(value.bitPattern))) }
    func encode(_ value: Int) throws { put(.signed(Int64(value))) }
    func encode(_ value: Int8) throws { put(.signed(Int64(value))) }
    func encode(_ value: Int16) throws { put(.signed(Int64(value))) }
    func encode(_ value: Int32) throws { put(.signed(Int64(value))) }
    func encode(_ value: Int64) throws { put(.signed(value)) }
    func encode(_ value: UInt) throws { put(.unsigned(UInt64(value))) }
    func encode(_ value: UInt8) throws { put(.unsigned(UInt64(value))) }
    func encode(_ value: UInt16) throws { put(.unsigned(UInt64(value))) }
    func encode(_ value: UInt32) throws { put(.unsigned(UInt64(value))) }
    func encode(_ value: UInt64) throws { put(.unsigned(value)) }
    func encode<Value: Encodable>(_ value: Value) throws {
        // Most of what a machine has is tables of bytes, whose every element would go its own way here.
        if Value.self == [UInt8].self, let bytes = value as? [UInt8] {
            return put(bytes.isEmpty ? .list([]) : .bytes(bytes))
        }
        try value.encode(to: self)
    }
}

/// Every kind of field goes through a single value of its own.
private struct KeyedContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: EncodingNode
    let codingPath: [any CodingKey]

    private func child(_ key: any CodingKey) -> StateEncoder {
        StateEncoder(node: node.child(key.stringValue), codingPath: codingPath + [key])
    }

    func encodeNil(forKey key: Key) throws { try child(key).encodeNil() }
    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws { try child(key).encode(value) }
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> { child(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { child(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { StateEncoder(node: node.child("super"), codingPath: codingPath) }
    func superEncoder(forKey key: Key) -> any Encoder { child(key) }
}

private struct ListContainer: UnkeyedEncodingContainer {
    let node: EncodingNode
    let codingPath: [any CodingKey]
    private(set) var count = 0

    init(node: EncodingNode, codingPath: [any CodingKey]) {
        self.node = node
        self.codingPath = codingPath
    }

    private mutating func child() -> StateEncoder {
        count += 1
        return StateEncoder(node: node.append(), codingPath: codingPath)
    }

    mutating func encodeNil() throws { try child().encodeNil() }
    mutating func encode<Value: Encodable>(_ value: Value) throws { try child().encode(value) }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        child().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { child().unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { child() }
}
