// SPDX-License-Identifier: Apache-2.0

/// Why a text is not JSON.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The reason in QEMU's words, "JSON parse error, expecting value".
    public let message: String
    /// Bytes from the start of the text or the stream to where it was noticed.
    public let offset: Int
    /// The line, from 1.
    public let line: Int
    /// The byte in the line, from 1.
    public let column: Int

    /// The reason alone: what QMP clients see.
    public var description: String { message }
    /// The reason with its place, for a person who edits a file.
    public var located: String { "line \(line), column \(column): \(message)" }
}

/// How much a parser takes before it refuses; the defaults are QEMU's.
public struct JSONLimits: Equatable, Sendable {
    /// Arrays and objects inside each other.
    public var depth = 1024
    /// Tokens of one value.
    public var tokens = 2 << 20
    /// Bytes of one value.
    public var bytes = 64 << 20

    /// QEMU's limits.
    public init() {}
    /// Limits other than QEMU's.
    public init(depth: Int, tokens: Int, bytes: Int) {
        self.depth = depth
        self.tokens = tokens
        self.bytes = bytes
    }
}
