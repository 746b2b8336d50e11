// SPDX-License-Identifier: Apache-2.0

/// One JSON value. Objects keep the order of their members.
public indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// Every integer from -2^63 to 2^63 - 1.
    case integer(Int64)
    /// An integer above 2^63 - 1; smaller ones are always `.integer`, see `init(_: UInt64)`.
    case unsigned(UInt64)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// An unsigned integer in its one form: `.integer` where it fits.
    public init(_ value: UInt64) {
        self = Int64(exactly: value).map(JSONValue.integer) ?? .unsigned(value)
    }

    /// An integer.
    public init(_ value: Int) { self = .integer(Int64(value)) }
}

extension JSONValue {
    /// The text of a string, else nil.
    public var string: String? { if case .string(let text) = self { text } else { nil } }
    /// The truth value, else nil.
    public var bool: Bool? { if case .bool(let truth) = self { truth } else { nil } }
    /// An integer that fits 64 bits signed, else nil.
    public var integer: Int64? { if case .integer(let number) = self { number } else { nil } }
    /// An integer from 0 to 2^64 - 1, else nil.
    public var unsigned: UInt64? {
        switch self {
        case .integer(let number): UInt64(exactly: number)
        case .unsigned(let number): number
        default: nil
        }
    }
    /// Any number as a double, else nil.
    public var double: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .unsigned(let number): Double(number)
        case .double(let number): number
        default: nil
        }
    }
    /// The elements of an array, else nil.
    public var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
    /// The members of an object, else nil.
    public var object: JSONObject? { if case .object(let members) = self { members } else { nil } }
    /// JSON's null.
    public var isNull: Bool { self == .null }

    /// A member of an object; nil for a missing member and for every other kind of value.
    public subscript(_ name: String) -> JSONValue? { object?[name] }

    /// What error messages call this kind of value.
    public var kindName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer, .unsigned: "integer"
        case .double: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    /// Lets a literal stand where a value is wanted.
    public init(stringLiteral value: String) { self = .string(value) }
    /// Lets a literal stand where a value is wanted.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// Lets a literal stand where a value is wanted.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// Lets a literal stand where a value is wanted.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// Lets a literal stand where a value is wanted.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// Lets a literal stand where a value is wanted; members keep their order.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
    /// `nil` is JSON's null, not a missing member.
    public init(nilLiteral: ()) { self = .null }
}
