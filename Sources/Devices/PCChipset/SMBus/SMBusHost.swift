// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The SMBus host controller of the PIIX4 and the ICH9: registers that work, on a bus with nobody at any address.
///
/// Linux's drivers find it, try a few addresses, and are told that nothing answers (82371AB datasheet, 11.1).
public final class SMBusHost: Device, RegisterWindow {
    /// For logs and saved states.
    public let name = "smbus"
    /// Ports of the window, and where QEMU's firmware puts it on pc.
    public static let portCount: UInt64 = 64
    /// Where QEMU's firmware puts the ports.
    public static let usualBase: UInt64 = 0x700

    private enum Register {
        static let status: UInt64 = 0
        static let control: UInt64 = 2
        static let command: UInt64 = 3
        static let address: UInt64 = 4
        static let data0: UInt64 = 5
        static let data1: UInt64 = 6
    }
    private enum Bits {
        /// Status: the addressed device did not answer; all bits that a write of one clears.
        static let deviceError: UInt8 = 0x04
        static let clearable: UInt8 = 0x1E
        /// Control: begin, and interrupt when done.
        static let start: UInt8 = 0x40
        static let interrupt: UInt8 = 0x01
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// The host status register.
        public internal(set) var status: UInt8 = 0
        /// The host control register.
        public internal(set) var control: UInt8 = 0
        /// The command sent to the addressed device.
        public internal(set) var command: UInt8 = 0
        /// The device's address, with the direction in bit 0.
        public internal(set) var address: UInt8 = 0
        /// The two data registers.
        public internal(set) var data: [UInt8] = [0, 0]
    }

    /// What a saved machine keeps.
    public var state = State()
    private let interrupt: InterruptLine

    /// - Parameter interrupt: asserted when a transaction ended and the guest wants to know.
    public init(interrupt: InterruptLine) { self.interrupt = interrupt }

    /// All registers to 0, the interrupt taken back.
    public func reset() {
        state = State()
        interrupt.set(false)
    }

    /// Byte registers; a wider access reads the next ones too.
    public func read(offset: UInt64, size: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) { result |= UInt64(readByte(offset &+ index)) << (index * 8) }
        return result
    }

    private func readByte(_ offset: UInt64) -> UInt8 {
        switch offset {
        case Register.status: state.status
        case Register.control: state.control
        case Register.command: state.command
        case Register.address: state.address
        case Register.data0: state.data[0]
        case Register.data1: state.data[1]
        default: 0
        }
    }

    /// Byte registers in ascending order; starting a transaction fails with a device error.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        for index in 0..<UInt64(max(0, min(size, 8))) {
            writeByte(offset &+ index, UInt8(truncatingIfNeeded: value >> (index * 8)))
        }
    }

    private func writeByte(_ offset: UInt64, _ value: UInt8) {
        switch offset {
        case Register.status: state.status &= ~(value & Bits.clearable)
        case Register.control:
            state.control = value & ~Bits.start
            if value & Bits.start != 0 { state.status |= Bits.deviceError }
        case Register.command: state.command = value
        case Register.address: state.address = value
        case Register.data0: state.data[0] = value
        case Register.data1: state.data[1] = value
        default: return
        }
        interrupt.set(state.status & Bits.deviceError != 0 && state.control & Bits.interrupt != 0)
    }
}
