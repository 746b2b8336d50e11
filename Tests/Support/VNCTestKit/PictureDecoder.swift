// SPDX-License-Identifier: Apache-2.0

internal import Compression

/// Reads FramebufferUpdate messages as a viewer with pixels 0x00RRGGBB does: the encodings' other half.
package struct PictureDecoder {
    package struct Failure: Error, CustomStringConvertible { package let description: String }

    package private(set) var width: Int
    package private(set) var height: Int
    package private(set) var pixels: [UInt32]
    /// Encodings that were met.
    package private(set) var encodings: Set<Int32> = []
    private var bytes: ArraySlice<UInt8> = []
    // Everything that each zlib stream has carried, compressed, and how much of its text was used.
    private var streams: [Int: (compressed: [UInt8], used: Int)] = [:]
    private enum Stream { static let zlib = 8, zrle = 9 }

    package init(width: Int, height: Int) {
        (self.width, self.height) = (width, height)
        pixels = [UInt32](repeating: 0, count: width * height)
    }

    /// Reads one message, which must be all there is.
    package mutating func read(_ message: [UInt8]) throws {
        bytes = message[...]
        guard try byte() == 0 else { throw Failure(description: "not an update") }
        _ = try byte()
        for _ in 0..<(try short()) { try readRectangle() }
        guard bytes.isEmpty else { throw Failure(description: "\(bytes.count) bytes are left") }
    }

    private mutating func byte() throws -> UInt8 {
        guard let byte = bytes.popFirst() else { throw Failure(description: "the message ends early") }
        return byte
    }
    private mutating func short() throws -> Int { Int(try byte()) << 8 | Int(try byte()) }
    private mutating func long() throws -> Int { try short() << 16 | (try short()) }
    private mutating func take(_ count: Int) throws -> [UInt8] {
        guard bytes.count >= count else { throw Failure(description: "\(count) bytes wanted, \(bytes.count) there") }
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    private mutating func readRectangle() throws {
        let x = try short(), y = try short(), width = try short(), height = try short()
        let encoding = Int32(truncatingIfNeeded: try long())
        encodings.insert(encoding)
        guard x + width <= self.width, y + height <= self.height else {
            throw Failure(description: "a rectangle outside of the picture")
        }
        switch encoding {
        case 0: try fill(x, y, width, height, from: try take(width * height * 4), size: 4)
        case 5: try readHextile(x, y, width, height)
        case 6:
            let text = try inflate(try take(try long()), Stream.zlib, count: width * height * 4)
            try fill(x, y, width, height, from: text, size: 4)
        case 7: try readTight(x, y, width, height)
        case 16: try readZRLE(x, y, width, height)
        default: throw Failure(description: "encoding \(encoding)")
        }
    }

    /// Little-endian pixels of three or four bytes.
    private mutating func fill(
        _ x: Int, _ y: Int, _ width: Int, _ height: Int, from text: [UInt8], size: Int, isRedFirst: Bool = false
    ) throws {
        for row in 0..<height {
            for column in 0..<width {
                let place = (row * width + column) * size
                let first = UInt32(text[place]), last = UInt32(text[place + 2])
                let (red, blue) = isRedFirst ? (first, last) : (last, first)
                pixels[(y + row) * self.width + x + column] = red << 16 | UInt32(text[place + 1]) << 8 | blue
            }
        }
    }

    private mutating func paint(_ x: Int, _ y: Int, _ width: Int, _ height: Int, _ colour: UInt32) {
        for row in y..<y + height { for column in x..<x + width { pixels[row * self.width + column] = colour } }
    }

    /// The next bytes of a stream's text.
    /// - Parameter count: nil for all that the piece holds, at most 16 MiB.
    private mutating func inflate(_ piece: [UInt8], _ stream: Int, count: Int?) throws -> [UInt8] {
        var (compressed, used) = streams[stream] ?? ([], 0)
        compressed += piece
        var text = [UInt8](repeating: 0, count: used + (count ?? 1 << 20))
        let produced = try unsafe text.withUnsafeMutableBytes { room in
            try unsafe compressed.withUnsafeBytes {
                try unsafe PartialInflate.decompress($0, into: room, container: .zlib)
            }
        }
        if let count, produced != used + count { throw Failure(description: "\(produced - used) bytes, not \(count)") }
        streams[stream] = (compressed, produced)
        return Array(text[used..<produced])
    }

    private mutating func pixel() throws -> UInt32 {
        let part = try take(4)
        return UInt32(part[2]) << 16 | UInt32(part[1]) << 8 | UInt32(part[0])
    }

    private mutating func readHextile(_ x: Int, _ y: Int, _ width: Int, _ height: Int) throws {
        var background: UInt32 = 0, foreground: UInt32 = 0
        for top in stride(from: y, to: y + height, by: 16) {
            for left in stride(from: x, to: x + width, by: 16) {
                let columns = min(16, x + width - left), rows = min(16, y + height - top)
                let flags = try byte()
                if flags & 1 != 0 {
                    try fill(left, top, columns, rows, from: try take(columns * rows * 4), size: 4)
                    continue
                }
                if flags & 2 != 0 { background = try pixel() }
                if flags & 4 != 0 { foreground = try pixel() }
                paint(left, top, columns, rows, background)
                guard flags & 8 != 0 else { continue }
                for _ in 0..<(try byte()) {
                    let colour = flags & 16 != 0 ? try pixel() : foreground
                    let place = try byte(), size = try byte()
                    paint(
                        left + Int(place >> 4), top + Int(place & 15), Int(size >> 4) + 1, Int(size & 15) + 1, colour)
                }
            }
        }
    }

    private mutating func readZRLE(_ x: Int, _ y: Int, _ width: Int, _ height: Int) throws {
        var text = try inflate(try take(try long()), Stream.zrle, count: nil)[...]
        func next(_ count: Int) throws -> [UInt8] {
            guard text.count >= count else { throw Failure(description: "a tile ends early") }
            defer { text = text.dropFirst(count) }
            return Array(text.prefix(count))
        }
        for top in stride(from: y, to: y + height, by: 64) {
            for left in stride(from: x, to: x + width, by: 64) {
                let columns = min(64, x + width - left), rows = min(64, y + height - top)
                let kind = Int(try next(1)[0])
                if kind == 0 {
                    try fill(left, top, columns, rows, from: try next(columns * rows * 3), size: 3)
                    continue
                }
                guard kind <= 16 else { throw Failure(description: "tile of kind \(kind)") }
                var palette: [UInt32] = []
                for _ in 0..<kind {
                    let part = try next(3)
                    palette.append(UInt32(part[2]) << 16 | UInt32(part[1]) << 8 | UInt32(part[0]))
                }
                if kind == 1 {
                    paint(left, top, columns, rows, palette[0])
                    continue
                }
                let bits = kind == 2 ? 1 : kind <= 4 ? 2 : 4
                for row in 0..<rows {
                    let line = try next((columns * bits + 7) / 8)
                    for column in 0..<columns {
                        let shift = 8 - bits - column * bits % 8
                        let index = Int(line[column * bits / 8]) >> shift & (1 << bits - 1)
                        pixels[(top + row) * self.width + left + column] = palette[index]
                    }
                }
            }
        }
    }

    private mutating func readTight(_ x: Int, _ y: Int, _ width: Int, _ height: Int) throws {
        let control = try byte()
        if control & 0xF0 == 0x80 {
            let part = try take(3)
            return paint(x, y, width, height, UInt32(part[0]) << 16 | UInt32(part[1]) << 8 | UInt32(part[2]))
        }
        let stream = Int(control >> 4 & 3)
        guard control & 0x80 == 0 else { throw Failure(description: "control \(control)") }
        var palette: [UInt32] = []
        if control & 0x40 != 0 {
            guard try byte() == 1 else { throw Failure(description: "unknown filter") }
            for _ in 0...(try byte()) {
                let part = try take(3)
                palette.append(UInt32(part[0]) << 16 | UInt32(part[1]) << 8 | UInt32(part[2]))
            }
        }
        let line = palette.isEmpty ? width * 3 : palette.count == 2 ? (width + 7) / 8 : width
        let count = line * height
        let text = count < 12 ? try take(count) : try inflate(try take(try tightLength()), stream, count: count)
        if palette.isEmpty { return try fill(x, y, width, height, from: text, size: 3, isRedFirst: true) }
        for row in 0..<height {
            for column in 0..<width {
                let index =
                    palette.count == 2
                    ? Int(text[row * line + column / 8] >> UInt8(7 - column % 8)) & 1 : Int(text[row * line + column])
                pixels[(y + row) * self.width + x + column] = palette[index]
            }
        }
    }

    private mutating func tightLength() throws -> Int {
        let first = Int(try byte())
        if first < 0x80 { return first }
        let second = Int(try byte())
        if second < 0x80 { return first & 0x7F | second << 7 }
        return first & 0x7F | (second & 0x7F) << 7 | Int(try byte()) << 14
    }
}
