// SPDX-License-Identifier: Apache-2.0

/// A type with one XDR form.
public protocol XDRValue: SendableMetatype {
    /// Reads a value.
    init(from reader: inout XDRReader) throws(XDRError)
    /// Writes the value.
    func encode(to writer: inout XDRWriter)
}

extension Int32: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) { self.init(bitPattern: try reader.word()) }
    public func encode(to writer: inout XDRWriter) { writer.word(UInt32(bitPattern: self)) }
}

extension UInt32: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) { self = try reader.word() }
    public func encode(to writer: inout XDRWriter) { writer.word(self) }
}

extension Int64: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) { self.init(bitPattern: try reader.hyper()) }
    public func encode(to writer: inout XDRWriter) { writer.hyper(UInt64(bitPattern: self)) }
}

extension UInt64: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) { self = try reader.hyper() }
    public func encode(to writer: inout XDRWriter) { writer.hyper(self) }
}

extension Double: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) { self.init(bitPattern: try reader.hyper()) }
    public func encode(to writer: inout XDRWriter) { writer.hyper(bitPattern) }
}

extension String: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) { self = try reader.text() }
    public func encode(to writer: inout XDRWriter) { writer.counted(utf8) }
}

extension Optional: XDRValue where Wrapped: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) {
        switch try reader.word() {
        case 0: self = nil
        case 1: self = try Wrapped(from: &reader)
        case let tag: throw .badTag(tag)
        }
    }

    public func encode(to writer: inout XDRWriter) {
        guard let value = self else { return writer.word(0) }
        writer.word(1)
        value.encode(to: &writer)
    }
}

extension Array: XDRValue where Element: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) {
        // Every element takes a word at least, so a count that the message cannot hold allocates nothing.
        let count = try reader.count(limit: XDRLimits.elements)
        guard count <= reader.remaining / 4 else { throw .truncated }
        self.init()
        reserveCapacity(count)
        for _ in 0..<count { append(try Element(from: &reader)) }
    }

    public func encode(to writer: inout XDRWriter) {
        writer.word(UInt32(truncatingIfNeeded: count))
        for element in self { element.encode(to: &writer) }
    }
}

/// Bytes that nobody interprets on the way ("opaque").
public struct Bytes: XDRValue, Equatable, Sendable {
    public var bytes: [UInt8]
    public init(_ bytes: [UInt8] = []) { self.bytes = bytes }
    public init(from reader: inout XDRReader) throws(XDRError) {
        bytes = Array(try reader.fixed(try reader.count(limit: XDRLimits.opaque)))
    }
    public func encode(to writer: inout XDRWriter) { writer.counted(bytes) }
}

/// Values one after the other: what a call takes or gives.
public struct Message<each Field: XDRValue>: XDRValue {
    public var fields: (repeat each Field)

    public init(_ fields: repeat each Field) { self.fields = (repeat each fields) }

    public init(from reader: inout XDRReader) throws(XDRError) {
        // One reader goes through all fields in their order.
        var cursor = reader
        fields = (repeat try (each Field)(from: &cursor))
        reader = cursor
    }

    public func encode(to writer: inout XDRWriter) {
        repeat (each fields).encode(to: &writer)
    }
}
