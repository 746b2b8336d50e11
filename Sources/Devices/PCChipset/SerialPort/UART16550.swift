// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import MachineModel

/// A 16550A serial port (National Semiconductor PC16550D data sheet).
///
/// Bytes leave at the speed at which the back end takes them; the programmed speed shows only in the receive timeout.
public final class UART16550: Device, RegisterWindow {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "isa-serial"
    /// Ports of the window.
    public static let portCount: UInt64 = 8
    /// I/O bases and ISA interrupts of COM1...COM4.
    public static let standardPorts: [(base: UInt64, interrupt: Int)] = [
        (0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3),
    ]
    static let fifoDepth = 16
    /// The clock after the fixed division by 16.
    private static let baudBase: UInt64 = 115_200

    var current = State()
    private let clock: any MachineClock
    private let interrupt: InterruptLine
    private var timer: (any MachineTimer)?
    /// Where bytes go; nil swallows them as an unplugged port does. Guarded by the machine lock.
    public weak var backend: (any SerialBackend)?

    /// A port without back end, which drops what the guest sends.
    public init(clock: any MachineClock, interrupt: InterruptLine) {
        self.clock = clock
        self.interrupt = interrupt
        timer = clock.makeTimer { [unowned self] in
            guard !current.receiveQueue.isEmpty else { return }
            current.timeoutPending = true
            updateInterrupt()
        }
    }

    /// Empties the FIFOs; line parameters go back to those of power-on.
    public func reset() {
        current = State()
        timer?.cancel()
        updateInterrupt()
    }

    /// What a saved machine keeps; setting it drives the interrupt and goes on sending.
    public var state: State {
        get { current }
        set {
            current = newValue
            current.receiveQueue = Array(newValue.receiveQueue.prefix(Self.fifoDepth))
            current.transmitQueue = Array(newValue.transmitQueue.prefix(Self.fifoDepth))
            armTimeout()
            transmit()
        }
    }

    // MARK: The back end's side. The machine lock is held.

    /// Bytes that `receive` has room for.
    public var receiveCapacity: Int {
        current.isLoopback ? 0 : max(0, current.capacity - current.receiveQueue.count)
    }

    /// A byte arrives from outside; with no room it is lost and the guest is told of the overrun.
    public func receive(_ byte: UInt8) {
        if current.isLoopback { return }
        enqueue(byte)
    }

    /// A break arrives from outside.
    public func receiveBreak() {
        if current.isLoopback { return }
        enqueue(0)
        current.lineStatus |= LineStatus.breakReceived
        updateInterrupt()
    }

    /// The back end has room again after it refused a byte.
    public func backendIsReady() { transmit() }

    /// The other side's signals: carrier, DSR and CTS together, since back ends know only "connected".
    public func setConnected(_ isConnected: Bool) {
        setModemInputs(isConnected ? ModemStatus.connected : 0)
    }

    // MARK: Receiving

    private func enqueue(_ byte: UInt8) {
        if current.receiveQueue.count >= current.capacity {
            current.lineStatus |= LineStatus.overrun
            // Without a FIFO the newer byte overwrites the older; with one it is lost in the shift register.
            if !current.usesFIFO { current.receiveQueue = [byte] }
        } else {
            current.receiveQueue.append(byte)
        }
        current.lineStatus |= LineStatus.dataReady
        armTimeout()
        updateInterrupt()
    }

    private func armTimeout() {
        if current.usesFIFO && !current.receiveQueue.isEmpty {
            timer?.arm(at: clock.now.addingClamped(characterTime &* 4))
        } else {
            timer?.cancel()
        }
    }

    /// Nanoseconds that one frame takes.
    private var characterTime: UInt64 {
        let frame =
            UInt64(current.lineControl & 3) + 7 + UInt64(current.lineControl >> 2 & 1)
            + UInt64(current.lineControl >> 3 & 1)
        return frame * UInt64(max(current.divisor, 1)) * TickConversion.nanosecondsPerSecond / Self.baudBase
    }

