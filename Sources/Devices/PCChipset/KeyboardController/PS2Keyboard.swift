// SPDX-License-Identifier: Apache-2.0

/// A PS/2 keyboard (MF2): answers the host's commands and sends the scan codes it is given.
public final class PS2Keyboard: PS2Device {
    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        var queue = PS2Queue()
        /// The command whose argument comes next.
        var pendingCommand: UInt8?
        /// Sends what is typed.
        public internal(set) var isScanning = true
        /// 1, 2 or 3; only set 2 is sent, which the controller translates.
        public internal(set) var scanCodeSet: UInt8 = 2
        /// Bits 0...2: scroll, num and caps lock.
        public internal(set) var indicators: UInt8 = 0
    }

    private enum Reply {
        static let acknowledge: UInt8 = 0xFA
        static let selfTestPassed: UInt8 = 0xAA
        static let resend: UInt8 = 0xFE
        static let echo: UInt8 = 0xEE
        static let identity: [UInt8] = [0xAB, 0x83]
    }

    /// What a saved machine keeps.
    public var state = State()
    private var notify: () -> Void = {}
    /// Told of the lights.
    public var indicatorsChanged: ((UInt8) -> Void)?

    /// A keyboard as after power-on.
    public init() {}

    /// `notify` is called whenever there is a byte to take.
    public func connect(_ notify: @escaping () -> Void) { self.notify = notify }
    /// As after power-on: scanning, set 2, no lights.
    public func reset() { state = State() }
    /// The oldest byte for the host, or `nil`.
    public func takeByte() -> UInt8? { state.queue.take() }

    /// Scan codes of set 2 for one key press or release; dropped while the host has scanning off.
    public func send(scanCodes: [UInt8]) {
        guard state.isScanning else { return }
        state.queue.append(scanCodes)
        notify()
    }

    /// A command or its parameter from the host.
    public func receive(_ byte: UInt8) {
        if let command = state.pendingCommand {
            state.pendingCommand = nil
            takeArgument(byte, of: command)
        } else {
            takeCommand(byte)
        }
        notify()
    }

    private func reply(_ bytes: UInt8...) { state.queue.append(bytes) }

    private func takeCommand(_ byte: UInt8) {
        switch byte {
        case 0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD:
            state.pendingCommand = byte
            reply(Reply.acknowledge)
        case 0xEE: reply(Reply.echo)
        case 0xF2: state.queue.append([Reply.acknowledge] + Reply.identity)
        case 0xF4, 0xF5, 0xF6:
            state.queue.removeAll()
            state.isScanning = byte != 0xF5
            if byte != 0xF4 {
                state.scanCodeSet = 2
                setIndicators(0)
            }
            reply(Reply.acknowledge)
        case 0xF7...0xFA: reply(Reply.acknowledge)
        case 0xFE: reply(Reply.resend)
        case 0xFF:
            state = State()
            setIndicators(0)
            reply(Reply.acknowledge, Reply.selfTestPassed)
        default: reply(Reply.resend)
        }
    }

    private func takeArgument(_ byte: UInt8, of command: UInt8) {
        switch command {
        case 0xED: setIndicators(byte & 7)
        case 0xF0 where byte == 0:
            return reply(Reply.acknowledge, state.scanCodeSet)
        case 0xF0:
            guard (1...3).contains(byte) else { return reply(Reply.resend) }
            state.scanCodeSet = byte
        // Typematic rate and key-type lists change nothing for a keyboard without keys of its own.
        default: break
        }
        reply(Reply.acknowledge)
    }

    private func setIndicators(_ value: UInt8) {
        state.indicators = value
        indicatorsChanged?(value)
    }
}
