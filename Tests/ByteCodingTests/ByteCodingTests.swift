// SPDX-License-Identifier: Apache-2.0

import ByteCoding
import Testing

@Suite struct ByteFieldTests {
    @Test func loadsBothOrders() {
        let bytes: [UInt8] = [0x12, 0x34, 0x56, 0x78, 0x9A]
        #expect(bytes.load(UInt16.self, at: 1) == 0x5634)
        #expect(bytes.load(UInt16.self, at: 1, order: .big) == 0x3456)
        #expect(bytes.load(UInt32.self, at: 1) == 0x9A78_5634)
        #expect(bytes.load(Int8.self, at: 4) == -0x66)
        #expect(bytes.load(Int16.self, at: 3, order: .big) == 0x789A)
    }

    @Test(arguments: [Int.min, -1, 4, 5, Int.max, Int.max - 1]) func refusesOffsetsOutside(offset: Int) {
        var bytes: [UInt8] = [1, 2, 3, 4, 5]
        #expect(bytes.load(UInt16.self, at: offset) == nil)
        #expect(bytes.bytes(at: offset, count: 2) == nil)
        let storedInteger = bytes.store(UInt16(9), at: offset)
        let storedBytes = bytes.store(bytes: [9, 9], at: offset)
        #expect(!storedInteger && !storedBytes)
        #expect(bytes == [1, 2, 3, 4, 5])
    }

    @Test func countsFromTheFirstElementOfASlice() {
        let slice = ([0, 1, 2, 3, 4, 5] as [UInt8])[2...]
        #expect(slice.load(UInt16.self, at: 0) == 0x0302)
        #expect(slice.load(UInt16.self, at: 3) == nil)
        #expect(slice.bytes(at: 1, count: 3) == [3, 4, 5])
    }

    @Test func storesWhatItLoads() {
        var bytes = [UInt8](repeating: 0, count: 12)
        for order in [ByteOrder.little, .big] {
            bytes.store(UInt64(0x0123_4567_89AB_CDEF), at: 3, order: order)
            #expect(bytes.load(UInt64.self, at: 3, order: order) == 0x0123_4567_89AB_CDEF)
            bytes.store(Int32(-2), at: 0, order: order)
            #expect(bytes.load(Int32.self, at: 0, order: order) == -2)
        }
        bytes.store(UInt32(0xAABB_CCDD), at: 0, order: .big)
        #expect(bytes[0] == 0xAA && bytes[3] == 0xDD)
    }

    @Test func textEndsAtZeroOrAtTheField() {
        let bytes: [UInt8] = Array("ab\0cd".utf8)
        #expect(bytes.text(at: 0, count: 5) == "ab")
        #expect(bytes.text(at: 3, count: 2) == "cd")
        #expect(bytes.text(at: 3, count: 3) == nil)
    }

    @Test func sumWraps() { #expect(byteSum([0xFF, 2] as [UInt8]) == 1) }
}

@Suite struct ByteReaderTests {
    @Test func readsInOrderAndStopsAtTheEnd() throws {
        var reader = ByteReader([1, 2, 0, 3, 4, 5], order: .big)
        #expect(try reader.read(UInt8.self) == 1)
        #expect(try reader.read(UInt16.self) == 0x0200)
        #expect(reader.remaining == 3)
        #expect(throws: ByteRangeError(offset: 3, wanted: 4, available: 6)) { try reader.read(UInt32.self) }
        #expect(reader.offset == 3)
        try reader.skip(1)
        #expect(try reader.read(count: 2) == [4, 5])
        #expect(throws: ByteRangeError.self) { try reader.skip(1) }
        #expect(throws: ByteRangeError.self) { try reader.read(count: -1) }
    }
}

@Suite struct ByteBuilderTests {
    @Test func buildsFieldsPaddingAndPatches() {
        var builder = ByteBuilder()
        builder.append(UInt16(0x1234))
        builder.append(text: "abcdef", count: 4)
        builder.append(text: "x", count: 3, filler: 0x20)
        builder.align(to: 4)
        builder.patch(UInt16(0xBEEF), at: 0)
        #expect(builder.bytes == [0xEF, 0xBE] + Array("abcd".utf8) + [0x78, 0x20, 0x20, 0, 0, 0])
        builder.align(to: 4)
        #expect(builder.count == 12)
        builder.pad(to: 14, value: 0xFF)
        builder.pad(to: 2)
        #expect(builder.bytes.suffix(2) == [0xFF, 0xFF] && builder.count == 14)
    }

    @Test func bigEndianBuilder() {
        var builder = ByteBuilder(order: .big)
        builder.append(UInt32(1))
        builder.append(Int16(-1))
        #expect(builder.bytes == [0, 0, 0, 1, 0xFF, 0xFF])
    }
}
