// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct KeyboardControllerTests {
    let bench = Bench()
    let keyboard = PS2Keyboard()
    let controller: KeyboardController

    init() {
        controller = KeyboardController(
            keyboardInterrupt: bench.wire.line, auxiliaryInterrupt: bench.second.line, keyboard: keyboard,
            requests: bench.machine)
        controller.map(in: bench.ports)
    }

    private func command(_ value: UInt64) { bench.out(0x64, value) }
    private func drain() -> [UInt64] {
        var bytes: [UInt64] = []
        while bench.in(0x64) & 1 != 0 && bytes.count < 300 { bytes.append(bench.in(0x60)) }
        return bytes
    }

    @Test func selfTests() {
        command(0xAA)
        #expect(drain() == [0x55])
        #expect(bench.in(0x64) & 0x04 != 0)
        command(0xAB)
        #expect(drain() == [0])
        command(0xA9)
        #expect(drain() == [0])
    }

    @Test func commandByteAndMemory() {
        command(0x60)
        bench.out(0x60, 0x65)
        command(0x20)
        #expect(drain() == [0x65])
        command(0x65)
        bench.out(0x60, 0x77)
        command(0x25)
        #expect(drain() == [0x77])
        command(0xA7)
        command(0x20)
        #expect(drain() == [0x65 | 0x20])
    }

    @Test func keyboardAnswersIdentifyAndReset() {
        bench.out(0x60, 0xF2)
        #expect(drain() == [0xFA, 0xAB, 0x83])
        bench.out(0x60, 0xFF)
        #expect(drain() == [0xFA, 0xAA])
        bench.out(0x60, 0xED)
        bench.out(0x60, 0x07)
        #expect(drain() == [0xFA, 0xFA])
        #expect(keyboard.state.indicators == 7)
        bench.out(0x60, 0xEE)
        #expect(drain() == [0xEE])
        bench.out(0x60, 0xF0)
        bench.out(0x60, 0)
        #expect(drain() == [0xFA, 0xFA, 2])
        bench.out(0x60, 0x01)
        #expect(drain() == [0xFE])
    }

    @Test func keysInterruptAndAreTranslated() {
        command(0x60)
        bench.out(0x60, 0x61)
        keyboard.send(scanCodes: [0x1C])
        keyboard.send(scanCodes: [0xF0, 0x1C])
        keyboard.send(scanCodes: [0xE0, 0xF0, 0x75])
        #expect(bench.wire.edges == 1)
        #expect(drain() == [0x1E, 0x9E, 0xE0, 0xC8])
        #expect(bench.wire.edges == 4)
        #expect(!bench.wire.level)
    }

    @Test func disabledPortHoldsKeys() {
        command(0xAD)
        keyboard.send(scanCodes: [0x1C])
        #expect(drain() == [])
        command(0xAE)
        #expect(drain() == [0x1C])
        bench.out(0x60, 0xF5)
        #expect(drain() == [0xFA])
        keyboard.send(scanCodes: [0x1C])
        #expect(drain() == [])
    }

    @Test func auxiliaryLoopback() {
        command(0x60)
        bench.out(0x60, 0x03)
        command(0xD3)
        bench.out(0x60, 0x99)
        #expect(bench.in(0x64) & 0x21 == 0x21)
        #expect(bench.second.level && !bench.wire.level)
        #expect(drain() == [0x99])
        #expect(!bench.second.level)
    }

    @Test func resets() {
        command(0xFE)
        command(0xF0)
        #expect(bench.machine.resets == 2)
        command(0xFF)
        #expect(bench.machine.resets == 2)
        command(0xD1)
        bench.out(0x60, 0xFE)
        #expect(bench.machine.resets == 3)
        bench.out(0x92, 0x03)
        #expect(bench.machine.resets == 4)
    }

    @Test func addressLine20() {
        var gate: [Bool] = []
        let bench = Bench()
        let controller = KeyboardController(
            keyboardInterrupt: bench.wire.line, auxiliaryInterrupt: bench.second.line, keyboard: nil,
            requests: bench.machine, setA20: { gate.append($0) })
        controller.map(in: bench.ports)
        #expect(bench.in(0x92) == 2)
        bench.out(0x92, 0)
        bench.out(0x64, 0xDF)
        bench.out(0x64, 0xD1)
        bench.out(0x60, 0x01)
        #expect(gate == [false, true, false])
        // An empty port answers nothing.
        bench.out(0x60, 0xF2)
        #expect(bench.in(0x64) & 1 == 0)
    }

    @Test func aFloodOfKeysIsBounded() {
        for _ in 0..<10_000 { keyboard.send(scanCodes: [0xF0, 0x1C]) }
        #expect(drain().count <= 257)
    }

    @Test func stateRoundTrips() {
        command(0x60)
        bench.out(0x60, 0x61)
        command(0xAA)
        let other = Bench()
        let copy = KeyboardController(
            keyboardInterrupt: other.wire.line, auxiliaryInterrupt: other.second.line, keyboard: nil,
            requests: other.machine)
        copy.map(in: other.ports)
        copy.state = controller.state
        #expect(other.wire.level)
        #expect(other.in(0x60) == 0x55)
    }

    @Test func randomAccessesNeverTrap() { bench.abuse([0x60, 0x64, 0x92], spread: 1, rounds: 60_000) }
}