    private func takeReceived() -> UInt8 {
        guard !current.receiveQueue.isEmpty else { return 0 }
        let byte = current.receiveQueue.removeFirst()
        current.timeoutPending = false
        if current.receiveQueue.isEmpty {
            current.lineStatus &= ~(LineStatus.dataReady | LineStatus.breakReceived)
        }
        armTimeout()
        updateInterrupt()
        if !current.isLoopback { backend?.portCanReceive() }
        return byte
    }

    // MARK: Transmitting

    private func send(_ byte: UInt8) {
        // Filling the transmitter ends its interrupt; emptying it again is then an edge of its own.
        if current.transmitterPending {
            current.transmitterPending = false
            updateInterrupt()
        }
        if current.transmitQueue.count < current.capacity {
            current.transmitQueue.append(byte)
        } else {
            // The guest did not wait for an empty transmitter: the byte in the holding register is overwritten.
            current.transmitQueue[current.transmitQueue.count - 1] = byte
        }
        current.lineStatus &= ~LineStatus.transmitterIdle
        transmit()
    }

    private func transmit() {
        while let byte = current.transmitQueue.first {
            if current.isLoopback {
                enqueue(byte)
            } else if let backend, !backend.send(byte) {
                break
            }
            current.transmitQueue.removeFirst()
        }
        if current.transmitQueue.isEmpty && current.lineStatus & LineStatus.transmitterEmpty == 0 {
            current.lineStatus |= LineStatus.transmitterIdle
            current.transmitterPending = true
        }
        updateInterrupt()
    }

    // MARK: Interrupt

    /// The cause with the highest priority, as IIR names it.
    private var cause: UInt8 {
        let enabled = current.interruptEnable
        if enabled & InterruptEnable.lineStatus != 0 && current.lineStatus & LineStatus.errors != 0 {
            return Cause.lineStatus
        }
        if enabled & InterruptEnable.received != 0 {
            if current.receiveQueue.count >= current.trigger { return Cause.received }
            if current.timeoutPending { return Cause.timeout }
        }
        if enabled & InterruptEnable.transmitterEmpty != 0 && current.transmitterPending {
            return Cause.transmitterEmpty
        }
        if enabled & InterruptEnable.modemStatus != 0 && current.modemStatus & ModemStatus.deltas != 0 {
            return Cause.modemStatus
        }
        return Cause.none
    }

    private func updateInterrupt() { interrupt.set(cause != Cause.none) }

    // MARK: Registers

