// SPDX-License-Identifier: Apache-2.0

/// A named value of one of seven types: statistics and tunables.
public struct TypedParameter: Equatable, Sendable {
    /// The value and its type.
    public enum Value: Equatable, Sendable {
        case int(Int32)
        case uint(UInt32)
        case long(Int64)
        case ulong(UInt64)
        case double(Double)
        case bool(Bool)
        case text(String)
    }

    /// libvirt's name of the field, such as `cpu.time`; at most 79 bytes for its clients.
    public var name: String
    /// The value with its type; clients refuse a field of another type than they expect.
    public var value: Value

    /// A parameter of the type that `value`'s case names.
    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }
}
