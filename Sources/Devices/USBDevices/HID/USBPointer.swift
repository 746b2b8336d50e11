// SPDX-License-Identifier: Apache-2.0

public import DisplaySurfaces
public import MachineModel

/// QEMU's usb-mouse and usb-tablet: a pointer that says how far it moved, or where it is.
public final class USBPointer: USBHumanInterface, PointerSink, @unchecked Sendable {
    /// "QEMU HID Tablet", "QEMU HID Mouse": what `query-mice` says.
    public let pointerName: String
    public let isAbsolute: Bool
    // What was sent since the last report.
    private var x = 0, y = 0, wheel = 0
    private var buttons: UInt8 = 0
    private static let furthest = 1 << 16
    private static let longestStep = 127

    /// A pointer that is plugged in nowhere.
    public init(isAbsolute: Bool, options: Options = Options(), clock: any MachineClock) {
        self.isAbsolute = isAbsolute
        pointerName = isAbsolute ? "QEMU HID Tablet" : "QEMU HID Mouse"
        super.init(
            isAbsolute
                ? Kind(
                    name: "usb-tablet", label: "QEMU USB Tablet", configuration: "HID Tablet", subclass: 0, code: 0,
                    report: Self.tabletReport, reportLength: 6, fullInterval: 10, highInterval: 4)
                : Kind(
                    name: "usb-mouse", label: "QEMU USB Mouse", configuration: "HID Mouse", subclass: 1, code: 2,
                    report: Self.mouseReport, reportLength: 4, fullInterval: 10, highInterval: 7),
            options: options, clock: clock)
    }

    public override func reset() {
        super.reset()
        (wheel, buttons) = (0, 0)
        if !isAbsolute { (x, y) = (0, 0) }
    }

    public func moveBy(x: Int, y: Int) {
        func clamp(_ value: Int) -> Int { max(-Self.furthest, min(value, Self.furthest)) }
        self.x = clamp(self.x + clamp(x))
        self.y = clamp(self.y + clamp(y))
    }

    public func moveTo(x: Int, y: Int) {
        func clamp(_ value: Int) -> Int { max(0, min(value, InputRouter.largestPosition)) }
        (self.x, self.y) = (clamp(x), clamp(y))
    }

    public func send(_ button: PointerButton, isDown: Bool) {
        if let bit = button.mouseBit {
            buttons = isDown ? buttons | bit : buttons & ~bit
        } else if isDown {
            // One wheel.
            switch button {
            case .wheelUp: wheel = min(wheel + 1, Self.longestStep)
            case .wheelDown: wheel = max(wheel - 1, -Self.longestStep)
            default: break
            }
        }
    }

    public func synchronize() {
        hid.held = [buttons]
        if isAbsolute {
            return synchronizePosition()
        }
        let isNews = buttons != (hid.queue.last ?? hid.last)[0]
        guard isNews || x != 0 || y != 0 || wheel != 0 else { return }
        // Further than a report can say: several.
        repeat {
            func step(_ value: inout Int) -> UInt8 {
                let part = max(-Self.longestStep, min(value, Self.longestStep))
                value -= part
                return UInt8(bitPattern: Int8(part))
            }
            enqueue([buttons, step(&x), step(&y), step(&wheel)])
        } while (x != 0 || y != 0 || wheel != 0) && hid.queue.count < Self.longestQueue
    }

    private func synchronizePosition() {
        let report = position(wheel: wheel), before = hid.queue.last ?? hid.last
        guard wheel != 0 || report.dropLast() != before.dropLast() else { return }
        // Of movements that nobody has fetched, the last is enough.
        if hid.queue.count > 1, hid.queue.suffix(2).allSatisfy({ $0[0] == buttons && $0[5] == 0 }) {
            hid.queue.removeLast()
        }
        wheel = 0
        enqueue(report)
    }

    private func position(wheel: Int) -> [UInt8] {
        [
            buttons, UInt8(truncatingIfNeeded: x), UInt8(truncatingIfNeeded: x >> 8), UInt8(truncatingIfNeeded: y),
            UInt8(truncatingIfNeeded: y >> 8), UInt8(bitPattern: Int8(wheel)),
        ]
    }

    override func stateRestored() { buttons = hid.held.first ?? 0 }

    /// Movements are not made again.
    override var repeatedReport: [UInt8] {
        var report = hid.last
        if isAbsolute { report[5] = 0 } else { for place in 1..<report.count { report[place] = 0 } }
        return report
    }
}