    /// Byte registers; reading some of them acknowledges an interrupt.
    public func read(offset: UInt64, size: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) {
            let number = (offset &+ index) & 7, value = readRegister(number)
            Trace.emit(.serialPortRead, "read addr 0x0\(number) val 0x\(String(value, radix: 16))")
            result |= UInt64(value) << (index * 8)
        }
        return result
    }

    /// Byte registers; a wider access writes the next ones too.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        for index in 0..<UInt64(max(0, min(size, 8))) {
            let number = (offset &+ index) & 7, byte = UInt8(truncatingIfNeeded: value >> (index * 8))
            Trace.emit(.serialPortWrite, "write addr 0x0\(number) val 0x\(String(byte, radix: 16))")
            writeRegister(number, byte)
        }
    }

    private var selectsDivisor: Bool { current.lineControl & 0x80 != 0 }

    private func readRegister(_ number: UInt64) -> UInt8 {
        switch number {
        case 0: return selectsDivisor ? UInt8(truncatingIfNeeded: current.divisor) : takeReceived()
        case 1: return selectsDivisor ? UInt8(truncatingIfNeeded: current.divisor >> 8) : current.interruptEnable
        case 2:
            let shown = cause
            if shown == Cause.transmitterEmpty {
                current.transmitterPending = false
                updateInterrupt()
            }
            return shown | (current.usesFIFO ? 0xC0 : 0)
        case 3: return current.lineControl
        case 4: return current.modemControl
        case 5:
            let value = current.lineStatus
            current.lineStatus &= ~LineStatus.errors
            updateInterrupt()
            return value
        case 6: return readModemStatus()
        default: return current.scratch
        }
    }

    private func writeRegister(_ number: UInt64, _ value: UInt8) {
        switch number {
        case 0 where selectsDivisor:
            current.divisor = current.divisor & 0xFF00 | UInt16(value)
            tellLine()
        case 1 where selectsDivisor:
            current.divisor = current.divisor & 0xFF | UInt16(value) << 8
            tellLine()
        case 0: send(value)
        case 1: setInterruptEnable(value & 0x0F)
        case 2: setFIFOControl(value)
        case 3: setLineControl(value)
        case 4: setModemControl(value & 0x1F)
        case 7: current.scratch = value
        // Line and modem status are read-only.
        default: break
        }
    }

    private func setInterruptEnable(_ value: UInt8) {
        // Enabling the transmitter interrupt while the transmitter is empty raises it at once.
        let rises = value & ~current.interruptEnable & InterruptEnable.transmitterEmpty != 0
        current.interruptEnable = value
        if rises && current.lineStatus & LineStatus.holdingEmpty != 0 { current.transmitterPending = true }
        updateInterrupt()
    }

    private func setFIFOControl(_ value: UInt8) {
        // Switching the FIFOs on or off empties both.
        let switches = (value ^ current.fifoControl) & 1 != 0
        if switches || value & 0x02 != 0 {
            current.receiveQueue.removeAll()
            current.lineStatus &= ~(LineStatus.dataReady | LineStatus.breakReceived)
            current.timeoutPending = false
            timer?.cancel()
        }
        if switches || value & 0x04 != 0 { current.transmitQueue.removeAll() }
        // Without bit 0 the other bits are not taken.
        current.fifoControl = value & 1 != 0 ? value & 0xC9 : 0
        transmit()
        if receiveCapacity > 0 { backend?.portCanReceive() }
    }

    private func setLineControl(_ value: UInt8) {
        let changed = value ^ current.lineControl
        current.lineControl = value
        if changed & 0x40 != 0 { (backend as? any SerialLineBackend)?.setBreak(value & 0x40 != 0) }
        if changed & 0x3F != 0 { tellLine() }
    }

    private func tellLine() {
        guard let backend = backend as? any SerialLineBackend else { return }
        let parity: SerialLineParameters.Parity =
            switch current.lineControl >> 3 & 7 {
            case 1: .odd
            case 3: .even
            case 5: .mark
            case 7: .space
            default: .none
            }
        backend.setLine(
            SerialLineParameters(
                speed: Int(Self.baudBase) / Int(max(current.divisor, 1)), dataBits: Int(current.lineControl & 3) + 5,
                parity: parity, stopBits: current.lineControl & 4 != 0 ? 2 : 1))
    }

    // MARK: Modem signals

    private func setModemControl(_ value: UInt8) {
        let changed = value ^ current.modemControl
        current.modemControl = value
        if current.isLoopback {
            setModemInputs(loopbackInputs)
        } else {
            if changed & 0x10 != 0 { setModemInputs(ModemStatus.connected) }
            if changed & 0x03 != 0, let backend = backend as? any SerialLineBackend {
                backend.setModemControl(dataTerminalReady: value & 1 != 0, requestToSend: value & 2 != 0)
            }
        }
        updateInterrupt()
    }

    /// In loopback RTS is CTS, DTR is DSR, OUT1 is RI and OUT2 is DCD.
    private var loopbackInputs: UInt8 {
        let control = current.modemControl
        return (control & 0x0C) << 4 | (control & 0x02) << 3 | (control & 0x01) << 5
    }

    private func setModemInputs(_ inputs: UInt8) {
        let changed = (inputs ^ current.modemStatus) & 0xF0
        // The ring indicator's delta marks its falling edge only.
        let deltas = changed >> 4 & 0x0B | (changed & ~inputs & ModemStatus.ring) >> 4
        current.modemStatus = inputs | current.modemStatus & ModemStatus.deltas | deltas
        updateInterrupt()
    }

    private func readModemStatus() -> UInt8 {
        let value = current.modemStatus
        current.modemStatus &= ~ModemStatus.deltas
        updateInterrupt()
        return value
    }
}
