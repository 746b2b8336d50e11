// SPDX-License-Identifier: Apache-2.0

public import Compression

/// Encodes pictures for `screendump`.
public enum PictureFile {
    /// Portable pixmap, binary (netpbm's P6).
    public static func portablePixmap(_ image: DisplayImage) -> [UInt8] {
        var bytes = Array("P6\n\(image.width) \(image.height)\n255\n".utf8)
        bytes.reserveCapacity(bytes.count + image.pixels.count * 3)
        for pixel in image.pixels { append(pixel, to: &bytes) }
        return bytes
    }

    private static func append(_ pixel: UInt32, to bytes: inout [UInt8]) {
        bytes.append(UInt8(truncatingIfNeeded: pixel >> 16))
        bytes.append(UInt8(truncatingIfNeeded: pixel >> 8))
        bytes.append(UInt8(truncatingIfNeeded: pixel))
    }

    /// Portable Network Graphics, 8 bits of red, green and blue (RFC 2083).
    /// - Throws: the compressor has no memory.
    public static func portableNetworkGraphics(_ image: DisplayImage) throws(CompressionFailure) -> [UInt8] {
        var rows: [UInt8] = []
        rows.reserveCapacity((image.width * 3 + 1) * image.height)
        for y in 0..<image.height {
            // No filter.
            rows.append(0)
            for pixel in image.pixels[y * image.width..<(y + 1) * image.width] { append(pixel, to: &rows) }
        }
        var bytes: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        // 8 bits, true colour, deflate, filters by row, not interlaced.
        bytes += chunk("IHDR", long(image.width) + long(image.height) + [8, 2, 0, 0, 0])
        bytes += chunk("IDAT", try compress(rows))
        bytes += chunk("IEND", [])
        return bytes
    }

    private static func compress(_ rows: [UInt8]) throws(CompressionFailure) -> [UInt8] {
        let level = 6
        let compressor = try DeflateCompressor(level: level)
        // Incompressible data grows by five bytes a block of 64 KiB at most, and by the frame.
        var output = [UInt8](repeating: 0, count: rows.count + rows.count / 1024 + 1024)
        // Both buffers live during the call.
        let count = unsafe output.withUnsafeMutableBytes { target in
            unsafe rows.withUnsafeBytes { source in
                unsafe compressor.compress(source, into: target, container: .zlib)
            }
        }
        guard let count else { throw .tooLarge }
        return Array(output.prefix(count))
    }

    private static func long(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(name.utf8) + data
        return long(data.count) + body + long(Int(checksum(body)))
    }

    /// CRC-32 of ISO 3309.
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        let polynomial: UInt32 = 0xEDB8_8320
        let table = (UInt32(0)..<256).map { start in
            (0..<8).reduce(start) { value, _ in value & 1 != 0 ? polynomial ^ value >> 1 : value >> 1 }
        }
        var sum = UInt32.max
        for byte in bytes { sum = table[Int((sum ^ UInt32(byte)) & 0xFF)] ^ sum >> 8 }
        return ~sum
    }
}
