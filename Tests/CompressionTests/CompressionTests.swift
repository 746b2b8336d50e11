// SPDX-License-Identifier: Apache-2.0

import Compression
import RandomKit
import Testing

/// Contents of several kinds: empty, one byte, runs, noise, and text that repeats.
private let samples: [[UInt8]] = {
    var random = SeededGenerator(seed: 7)
    let noise = (0..<70_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    let text = Array(repeatElement("a line of text that comes again\n", count: 3000).joined().utf8)
    return [[], [42], [UInt8](repeating: 0, count: 65536), noise, text, text + noise + text]
}()

private func deflated(_ bytes: [UInt8], _ container: DeflateContainer, level: Int = 6) throws -> [UInt8]? {
    let compressor = try DeflateCompressor(level: level)
    var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 100 + 64)
    // Both buffers live for the call.
    let count = unsafe bytes.withUnsafeBytes { source in
        unsafe output.withUnsafeMutableBytes { unsafe compressor.compress(source, into: $0, container: container) }
    }
    return count.map { Array(output.prefix($0)) }
}

private func inflated(
    _ bytes: [UInt8], _ container: DeflateContainer, room: Int
) throws -> (consumed: Int, content: [UInt8]) {
    let decompressor = try DeflateDecompressor()
    var output = [UInt8](repeating: 0xee, count: room)
    // Both buffers live for the call.
    let result = try unsafe bytes.withUnsafeBytes { source in
        try unsafe output.withUnsafeMutableBytes {
            try unsafe decompressor.decompress(source, into: $0, container: container)
        }
    }
    return (result.consumed, Array(output.prefix(result.produced)))
}

@Suite struct DeflateTests {
    @Test(arguments: [DeflateContainer.raw, .zlib, .gzip])
    func contentsComeBack(_ container: DeflateContainer) throws {
        for (sample, level) in zip(samples, [1, 3, 6, 9, 12, 6]) {
            let compressed = try #require(try deflated(sample, container, level: level))
            // What follows a stream is not touched.
            let result = try inflated(compressed + [1, 2, 3], container, room: sample.count)
            #expect(result.consumed == compressed.count)
            #expect(result.content == sample)
        }
    }

    @Test func runsShrink() throws {
        #expect(try #require(try deflated(samples[2], .raw)).count < 200)
    }

    @Test func whatDoesNotFitIsSaid() throws {
        let compressed = try #require(try deflated(samples[4], .raw))
        #expect(throws: CompressionFailure.tooLarge) { try inflated(compressed, .raw, room: samples[4].count - 1) }
    }

    @Test func compressingIntoTooLittleRoomGivesNothing() throws {
        let compressor = try DeflateCompressor(level: 6)
        var output = [UInt8](repeating: 0, count: 100)
        // Both buffers live for the call.
        let count = unsafe samples[3].withUnsafeBytes { source in
            unsafe output.withUnsafeMutableBytes { unsafe compressor.compress(source, into: $0) }
        }
        #expect(count == nil)
    }

    @Test(arguments: [DeflateContainer.zlib, .gzip])
    func everyDamagedByteIsNoticedOrHarmless(_ container: DeflateContainer) throws {
        let sample = Array("a line that is short, a line that is short".utf8)
        let compressed = try #require(try deflated(sample, container))
        for place in compressed.indices {
            var damaged = compressed
            damaged[place] ^= 0x40
            // Fields of gzip's header (time, system) carry no content; everything else is caught by the checksum.
            if let result = try? inflated(damaged, container, room: 1000) { #expect(result.content == sample) }
        }
    }

    @Test func rubbishIsMalformed() {
        #expect(throws: CompressionFailure.malformed) {
            try inflated([UInt8](repeating: 0xff, count: 100), .zlib, room: 10)
        }
        #expect(throws: CompressionFailure.malformed) { try inflated([], .raw, room: 10) }
    }
}

