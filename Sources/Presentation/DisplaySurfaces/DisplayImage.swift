// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A part of a picture, in pixels from its top left corner.
public struct PixelRectangle: Equatable, Hashable, Sendable {
    /// The leftmost column.
    public var x: Int
    /// The topmost row.
    public var y: Int
    /// Columns; a part without any is empty.
    public var width: Int
    /// Rows; a part without any is empty.
    public var height: Int

    /// A rectangle.
    public init(x: Int, y: Int, width: Int, height: Int) {
        (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    /// Without any pixel.
    public var isEmpty: Bool { width <= 0 || height <= 0 }
}

/// A picture: rows of 32-bit pixels 0x00RRGGBB, from the top, without gaps.
public struct DisplayImage: Equatable, Sendable {
    /// The largest side that a guest can ask for.
    public static let largestSide = 8192

    /// In pixels, 1...8192.
    public private(set) var width: Int
    /// In pixels, 1...8192.
    public private(set) var height: Int
    /// `width * height` pixels, row by row.
    public var pixels: [UInt32]

    /// A black picture; sides are clamped to 1...8192.
    public init(width: Int, height: Int) {
        self.width = max(1, min(width, Self.largestSide))
        self.height = max(1, min(height, Self.largestSide))
        pixels = [UInt32](repeating: 0, count: self.width * self.height)
    }

    /// Makes it that large and black, unless it is that large already.
    public mutating func resize(width: Int, height: Int) {
        let width = max(1, min(width, Self.largestSide)), height = max(1, min(height, Self.largestSide))
        if width != self.width || height != self.height { self = DisplayImage(width: width, height: height) }
    }

    /// A whole picture in its own coordinates.
    public var bounds: PixelRectangle { PixelRectangle(x: 0, y: 0, width: width, height: height) }

    /// A pixel; black outside.
    public subscript(x: Int, y: Int) -> UInt32 {
        get { x >= 0 && y >= 0 && x < width && y < height ? pixels[y * width + x] : 0 }
        set { if x >= 0 && y >= 0 && x < width && y < height { pixels[y * width + x] = newValue } }
    }

    /// Where this picture differs from one of the same size: tiles of 64 by 16 pixels, joined along rows, from top to
    /// bottom. All of it where the sizes differ.
    public func differences(from old: DisplayImage) -> [PixelRectangle] {
        guard old.width == width, old.height == height else { return [bounds] }
        let tileWidth = 64, tileHeight = 16
        var found: [PixelRectangle] = []
        // Both arrays have width * height elements; all indices below stay under that.
        unsafe pixels.withUnsafeBufferPointer { new in
            unsafe old.pixels.withUnsafeBufferPointer { old in
                for top in stride(from: 0, to: height, by: tileHeight) {
                    let rows = min(tileHeight, height - top)
                    let place = top * width
                    if unsafe Self.isEqual(new, old, at: place, count: rows * width) { continue }
                    var open: PixelRectangle?
                    for left in stride(from: 0, to: width, by: tileWidth) {
                        let columns = min(tileWidth, width - left)
                        let differs = (top..<top + rows).contains { row in
                            unsafe !Self.isEqual(new, old, at: row * width + left, count: columns)
                        }
                        if differs {
                            if open == nil { open = PixelRectangle(x: left, y: top, width: 0, height: rows) }
                            open?.width += columns
                        } else if let done = open {
                            found.append(done)
                            open = nil
                        }
                    }
                    if let done = open { found.append(done) }
                }
            }
        }
        return found
    }

    private static func isEqual(
        _ new: UnsafeBufferPointer<UInt32>, _ old: UnsafeBufferPointer<UInt32>, at place: Int, count: Int
    ) -> Bool {
        guard let new = new.baseAddress, let old = old.baseAddress else { return true }
        // The caller's range lies in both buffers.
        return unsafe memcmp(new + place, old + place, count * MemoryLayout<UInt32>.size) == 0
    }
}
