// SPDX-License-Identifier: Apache-2.0

import DisplaySurfaces
import HostSystem
import Testing

private final class Painter: DisplaySource {
    var paint: (inout DisplayImage) -> Void = { _ in }
    func draw(into image: inout DisplayImage) { paint(&image) }
}

private final class Viewer: DisplayListener {
    var sizes: [[Int]] = []
    var changes: [PixelRectangle] = []
    func displayResized(_ console: DisplayConsole) { sizes.append([console.image.width, console.image.height]) }
    func displayChanged(_ console: DisplayConsole, _ rectangles: [PixelRectangle]) { changes += rectangles }
    func cursorChanged(_ console: DisplayConsole, _ cursor: CursorImage?) {}
}

private final class Keyboard: KeyboardSink {
    var keys: [String] = []
    func send(_ key: KeyCode, isDown: Bool) { keys.append((isDown ? "+" : "-") + key.name) }
}

private final class Pointer: PointerSink {
    let pointerName = "test"
    let isAbsolute: Bool
    var events: [String] = []
    init(isAbsolute: Bool) { self.isAbsolute = isAbsolute }
    func moveBy(x: Int, y: Int) { events.append("by \(x) \(y)") }
    func moveTo(x: Int, y: Int) { events.append("to \(x) \(y)") }
    func send(_ button: PointerButton, isDown: Bool) { events.append("\(button.rawValue) \(isDown)") }
    func synchronize() { events.append("sync") }
}

@Suite struct DisplayTests {
    @Test func listenersHearOfWhatChanged() {
        let painter = Painter(), viewer = Viewer()
        let console = DisplayConsole(name: "VGA", source: painter, machineLock: Lock())
        console.add(viewer)
        painter.paint = { $0.resize(width: 200, height: 100) }
        console.refresh()
        #expect(
            viewer.sizes == [[200, 100]] && viewer.changes == [PixelRectangle(x: 0, y: 0, width: 200, height: 100)])
        viewer.changes = []
        painter.paint = { image in
            image[70, 20] = 1
            image[130, 31] = 2
            image[199, 99] = 3
        }
        console.refresh()
        #expect(
            viewer.changes == [
                PixelRectangle(x: 64, y: 16, width: 128, height: 16),
                PixelRectangle(x: 192, y: 96, width: 8, height: 4),
            ])
        viewer.changes = []
        console.refresh()
        #expect(viewer.changes.isEmpty && viewer.sizes.count == 1)
    }

    @Test func picturesHaveTheirFormats() throws {
        var image = DisplayImage(width: 3, height: 2)
        image[1, 0] = 0x11_2233
        #expect(
            PictureFile.portablePixmap(image)
                == Array("P6\n3 2\n255\n".utf8) + [0, 0, 0, 0x11, 0x22, 0x33] + [UInt8](repeating: 0, count: 12))
        let bytes = try PictureFile.portableNetworkGraphics(image)
        #expect(bytes.prefix(8) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        #expect(Array(bytes[12..<24]) == Array("IHDR".utf8) + [0, 0, 0, 3, 0, 0, 0, 2])
        // The well-known checksum of an empty IEND.
        #expect(bytes.suffix(12) == [0, 0, 0, 0, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82])
    }

    @Test func inputGoesToTheDeviceInUse() {
        let router = InputRouter(machineLock: Lock())
        let keyboard = Keyboard(), mouse = Pointer(isAbsolute: false), tablet = Pointer(isAbsolute: true)
        #expect(!router.send(KeyCode.named("a")!, isDown: true))
        router.add(keyboard)
        router.add(mouse)
        router.add(tablet)
        router.send(KeyCode.named("ret")!, isDown: true)
        router.moveBy(x: 1, y: 2)
        router.moveTo(x: 99999, y: -4)
        router.send(.left, isDown: true)
        router.synchronize()
        #expect(keyboard.keys == ["+ret"] && mouse.events.isEmpty)
        #expect(tablet.events == ["to 32767 0", "left true", "sync"])
        #expect(router.choosePointer(0) && !router.choosePointer(9) && !router.pointerIsAbsolute)
        router.moveBy(x: 1, y: 2)
        #expect(mouse.events == ["by 1 2"])
    }

    @Test func anIdleDeviceGetsNothingUntilItIsListenedTo() {
        let router = InputRouter(machineLock: Lock())
        let keyboard = Keyboard(), second = Keyboard(), mouse = Pointer(isAbsolute: false)
        let tablet = Pointer(isAbsolute: true), key = KeyCode.named("a")!
        router.add(keyboard)
        router.addIdle(second)
        router.addIdle(tablet)
        // Without another it is in use anyway.
        #expect(router.pointerIsAbsolute)
        router.add(mouse)
        #expect(!router.pointerIsAbsolute)
        router.send(key, isDown: true)
        router.activate(second)
        router.activate(tablet)
        router.send(key, isDown: false)
        #expect(keyboard.keys == ["+a"] && second.keys == ["-a"] && router.pointerIsAbsolute)
        router.deactivate(second)
        router.deactivate(tablet)
        router.send(key, isDown: true)
        #expect(keyboard.keys == ["+a", "+a"] && !router.pointerIsAbsolute)
        router.remove(tablet)
        router.activate(tablet)
        #expect(router.pointerDescriptions.count == 1)
    }

    @Test func keysHaveOneNameEach() {
        #expect(Set(KeyCode.all.map(\.name)).count == KeyCode.all.count)
        #expect(KeyCode.named("esc")?.number == 1 && KeyCode.named("up")?.scanCode == 0xE075)
        #expect(KeyCode.numbered(0x1C)?.name == "ret" && KeyCode.named("nothing") == nil)
    }
}
