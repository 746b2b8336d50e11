// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The PC's two 8237 DMA controllers with their page registers: registers that keep what is written, for software that
/// probes them. No ISA device of this machine asks for DMA, so no transfer ever runs.
public final class DMAController: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "i8257"

    /// One channel.
    public struct Channel: Equatable, Sendable, Codable {
        /// The address that auto-initialisation goes back to.
        public internal(set) var baseAddress: UInt16 = 0
        /// The count that auto-initialisation goes back to.
        public internal(set) var baseCount: UInt16 = 0
        /// The low 16 bits of the next transfer's address.
        public internal(set) var address: UInt16 = 0
        /// Transfers left, less one.
        public internal(set) var count: UInt16 = 0
        /// The mode register: direction, auto-initialisation, kind.
        public internal(set) var mode: UInt8 = 0
    }

    /// One controller of four channels.
    public struct Controller: Equatable, Sendable, Codable {
        /// The four channels of one controller.
        public internal(set) var channels = [Channel](repeating: Channel(), count: 4)
        /// The command register.
        public internal(set) var command: UInt8 = 0
        /// Terminal counts in bits 0...3, requests in bits 4...7.
        public internal(set) var status: UInt8 = 0
        /// Channels that are switched off, a bit each.
        public internal(set) var mask: UInt8 = 0x0F
        /// The next byte is the high one.
        var takesHigh = false
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// The pair: 8-bit channels, then 16-bit ones.
        public internal(set) var controllers = [Controller](repeating: Controller(), count: 2)
        /// Ports 0x80...0x8F; 0x80 itself belongs to `PostCodePort`.
        public internal(set) var pages = [UInt8](repeating: 0, count: 16)
    }

    /// What a saved machine keeps.
    public var state = State()

    /// Both controllers as after power-on.
    public init() {}

    /// Maps 0x00...0x0F, 0xC0...0xDF and 0x81...0x8F.
    public func map(in ports: AddressSpace) {
        for (index, base, shift) in [(0, 0x00, 0), (1, 0xC0, 1)] as [(Int, UInt64, UInt64)] {
            ports.map(
                ByteWindow(
                    count: 16 << shift,
                    read: { [self] in $0 & shift == 0 ? read(index, $0 >> shift) : 0xFF },
                    write: { [self] in if $0 & shift == 0 { write(index, $0 >> shift, $1) } }),
                at: base, count: 16 << shift, name: "dma")
        }
        ports.map(
            ByteWindow(
                count: 15, read: { [self] in state.pages[Int($0) + 1] },
                write: { [self] in state.pages[Int($0) + 1] = $1 }),
            at: 0x81, count: 15, name: "dma-page")
    }

    /// Every channel masked, as after power-on.
    public func reset() { state = State() }

    private func read(_ index: Int, _ register: UInt64) -> UInt8 {
        switch register {
        case 0...7:
            let channel = state.controllers[index].channels[Int(register >> 1)]
            let value = register & 1 == 0 ? channel.address : channel.count
            let takesHigh = state.controllers[index].takesHigh
            state.controllers[index].takesHigh.toggle()
            return UInt8(truncatingIfNeeded: takesHigh ? value >> 8 : value)
        case 8:
            // Reading status forgets the terminal counts in its low half.
            let value = state.controllers[index].status
            state.controllers[index].status &= 0xF0
            return value
        case 15: return state.controllers[index].mask
        default: return 0
        }
    }

    private func write(_ index: Int, _ register: UInt64, _ value: UInt8) {
        switch register {
        case 0...7: writeChannel(index, Int(register >> 1), isCount: register & 1 != 0, value)
        case 8: state.controllers[index].command = value
        case 9:
            let bit = UInt8(0x10) << (value & 3)
            let status = state.controllers[index].status
            state.controllers[index].status = value & 4 != 0 ? status | bit : status & ~bit
        case 10:
            let bit = UInt8(1) << (value & 3)
            let mask = state.controllers[index].mask
            state.controllers[index].mask = value & 4 != 0 ? mask | bit : mask & ~bit
        case 11: state.controllers[index].channels[Int(value & 3)].mode = value
        case 12: state.controllers[index].takesHigh = false
        case 13:
            let channels = state.controllers[index].channels
            state.controllers[index] = Controller()
            state.controllers[index].channels = channels
        case 14: state.controllers[index].mask = 0
        default: state.controllers[index].mask = value & 0x0F
        }
    }

    private func writeChannel(_ index: Int, _ number: Int, isCount: Bool, _ value: UInt8) {
        let takesHigh = state.controllers[index].takesHigh
        state.controllers[index].takesHigh.toggle()
        var channel = state.controllers[index].channels[number]
        let old = isCount ? channel.baseCount : channel.baseAddress
        let new = takesHigh ? old & 0x00FF | UInt16(value) << 8 : old & 0xFF00 | UInt16(value)
        if isCount {
            channel.baseCount = new
            channel.count = new
        } else {
            channel.baseAddress = new
            channel.address = new
        }
        state.controllers[index].channels[number] = channel
    }
}
