// SPDX-License-Identifier: Apache-2.0

/// A saved state that cannot be written, or is not of this machine.
public struct StateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One line without the program's name.
    public let description: String

    /// Wraps the line.
    public init(_ description: String) { self.description = description }
}
