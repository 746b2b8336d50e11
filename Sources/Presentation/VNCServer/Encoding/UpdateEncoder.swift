// SPDX-License-Identifier: Apache-2.0

internal import Compression
package import DisplaySurfaces

/// Encodings of rectangles (RFC 6143, 7.7; Tight).
package enum VNCEncoding: Int32, CaseIterable, Sendable {
    case raw = 0
    case hextile = 5
    case zlib = 6
    case tight = 7
    case zrle = 16
}

/// What a client has chosen for its pictures.
package struct EncodingChoice: Equatable, Sendable {
    /// The first of the client's list that the server has; raw if there is none.
    package var encoding = VNCEncoding.raw
    /// As the client set it, or that of ServerInit.
    package var format = PixelFormat.native
    /// zlib's level, 0...9.
    package var level = 1
    /// The way to the client carries raw pixels at less cost than zlib needs to make them smaller.
    package var isLocal = false

    /// Raw pixels in the format of ServerInit.
    package init() {}
}

/// Writes FramebufferUpdate messages for one client, whose zlib streams it keeps. Used by one thread at a time.
package final class UpdateEncoder {
    /// The whole message and how many rectangles it has so far.
    var output: [UInt8] = []
    private var count = 0
    private var streams: [Int: StreamDeflate] = [:]
    var scratch: [UInt8] = []
    private(set) var pixels = PixelWriter(.native)
    private(set) var choice = EncodingChoice()

    /// Streams that Tight numbers itself (0...3), and those of the other encodings.
    enum Stream { static let zlib = 8, zrle = 9 }
    private enum Kind { static let update: UInt8 = 0 }

    /// Fresh zlib streams, for a new connection only: the client keeps the other ends.
    package init() {}

    /// One message with parts of a picture.
    /// - Parameter rectangles: inside the picture.
    package func update(
        _ image: DisplayImage, _ rectangles: [PixelRectangle], _ choice: EncodingChoice
    ) throws(VNCFailure) -> [UInt8] {
        if choice.format != pixels.format { pixels = PixelWriter(choice.format) }
        self.choice = choice
        output.removeAll(keepingCapacity: true)
        count = 0
        output += [Kind.update, 0, 0, 0]
        for rectangle in rectangles where !rectangle.isEmpty { try encode(image, rectangle) }
        output[2] = UInt8(truncatingIfNeeded: count >> 8)
        output[3] = UInt8(truncatingIfNeeded: count)
        return output
    }

    private func encode(_ image: DisplayImage, _ rectangle: PixelRectangle) throws(VNCFailure) {
        switch choice.encoding {
        case .raw: writeRaw(image, rectangle)
        case .hextile:
            header(rectangle, .hextile)
            hextile(image, rectangle)
        case .zlib:
            if isBetterRaw(image, rectangle) { return writeRaw(image, rectangle) }
            header(rectangle, .zlib)
            gatherPixels(image, rectangle)
            try deflate(scratch, stream: Stream.zlib, hasLongLength: true)
        case .zrle:
            if isBetterRaw(image, rectangle) { return writeRaw(image, rectangle) }
            header(rectangle, .zrle)
            gatherZRLE(image, rectangle)
            try deflate(scratch, stream: Stream.zrle, hasLongLength: true)
        case .tight:
            if isBetterRaw(image, rectangle) { return writeRaw(image, rectangle) }
            for part in Self.tightParts(rectangle) { try tight(image, part) }
        }
    }

    /// On a local way, pictures with many colours go as they are.
    private func isBetterRaw(_ image: DisplayImage, _ rectangle: PixelRectangle) -> Bool {
        guard choice.isLocal else { return false }
        // A few rows tell: drawings repeat pixels along a row, photographs do not.
        let most = 32
        var steps = 0, seen = 0
        for row in stride(from: rectangle.y, to: rectangle.y + rectangle.height, by: max(1, rectangle.height / most)) {
            let start = row * image.width + rectangle.x
            var last = image.pixels[start]
            for pixel in image.pixels[start..<start + rectangle.width] {
                if pixel != last { steps += 1 }
                last = pixel
            }
            seen += rectangle.width
        }
        return steps * 3 > seen
    }

    // MARK: parts of a message

    func header(_ rectangle: PixelRectangle, _ encoding: VNCEncoding) {
        output += Self.rectangleHeader(
            rectangle.x, rectangle.y, rectangle.width, rectangle.height, encoding.rawValue)
        count += 1
    }

    static func rectangleHeader(_ x: Int, _ y: Int, _ width: Int, _ height: Int, _ encoding: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        for value in [x, y, width, height] {
            bytes += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        }
        return bytes + VNCHandshake.long(UInt32(bitPattern: encoding))
    }

    private func writeRaw(_ image: DisplayImage, _ rectangle: PixelRectangle) {
        header(rectangle, .raw)
        output.reserveCapacity(output.count + rectangle.width * rectangle.height * pixels.size)
        for row in rectangle.y..<rectangle.y + rectangle.height {
            let start = row * image.width + rectangle.x
            pixels.append(image.pixels[start..<start + rectangle.width], to: &output)
        }
    }

    private func gatherPixels(_ image: DisplayImage, _ rectangle: PixelRectangle) {
        scratch.removeAll(keepingCapacity: true)
        for row in rectangle.y..<rectangle.y + rectangle.height {
            let start = row * image.width + rectangle.x
            pixels.append(image.pixels[start..<start + rectangle.width], to: &scratch)
        }
    }

    /// Appends compressed bytes with their length before them: four bytes, or Tight's one to three.
    func deflate(_ bytes: [UInt8], stream number: Int, hasLongLength: Bool) throws(VNCFailure) {
        var compressed: [UInt8] = []
        do throws(CompressionFailure) {
            let stream = try stream(number)
            var failure: CompressionFailure?
            unsafe bytes.withUnsafeBytes { source in
                // The array's storage lives for the call.
                do throws(CompressionFailure) {
                    try unsafe stream.append(source, level: choice.level, to: &compressed)
                } catch { failure = error }
            }
            if let failure { throw failure }
        } catch { throw VNCFailure("a picture cannot be compressed: \(error)") }
        if hasLongLength {
            output += VNCHandshake.long(UInt32(compressed.count))
        } else {
            appendLength(compressed.count)
        }
        output += compressed
    }

    private func stream(_ number: Int) throws(CompressionFailure) -> StreamDeflate {
        if let stream = streams[number] { return stream }
        let stream = try StreamDeflate(level: choice.level)
        streams[number] = stream
        return stream
    }

    /// Tight's length: seven bits, seven bits, eight bits, the lowest first.
    func appendLength(_ count: Int) {
        output.append(UInt8(truncatingIfNeeded: count & 0x7F) | (count > 0x7F ? 0x80 : 0))
        guard count > 0x7F else { return }
        output.append(UInt8(truncatingIfNeeded: count >> 7 & 0x7F) | (count > 0x3FFF ? 0x80 : 0))
        if count > 0x3FFF { output.append(UInt8(truncatingIfNeeded: count >> 14)) }
    }
}

