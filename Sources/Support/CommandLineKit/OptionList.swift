// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
public import JSONCoding

/// A list of `key=value` pairs behind a flag, read key by key. What nobody asked for is refused at the end, so that no
/// option is silently ignored.
public struct OptionList: Equatable, Sendable {
    /// One pair.
    public struct Entry: Equatable, Sendable {
        /// What stands before the equals sign; the implied name where nothing does.
        public var key: String
        /// What stands behind it, doubled commas made single.
        public var value: String
        /// A pair that was not written on the command line.
        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }
    /// What has not been taken yet, in the order given.
    public private(set) var entries: [Entry] = []
    /// Keys that were asked for: what the error for a leftover one chooses its suggestion from.
    private var known: [String] = []

    /// A list of these pairs.
    public init(_ entries: [Entry] = []) { self.entries = entries }

    /// Reads `a=b,c=d`. `,,` stands for a comma in a value; `key` alone means `key=on`, `nokey` means `key=off`.
    /// - Parameter implied: the key of a first value without one: `type` for `-machine q35`.
    public init(parsing text: String, implied: String? = nil) throws(UserError) {
        for (place, part) in Self.split(text).enumerated() {
            if part.isEmpty {
                // A trailing comma is let through as in QEMU; an empty first value counts for the implied key.
                continue
            }
            if let equals = part.firstIndex(of: "=") {
                let key = String(part[..<equals])
                guard !key.isEmpty else { throw UserError("Invalid parameter ''", because: "no name before '='") }
                entries.append(Entry(key: key, value: String(part[part.index(after: equals)...])))
            } else if place == 0, let implied {
                entries.append(Entry(key: implied, value: part))
            } else if part.hasPrefix("no"), part.utf8.count > 2, part != "node-name", part != "nodelay" {
                entries.append(Entry(key: String(part.dropFirst(2)), value: "off"))
            } else {
                entries.append(Entry(key: part, value: "on"))
            }
        }
    }

    /// The members of a JSON object, nested ones with dotted keys, numbers and truth values as on a command line.
    public init(_ object: JSONObject) throws(UserError) {
        try add(.object(object), at: "")
    }

    private mutating func add(_ value: JSONValue, at path: String) throws(UserError) {
        switch value {
        case .object(let object):
            for member in object.members {
                try add(member.value, at: path.isEmpty ? member.name : "\(path).\(member.name)")
            }
        case .array(let elements):
            for (place, element) in elements.enumerated() { try add(element, at: "\(path).\(place)") }
        case .string(let text): entries.append(Entry(key: path, value: text))
        case .bool(let truth): entries.append(Entry(key: path, value: truth ? "on" : "off"))
        case .integer, .unsigned, .double: entries.append(Entry(key: path, value: value.printed()))
        case .null: throw UserError("Invalid parameter type for '\(path)'", because: "null is not accepted here")
        }
    }

    /// Splits at single commas and joins what double commas stood for.
    private static func split(_ text: String) -> [String] {
        var parts: [String] = []
        var part: [UInt8] = []
        var isCommaPending = false
        for byte in text.utf8 {
            if isCommaPending {
                isCommaPending = false
                if byte == UInt8(ascii: ",") {
                    part.append(byte)
                    continue
                }
                parts.append(String(decoding: part, as: UTF8.self))
                part = []
            }
            if byte == UInt8(ascii: ",") { isCommaPending = true } else { part.append(byte) }
        }
        parts.append(String(decoding: part, as: UTF8.self))
        return parts
    }

    // MARK: Reading

