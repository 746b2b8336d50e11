// SPDX-License-Identifier: Apache-2.0

public import XDRCoding
public import ManagementModel

extension TypedParameter: XDRValue {
    /// Reads the name, the word that says which type, and the value; throws for a tag over 7.
    public init(from reader: inout XDRReader) throws(XDRError) {
        let name = try reader.text()
        let value: Value
        switch try reader.word() {
        case 1: value = .int(try Int32(from: &reader))
        case 2: value = .uint(try UInt32(from: &reader))
        case 3: value = .long(try Int64(from: &reader))
        case 4: value = .ulong(try UInt64(from: &reader))
        case 5: value = .double(try Double(from: &reader))
        case 6: value = .bool(try reader.word() != 0)
        case 7: value = .text(try reader.text())
        case let tag: throw .badTag(tag)
        }
        self.init(name, value)
    }

    /// Sends the name, the type's tag (1 to 7) and the value.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        switch value {
        case .int(let number): encode(1, number, &writer)
        case .uint(let number): encode(2, number, &writer)
        case .long(let number): encode(3, number, &writer)
        case .ulong(let number): encode(4, number, &writer)
        case .double(let number): encode(5, number, &writer)
        case .bool(let truth): encode(6, UInt32(truth ? 1 : 0), &writer)
        case .text(let text): encode(7, text, &writer)
        }
    }

    private func encode(_ type: UInt32, _ value: some XDRValue, _ writer: inout XDRWriter) {
        writer.word(type)
        value.encode(to: &writer)
    }
}

/// A byte that travels as a word.
public struct WireByte: XDRValue, Equatable, Sendable {
    /// The byte; the word's upper 24 bits are ignored when read.
    public var value: UInt8
    /// A byte to send.
    public init(_ value: UInt8) { self.value = value }
    /// Reads a word and keeps its low 8 bits.
    public init(from reader: inout XDRReader) throws(XDRError) { value = UInt8(truncatingIfNeeded: try reader.word()) }
    /// Sends a word whose upper 24 bits are zero.
    public func encode(to writer: inout XDRWriter) { writer.word(UInt32(value)) }
}

/// 16 bits that travel as a word.
public struct WireShort: XDRValue, Equatable, Sendable {
    /// The 16 bits; the word's upper half is ignored when read.
    public var value: UInt16
    /// 16 bits to send.
    public init(_ value: UInt16) { self.value = value }
    /// Reads a word and keeps its low 16 bits.
    public init(from reader: inout XDRReader) throws(XDRError) { value = UInt16(truncatingIfNeeded: try reader.word()) }
    /// Sends a word whose upper half is zero.
    public func encode(to writer: inout XDRWriter) { writer.word(UInt32(value)) }
}

/// The name of the host's processor: 32 characters, each a word, zero-filled.
public struct ModelName: XDRValue, Equatable, Sendable {
    /// The name without the zeros; more than 31 bytes of UTF-8 are cut off when sent.
    public var text: String
    private static let count = 32
    /// A name to send.
    public init(_ text: String) { self.text = text }
    /// Reads 32 words and takes the characters before the first zero.
    public init(from reader: inout XDRReader) throws(XDRError) {
        var units: [UInt8] = []
        for _ in 0..<Self.count { units.append(UInt8(truncatingIfNeeded: try reader.word())) }
        text = String(decoding: units.prefix { $0 != 0 }, as: UTF8.self)
    }
    /// Sends 32 words, the last of which is always zero.
    public func encode(to writer: inout XDRWriter) {
        // The last character stays zero.
        let units = Array(text.utf8.prefix(Self.count - 1))
        for place in 0..<Self.count { writer.word(place < units.count ? UInt32(units[place]) : 0) }
    }
}

extension WireError {
    /// What a client is told of `error`.
    public init(_ error: ManagementError) {
        // Level 2: an error. The texts are the format and its argument, as libvirt's own server sends them.
        self.init(
            code: error.code.number, domain: error.origin.rawValue, message: error.description, level: 2,
            machine: nil, text1: error.detail.isEmpty ? error.code.text : error.code.format,
            text2: error.detail.isEmpty ? nil : error.detail, text3: nil, number1: -1, number2: -1, network: nil)
    }
}
