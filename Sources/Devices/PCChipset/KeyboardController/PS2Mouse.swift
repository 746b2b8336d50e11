// SPDX-License-Identifier: Apache-2.0

/// A PS/2 mouse with a wheel (IntelliMouse and Explorer protocols).
public final class PS2Mouse: PS2Device {
    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        var queue = PS2Queue()
        /// The command whose argument comes next.
        var pendingCommand: UInt8?
        /// 0, 3 with a wheel, 4 with two more buttons: what the identify command gives.
        public internal(set) var identity: UInt8 = 0
        /// Sends movements by itself.
        public internal(set) var isReporting = false
        var isRemote = false
        var isWrapping = false
        var isScaled = false
        var resolution: UInt8 = 2
        var sampleRate: UInt8 = 100
        /// The last three sample rates: the knock that enables the wheel.
        var knock: [UInt8] = [0, 0, 0]
        /// Movement that was not sent yet, and the buttons.
        var x = 0, y = 0, wheel = 0
        /// Left, right and middle in bits 0, 1 and 2.
        public internal(set) var buttons: UInt8 = 0
    }

    private static let acknowledge: UInt8 = 0xFA
    /// What is left of a movement that the guest does not fetch is bounded.
    private static let furthest = 4096
    static func isReachable(_ movement: Int) -> Bool { (-furthest...furthest).contains(movement) }
    /// Packets stop growing the queue here, so that commands still get their answers.
    private static let queueLimit = 64

    /// What a saved machine keeps.
    public var state = State()
    private var notify: () -> Void = {}

    /// A mouse as after power-on.
    public init() {}

    /// `notify` is called whenever there is a byte to take.
    public func connect(_ notify: @escaping () -> Void) { self.notify = notify }
    /// As after power-on: stream mode, not reporting.
    public func reset() { state = State() }

    /// The oldest byte for the host, or `nil`.
    public func takeByte() -> UInt8? {
        if state.queue.bytes.isEmpty && state.isReporting && !state.isRemote && hasMovement { appendPacket() }
        return state.queue.take()
    }

    /// A movement of the pointer: right, up and away from the person are positive. Values are clamped.
    /// - Parameter buttons: bit 0 left, 1 right, 2 middle, 3 and 4 the side buttons.
    public func move(x: Int, y: Int, wheel: Int = 0, buttons: UInt8) {
        func clamp(_ value: Int) -> Int { max(-Self.furthest, min(value, Self.furthest)) }
        state.x = clamp(state.x + clamp(x))
        state.y = clamp(state.y + clamp(y))
        state.wheel = clamp(state.wheel + clamp(wheel))
        let changed = state.buttons != buttons & 0x1F
        state.buttons = buttons & 0x1F
        guard state.isReporting, !state.isRemote else { return }
        if state.queue.bytes.count < Self.queueLimit && (changed || hasMovement) { appendPacket() }
        notify()
    }

    private var hasMovement: Bool { state.x != 0 || state.y != 0 || (state.wheel != 0 && state.identity != 0) }

    /// One packet takes at most 255 of each direction and 7 of the wheel; the rest follows in the next.
    private func appendPacket() {
        let x = max(-255, min(state.x, 255))
        let y = max(-255, min(state.y, 255))
        let wheel = max(-7, min(state.wheel, 7))
        state.x -= x
        state.y -= y
        state.wheel -= wheel
        var packet: [UInt8] = [
            0x08 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0) | state.buttons & 0x07,
            UInt8(truncatingIfNeeded: x), UInt8(truncatingIfNeeded: y),
        ]
        // The wheel counts towards the person.
        let towards = UInt8(truncatingIfNeeded: -wheel)
        if state.identity == 3 { packet.append(towards) }
        if state.identity == 4 { packet.append(towards & 0x0F | (state.buttons & 0x18) << 1) }
        state.queue.append(packet)
    }

    /// A command or its parameter from the host.
    public func receive(_ byte: UInt8) {
        if let command = state.pendingCommand {
            state.pendingCommand = nil
            takeArgument(byte, of: command)
        } else if state.isWrapping && byte != 0xEC && byte != 0xFF {
            state.queue.append(byte)
        } else {
            takeCommand(byte)
        }
        notify()
    }

    private func takeArgument(_ byte: UInt8, of command: UInt8) {
        if command == 0xF3 {
            state.sampleRate = byte
            state.knock = Array(state.knock.dropFirst()) + [byte]
            if state.knock == [200, 100, 80] { state.identity = max(state.identity, 3) }
            if state.knock == [200, 200, 80] && state.identity >= 3 { state.identity = 4 }
        } else {
            state.resolution = byte & 3
        }
        state.queue.append(Self.acknowledge)
    }

    private func takeCommand(_ byte: UInt8) {
        switch byte {
        case 0xFF:
            state = State()
            state.queue.append([Self.acknowledge, 0xAA, 0x00])
            return
        case 0xF2: return state.queue.append([Self.acknowledge, state.identity])
        case 0xE9:
            let status: UInt8 =
                (state.isRemote ? 0x40 : 0) | (state.isReporting ? 0x20 : 0) | (state.isScaled ? 0x10 : 0)
                | (state.buttons & 1) << 2 | state.buttons >> 1 & 1 | (state.buttons >> 2 & 1) << 1
            return state.queue.append([Self.acknowledge, status, state.resolution, state.sampleRate])
        case 0xEB:
            state.queue.append(Self.acknowledge)
            return appendPacket()
        case 0xE6, 0xE7: state.isScaled = byte == 0xE7
        case 0xE8, 0xF3: state.pendingCommand = byte
        case 0xEA: state.isRemote = false
        case 0xEC: state.isWrapping = false
        case 0xEE: state.isWrapping = true
        case 0xF0: state.isRemote = true
        case 0xF4: state.isReporting = true
        case 0xF5: state.isReporting = false
        case 0xF6:
            let identity = state.identity
            state = State()
            state.identity = identity
        default:
            return state.queue.append(0xFE)
        }
        state.queue.append(Self.acknowledge)
    }
}
