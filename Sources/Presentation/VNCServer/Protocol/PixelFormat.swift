// SPDX-License-Identifier: Apache-2.0

/// How a client wants pixels (RFC 6143, 7.4).
package struct PixelFormat: Equatable, Sendable {
    /// 8, 16 or 32.
    package var bits: Int
    /// Bits of a pixel that mean something; at most `bits`.
    package var depth: Int
    /// The order of the bytes of a 16- or 32-bit pixel.
    package var isBigEndian: Bool
    /// Otherwise pixels are numbers of colours that the server tells.
    package var isTrueColour: Bool
    /// The largest value of each part, and how far it is shifted: red, green, blue.
    package var maxima: [Int]
    /// How far each part is shifted to the left: red, green, blue.
    package var shifts: [Int]

    /// 32 bits, 0x00RRGGBB, in the host's order.
    package static let native = PixelFormat(
        bits: 32, depth: 24, isBigEndian: false, isTrueColour: true, maxima: [255, 255, 255], shifts: [16, 8, 0])
    /// What colours by number stand for: three bits of red and green, two of blue.
    static let numbered = PixelFormat(
        bits: 8, depth: 8, isBigEndian: false, isTrueColour: false, maxima: [7, 7, 3], shifts: [0, 3, 6])

    init(bits: Int, depth: Int, isBigEndian: Bool, isTrueColour: Bool, maxima: [Int], shifts: [Int]) {
        (self.bits, self.depth, self.isBigEndian, self.isTrueColour) = (bits, depth, isBigEndian, isTrueColour)
        (self.maxima, self.shifts) = (maxima, shifts)
    }

    init(from reader: VNCReader) throws(VNCFailure) {
        bits = Int(try reader.byte())
        depth = Int(try reader.byte())
        isBigEndian = try reader.byte() != 0
        isTrueColour = try reader.byte() != 0
        maxima = []
        for _ in 0..<3 { maxima.append(Int(try reader.short())) }
        shifts = []
        for _ in 0..<3 { shifts.append(Int(try reader.byte())) }
        try reader.skip(3)
        guard [8, 16, 32].contains(bits) else { throw VNCFailure("pixels of \(bits) bits are not possible") }
        guard isTrueColour else {
            self = .numbered
            return
        }
        for (maximum, shift) in zip(maxima, shifts) {
            guard maximum > 0, maximum.bitWidth - maximum.leadingZeroBitCount + shift <= bits else {
                throw VNCFailure("a pixel format is not possible")
            }
        }
    }

    /// As it stands in ServerInit.
    var encoded: [UInt8] {
        var bytes = [UInt8(bits), UInt8(truncatingIfNeeded: depth), isBigEndian ? 1 : 0, isTrueColour ? 1 : 0]
        for maximum in maxima {
            bytes += [UInt8(truncatingIfNeeded: maximum >> 8), UInt8(truncatingIfNeeded: maximum)]
        }
        bytes += shifts.map { UInt8(truncatingIfNeeded: $0) }
        return bytes + [0, 0, 0]
    }

    /// SetColourMapEntries for `numbered`.
    static var colourMap: [UInt8] {
        var bytes: [UInt8] = [1, 0, 0, 0, 1, 0]
        for index in 0..<256 {
            for (maximum, shift) in zip(numbered.maxima, numbered.shifts) {
                let value = (index >> shift & maximum) * 65535 / maximum
                bytes += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
            }
        }
        return bytes
    }
}

/// Turns the host's pixels into a client's.
package struct PixelWriter: Sendable {
    let format: PixelFormat
    private let isNative: Bool
    /// What each value of each part becomes, already shifted.
    private let red: [UInt32], green: [UInt32], blue: [UInt32]
    /// Bytes of a pixel.
    let size: Int
    /// Three bytes suffice (ZRLE's CPIXEL); where the unused one is.
    let compactSize: Int
    private let compactSkip: Int
    /// Tight's pixels are red, green, blue.
    let isTightCompact: Bool

    /// Makes the tables that take each part of a pixel to the client's.
    package init(_ format: PixelFormat) {
        self.format = format
        size = format.bits / 8
        isNative = format == .native
        func table(_ part: Int) -> [UInt32] {
            (0..<256).map { value in
                let scaled = (value * format.maxima[part] + 127) / 255
                return UInt32(truncatingIfNeeded: scaled << format.shifts[part])
            }
        }
        (red, green, blue) = (table(0), table(1), table(2))
        let used = zip(format.maxima, format.shifts).reduce(0) { $0 | $1.0 << $1.1 }
        let fitsLow = used & 0xFF00_0000 == 0, fitsHigh = used & 0xFF == 0
        let isCompact = format.bits == 32 && format.isTrueColour && format.depth <= 24 && (fitsLow || fitsHigh)
        compactSize = isCompact ? 3 : size
        // In memory, the byte that carries nothing is first or last.
        compactSkip = isCompact ? (fitsLow == format.isBigEndian ? 1 : 0) : 0
        isTightCompact = format.bits == 32 && format.depth == 24 && format.maxima == [255, 255, 255]
    }

    /// A pixel as a number in the client's format.
    @inline(__always) private func value(_ pixel: UInt32) -> UInt32 {
        red[Int(pixel >> 16 & 0xFF)] | green[Int(pixel >> 8 & 0xFF)] | blue[Int(pixel & 0xFF)]
    }

    /// Appends a pixel.
    @inline(__always) func append(_ pixel: UInt32, to bytes: inout [UInt8]) {
        let value = isNative ? pixel & 0xFF_FFFF : value(pixel)
        switch size {
        case 1: bytes.append(UInt8(truncatingIfNeeded: value))
        case 2:
            let low = UInt8(truncatingIfNeeded: value), high = UInt8(truncatingIfNeeded: value >> 8)
            bytes.append(format.isBigEndian ? high : low)
            bytes.append(format.isBigEndian ? low : high)
        default:
            for index in 0..<4 {
                let shift = UInt32(format.isBigEndian ? 24 - index * 8 : index * 8)
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
    }

    /// Appends a pixel in ZRLE's short form.
    @inline(__always) func appendCompact(_ pixel: UInt32, to bytes: inout [UInt8]) {
        guard compactSize == 3, size == 4 else { return append(pixel, to: &bytes) }
        let value = isNative ? pixel : value(pixel)
        for index in compactSkip..<compactSkip + 3 {
            let shift = UInt32(format.isBigEndian ? 24 - index * 8 : index * 8)
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    /// Appends a pixel in Tight's form.
    @inline(__always) func appendTight(_ pixel: UInt32, to bytes: inout [UInt8]) {
        guard isTightCompact else { return append(pixel, to: &bytes) }
        bytes.append(UInt8(truncatingIfNeeded: pixel >> 16))
        bytes.append(UInt8(truncatingIfNeeded: pixel >> 8))
        bytes.append(UInt8(truncatingIfNeeded: pixel))
    }

    /// Appends a run of pixels.
    func append(_ pixels: ArraySlice<UInt32>, to bytes: inout [UInt8]) {
        if isNative {
            // The host is little-endian; the byte above red is not looked at by clients.
            // The slice lives for the call, which copies it.
            unsafe pixels.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
        } else {
            for pixel in pixels { append(pixel, to: &bytes) }
        }
    }
}
