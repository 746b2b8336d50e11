// SPDX-License-Identifier: Apache-2.0

/// A type with one XDR form.
public protocol XDRValue: SendableMetatype {
    /// Reads a value.
    init(from reader: inout XDRReader) throws(XDRError)
    /// Writes the value.
    func encode(to writer: inout XDRWriter)
}

extension Int32: XDRValue {
    /// Four bytes, two's complement (RFC 4506, 4.1).
    public init(from reader: inout XDRReader) throws(XDRError) { self.init(bitPattern: try reader.word()) }
    /// Four bytes, two's complement (RFC 4506, 4.1).
    public func encode(to writer: inout XDRWriter) { writer.word(UInt32(bitPattern: self)) }
}

extension UInt32: XDRValue {
    /// Four bytes, the highest first (RFC 4506, 4.2).
    public init(from reader: inout XDRReader) throws(XDRError) { self = try reader.word() }
    /// Four bytes, the highest first (RFC 4506, 4.2).
    public func encode(to writer: inout XDRWriter) { writer.word(self) }
}

extension Int64: XDRValue {
    /// Eight bytes, two's complement (RFC 4506, 4.5).
    public init(from reader: inout XDRReader) throws(XDRError) { self.init(bitPattern: try reader.hyper()) }
    /// Eight bytes, two's complement (RFC 4506, 4.5).
    public func encode(to writer: inout XDRWriter) { writer.hyper(UInt64(bitPattern: self)) }
}

extension UInt64: XDRValue {
    /// Eight bytes, the highest first (RFC 4506, 4.5).
    public init(from reader: inout XDRReader) throws(XDRError) { self = try reader.hyper() }
    /// Eight bytes, the highest first (RFC 4506, 4.5).
    public func encode(to writer: inout XDRWriter) { writer.hyper(self) }
}

extension Double: XDRValue {
    /// Eight bytes as IEEE 754 has them, the sign first (RFC 4506, 4.7).
    public init(from reader: inout XDRReader) throws(XDRError) { self.init(bitPattern: try reader.hyper()) }
    /// Eight bytes as IEEE 754 has them, the sign first (RFC 4506, 4.7).
    public func encode(to writer: inout XDRWriter) { writer.hyper(bitPattern) }
}

extension String: XDRValue {
    /// A length and so many bytes, padded to a word; throws `badText` unless they are UTF-8.
    public init(from reader: inout XDRReader) throws(XDRError) { self = try reader.text() }
    /// Its length in bytes, the bytes, and zeros up to a whole word (RFC 4506, 4.11).
    public func encode(to writer: inout XDRWriter) { writer.counted(utf8) }
}

extension Optional: XDRValue where Wrapped: XDRValue {
    /// A word 0 or 1, and a value after 1 (RFC 4506, 4.19). Any other word stands for 1, as with libvirt's own reader:
    /// there are clients that send three bytes and padding where the word should be (go-libvirt).
    public init(from reader: inout XDRReader) throws(XDRError) {
        self = try reader.word() == 0 ? nil : try Wrapped(from: &reader)
    }

    /// A word 0 for nil, or 1 and the value (RFC 4506, 4.19).
    public func encode(to writer: inout XDRWriter) {
        guard let value = self else { return writer.word(0) }
        writer.word(1)
        value.encode(to: &writer)
    }
}

extension Array: XDRValue where Element: XDRValue {
    /// A count and the elements; throws before it allocates for a count that cannot be.
    public init(from reader: inout XDRReader) throws(XDRError) {
        // Every element takes a word at least, so a count that the message cannot hold allocates nothing.
        let count = try reader.count(limit: XDRLimits.elements)
        guard count <= reader.remaining / 4 else { throw .truncated }
        self.init()
        reserveCapacity(count)
        for _ in 0..<count { append(try Element(from: &reader)) }
    }

    /// The count, then each element (RFC 4506, 4.13).
    public func encode(to writer: inout XDRWriter) {
        writer.word(UInt32(truncatingIfNeeded: count))
        for element in self { element.encode(to: &writer) }
    }
}

/// Bytes that nobody interprets on the way ("opaque").
public struct Bytes: XDRValue, Equatable, Sendable {
    /// Without the length and the padding.
    public var bytes: [UInt8]
    /// Bytes to send; none unless given.
    public init(_ bytes: [UInt8] = []) { self.bytes = bytes }
    /// A length within `XDRLimits.opaque`, the bytes and their padding (RFC 4506, 4.10).
    public init(from reader: inout XDRReader) throws(XDRError) {
        bytes = Array(try reader.fixed(try reader.count(limit: XDRLimits.opaque)))
    }
    /// The length, the bytes, and zeros up to a whole word (RFC 4506, 4.10).
    public func encode(to writer: inout XDRWriter) { writer.counted(bytes) }
}

/// Values one after the other: what a call takes or gives.
public struct Message<each Field: XDRValue>: XDRValue {
    /// The values as a tuple, in the order of the wire.
    public var fields: (repeat each Field)

    /// Values in the order of the wire.
    public init(_ fields: repeat each Field) { self.fields = (repeat each fields) }

    /// Reads the fields one after the other; the caller checks that nothing is left.
    public init(from reader: inout XDRReader) throws(XDRError) {
        // One reader goes through all fields in their order.
        var cursor = reader
        fields = (repeat try (each Field)(from: &cursor))
        reader = cursor
    }

    /// Sends the fields one after the other, with nothing in between.
    public func encode(to writer: inout XDRWriter) {
        repeat (each fields).encode(to: &writer)
    }
}