@Suite struct PartialInflateTests {
    private func prefix(_ bytes: [UInt8], room: Int, _ container: DeflateContainer = .raw) throws -> [UInt8] {
        var output = [UInt8](repeating: 0xee, count: room)
        // Both buffers live for the call.
        let count = try unsafe bytes.withUnsafeBytes { source in
            try unsafe output.withUnsafeMutableBytes {
                try unsafe PartialInflate.decompress(source, into: $0, container: container)
            }
        }
        return Array(output.prefix(count))
    }

    @Test func theBeginningOfALongerStream() throws {
        let compressed = try #require(try deflated(samples[4], .raw))
        #expect(try prefix(compressed, room: 1000) == Array(samples[4].prefix(1000)))
    }

    @Test func aStreamThatEndsEarly() throws {
        let compressed = try #require(try deflated([1, 2, 3], .zlib))
        #expect(try prefix(compressed, room: 1000, .zlib) == [1, 2, 3])
    }
}

@Suite struct StreamDeflateTests {
    @Test func everyPieceIsCompleteForItsReader() throws {
        let stream = try StreamDeflate(level: 6)
        var written: [UInt8] = []
        var content: [UInt8] = []
        for (place, sample) in samples.enumerated() {
            // The sample lives for the call.
            try unsafe sample.withUnsafeBytes { try unsafe stream.append($0, level: place, to: &written) }
            content += sample
            var output = [UInt8](repeating: 0, count: content.count)
            // Both buffers live for the call.
            let count = try unsafe written.withUnsafeBytes { source in
                try unsafe output.withUnsafeMutableBytes {
                    try unsafe PartialInflate.decompress(source, into: $0, container: .zlib)
                }
            }
            #expect(count == content.count)
            #expect(output == content)
        }
    }
}

@Suite struct ZstandardTests {
    private func compressed(_ bytes: [UInt8], level: Int) throws -> [UInt8] {
        let compressor = try ZstdCompressor(level: level)
        var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 100 + 512)
        // Both buffers live for the call.
        let count = unsafe bytes.withUnsafeBytes { source in
            unsafe output.withUnsafeMutableBytes { unsafe compressor.compress(source, into: $0) }
        }
        return Array(output.prefix(try #require(count)))
    }

    private func content(_ bytes: [UInt8], room: Int) throws -> [UInt8] {
        let decompressor = try ZstdDecompressor()
        var output = [UInt8](repeating: 0, count: room)
        // Both buffers live for the call.
        let count = try unsafe bytes.withUnsafeBytes { source in
            try unsafe output.withUnsafeMutableBytes { try unsafe decompressor.decompress(source, into: $0) }
        }
        return Array(output.prefix(count))
    }

    @Test func contentsComeBack() throws {
        for (sample, level) in zip(samples.dropFirst(), [1, 3, 9, 3, 19]) {
            #expect(try content(compressed(sample, level: level), room: sample.count) == sample)
        }
    }

    @Test func aTruncatedFrameIsNoContent() throws {
        let whole = try compressed(samples[4], level: 3)
        for count in [1, whole.count / 2, whole.count - 1] {
            let part = try? content(Array(whole.prefix(count)), room: samples[4].count)
            #expect(part.map { $0.count < samples[4].count } ?? true)
        }
    }
}

@Suite struct ChecksumTests {
    @Test func theCheckValueOfTheStandard() {
        var sum = Checksum32()
        sum.add(Array("123456789".utf8))
        #expect(sum.value == 0xcbf4_3926)
    }

    @Test func piecesAddUp() {
        var whole = Checksum32(), parts = Checksum32()
        whole.add(samples[3])
        for start in stride(from: 0, to: samples[3].count, by: 977) {
            parts.add(Array(samples[3][start..<min(start + 977, samples[3].count)]))
        }
        #expect(whole.value == parts.value)
        #expect(Checksum32().value == 0)
    }
}
