// SPDX-License-Identifier: Apache-2.0

public import DisplaySurfaces

extension VGACore {
    private enum Controller {
        static let horizontalEnd = 1, overflow = 7, rowScan = 8, cellHeight = 9, cursorStart = 10, cursorEnd = 11
        static let startHigh = 12, startLow = 13, cursorHigh = 14, cursorLow = 15
        static let verticalEnd = 0x12, offset = 0x13, mode = 0x17, lineCompare = 0x18
    }
    private static let blinkFrames = 16

    /// Draws text, planar or linear modes; counts frames for blinking.
    public func draw(into image: inout DisplayImage) {
        frames &+= 1
        let isBlank = state.attributeIndex & 0x20 == 0 || state.sequencer[1] & 0x20 != 0
        if state.isExtended, state.bochs[BochsRegister.depth] > 4 { return drawLinear(&image) }
        if isBlank {
            image.resize(width: image.width, height: image.height)
            for index in image.pixels.indices { image.pixels[index] = 0 }
            return
        }
        if state.graphics[6] & 1 == 0 { return drawText(&image) }
        drawGraphics(&image)
    }

    // MARK: Colours

    /// The 256 colours as pixels.
    private var colours: [UInt32] {
        let isEightBit = state.isExtended && state.bochs[BochsRegister.enable] & BochsRegister.eightBitPalette != 0
        func part(_ value: UInt8) -> UInt32 {
            if isEightBit { return UInt32(value) }
            let six = value & 0x3F
            return UInt32(six << 2 | six >> 4)
        }
        return (0..<256).map { index in
            let place = index & Int(state.paletteMask)
            return part(state.palette[place * 3]) << 16 | part(state.palette[place * 3 + 1]) << 8
                | part(state.palette[place * 3 + 2])
        }
    }

    /// The 16 colours of text and planar modes.
    private var attributeColours: [UInt32] {
        let colours = colours
        let usesSelect = state.attribute[0x10] & 0x80 != 0
        return (0..<16).map { index in
            let value = state.attribute[index]
            let select = state.attribute[0x14]
            let number = usesSelect ? value & 0x0F | (select & 0x0F) << 4 : value & 0x3F | (select & 0x0C) << 4
            return colours[Int(number)]
        }
    }

    // MARK: Geometry of the standard modes

    private var rows: Int {
        let overflow = state.controller[Controller.overflow]
        return Int(state.controller[Controller.verticalEnd]) + (overflow & 2 != 0 ? 256 : 0)
            + (overflow & 0x40 != 0 ? 512 : 0) + 1
    }

    private var lineCompare: Int {
        let overflow = state.controller[Controller.overflow]
        return Int(state.controller[Controller.lineCompare]) + (overflow & 0x10 != 0 ? 256 : 0)
            + (state.controller[Controller.cellHeight] & 0x40 != 0 ? 512 : 0)
    }

    private var start: Int {
        Int(state.controller[Controller.startHigh]) << 8 | Int(state.controller[Controller.startLow])
    }

    // MARK: Text

    private func drawText(_ image: inout DisplayImage) {
        let cellHeight = Int(state.controller[Controller.cellHeight] & 0x1F) + 1
        let cellWidth = state.sequencer[1] & 1 != 0 ? 8 : 9
        let columns = min(Int(state.controller[Controller.horizontalEnd]) + 1, 256)
        let doubles = state.controller[Controller.cellHeight] & 0x80 != 0
        let lines = min(max(rows / (doubles ? 2 : 1) / cellHeight, 1), 128)
        image.resize(width: columns * cellWidth, height: lines * cellHeight)
        let colours = attributeColours
        let fonts = [
            fontPlace(state.sequencer[3] >> 2 & 3 | state.sequencer[3] >> 3 & 4),
            fontPlace(state.sequencer[3] & 3 | state.sequencer[3] >> 2 & 4),
        ]
        let step = Int(state.controller[Controller.offset]) * 2
        let cursor = cursorPlace
        let blinks = state.attribute[0x10] & 8 != 0
        let isHidden = frames / Self.blinkFrames & 1 != 0
        for line in 0..<lines {
            for column in 0..<columns {
                let address = start + line * step + column
                let cell = planes(address)
                let attribute = UInt8(truncatingIfNeeded: cell >> 8)
                var front = colours[Int(attribute & 0x0F)]
                let back = colours[Int(blinks ? attribute >> 4 & 7 : attribute >> 4)]
                if blinks, attribute & 0x80 != 0, isHidden { front = back }
                let character = Int(cell & 0xFF)
                let font = fonts[attribute & 8 != 0 ? 0 : 1]
                let repeatsColumn = state.attribute[0x10] & 4 != 0 && (0xC0...0xDF).contains(character)
                for row in 0..<cellHeight {
                    var bits = byte((font + character * 32 + row) * 4 + 2)
                    if address == cursor.address, cursor.rows.contains(row), !isHidden { bits = 0xFF }
                    let place = (line * cellHeight + row) * image.width + column * cellWidth
                    for pixel in 0..<8 {
                        image.pixels[place + pixel] = bits & 0x80 >> UInt8(pixel) != 0 ? front : back
                    }
                    if cellWidth == 9 {
                        let isFull = address == cursor.address && cursor.rows.contains(row) && !isHidden
                        image.pixels[place + 8] = isFull || repeatsColumn && bits & 1 != 0 ? front : back
                    }
                }
            }
        }
    }

    /// Where the font with a number of three bits begins in plane 2: bits 0 and 1 select 16 KiB, bit 2 adds 8.
    private func fontPlace(_ number: UInt8) -> Int { Int(number & 3) * 0x4000 + (number & 4 != 0 ? 0x2000 : 0) }

