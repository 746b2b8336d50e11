// SPDX-License-Identifier: Apache-2.0

package import DisplaySurfaces

/// Pseudo-encodings: what a client can do beside pictures.
enum PseudoEncoding {
    static let desktopSize: Int32 = -223, lastRectangle: Int32 = -224, cursor: Int32 = -239, keyboard: Int32 = -258
    static let pointerType: Int32 = -257, indicators: Int32 = -261, alphaCursor: Int32 = -314
    static let desktopName: Int32 = -307, extendedDesktopSize: Int32 = -308, power: Int32 = -309
    static let compressLevels: ClosedRange<Int32> = -256 ... -247
}

/// What a client said that it can do.
package struct ClientFeatures: OptionSet, Sendable {
    /// One bit for each feature, in an order of this server's own.
    package let rawValue: UInt16
    /// A set from its bits.
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    static let desktopSize = ClientFeatures(rawValue: 1), extendedDesktopSize = ClientFeatures(rawValue: 2)
    static let cursor = ClientFeatures(rawValue: 4), alphaCursor = ClientFeatures(rawValue: 8)
    static let keyboard = ClientFeatures(rawValue: 16), pointerType = ClientFeatures(rawValue: 32)
    static let indicators = ClientFeatures(rawValue: 64), power = ClientFeatures(rawValue: 128)
}