/// The colours of a part of a picture, as long as they are few.
struct Palette {
    private(set) var colours: [UInt32] = []
    /// How often each occurs.
    private(set) var counts: [Int] = []
    private let limit: Int
    // An open hash table from a colour to its place + 1; four times as large as the limit.
    private var places: [UInt16]
    private let mask: Int

    /// - Parameter limit: a power of two up to 256.
    init(limit: Int) {
        self.limit = limit
        places = [UInt16](repeating: 0, count: limit * 4)
        mask = limit * 4 - 1
    }

    /// Where a colour stands in the table; an empty place where it is new.
    @inline(__always) private func slot(_ colour: UInt32) -> Int {
        var slot = Int((colour &* 0x9E37_79B1) >> 16) & mask
        while places[slot] != 0, colours[Int(places[slot]) - 1] != colour { slot = (slot + 1) & mask }
        return slot
    }

    /// Counts the colours of a rectangle.
    /// - Returns: false where there are more than the limit.
    mutating func gather(_ image: DisplayImage, _ rectangle: PixelRectangle) -> Bool {
        var last: UInt32 = 0
        var lastPlace = -1
        for row in rectangle.y..<rectangle.y + rectangle.height {
            let start = row * image.width + rectangle.x
            for pixel in image.pixels[start..<start + rectangle.width] {
                if pixel == last, lastPlace >= 0 {
                    counts[lastPlace] += 1
                    continue
                }
                let slot = slot(pixel)
                if places[slot] == 0 {
                    guard colours.count < limit else { return false }
                    colours.append(pixel)
                    counts.append(0)
                    places[slot] = UInt16(colours.count)
                }
                lastPlace = Int(places[slot]) - 1
                last = pixel
                counts[lastPlace] += 1
            }
        }
        return true
    }

    /// The place of a colour that was gathered.
    @inline(__always) func index(of colour: UInt32) -> Int { max(Int(places[slot(colour)]) - 1, 0) }
}
