// SPDX-License-Identifier: Apache-2.0

internal import DisplaySurfaces

/// Encodings that cut a rectangle into tiles: ZRLE (RFC 6143, 7.7.6) and Hextile (7.7.4).
extension UpdateEncoder {
    private static let zrleTile = 64, hextileTile = 16
    private enum Hextile {
        static let raw: UInt8 = 1, background: UInt8 = 2, foreground: UInt8 = 4, subrectangles: UInt8 = 8
        static let coloured: UInt8 = 16
    }

    private static func tiles(_ rectangle: PixelRectangle, _ side: Int) -> [PixelRectangle] {
        var tiles: [PixelRectangle] = []
        for top in stride(from: 0, to: rectangle.height, by: side) {
            for left in stride(from: 0, to: rectangle.width, by: side) {
                tiles.append(
                    PixelRectangle(
                        x: rectangle.x + left, y: rectangle.y + top, width: min(side, rectangle.width - left),
                        height: min(side, rectangle.height - top)))
            }
        }
        return tiles
    }

    /// Puts a rectangle's tiles into `scratch`, not yet compressed.
    func gatherZRLE(_ image: DisplayImage, _ rectangle: PixelRectangle) {
        scratch.removeAll(keepingCapacity: true)
        for tile in Self.tiles(rectangle, Self.zrleTile) {
            var palette = Palette(limit: 16)
            guard palette.gather(image, tile) else {
                scratch.append(0)
                for row in tile.y..<tile.y + tile.height {
                    let start = row * image.width + tile.x
                    for pixel in image.pixels[start..<start + tile.width] { pixels.appendCompact(pixel, to: &scratch) }
                }
                continue
            }
            scratch.append(UInt8(palette.colours.count))
            for colour in palette.colours { pixels.appendCompact(colour, to: &scratch) }
            if palette.colours.count > 1 { packZRLE(image, tile, palette) }
        }
    }

    /// Indices of one, two or four bits, each row from a new byte.
    private func packZRLE(_ image: DisplayImage, _ tile: PixelRectangle, _ palette: Palette) {
        let width = palette.colours.count == 2 ? 1 : palette.colours.count <= 4 ? 2 : 4
        for row in tile.y..<tile.y + tile.height {
            let start = row * image.width + tile.x
            var byte: UInt8 = 0, bits = 0
            var last = palette.colours[0]
            var index: UInt8 = 0
            for pixel in image.pixels[start..<start + tile.width] {
                if pixel != last {
                    last = pixel
                    index = UInt8(truncatingIfNeeded: palette.index(of: pixel))
                }
                byte = byte << UInt8(width) | index
                bits += width
                if bits == 8 {
                    scratch.append(byte)
                    (byte, bits) = (0, 0)
                }
            }
            if bits > 0 { scratch.append(byte << UInt8(8 - bits)) }
        }
    }

    /// Appends a rectangle's tiles.
    func hextile(_ image: DisplayImage, _ rectangle: PixelRectangle) {
        var background: UInt32?, foreground: UInt32?
        for tile in Self.tiles(rectangle, Self.hextileTile) {
            var palette = Palette(limit: 16)
            let isSmall = palette.gather(image, tile)
            let common = isSmall ? palette.counts.indices.max { palette.counts[$0] < palette.counts[$1] } ?? 0 : 0
            let back = isSmall ? palette.colours[common] : 0
            let runs = isSmall ? Self.runs(image, tile, but: back) : []
            let isTwo = palette.colours.count == 2
            let cost = runs.count * (isTwo ? 2 : 2 + pixels.size)
            guard isSmall, runs.count < 256, cost < tile.width * tile.height * pixels.size else {
                output.append(Hextile.raw)
                for row in tile.y..<tile.y + tile.height {
                    let start = row * image.width + tile.x
                    pixels.append(image.pixels[start..<start + tile.width], to: &output)
                }
                // What comes after a raw tile says its colours again.
                (background, foreground) = (nil, nil)
                continue
            }
            var flags: UInt8 = back == background ? 0 : Hextile.background
            let front = isTwo ? palette.colours[1 - common] : nil
            if !runs.isEmpty { flags |= Hextile.subrectangles }
            if let front, front != foreground { flags |= Hextile.foreground }
            if front == nil, !runs.isEmpty { flags |= Hextile.coloured }
            output.append(flags)
            if flags & Hextile.background != 0 { pixels.append(back, to: &output) }
            if flags & Hextile.foreground != 0, let front { pixels.append(front, to: &output) }
            background = back
            if let front { foreground = front }
            // A client forgets the foreground at a tile with colours of its own.
            if flags & Hextile.coloured != 0 { foreground = nil }
            guard !runs.isEmpty else { continue }
            output.append(UInt8(runs.count))
            for run in runs {
                if flags & Hextile.coloured != 0 { pixels.append(run.colour, to: &output) }
                output.append(UInt8(run.x << 4 | run.y))
                output.append(UInt8((run.width - 1) << 4))
            }
        }
    }

    private struct Run {
        var x: Int, y: Int, width: Int
        var colour: UInt32
    }

    /// Runs of one colour along rows, without those of the background.
    private static func runs(_ image: DisplayImage, _ tile: PixelRectangle, but background: UInt32) -> [Run] {
        var runs: [Run] = []
        for y in 0..<tile.height {
            let start = (tile.y + y) * image.width + tile.x
            var open: Run?
            for x in 0..<tile.width {
                let pixel = image.pixels[start + x]
                if let run = open, run.colour == pixel {
                    open?.width += 1
                    continue
                }
                if let run = open { runs.append(run) }
                open = pixel == background ? nil : Run(x: x, y: y, width: 1, colour: pixel)
            }
            if let run = open { runs.append(run) }
        }
        return runs
    }
}
