// SPDX-License-Identifier: Apache-2.0

internal import DisplaySurfaces

/// Tight without its lossy parts: fills, palettes and full colours, each through one of its zlib streams.
extension UpdateEncoder {
    private enum Control {
        static let fill: UInt8 = 0x80, explicitFilter: UInt8 = 0x40
        static let paletteFilter: UInt8 = 1
    }
    private enum TightStream { static let colours = 0, twoColours = 1, palette = 2 }
    private static let widest = 2048, mostPixels = 65536
    /// Less is not compressed.
    private static let smallest = 12

    /// A rectangle in parts as large as the encoding allows.
    static func tightParts(_ rectangle: PixelRectangle) -> [PixelRectangle] {
        var parts: [PixelRectangle] = []
        for left in stride(from: 0, to: rectangle.width, by: widest) {
            let width = min(widest, rectangle.width - left)
            let rows = max(1, mostPixels / width)
            for top in stride(from: 0, to: rectangle.height, by: rows) {
                parts.append(
                    PixelRectangle(
                        x: rectangle.x + left, y: rectangle.y + top, width: width,
                        height: min(rows, rectangle.height - top)))
            }
        }
        return parts
    }

    /// One part.
    func tight(_ image: DisplayImage, _ rectangle: PixelRectangle) throws(VNCFailure) {
        header(rectangle, .tight)
        var palette = Palette(limit: 256)
        guard palette.gather(image, rectangle) else { return try tightColours(image, rectangle) }
        if palette.colours.count == 1 {
            output.append(Control.fill)
            pixels.appendTight(palette.colours[0], to: &output)
        } else if palette.colours.count == 2 || palette.colours.count * 4 <= rectangle.width * rectangle.height {
            try tightPalette(image, rectangle, palette)
        } else {
            try tightColours(image, rectangle)
        }
    }

    private func tightColours(_ image: DisplayImage, _ rectangle: PixelRectangle) throws(VNCFailure) {
        output.append(UInt8(TightStream.colours << 4))
        scratch.removeAll(keepingCapacity: true)
        for row in rectangle.y..<rectangle.y + rectangle.height {
            let start = row * image.width + rectangle.x
            for pixel in image.pixels[start..<start + rectangle.width] { pixels.appendTight(pixel, to: &scratch) }
        }
        try finishTight(stream: TightStream.colours)
    }

    private func tightPalette(
        _ image: DisplayImage, _ rectangle: PixelRectangle, _ palette: Palette
    ) throws(VNCFailure) {
        let isTwo = palette.colours.count == 2
        let stream = isTwo ? TightStream.twoColours : TightStream.palette
        output.append(UInt8(stream << 4) | Control.explicitFilter)
        output.append(Control.paletteFilter)
        output.append(UInt8(palette.colours.count - 1))
        for colour in palette.colours { pixels.appendTight(colour, to: &output) }
        scratch.removeAll(keepingCapacity: true)
        for row in rectangle.y..<rectangle.y + rectangle.height {
            let start = row * image.width + rectangle.x
            let line = image.pixels[start..<start + rectangle.width]
            if isTwo { packBits(line, one: palette.colours[1]) } else { packIndices(line, palette) }
        }
        try finishTight(stream: stream)
    }

    private func packBits(_ line: ArraySlice<UInt32>, one: UInt32) {
        var byte: UInt8 = 0, bits = 0
        for pixel in line {
            byte = byte << 1 | (pixel == one ? 1 : 0)
            bits += 1
            if bits == 8 {
                scratch.append(byte)
                (byte, bits) = (0, 0)
            }
        }
        if bits > 0 { scratch.append(byte << UInt8(8 - bits)) }
    }

    private func packIndices(_ line: ArraySlice<UInt32>, _ palette: Palette) {
        var last: UInt32 = palette.colours[0]
        var index: UInt8 = 0
        for pixel in line {
            if pixel != last {
                last = pixel
                index = UInt8(truncatingIfNeeded: palette.index(of: pixel))
            }
            scratch.append(index)
        }
    }

    private func finishTight(stream: Int) throws(VNCFailure) {
        if scratch.count < Self.smallest {
            output += scratch
        } else {
            try deflate(scratch, stream: stream, hasLongLength: false)
        }
    }
}
