// SPDX-License-Identifier: Apache-2.0

public import DisplaySurfaces
public import MachineModel

/// QEMU's usb-kbd: a boot keyboard with six keys at a time.
public final class USBKeyboard: USBHumanInterface, KeyboardSink, @unchecked Sendable {
    /// Told when the host sets the lights: num lock, caps lock, scroll lock from bit 0.
    public var lightsChanged: (UInt8) -> Void = { _ in }
    private static let modifiers: ClosedRange<UInt8> = 0xE0...0xE7
    private static let keyCount = 6, firstKey = 2
    /// What stands in all places when more keys are held than there are places.
    private static let rollOver: UInt8 = 1

    /// A keyboard that is plugged in nowhere.
    public init(options: Options = Options(), clock: any MachineClock) {
        super.init(
            Kind(
                name: "usb-kbd", label: "QEMU USB Keyboard", configuration: "HID Keyboard", subclass: 1, code: 1,
                report: Self.keyboardReport, reportLength: Self.firstKey + Self.keyCount, fullInterval: 10,
                highInterval: 7), options: options, clock: clock)
    }

    public func send(_ key: KeyCode, isDown: Bool) {
        guard key.usage != 0 else { return }
        if isDown {
            guard !hid.held.contains(key.usage), hid.held.count < Self.mostHeld else { return }
            hid.held.append(key.usage)
        } else {
            hid.held.removeAll { $0 == key.usage }
        }
        enqueue(heldKeys)
    }

    private var heldKeys: [UInt8] {
        var modifierBits: UInt8 = 0
        var keys: [UInt8] = []
        for usage in hid.held {
            if Self.modifiers.contains(usage) {
                modifierBits |= 1 << (usage - Self.modifiers.lowerBound)
            } else {
                keys.append(usage)
            }
        }
        if keys.count > Self.keyCount { keys = [UInt8](repeating: Self.rollOver, count: Self.keyCount) }
        return [modifierBits, 0] + keys + [UInt8](repeating: 0, count: Self.keyCount - keys.count)
    }

    override var currentReport: [UInt8] { heldKeys }

    override func output(_ report: [UInt8]) -> USBOutcome {
        guard let lights = report.first else { return .stalled }
        hid.lights = lights & 0x1F
        lightsChanged(hid.lights)
        return .taken
    }
}
