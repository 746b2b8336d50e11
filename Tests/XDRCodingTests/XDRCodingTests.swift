// SPDX-License-Identifier: Apache-2.0

import Testing
import XDRCoding

@Suite struct XDRCodingTests {
    private func roundTrip<Value: XDRValue & Equatable>(_ value: Value, words: Int) throws {
        var writer = XDRWriter()
        value.encode(to: &writer)
        #expect(writer.bytes.count == words * 4)
        var reader = XDRReader(writer.bytes)
        #expect(try Value(from: &reader) == value)
        #expect(reader.remaining == 0)
    }

    @Test func valuesComeBack() throws {
        try roundTrip(Int32(-2), words: 1)
        try roundTrip(UInt64.max - 1, words: 2)
        try roundTrip(1.5, words: 2)
        try roundTrip("", words: 1)
        try roundTrip("abcde", words: 3)
        try roundTrip(String?.none, words: 1)
        try roundTrip(String?.some("ä"), words: 3)
        try roundTrip([Int32(1), 2, 3], words: 4)
        try roundTrip(Bytes([1, 2, 3]), words: 2)
    }

    @Test func messagesAreTheirFields() throws {
        var writer = XDRWriter()
        Message(Int32(7), "x", [UInt64(9)]).encode(to: &writer)
        var reader = XDRReader(writer.bytes)
        let message = try Message<Int32, String, [UInt64]>(from: &reader)
        #expect(message.fields.0 == 7)
        #expect(message.fields.1 == "x")
        #expect(message.fields.2 == [9])
        #expect(reader.remaining == 0)
    }

    @Test func theFormIsThatOfTheStandard() {
        var writer = XDRWriter()
        "hi".encode(to: &writer)
        Int64(-1).encode(to: &writer)
        #expect(writer.bytes == [0, 0, 0, 2, 0x68, 0x69, 0, 0] + [UInt8](repeating: 255, count: 8))
    }

    @Test(arguments: [
        [], [0, 0, 0], [0, 0, 0, 5, 1, 2], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0xff, 0, 0, 0],
    ])
    func badTextIsRefused(_ bytes: [UInt8]) {
        var reader = XDRReader(bytes)
        #expect(throws: XDRError.self) { try String(from: &reader) }
    }

    @Test func aCountBeyondTheMessageAllocatesNothing() {
        var reader = XDRReader([0, 0, 0xff, 0xff, 0, 0, 0, 1])
        #expect(throws: XDRError.truncated) { try [Int32](from: &reader) }
        reader = XDRReader([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1])
        #expect(throws: XDRError.tooLong(count: .max, limit: XDRLimits.elements)) { try [Int32](from: &reader) }
    }

    @Test func anyWordButZeroStandsForAValue() throws {
        var reader = XDRReader([1, 0, 0, 0, 0, 0, 0, 5])
        #expect(try Int32?(from: &reader) == 5)
    }
}
