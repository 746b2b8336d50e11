// SPDX-License-Identifier: Apache-2.0

import Compression
import RandomKit
import Testing

/// What unpacks.
private enum Unpacker: Equatable {
    case bzip2, xz
    case whole(DeflateContainer), partial(DeflateContainer)

    /// What it makes of bytes, in a room of so many.
    func unpack(_ source: [UInt8], room: Int) throws -> [UInt8] {
        var output = [UInt8](repeating: 0xee, count: room + 16)
        // Both arrays live for the call.
        let count = try unsafe source.withUnsafeBytes { input in
            try unsafe output.withUnsafeMutableBytes { whole in
                let target = unsafe UnsafeMutableRawBufferPointer(rebasing: whole[..<room])
                return switch self {
                case .bzip2: try unsafe Bzip2.decompress(input, into: target)
                case .xz: try unsafe XZ.decompress(input, into: target)
                case .whole(let container):
                    try unsafe DeflateDecompressor().decompress(input, into: target, container: container).produced
                case .partial(let container):
                    try unsafe PartialInflate.decompress(input, into: target, container: container)
                }
            }
        }
        // Nothing is written behind the room.
        #expect(count <= room && output.suffix(16).allSatisfy { $0 == 0xee })
        return Array(output.prefix(count))
    }
}

/// Packed with libdeflate.
private func pack(_ bytes: [UInt8], _ container: DeflateContainer) throws -> [UInt8] {
    let compressor = try DeflateCompressor(level: 6)
    var output = [UInt8](repeating: 0, count: bytes.count + 1000)
    // Both arrays live for the call.
    let count = unsafe bytes.withUnsafeBytes { input in
        unsafe output.withUnsafeMutableBytes { room in
            unsafe compressor.compress(input, into: room, container: container)
        }
    }
    return Array(output.prefix(try #require(count)))
}

/// A bit changed, and now and then the end cut off.
private func damaged(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    let bit: UInt8 = 1 << UInt8.random(in: 0...7, using: &random)
    bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= bit
    if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
    return bytes
}

@Suite struct DeflateDamageTests {
    @Test(arguments: [DeflateContainer.raw, .zlib, .gzip])
    func damageIsFoundOrHarmless(_ container: DeflateContainer) throws {
        var random = SeededGenerator(seed: 3)
        let bytes = Array(repeating: Array("some text to be packed".utf8), count: 40).flatMap { $0 }
        let packed = try pack(bytes, container)
        for _ in 0..<300 {
            let wrong = damaged(packed, &random)
            // Frames with a checksum give the right bytes or none.
            if let result = try? Unpacker.whole(container).unpack(wrong, room: bytes.count), container != .raw {
                #expect(result == bytes)
            }
            _ = try? Unpacker.partial(container).unpack(wrong, room: bytes.count)
        }
    }
}

@Suite struct OtherCodecTests {
    /// 465 bytes: runs of 0...6, of lengths that go round.
    private let plain = (0..<60).flatMap { place in
        [UInt8](repeating: UInt8(place % 7), count: place * 3 % 17)
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    /// The same, by the programs bzip2 and xz.
    private static let bzip2 = bytes(
        """
        425a6839314159265359f2a3c22700001540007ffc20009115a6f51a869824449e9929faa50c8faaf3d420b78c31917eb9f0b5a5ac31eb50
        260cfbd7222998facaf3b612e66797bbd12b6b972298715bdef035a45d19701c26677203ac35a1d9b7023848fa19ae282810909d41260bb9
        229c28487951e11380
        """)
    private static let xz = bytes(
        """
        fd377a585a000004e6d6b4460200210116000000742fe5a3e001d000555d0000e7fd14c3c230e32fe4c1e3701dbd6786048460d208c6cb32
        ff3a02544fc9bc3f3ba63c34fc88d6513375d653a99e40d7f0812fe6f3990645de65b8f2ae141230fda574508b341b8df024cc93fcb77969
        13ebbf0000000000123f3a78b140e6fe000171d103000000bef30ba5b1c467fb020000000004595a
        """)

    private let codecs = [(Unpacker.bzip2, Self.bzip2), (.xz, Self.xz)]

    @Test func whatOthersPackedIsRead() throws {
        #expect(plain.count == 465)
        for (codec, packed) in codecs {
            #expect(try codec.unpack(packed, room: plain.count) == plain, "\(codec)")
            #expect(try codec.unpack(packed + [9, 9], room: plain.count) == plain, "\(codec)")
            #expect(try codec.unpack(packed, room: 100).elementsEqual(plain.prefix(100)), "\(codec)")
            #expect(try codec.unpack(packed, room: 1000) == plain, "\(codec)")
        }
    }

    @Test func damageIsFoundOrHarmless() {
        var random = SeededGenerator(seed: 5)
        for (codec, packed) in codecs {
            for _ in 0..<300 {
                if let result = try? codec.unpack(damaged(packed, &random), room: plain.count) {
                    #expect(result.count <= plain.count)
                }
            }
            #expect(throws: CompressionFailure.malformed) {
                try codec.unpack([UInt8](repeating: 7, count: 64), room: 64)
            }
        }
    }
}
