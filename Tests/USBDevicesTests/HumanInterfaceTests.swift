// SPDX-License-Identifier: Apache-2.0

import DisplaySurfaces
import MachineModel
import StateCoding
import Testing
import USBDevices

private func configured<Device: USBDevice>(_ device: Device) -> Device {
    #expect(device.control(USBSetup(0x00, 9, value: 1)) == .taken)
    return device
}

private func descriptor(_ device: USBDevice, _ type: UInt16, _ index: UInt16 = 0, requestType: UInt8 = 0x80) -> [UInt8]
{
    if case .data(let bytes) = device.control(USBSetup(requestType, 6, value: type << 8 | index, length: 255)) {
        return bytes
    }
    return []
}

@Suite struct HumanInterfaceTests {
    @Test func descriptorsFitTogether() {
        for device in [
            USBPointer(isAbsolute: true, clock: ManualClock()), USBPointer(isAbsolute: false, clock: ManualClock()),
            USBKeyboard(clock: ManualClock()),
        ] as [USBDevice] {
            let head = descriptor(device, 1)
            #expect(head.count == 18 && head[0] == 18 && head[1] == 1)
            #expect(Array(head[8..<12]) == [0x27, 0x06, 0x01, 0x00])
            let all = descriptor(device, 2)
            #expect(all.count == Int(all[2]) | Int(all[3]) << 8)
            // Every part says its length, and the lengths end where the descriptor does.
            var place = 0
            var kinds: [UInt8] = []
            while place < all.count {
                kinds.append(all[place + 1])
                place += Int(all[place])
            }
            #expect(place == all.count)
            #expect(kinds == [2, 4, 0x21, 5])
            let report = descriptor(device, 0x22, requestType: 0x81)
            #expect(report.count == Int(all[25]) | Int(all[26]) << 8)
            // Collections are closed.
            #expect(report.count { $0 == 0xA1 } >= 1 && report.last == 0xC0)
            #expect(descriptor(device, 3, 1) == [10, 3, 0x51, 0, 0x45, 0, 0x4D, 0, 0x55, 0])
            #expect(descriptor(device, 3, 9).isEmpty)
        }
    }

    @Test func answersAreNoLongerThanAsked() {
        let device = USBKeyboard(clock: ManualClock())
        #expect(device.control(USBSetup(0x80, 6, value: 0x100, length: 8)) == .data([18, 1, 0, 2, 0, 0, 0, 64]))
    }

