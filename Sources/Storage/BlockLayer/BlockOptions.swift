// SPDX-License-Identifier: Apache-2.0

/// A driver's options as flat, dotted keys with typed values: `file.driver` = "file", `lazy-refcounts` = true.
///
/// Values that came from a command line are strings, those from a `json:` name have JSON's types; the typed `take`
/// functions accept both. A driver takes what it knows; what is left over is an error of the opener.
public struct BlockOptions: Sendable, Equatable {
    /// A leaf value.
    public enum Value: Sendable, Equatable {
        /// Text, also of numbers and switches from a command line.
        case string(String)
        /// An integer.
        case number(Int64)
        /// on / off.
        case boolean(Bool)
        /// JSON's null: `backing` = null means none.
        case null

        /// As on a command line.
        public var text: String {
            switch self {
            case .string(let text): text
            case .number(let number): String(number)
            case .boolean(let value): value ? "on" : "off"
            case .null: ""
            }
        }
    }

    private var entries: [(key: String, value: Value)] = []

    /// No options.
    public init() {}

    /// From pairs, later ones replacing earlier ones.
    public init(_ pairs: [(String, Value)]) {
        for (key, value) in pairs { self[key] = value }
    }

    /// The value of a full key.
    public subscript(key: String) -> Value? {
        get { entries.first { $0.key == key }?.value }
        set {
            let index = entries.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): entries[index].value = value
            case (let index?, nil): entries.remove(at: index)
            case (nil, let value?): entries.append((key, value))
            case (nil, nil): break
            }
        }
    }

    /// All keys in the order they were given.
    public var keys: [String] { entries.map(\.key) }
    /// Whether there is nothing (left).
    public var isEmpty: Bool { entries.isEmpty }

    /// Two sets with the same pairs, in whatever order.
    public static func == (a: BlockOptions, b: BlockOptions) -> Bool {
        a.entries.count == b.entries.count && a.entries.allSatisfy { b[$0.key] == $0.value }
    }

    /// The value as text, left in place.
    public func string(_ key: String) -> String? { self[key]?.text }

    /// Removes and returns a value as text.
    public mutating func take(_ key: String) -> String? {
        defer { self[key] = nil }
        return self[key]?.text
    }

    /// Removes and returns a switch: true, "on", "yes", "true", "y" and their opposites.
    public mutating func takeBool(_ key: String) throws(BlockError) -> Bool? {
        guard let value = self[key] else { return nil }
        self[key] = nil
        switch value {
        case .boolean(let value): return value
        default:
            guard let value = Self.parseBool(value.text) else {
                throw BlockError(.invalidArgument, "Parameter '\(key)' expects 'on' or 'off'")
            }
            return value
        }
    }

    /// Removes and returns a size in bytes, with the suffixes of a command line ("2M").
    public mutating func takeSize(_ key: String) throws(BlockError) -> Int64? {
        guard let value = self[key] else { return nil }
        self[key] = nil
        if case .number(let number) = value, number >= 0 { return number }
        return try ByteSize.parseOption(value.text, name: key)
    }

    /// Removes and returns a plain number.
    public mutating func takeNumber(_ key: String) throws(BlockError) -> Int64? {
        guard let value = self[key] else { return nil }
        self[key] = nil
        if case .number(let number) = value { return number }
        return try ByteSize.parseNumber(value.text, name: key)
    }

    /// Whether any key is `prefix` itself or begins with `prefix.`.
    public func hasSubtree(_ prefix: String) -> Bool {
        entries.contains { $0.key == prefix || $0.key.hasPrefix(prefix + ".") }
    }

    /// Removes all keys that begin with `prefix.` and returns them without it.
    public mutating func takeSubtree(_ prefix: String) -> BlockOptions {
        var taken = BlockOptions()
        entries.removeAll { entry in
            guard entry.key.hasPrefix(prefix + ".") else { return false }
            taken[String(entry.key.dropFirst(prefix.utf8.count + 1))] = entry.value
            return true
        }
        return taken
    }

    /// Adds another set's pairs under `prefix.`, or as they are for an empty prefix.
    public mutating func add(_ other: BlockOptions, under prefix: String = "") {
        for entry in other.entries { self[prefix.isEmpty ? entry.key : "\(prefix).\(entry.key)"] = entry.value }
    }

    /// on/off in any of its spellings; nil for anything else.
    public static func parseBool(_ text: String) -> Bool? {
        switch text {
        case "on", "yes", "true", "y": true
        case "off", "no", "false", "n": false
        default: nil
        }
    }

    /// The options as a `json:` name.
    public var jsonName: String { JSONOptions.name(self) }

    /// Whether `help` or `?` stands among the options.
    public static func asksForHelp(_ text: String) -> Bool {
        splitAtCommas(text).contains { $0 == "help" || $0 == "?" }
    }

    /// Parses `key=value,key=value`, where `,,` stands for a comma in a value, `key` alone for `key=on` and `nokey` for
    /// `key=off`.
    /// - Parameter implied: the key of a first value that has none.
    public static func parse(_ text: String, implied: String? = nil) throws(BlockError) -> BlockOptions {
        var options = BlockOptions()
        for (index, part) in splitAtCommas(text).enumerated() where !part.isEmpty {
            if let equals = part.firstIndex(of: "=") {
                options[String(part[..<equals])] = .string(String(part[part.index(after: equals)...]))
            } else if index == 0, let implied {
                options[implied] = .string(part)
            } else if part.hasPrefix("no") {
                options[String(part.dropFirst(2))] = .string("off")
            } else {
                options[part] = .string("on")
            }
        }
        return options
    }

    static func splitAtCommas(_ text: String) -> [String] {
        var parts: [String] = []
        var part: [UInt8] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: ",") {
                if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: ",") {
                    index += 1
                } else {
                    parts.append(String(decoding: part, as: UTF8.self))
                    part = []
                    index += 1
                    continue
                }
            }
            part.append(bytes[index])
            index += 1
        }
        parts.append(String(decoding: part, as: UTF8.self))
        return parts
    }
}