/// What the threads of one client share: its wishes, and what is new on the screen. Not synchronised.
package struct ClientState {
    /// How pictures are sent, from the client's last SetPixelFormat and SetEncodings.
    package private(set) var choice = EncodingChoice()
    /// What the client's list of pseudo-encodings says.
    package private(set) var features: ClientFeatures = []
    /// The picture that is sent from.
    package private(set) var image: DisplayImage
    /// The size that the client knows.
    package private(set) var width: Int, height: Int
    /// Messages that go out before the next picture.
    package private(set) var messages: [UInt8] = []
    private var request = Request.none
    /// The picture was drawn after it was asked for.
    private var isFresh = false
    private var isDirty: [Bool] = []
    private var columns = 0

    private enum Request { case none, changes, all }
    private static let tileWidth = 64, tileHeight = 16

    /// Begins with all of `image` to be sent; `isLocal` for a client on this host.
    package init(image: DisplayImage, isLocal: Bool) {
        self.image = image
        (width, height) = (image.width, image.height)
        choice.isLocal = isLocal
        clearTiles()
    }

    /// A picture is asked for.
    package var isWaiting: Bool { request != .none }
    /// There is something to send now.
    package var isReady: Bool {
        !messages.isEmpty || hasUpdate
    }

    private var hasUpdate: Bool { request == .all ? isFresh : request == .changes && isDirty.contains(true) }

    // MARK: what the client says

    /// SetPixelFormat (7.5.1); a format with a colour map is answered with the map.
    package mutating func set(_ format: PixelFormat) {
        choice.format = format
        if !format.isTrueColour { messages += PixelFormat.colourMap }
    }

    /// The client's list of encodings; the first known one is used.
    package mutating func set(_ encodings: [Int32]) {
        choice.encoding = encodings.lazy.compactMap { VNCEncoding(rawValue: $0) }.first ?? .raw
        choice.level = 1
        features = []
        for encoding in encodings {
            switch encoding {
            case PseudoEncoding.desktopSize: features.insert(.desktopSize)
            case PseudoEncoding.extendedDesktopSize: features.insert(.extendedDesktopSize)
            case PseudoEncoding.cursor: features.insert(.cursor)
            case PseudoEncoding.alphaCursor: features.insert(.alphaCursor)
            case PseudoEncoding.keyboard: features.insert(.keyboard)
            case PseudoEncoding.pointerType: features.insert(.pointerType)
            case PseudoEncoding.indicators: features.insert(.indicators)
            case PseudoEncoding.power: features.insert(.power)
            case PseudoEncoding.compressLevels:
                choice.level = Int(encoding - PseudoEncoding.compressLevels.lowerBound)
            default: break
            }
        }
    }

    /// A picture is wanted: all of a part, or what is new anywhere.
    package mutating func request(isIncremental: Bool, _ part: PixelRectangle) {
        isFresh = false
        if isIncremental {
            if request == .none { request = .changes }
        } else {
            request = .all
            markDirty([part])
        }
    }

    // MARK: what the screen does

    /// The screen was drawn anew; what is different was told before.
    package mutating func refreshed() { isFresh = true }

    /// The screen shows something new in places.
    package mutating func change(_ image: DisplayImage, _ rectangles: [PixelRectangle]) {
        self.image = image
        markDirty(rectangles)
    }

    /// The screen has another size.
    package mutating func resize(_ image: DisplayImage) {
        self.image = image
        guard image.width != width || image.height != height else { return }
        guard !features.isDisjoint(with: [.desktopSize, .extendedDesktopSize]) else {
            // The client keeps its size, and sees what fits.
            markDirty([PixelRectangle(x: 0, y: 0, width: width, height: height)])
            return
        }
        (width, height) = (image.width, image.height)
        clearTiles()
        sendSize(reason: 0, status: 0)
        markDirty([image.bounds])
    }

    /// Says how large the screen is.
    /// - Parameters:
    ///   - reason: 0 for the guest's doing, 1 for the client's wish.
    ///   - status: 0, or why the wish was not granted.
    package mutating func sendSize(reason: Int, status: Int) {
        if features.contains(.extendedDesktopSize) {
            sendRectangle(reason, status, width, height, PseudoEncoding.extendedDesktopSize)
            // One screen, with the number 0, that fills the picture, without flags.
            messages += [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            for side in [width, height] {
                messages += [UInt8(truncatingIfNeeded: side >> 8), UInt8(truncatingIfNeeded: side)]
            }
            messages += [0, 0, 0, 0]
        } else if features.contains(.desktopSize), reason == 0 {
            sendRectangle(0, 0, width, height, PseudoEncoding.desktopSize)
        }
    }

    /// Says that keys may be sent by their places.
    package mutating func sendKeyboardSupport() {
        if features.contains(.keyboard) { sendRectangle(0, 0, width, height, PseudoEncoding.keyboard) }
    }

    /// Says whether the pointer takes positions.
    package mutating func sendPointerType(isAbsolute: Bool) {
        guard features.contains(.pointerType) else { return }
        sendRectangle(isAbsolute ? 1 : 0, 0, width, height, PseudoEncoding.pointerType)
    }

    /// Says which lights of the keyboard are on: scroll, num, caps lock.
    package mutating func sendIndicators(_ lights: UInt8) {
        guard features.contains(.indicators) else { return }
        sendRectangle(0, 0, 1, 1, PseudoEncoding.indicators)
        messages.append(lights)
    }

    /// Sends the pointer's picture; an empty one where the guest draws it.
    package mutating func send(_ cursor: CursorImage?) {
        let cursor = cursor ?? CursorImage(width: 0, height: 0, hotX: 0, hotY: 0, pixels: [])
        let count = cursor.width * cursor.height
        guard cursor.pixels.count == count, count <= 1 << 20 else { return }
        if features.contains(.alphaCursor) {
            sendRectangle(cursor.hotX, cursor.hotY, cursor.width, cursor.height, PseudoEncoding.alphaCursor)
            messages += VNCHandshake.long(UInt32(bitPattern: VNCEncoding.raw.rawValue))
            for pixel in cursor.pixels {
                for shift in [UInt32(16), 8, 0, 24] { messages.append(UInt8(truncatingIfNeeded: pixel >> shift)) }
            }
        } else if features.contains(.cursor) {
            sendRectangle(cursor.hotX, cursor.hotY, cursor.width, cursor.height, PseudoEncoding.cursor)
            let writer = PixelWriter(choice.format)
            for pixel in cursor.pixels { writer.append(pixel, to: &messages) }
            appendMask(of: cursor)
        }
    }

    private mutating func appendMask(of cursor: CursorImage) {
        for y in 0..<cursor.height {
            for left in stride(from: 0, to: cursor.width, by: 8) {
                var byte: UInt8 = 0
                for bit in 0..<8 where left + bit < cursor.width {
                    if cursor.pixels[y * cursor.width + left + bit] >> 31 != 0 { byte |= 0x80 >> UInt8(bit) }
                }
                messages.append(byte)
            }
        }
    }

    /// Says that the power buttons are there.
    package mutating func sendPowerSupport() {
        if features.contains(.power) { messages += [250, 0, 1, 1] }
    }

    private mutating func sendRectangle(_ x: Int, _ y: Int, _ width: Int, _ height: Int, _ encoding: Int32) {
        messages += [0, 0, 0, 1] + UpdateEncoder.rectangleHeader(x, y, width, height, encoding)
    }

    // MARK: taking what is to be sent

    /// Messages that wait; none wait afterwards.
    package mutating func takeMessages() -> [UInt8] {
        defer { messages = [] }
        return messages
    }

    /// What is new, if it was asked for; nothing is new afterwards.
    package mutating func takeUpdate() -> (image: DisplayImage, parts: [PixelRectangle], choice: EncodingChoice)? {
        guard hasUpdate else { return nil }
        request = .none
        let limit = (min(width, image.width), min(height, image.height))
        let parts = dirtyParts().map { part in
            PixelRectangle(
                x: part.x, y: part.y, width: min(part.width, limit.0 - part.x),
                height: min(part.height, limit.1 - part.y))
        }
        clearTiles()
        return (image, parts.filter { !$0.isEmpty }, choice)
    }

    private mutating func clearTiles() {
        columns = (width + Self.tileWidth - 1) / Self.tileWidth
        let rows = (height + Self.tileHeight - 1) / Self.tileHeight
        isDirty = [Bool](repeating: false, count: columns * rows)
    }

    private mutating func markDirty(_ rectangles: [PixelRectangle]) {
        for rectangle in rectangles {
            let right = min(rectangle.x + rectangle.width, width), bottom = min(rectangle.y + rectangle.height, height)
            guard rectangle.x >= 0, rectangle.y >= 0, rectangle.x < right, rectangle.y < bottom else { continue }
            for row in rectangle.y / Self.tileHeight...(bottom - 1) / Self.tileHeight {
                for column in rectangle.x / Self.tileWidth...(right - 1) / Self.tileWidth {
                    isDirty[row * columns + column] = true
                }
            }
        }
    }

    /// Dirty tiles as rectangles: runs along a row, joined with equal ones below.
    private func dirtyParts() -> [PixelRectangle] {
        var parts: [PixelRectangle] = []
        // Rectangles that end at the row before, by their place in `parts`.
        var open: [Int] = []
        for row in 0..<(columns == 0 ? 0 : isDirty.count / columns) {
            var next: [Int] = []
            var column = 0
            while column < columns {
                guard isDirty[row * columns + column] else {
                    column += 1
                    continue
                }
                let first = column
                while column < columns, isDirty[row * columns + column] { column += 1 }
                let x = first * Self.tileWidth, width = (column - first) * Self.tileWidth
                if let above = open.first(where: { parts[$0].x == x && parts[$0].width == width }) {
                    parts[above].height += Self.tileHeight
                    next.append(above)
                } else {
                    parts.append(PixelRectangle(x: x, y: row * Self.tileHeight, width: width, height: Self.tileHeight))
                    next.append(parts.count - 1)
                }
            }
            open = next
        }
        return parts
    }
}