    private var cursorPlace: (address: Int, rows: Range<Int>) {
        let first = state.controller[Controller.cursorStart]
        let address =
            Int(state.controller[Controller.cursorHigh]) << 8 | Int(state.controller[Controller.cursorLow])
        let start = Int(first & 0x1F), end = Int(state.controller[Controller.cursorEnd] & 0x1F) + 1
        return (address, first & 0x20 != 0 || end <= start ? 0..<0 : start..<end)
    }

    // MARK: Graphics of the standard modes

    private func drawGraphics(_ image: inout DisplayImage) {
        let shift = state.graphics[5] >> 5 & 3
        let isWide = shift >= 2
        let doublesDots = state.sequencer[1] & 8 != 0
        let cellHeight = Int(state.controller[Controller.cellHeight] & 0x1F) + 1
        let doubles = state.controller[Controller.cellHeight] & 0x80 != 0
        let repeats = max(1, cellHeight * (doubles ? 2 : 1))
        var width = (Int(state.controller[Controller.horizontalEnd]) + 1) * 8
        var height = rows / repeats
        if state.isExtended {
            (width, height) = (Int(state.bochs[BochsRegister.width]), Int(state.bochs[BochsRegister.height]))
        } else if isWide || doublesDots {
            width /= 2
        }
        image.resize(width: width, height: max(1, height))
        let step = state.isExtended ? lineBytes / 4 : Int(state.controller[Controller.offset]) * 2
        let colours = isWide ? colours : attributeColours
        let enabled = state.attribute[0x12]
        // Line interleaving of CGA modes: odd lines lie 8 KiB further.
        let interleaves = state.controller[Controller.mode] & 1 == 0 && !state.isExtended
        for row in 0..<image.height {
            let isBelow = !state.isExtended && row * repeats > lineCompare
            let first = isBelow ? 0 : state.isExtended ? extendedStart : start
            let line = isBelow ? row - lineCompare / repeats - 1 : row
            let address = interleaves ? first + (line >> 1) * step + (line & 1) * 0x2000 : first + line * step
            drawRow(row, of: &image, at: address, shift: shift, colours: colours, enabled: enabled)
        }
    }

    private var extendedStart: Int {
        Int(state.bochs[BochsRegister.yOffset]) * lineBytes / 4 + Int(state.bochs[BochsRegister.xOffset]) / 8
    }

    private func drawRow(
        _ row: Int, of image: inout DisplayImage, at address: Int, shift: UInt8, colours: [UInt32], enabled: UInt8
    ) {
        let place = row * image.width
        for x in 0..<image.width {
            let colour: Int
            switch shift {
            case 0:
                let cell = planes(address + x / 8)
                let bit = UInt32(7 - x % 8)
                let number =
                    (cell >> bit & 1) | (cell >> (8 + bit) & 1) << 1 | (cell >> (16 + bit) & 1) << 2
                    | (cell >> (24 + bit) & 1) << 3
                colour = Int(number) & Int(enabled & 0x0F)
            case 1:
                // Four colours, two bits a pixel, in the even and the odd plane.
                let cell = planes(address + x / 8)
                let half = x % 8 < 4 ? cell & 0xFF : cell >> 8 & 0xFF
                colour = Int(half >> UInt32(6 - x % 4 * 2) & 3) & Int(enabled & 0x0F)
            default:
                colour = Int(byte(address * 4 + x))
            }
            image.pixels[place + x] = colours[colour]
        }
    }

    // MARK: Modes with linear pixels

    private func drawLinear(_ image: inout DisplayImage) {
        let depth = Int(state.bochs[BochsRegister.depth])
        image.resize(width: Int(state.bochs[BochsRegister.width]), height: Int(state.bochs[BochsRegister.height]))
        let line = lineBytes, bytes = (depth + 7) / 8
        let first =
            Int(state.bochs[BochsRegister.yOffset]) * line + Int(state.bochs[BochsRegister.xOffset]) * bytes
        let colours = depth == 8 ? colours : []
        for row in 0..<image.height {
            let start = first + row * line
            let place = row * image.width
            guard start + image.width * bytes <= memoryCount else { continue }
            if depth == 32 {
                copyRow(of: &image, to: place, from: start)
            } else {
                for x in 0..<image.width {
                    image.pixels[place + x] = pixel(at: start + x * bytes, depth: depth, colours: colours)
                }
            }
        }
    }

    private func copyRow(of image: inout DisplayImage, to place: Int, from start: Int) {
        let width = image.width
        // The caller checked that the row lies in the memory; the row lies in the picture. The high byte of each pixel
        // is not the guest's to show.
        unsafe image.pixels.withUnsafeMutableBufferPointer { pixels in
            let source = unsafe memory + start
            for x in 0..<width {
                unsafe pixels[place + x] = source.loadUnaligned(fromByteOffset: x * 4, as: UInt32.self) & 0xFF_FFFF
            }
        }
    }

    private func pixel(at place: Int, depth: Int, colours: [UInt32]) -> UInt32 {
        func five(_ value: UInt32) -> UInt32 { value << 3 | value >> 2 }
        switch depth {
        case 8: return colours[Int(byte(place))]
        case 24: return UInt32(byte(place)) | UInt32(byte(place + 1)) << 8 | UInt32(byte(place + 2)) << 16
        default:
            let word = UInt32(byte(place)) | UInt32(byte(place + 1)) << 8
            if depth == 15 { return five(word >> 10 & 31) << 16 | five(word >> 5 & 31) << 8 | five(word & 31) }
            let green = word >> 5 & 63
            return five(word >> 11 & 31) << 16 | (green << 2 | green >> 4) << 8 | five(word & 31)
        }
    }
}
