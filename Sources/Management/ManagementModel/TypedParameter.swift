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

    public var name: String
    public var value: Value

    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }
}
