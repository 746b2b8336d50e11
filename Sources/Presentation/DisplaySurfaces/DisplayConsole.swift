// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// A display adapter as its screens see it. Called with the machine lock held.
public protocol DisplaySource: AnyObject {
    /// Draws what is on the screen now. The picture comes in as it was drawn last; the source resizes it as it likes.
    func draw(into image: inout DisplayImage)
}

/// A display adapter that can be told what size the person's window has, as by EDID.
public protocol ResizableDisplaySource: DisplaySource {
    /// Sizes in pixels; the guest may follow, or not.
    func suggestSize(width: Int, height: Int)
}

/// A pointer's picture, drawn by the viewer over the screen.
public struct CursorImage: Equatable, Sendable {
    /// In pixels; `pixels` has that many in a row.
    public var width: Int
    /// In pixels: the rows of `pixels`.
    public var height: Int
    /// The pixel that points.
    public var hotX: Int
    /// The row of the pixel that points.
    public var hotY: Int
    /// 0xAARRGGBB, row by row.
    public var pixels: [UInt32]

    /// A picture of `width * height` pixels.
    public init(width: Int, height: Int, hotX: Int, hotY: Int, pixels: [UInt32]) {
        (self.width, self.height, self.hotX, self.hotY, self.pixels) = (width, height, hotX, hotY, pixels)
    }
}

/// Somebody who looks at a screen. Called on the event loop's thread, without the machine lock.
public protocol DisplayListener: AnyObject {
    /// The picture has another size; `displayChanged` for all of it follows.
    func displayResized(_ console: DisplayConsole)
    /// Parts of `console.image` are new.
    func displayChanged(_ console: DisplayConsole, _ rectangles: [PixelRectangle])
    /// The pointer's picture changed; nil when the guest draws its own.
    func cursorChanged(_ console: DisplayConsole, _ cursor: CursorImage?)
}

/// One screen: an adapter on one side, viewers on the other.
///
/// Nobody draws until a viewer asks: a viewer with a client calls `refresh` as often as it wants pictures (30 times a
/// second is usual), and all listeners hear of what changed. Used on the event loop's thread only.
public final class DisplayConsole: @unchecked Sendable {
    /// The picture as of the last `refresh`.
    public private(set) var image: DisplayImage {
        get { drawn ?? DisplayImage(width: 720, height: 400) }
        set { drawn = newValue }
    }
    /// Nil before the first `refresh`: a screen that nobody looks at takes up no memory.
    private var drawn: DisplayImage?
    /// The pointer that the viewer draws; nil when the guest draws its own.
    public private(set) var cursor: CursorImage?
    /// What people call the adapter: "VGA".
    public let name: String
    /// The adapter's own identifier; nil where nobody gave one.
    public let identifier: String?
    private weak var source: (any DisplaySource)?
    private let machineLock: Lock
    private var listeners: [Listener] = []

    private struct Listener {
        weak var object: (any DisplayListener)?
    }

    /// A screen of an adapter, which it does not keep.
    public init(name: String, identifier: String? = nil, source: any DisplaySource, machineLock: Lock) {
        self.name = name
        self.identifier = identifier
        self.source = source
        self.machineLock = machineLock
    }

    /// Adds a viewer, which is not kept.
    public func add(_ listener: any DisplayListener) { listeners.append(Listener(object: listener)) }

    /// Takes a viewer out.
    public func remove(_ listener: any DisplayListener) {
        listeners.removeAll { $0.object == nil || $0.object === listener }
    }

    /// Draws anew and tells the listeners what is different.
    public func refresh() {
        guard let source else { return }
        let old = image
        machineLock.withLock { source.draw(into: &image) }
        let changes = image.differences(from: old)
        guard !changes.isEmpty else { return }
        let isResized = old.width != image.width || old.height != image.height
        for listener in listeners.compactMap(\.object) {
            if isResized { listener.displayResized(self) }
            listener.displayChanged(self, changes)
        }
    }

    /// Passes on the size that a viewer's window has.
    /// - Returns: false when the adapter has no way to tell the guest.
    @discardableResult
    public func suggestSize(width: Int, height: Int) -> Bool {
        guard let source = source as? any ResizableDisplaySource else { return false }
        machineLock.withLock { source.suggestSize(width: width, height: height) }
        return true
    }

    /// Called by an adapter with a pointer of its own, on the event loop's thread.
    public func setCursor(_ cursor: CursorImage?) {
        self.cursor = cursor
        for listener in listeners.compactMap(\.object) { listener.cursorChanged(self, cursor) }
    }
}