    /// Whether a key is there and not taken.
    public func contains(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// The last value of a key, left in place.
    public func peek(_ key: String) -> String? { entries.last { $0.key == key }?.value }

    /// Takes all values of a key; of several the last counts.
    public mutating func take(_ key: String) -> String? { takeAll(key).last }

    /// Takes all values of a key that may be repeated.
    public mutating func takeAll(_ key: String) -> [String] {
        known.append(key)
        let values = entries.filter { $0.key == key }.map(\.value)
        entries.removeAll { $0.key == key }
        return values
    }

    /// Takes a value that must be there.
    public mutating func require(_ key: String) throws(UserError) -> String {
        guard let value = take(key) else { throw UserError("Parameter '\(key)' is missing") }
        return value
    }

    /// Takes on or off.
    public mutating func takeBool(_ key: String) throws(UserError) -> Bool? {
        guard let text = take(key) else { return nil }
        return try OptionValue.bool(text, for: key)
    }

    /// Takes an integer in a range.
    public mutating func takeInteger(_ key: String, in range: ClosedRange<Int>) throws(UserError) -> Int? {
        guard let text = take(key) else { return nil }
        return try OptionValue.integer(text, for: key, in: range)
    }

    /// Takes a size in bytes; see `OptionValue.size`.
    public mutating func takeSize(_ key: String, unit: UInt64 = 1) throws(UserError) -> UInt64? {
        guard let text = take(key) else { return nil }
        return try OptionValue.size(text, for: key, unit: unit)
    }

    /// Takes one of a set of words.
    public mutating func takeChoice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, of type: Choice.Type = Choice.self
    ) throws(UserError) -> Choice? where Choice.RawValue == String {
        guard let text = take(key) else { return nil }
        return try OptionValue.choice(text, for: key)
    }

    /// Takes a key that Roost cannot honour, where only the value that changes nothing is accepted.
    /// - Parameter accepted: values that ask for what Roost does anyway.
    public mutating func refuse(_ key: String, except accepted: [String], because reason: String) throws(UserError) {
        guard let text = take(key), !accepted.contains(text) else { return }
        throw UserError("Parameter '\(key)=\(text)' is not supported", because: reason)
    }

    /// Takes everything that is left, for lists whose keys the reader does not know.
    public mutating func takeRest() -> [Entry] {
        defer { entries = [] }
        return entries
    }

    /// The end: refuses what is left.
    public func finish() throws(UserError) {
        guard let left = entries.first else { return }
        throw UserError(
            "Invalid parameter '\(left.key)'", remedy: Suggestion.sentence(for: left.key, among: known))
    }

    /// Notes keys as known that are read only in other cases, for better suggestions.
    public mutating func know(_ keys: [String]) { known += keys }

    // MARK: Nesting

    /// The list as a nested object: `file.driver=x` becomes `{"file": {"driver": "x"}}`, and keys that count from 0 an
    /// array.
    public func nested() throws(UserError) -> JSONObject {
        var root = JSONObject()
        for entry in entries {
            let path = entry.key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            guard path.allSatisfy({ !$0.isEmpty }), path.count <= Self.deepest else {
                throw UserError("Invalid parameter '\(entry.key)'")
            }
            try Self.insert(entry, path[...], &root)
        }
        guard case .object(let object) = Self.withArrays(.object(root)) else { return root }
        return object
    }

    private static let deepest = 64

    private static func insert(_ entry: Entry, _ path: ArraySlice<String>, _ object: inout JSONObject) throws(UserError)
    {
        guard let name = path.first else { return }
        if path.count == 1 {
            if case .object? = object[name] {
                throw UserError("Parameters '\(entry.key).*' used inconsistently")
            }
            object[name] = .string(entry.value)
            return
        }
        var below = JSONObject()
        switch object[name] {
        case .object(let existing)?: below = existing
        case nil: break
        default: throw UserError("Parameters '\(name).*' used inconsistently")
        }
        try insert(entry, path.dropFirst(), &below)
        object[name] = .object(below)
    }

    private static func withArrays(_ value: JSONValue) -> JSONValue {
        guard case .object(let object) = value else { return value }
        let mapped = object.members.map { ($0.name, withArrays($0.value)) }
        let isArray =
            !mapped.isEmpty && Set(mapped.map(\.0)) == Set((0..<mapped.count).map(String.init))
        guard isArray else { return .object(JSONObject(mapped)) }
        return .array(mapped.sorted { (Int($0.0) ?? 0) < (Int($1.0) ?? 0) }.map(\.1))
    }
}
