// SPDX-License-Identifier: Apache-2.0

/// Items of report descriptors (HID 1.11, 6.2.2).
private enum Item {
    static func usagePage(_ page: UInt8) -> [UInt8] { [0x05, page] }
    static func usage(_ usage: UInt8) -> [UInt8] { [0x09, usage] }
    static func usages(_ range: ClosedRange<UInt8>) -> [UInt8] { [0x19, range.lowerBound, 0x29, range.upperBound] }
    static func collection(_ kind: UInt8, _ items: [[UInt8]]) -> [UInt8] {
        [0xA1, kind] + items.flatMap { $0 } + [0xC0]
    }
    /// Values from `low` to `high`, `count` fields of `size` bits.
    static func fields(_ low: UInt8, _ high: [UInt8], size: UInt8, count: UInt8) -> [UInt8] {
        [0x15, low] + (high.count == 1 ? [0x25] : [0x26]) + high + [0x75, size, 0x95, count]
    }
    /// Values of the machine's own, without a range.
    static func padding(_ bits: UInt8) -> [UInt8] { [0x75, bits, 0x95, 1, 0x81, 0x01] }
    static let inputVariable: [UInt8] = [0x81, 0x02], inputRelative: [UInt8] = [0x81, 0x06]
    static let inputArray: [UInt8] = [0x81, 0x00], outputVariable: [UInt8] = [0x91, 0x02]
    static let outputConstant: [UInt8] = [0x91, 0x01]
}

private enum Page {
    static let desktop: UInt8 = 1, keyboard: UInt8 = 7, lights: UInt8 = 8, buttons: UInt8 = 9
}

private enum Usage {
    static let pointer: UInt8 = 1, mouse: UInt8 = 2, keyboard: UInt8 = 6, x: UInt8 = 0x30, y: UInt8 = 0x31
    static let wheel: UInt8 = 0x38
}

private enum Collection { static let physical: UInt8 = 0, application: UInt8 = 1 }

extension USBHumanInterface {
    private static let leastMovement: UInt8 = 0x81, mostMovement: UInt8 = 0x7F

    /// Five buttons in a byte of their own.
    private static let buttons =
        Item.usagePage(Page.buttons) + Item.usages(1...5) + Item.fields(0, [1], size: 1, count: 5) + Item.inputVariable
        + Item.padding(3)

    private static let wheel =
        Item.usage(Usage.wheel) + Item.fields(leastMovement, [mostMovement], size: 8, count: 1) + Item.inputRelative

    private static func pointer(_ axes: [UInt8]) -> [UInt8] {
        Item.usagePage(Page.desktop) + Item.usage(Usage.mouse)
            + Item.collection(
                Collection.application,
                [
                    Item.usage(Usage.pointer),
                    Item.collection(Collection.physical, [buttons, Item.usagePage(Page.desktop), axes, wheel]),
                ])
    }

    /// Buttons, movements to the right and down, the wheel.
    static let mouseReport = pointer(
        Item.usage(Usage.x) + Item.usage(Usage.y) + Item.fields(leastMovement, [mostMovement], size: 8, count: 2)
            + Item.inputRelative)

    /// Buttons, positions of 0...0x7FFF, the wheel.
    static let tabletReport = pointer(
        Item.usage(Usage.x) + Item.usage(Usage.y) + Item.fields(0, [0xFF, 0x7F], size: 16, count: 2)
            + Item.inputVariable)

    /// The boot keyboard (HID 1.11, appendix B.1): modifiers, a reserved byte, six keys; lights the other way.
    static let keyboardReport: [UInt8] =
        Item.usagePage(Page.desktop) + Item.usage(Usage.keyboard)
        + Item.collection(
            Collection.application,
            [
                Item.usagePage(Page.keyboard), Item.usages(0xE0...0xE7), Item.fields(0, [1], size: 1, count: 8),
                Item.inputVariable, Item.padding(8),
                Item.usagePage(Page.lights), Item.usages(1...5), Item.fields(0, [1], size: 1, count: 5),
                Item.outputVariable, [0x75, 3, 0x95, 1], Item.outputConstant,
                Item.usagePage(Page.keyboard), Item.usages(0...0xFF), Item.fields(0, [0xFF, 0], size: 8, count: 6),
                Item.inputArray,
            ])
}