    @Test func nothingMovesBeforeTheConfiguration() {
        let device = USBPointer(isAbsolute: true, clock: ManualClock())
        #expect(device.read(endpoint: 1, capacity: 6) == .stalled)
        #expect(
            configured(USBPointer(isAbsolute: true, clock: ManualClock())).read(endpoint: 1, capacity: 6) == .notReady)
    }

    @Test func aTabletSaysWhereItIs() {
        let tablet = configured(USBPointer(isAbsolute: true, clock: ManualClock()))
        var activations = 0, deactivations = 0
        tablet.activated = { activations += 1 }
        tablet.deactivated = { deactivations += 1 }
        tablet.moveTo(x: 0x1234, y: 0x7FFF)
        tablet.send(.left, isDown: true)
        tablet.synchronize()
        #expect(tablet.read(endpoint: 1, capacity: 64) == .data([1, 0x34, 0x12, 0xFF, 0x7F, 0]))
        // Nothing new, nothing said.
        tablet.synchronize()
        #expect(tablet.read(endpoint: 1, capacity: 64) == .notReady)
        for _ in 0..<2 {
            tablet.send(.wheelUp, isDown: true)
            tablet.send(.wheelUp, isDown: false)
            tablet.synchronize()
        }
        #expect(tablet.read(endpoint: 1, capacity: 64) == .data([1, 0x34, 0x12, 0xFF, 0x7F, 1]))
        #expect(tablet.read(endpoint: 1, capacity: 64) == .data([1, 0x34, 0x12, 0xFF, 0x7F, 1]))
        #expect(activations == 1 && deactivations == 0)
        tablet.reset()
        tablet.reset()
        #expect(deactivations == 1)
    }

    @Test func aFloodOfPositionsKeepsTheButtons() {
        let tablet = configured(USBPointer(isAbsolute: true, clock: ManualClock()))
        for step in 0..<500 {
            tablet.moveTo(x: step, y: 0)
            if step == 100 { tablet.send(.right, isDown: true) }
            if step == 200 { tablet.send(.right, isDown: false) }
            tablet.synchronize()
        }
        var reports: [[UInt8]] = []
        while case .data(let report) = tablet.read(endpoint: 1, capacity: 6) { reports.append(report) }
        #expect(reports.count < 10)
        var buttons: [UInt8] = []
        for report in reports where buttons.last != report[0] { buttons.append(report[0]) }
        #expect(buttons == [0, 2, 0])
        #expect(reports.last == [0, 0xF3, 0x01, 0, 0, 0])
    }

    @Test func aMouseSaysHowFarItMoved() {
        let mouse = configured(USBPointer(isAbsolute: false, clock: ManualClock()))
        mouse.moveBy(x: 300, y: -5)
        mouse.synchronize()
        var sum = (0, 0)
        while case .data(let report) = mouse.read(endpoint: 1, capacity: 4) {
            sum.0 += Int(Int8(bitPattern: report[1]))
            sum.1 += Int(Int8(bitPattern: report[2]))
        }
        #expect(sum == (300, -5))
        mouse.send(.middle, isDown: true)
        mouse.synchronize()
        #expect(mouse.read(endpoint: 1, capacity: 4) == .data([4, 0, 0, 0]))
    }

    @Test func aKeyboardSaysWhatIsHeld() throws {
        let keyboard = configured(USBKeyboard(clock: ManualClock()))
        let shift = try #require(KeyCode.named("shift")), a = try #require(KeyCode.named("a"))
        keyboard.send(shift, isDown: true)
        keyboard.send(a, isDown: true)
        // Repeated by somebody else's keyboard.
        keyboard.send(a, isDown: true)
        keyboard.send(a, isDown: false)
        var reports: [[UInt8]] = []
        while case .data(let report) = keyboard.read(endpoint: 1, capacity: 8) { reports.append(report) }
        #expect(reports == [[2, 0, 0, 0, 0, 0, 0, 0], [2, 0, 4, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]])
        keyboard.send(shift, isDown: false)
        for name in ["1", "2", "3", "4", "5", "6", "7"] {
            keyboard.send(try #require(KeyCode.named(name)), isDown: true)
        }
        #expect(keyboard.control(USBSetup(0xA1, 1, value: 0x100, length: 8)) == .data([0, 0, 1, 1, 1, 1, 1, 1]))
    }

    @Test func lightsAreTold() {
        let keyboard = configured(USBKeyboard(clock: ManualClock()))
        var lights: UInt8 = 0
        keyboard.lightsChanged = { lights = $0 }
        #expect(keyboard.control(USBSetup(0x21, 9, value: 0x200, length: 1), data: [3]) == .taken)
        #expect(lights == 3)
        #expect(keyboard.control(USBSetup(0x21, 9, value: 0x200, length: 0)) == .stalled)
    }

    @Test func anIdleRateRepeatsTheReport() {
        let clock = ManualClock()
        let keyboard = configured(USBKeyboard(clock: clock))
        #expect(keyboard.control(USBSetup(0x21, 0x0A, value: 2 << 8)) == .taken)
        #expect(keyboard.control(USBSetup(0xA1, 2, length: 1)) == .data([2]))
        #expect(keyboard.read(endpoint: 1, capacity: 8) == .notReady)
        clock.advance(by: 8_000_000)
        #expect(keyboard.read(endpoint: 1, capacity: 8) == .data([UInt8](repeating: 0, count: 8)))
        #expect(keyboard.read(endpoint: 1, capacity: 8) == .notReady)
    }

    @Test func haltsAndFeatures() {
        let tablet = configured(USBPointer(isAbsolute: true, clock: ManualClock()))
        #expect(tablet.control(USBSetup(0x02, 3, value: 0, index: 0x81)) == .taken)
        #expect(tablet.read(endpoint: 1, capacity: 6) == .stalled)
        #expect(tablet.control(USBSetup(0x82, 0, index: 0x81, length: 2)) == .data([1, 0]))
        #expect(tablet.control(USBSetup(0x02, 1, value: 0, index: 0x81)) == .taken)
        #expect(tablet.read(endpoint: 1, capacity: 6) == .notReady)
        #expect(tablet.control(USBSetup(0x00, 3, value: 1)) == .taken)
        #expect(tablet.control(USBSetup(0x80, 0, length: 2)) == .data([2, 0]))
        #expect(tablet.control(USBSetup(0x00, 3, value: 7)) == .stalled)
        #expect(tablet.control(USBSetup(0x40, 0x55)) == .stalled)
    }

    @Test func statesComeBack() throws {
        let tablet = configured(USBPointer(isAbsolute: true, clock: ManualClock()))
        tablet.moveTo(x: 5, y: 6)
        tablet.send(.left, isDown: true)
        tablet.synchronize()
        let record = try tablet.saveState(as: "t")
        let other = USBPointer(isAbsolute: true, clock: ManualClock())
        try other.checkState(record)()
        #expect(other.read(endpoint: 1, capacity: 6) == .data([1, 5, 0, 6, 0, 0]))
        // The button is still held.
        other.moveTo(x: 7, y: 6)
        other.synchronize()
        #expect(other.read(endpoint: 1, capacity: 6) == .data([1, 7, 0, 6, 0, 0]))
        #expect(throws: StateError.self) { try USBKeyboard(clock: ManualClock()).checkState(record) }
    }
}
