// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import MachineModel

/// The i8042 keyboard controller with two PS/2 ports, and the fast A20 and reset port 0x92.
public final class KeyboardController: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "i8042"

    /// Bits of the status register.
    enum Status {
        static let outputFull: UInt8 = 0x01
        static let systemFlag: UInt8 = 0x04
        static let lastWasCommand: UInt8 = 0x08
        static let notLocked: UInt8 = 0x10
        static let auxiliary: UInt8 = 0x20
    }

    /// Bits of the command byte ("mode").
    enum Mode {
        static let keyboardInterrupt: UInt8 = 0x01
        static let auxiliaryInterrupt: UInt8 = 0x02
        static let systemFlag: UInt8 = 0x04
        static let keyboardDisabled: UInt8 = 0x10
        static let auxiliaryDisabled: UInt8 = 0x20
        static let translate: UInt8 = 0x40
    }

    /// Bits of the output port.
    enum OutputPort {
        static let notReset: UInt8 = 0x01
        static let a20: UInt8 = 0x02
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// The command byte: interrupts, clocks, translation.
        public internal(set) var mode: UInt8 = Mode.keyboardInterrupt | Mode.auxiliaryInterrupt
        /// The output port: reset, A20 and both interrupt lines.
        public internal(set) var outputPort: UInt8 = 0xCC | OutputPort.notReset | OutputPort.a20
        /// The byte for the host, and whether it came from the auxiliary port.
        public internal(set) var output: UInt8 = 0
        /// Whether a byte waits at port 0x60.
        public internal(set) var isOutputFull = false
        /// Whether that byte is the mouse's.
        public internal(set) var isOutputAuxiliary = false
        /// A reply of the controller itself, which goes before the ports' bytes.
        var replies: [UInt8] = []
        /// The command whose argument comes next at port 0x60.
        var pendingCommand: UInt8?
        var lastWasCommand = false
        /// The byte before was the release prefix of scan code set 2.
        var releasesNext = false
        /// The controller's 32 bytes of memory beside the command byte.
        var memory = [UInt8](repeating: 0, count: 32)
    }

    var current = State()
    private let keyboardInterrupt: InterruptLine
    private let auxiliaryInterrupt: InterruptLine
    private let keyboard: (any PS2Device)?
    private let auxiliary: (any PS2Device)?
    private unowned let requests: any MachineRequests
    /// Told when the A20 gate changes; nil on machines whose processor does not mask address line 20.
    private let setA20: ((Bool) -> Void)?

    /// - Parameters:
    ///   - keyboardInterrupt: ISA interrupt 1.
    ///   - auxiliaryInterrupt: ISA interrupt 12.
    ///   - keyboard: what is plugged in; nil for nothing.
    ///   - requests: asked for resets; must outlive this device.
    public init(
        keyboardInterrupt: InterruptLine, auxiliaryInterrupt: InterruptLine, keyboard: (any PS2Device)?,
        auxiliary: (any PS2Device)? = nil, requests: any MachineRequests, setA20: ((Bool) -> Void)? = nil
    ) {
        self.keyboardInterrupt = keyboardInterrupt
        self.auxiliaryInterrupt = auxiliaryInterrupt
        self.keyboard = keyboard
        self.auxiliary = auxiliary
        self.requests = requests
        self.setA20 = setA20
        keyboard?.connect { [unowned self] in update() }
        auxiliary?.connect { [unowned self] in update() }
    }

    /// Maps ports 0x60, 0x64 and 0x92.
    public func map(in ports: AddressSpace) {
        ports.map(
            ByteWindow(count: 1, read: { [self] _ in readData() }, write: { [self] in writeData($1) }), at: 0x60,
            count: 1, name: "i8042-data")
        ports.map(
            ByteWindow(count: 1, read: { [self] _ in status }, write: { [self] in writeCommand($1) }), at: 0x64,
            count: 1, name: "i8042-cmd")
        ports.map(
            ByteWindow(
                count: 1, read: { [self] _ in current.outputPort & OutputPort.a20 },
                write: { [self] _, value in
                    setOutputPort(current.outputPort & ~OutputPort.a20 | value & OutputPort.a20)
                    if value & 1 != 0 { requests.requestReset() }
                }),
            at: 0x92, count: 1, name: "port92")
    }

    /// Resets keyboard and mouse too, and opens A20.
    public func reset() {
        current = State()
        keyboard?.reset()
        auxiliary?.reset()
        setA20?(true)
        update()
    }

    /// What a saved machine keeps, without what is plugged in.
    public var state: State {
        get { current }
        set {
            current = newValue
            if current.memory.count != 32 { current.memory = State().memory }
            setA20?(current.outputPort & OutputPort.a20 != 0)
            update()
        }
    }

    // MARK: Output buffer and interrupts

    private var status: UInt8 {
        Status.notLocked | (current.isOutputFull ? Status.outputFull : 0)
            | (current.isOutputFull && current.isOutputAuxiliary ? Status.auxiliary : 0)
            | (current.mode & Mode.systemFlag != 0 ? Status.systemFlag : 0)
            | (current.lastWasCommand ? Status.lastWasCommand : 0)
    }

    /// Fills the output buffer if it is empty, and drives the interrupts.
    private func update() {
        if !current.isOutputFull { fillOutput() }
        let full = current.isOutputFull
        keyboardInterrupt.set(full && !current.isOutputAuxiliary && current.mode & Mode.keyboardInterrupt != 0)
        auxiliaryInterrupt.set(full && current.isOutputAuxiliary && current.mode & Mode.auxiliaryInterrupt != 0)
    }

    private func fillOutput() {
        if !current.replies.isEmpty { return put(current.replies.removeFirst(), isAuxiliary: false) }
        if current.mode & Mode.keyboardDisabled == 0 {
            while let byte = keyboard?.takeByte() {
                guard current.mode & Mode.translate != 0 else { return put(byte, isAuxiliary: false) }
                if let translated = translate(byte) { return put(translated, isAuxiliary: false) }
            }
        }
        if current.mode & Mode.auxiliaryDisabled == 0, let byte = auxiliary?.takeByte() {
            put(byte, isAuxiliary: true)
        }
    }

    private func put(_ byte: UInt8, isAuxiliary: Bool) {
        current.output = byte
        current.isOutputFull = true
        current.isOutputAuxiliary = isAuxiliary
    }

    /// Scan code set 2 to set 1; nil for the release prefix, which becomes bit 7 of the next code.
    private func translate(_ byte: UInt8) -> UInt8? {
        if byte == ScanCodeTranslation.releasePrefix {
            current.releasesNext = true
            return nil
        }
        let code = ScanCodeTranslation.setOne(fromSetTwo: byte)
        guard current.releasesNext else { return code }
        current.releasesNext = false
        return code | 0x80
    }

    // MARK: Registers

    private func readData() -> UInt8 {
        let byte = current.output
        guard current.isOutputFull else { return byte }
        current.isOutputFull = false
        // The wire falls between two bytes, so that each is an edge.
        keyboardInterrupt.set(false)
        auxiliaryInterrupt.set(false)
        update()
        return byte
    }

    private func reply(_ byte: UInt8) {
        if current.replies.count < 16 { current.replies.append(byte) }
        update()
    }

    private func writeCommand(_ command: UInt8) {
        current.lastWasCommand = true
        current.pendingCommand = nil
        switch command {
        case 0x20: reply(current.mode)
        case 0x21...0x3F: reply(current.memory[Int(command & 0x1F)])
        case 0x60: current.pendingCommand = command
        case 0x61...0x7F, 0xD1...0xD4: current.pendingCommand = command
        case 0xA7: setMode(current.mode | Mode.auxiliaryDisabled)
        case 0xA8: setMode(current.mode & ~Mode.auxiliaryDisabled)
        case 0xA9: reply(0x00)
        case 0xAA:
            current.mode |= Mode.systemFlag
            reply(0x55)
        case 0xAB: reply(0x00)
        case 0xAD: setMode(current.mode | Mode.keyboardDisabled)
        case 0xAE: setMode(current.mode & ~Mode.keyboardDisabled)
        case 0xC0: reply(0x80)
        case 0xD0: reply(outputPortValue)
        case 0xDD: setOutputPort(current.outputPort & ~OutputPort.a20)
        case 0xDF: setOutputPort(current.outputPort | OutputPort.a20)
        // The low bits choose the output lines to pulse; bit 0 is the processor's reset.
        case 0xF0...0xFF: if command & 1 == 0 { requests.requestReset() }
        default: Log.shared.write(.guestErrors, "unsupported keyboard cmd=0x\(String(command, radix: 16))")
        }
    }

    private func writeData(_ value: UInt8) {
        current.lastWasCommand = false
        guard let command = current.pendingCommand else {
            // A byte for the keyboard switches its port on.
            setMode(current.mode & ~Mode.keyboardDisabled)
            keyboard?.receive(value)
            return
        }
        current.pendingCommand = nil
        switch command {
        case 0x60: setMode(value)
        case 0x61...0x7F: current.memory[Int(command & 0x1F)] = value
        case 0xD1:
            setOutputPort(value)
            if value & OutputPort.notReset == 0 { requests.requestReset() }
        case 0xD2: putFromHost(value, isAuxiliary: false)
        case 0xD3: putFromHost(value, isAuxiliary: true)
        default:
            setMode(current.mode & ~Mode.auxiliaryDisabled)
            auxiliary?.receive(value)
        }
    }

    private func putFromHost(_ value: UInt8, isAuxiliary: Bool) {
        put(value, isAuxiliary: isAuxiliary)
        update()
    }

    private func setMode(_ value: UInt8) {
        current.mode = value
        update()
    }

    /// Bits 4 and 5 of the output port show the two full flags.
    private var outputPortValue: UInt8 {
        let full: UInt8 = current.isOutputFull ? (current.isOutputAuxiliary ? 0x20 : 0x10) : 0
        return current.outputPort & ~0x30 | full
    }

    private func setOutputPort(_ value: UInt8) {
        let changed = value ^ current.outputPort
        current.outputPort = value
        if changed & OutputPort.a20 != 0 { setA20?(value & OutputPort.a20 != 0) }
    }
}
