// SPDX-License-Identifier: Apache-2.0

internal import DisplaySurfaces
internal import PCChipset

/// A person's keys as a PS/2 keyboard sends them.
final class PS2KeyboardInput: KeyboardSink {
    private let keyboard: PS2Keyboard
    private static let extended: UInt8 = 0xE0, release: UInt8 = 0xF0
    /// Pause has no release, and print screen comes with a shift.
    private static let pause: [UInt8] = [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77]
    private static let printDown: [UInt8] = [0xE0, 0x12, 0xE0, 0x7C]
    private static let printUp: [UInt8] = [0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12]

    init(_ keyboard: PS2Keyboard) { self.keyboard = keyboard }

    func send(_ key: KeyCode, isDown: Bool) {
        if key.name == "pause" {
            if isDown { keyboard.send(scanCodes: Self.pause) }
            return
        }
        if key.name == "print" { return keyboard.send(scanCodes: isDown ? Self.printDown : Self.printUp) }
        guard key.scanCode != 0 else { return }
        var codes: [UInt8] = key.scanCode > 0xFF ? [Self.extended] : []
        if !isDown { codes.append(Self.release) }
        codes.append(UInt8(truncatingIfNeeded: key.scanCode))
        keyboard.send(scanCodes: codes)
    }
}

/// A person's pointer as a PS/2 mouse sends it.
final class PS2MouseInput: PointerSink {
    let pointerName = "QEMU PS/2 Mouse"
    let isAbsolute = false
    private let mouse: PS2Mouse
    private var x = 0, y = 0, wheel = 0
    private var buttons: UInt8 = 0
    private static let furthest = 1 << 16

    init(_ mouse: PS2Mouse) { self.mouse = mouse }

    func moveBy(x: Int, y: Int) {
        func clamp(_ value: Int) -> Int { max(-Self.furthest, min(value, Self.furthest)) }
        self.x = clamp(self.x + clamp(x))
        self.y = clamp(self.y + clamp(y))
    }

    func moveTo(x: Int, y: Int) {}

    func send(_ button: PointerButton, isDown: Bool) {
        if let bit = button.mouseBit {
            buttons = isDown ? buttons | bit : buttons & ~bit
        } else if isDown {
            // A PS/2 mouse has one wheel.
            switch button {
            case .wheelUp: wheel += 1
            case .wheelDown: wheel -= 1
            default: break
            }
        }
    }

    func synchronize() {
        // The mouse counts upwards.
        mouse.move(x: x, y: -y, wheel: wheel, buttons: buttons)
        (x, y, wheel) = (0, 0, 0)
    }
}
