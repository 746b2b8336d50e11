// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct UARTTests {
    private final class Terminal: SerialLineBackend {
        var sent: [UInt8] = []
        var room = Int.max
        var readyCalls = 0
        var breaks: [Bool] = []
        var control: (Bool, Bool)?
        var line: SerialLineParameters?
        func send(_ byte: UInt8) -> Bool {
            guard room > 0 else { return false }
            room -= 1
            sent.append(byte)
            return true
        }
        func portCanReceive() { readyCalls += 1 }
        func setBreak(_ isOn: Bool) { breaks.append(isOn) }
        func setModemControl(dataTerminalReady: Bool, requestToSend: Bool) {
            control = (dataTerminalReady, requestToSend)
        }
        func setLine(_ parameters: SerialLineParameters) { line = parameters }
    }

    let bench = Bench()
    let uart: UART16550
    private let terminal = Terminal()
    private let base: UInt64 = 0x3F8

    init() {
        uart = UART16550(clock: bench.clock, interrupt: bench.wire.line)
        uart.backend = terminal
        bench.ports.map(uart, at: 0x3F8, count: UART16550.portCount, name: "serial")
    }

    private func out(_ register: UInt64, _ value: UInt64) { bench.out(base + register, value) }
    private func get(_ register: UInt64) -> UInt64 { bench.in(base + register) }

    @Test func sendsAndStaysEmpty() {
        for byte in "Linux".utf8 { out(0, UInt64(byte)) }
        #expect(terminal.sent == Array("Linux".utf8))
        #expect(get(5) == 0x60)
    }

    @Test func receivesInOrder() {
        out(2, 0x01)
        for byte in [1, 2, 3] as [UInt8] { uart.receive(byte) }
        #expect(get(5) == 0x61)
        #expect([get(0), get(0), get(0)] == [1, 2, 3])
        #expect(get(5) == 0x60)
        #expect(terminal.readyCalls >= 3)
    }

    @Test func triggerLevelAndTimeout() {
        out(2, 0x81)  // FIFO, trigger at 8.
        out(1, 0x01)
        uart.receive(0x41)
        #expect(!bench.wire.level)
        bench.clock.advance(by: 10_000_000)
        #expect(bench.wire.level)
        #expect(get(2) == 0xCC)
        _ = get(0)
        #expect(get(2) == 0xC1)
        for _ in 0..<8 { uart.receive(0x42) }
        #expect(get(2) == 0xC4)
        _ = get(0)
        #expect(get(2) == 0xC1)
    }

    @Test func transmitterInterrupt() {
        out(1, 0x02)
        #expect(bench.wire.level)
        #expect(get(2) == 0x02)
        #expect(!bench.wire.level)
        out(0, 0x41)
        #expect(bench.wire.level)
        #expect(get(2) == 0x02)
        #expect(get(2) == 0x01)
    }

    @Test func backPressureShowsABusyTransmitter() {
        out(2, 0x01)
        out(1, 0x02)
        _ = get(2)
        terminal.room = 1
        for byte in 0..<4 as Range<UInt64> { out(0, byte) }
        #expect(terminal.sent == [0])
        #expect(get(5) & 0x60 == 0)
        #expect(!bench.wire.level)
        terminal.room = 10
        uart.backendIsReady()
        #expect(terminal.sent == [0, 1, 2, 3])
        #expect(get(5) & 0x60 == 0x60)
        #expect(bench.wire.level)
    }

    @Test func overrunAndLineStatusInterrupt() {
        out(1, 0x04)
        uart.receive(1)
        #expect(uart.receiveCapacity == 0)
        uart.receive(2)
        #expect(get(2) == 0x06)
        #expect(get(5) & 0x03 == 0x03)
        #expect(get(5) & 0x02 == 0)
        #expect(get(0) == 2)
    }

    @Test func breakIsReported() {
        out(1, 0x04)
        uart.receiveBreak()
        #expect(bench.wire.level)
        #expect(get(5) & 0x11 == 0x11)
        #expect(get(0) == 0)
    }

    @Test func loopback() {
        out(4, 0x1F)
        #expect(get(6) & 0xF0 == 0xF0)
        out(0, 0x5A)
        #expect(terminal.sent.isEmpty)
        #expect(get(0) == 0x5A)
        out(4, 0x12)
        #expect(get(6) & 0xF0 == 0x10)
        #expect(uart.receiveCapacity == 0)
        out(4, 0x0B)
        #expect(get(6) & 0xF0 == 0xB0)
    }

    @Test func divisorScratchAndLine() {
        out(3, 0x83)
        out(0, 1)
        out(1, 0)
        out(3, 0x1B)
        #expect(terminal.line == SerialLineParameters(speed: 115_200, dataBits: 8, parity: .even, stopBits: 1))
        out(3, 0x83)
        #expect(get(0) == 1)
        out(7, 0xA5)
        #expect(get(7) == 0xA5)
        out(3, 0x43)
        out(3, 0x03)
        #expect(terminal.breaks == [true, false])
        out(4, 0x03)
        #expect(terminal.control ?? (false, false) == (true, true))
    }

    @Test func modemStatusInterrupt() {
        out(1, 0x08)
        uart.setConnected(false)
        #expect(bench.wire.level)
        #expect(get(2) == 0x00)
        #expect(get(6) == 0x0B)
        #expect(get(6) == 0x00)
        #expect(!bench.wire.level)
    }

    @Test func fifoIdentification() {
        #expect(get(2) == 0x01)
        out(2, 0x07)
        #expect(get(2) == 0xC1)
        uart.receive(1)
        out(2, 0x03)
        #expect(get(5) & 1 == 0)
        out(2, 0)
        #expect(get(2) == 0x01)
    }

    @Test func nobodyAtTheOtherEnd() {
        uart.backend = nil
        out(0, 0x41)
        #expect(get(5) == 0x60)
    }

    @Test func stateRoundTrips() {
        out(2, 0x01)
        out(1, 0x01)
        uart.receive(0x77)
        let other = Bench()
        let copy = UART16550(clock: other.clock, interrupt: other.wire.line)
        copy.state = uart.state
        #expect(copy.state == uart.state)
        #expect(other.wire.level)
        #expect(copy.read(offset: 0, size: 1) == 0x77)
    }

    @Test func randomAccessesNeverTrap() {
        terminal.room = 5000
        bench.abuse([base], spread: 8)
    }
}
