// SPDX-License-Identifier: Apache-2.0

extension UART16550 {
    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// IER.
        public internal(set) var interruptEnable: UInt8 = 0
        /// LCR.
        public internal(set) var lineControl: UInt8 = 0
        /// MCR.
        public internal(set) var modemControl: UInt8 = 0
        /// LSR.
        public internal(set) var lineStatus: UInt8 = LineStatus.transmitterIdle
        /// MSR.
        public internal(set) var modemStatus: UInt8 = ModemStatus.connected
        /// SCR, which does nothing.
        public internal(set) var scratch: UInt8 = 0
        /// 1 is 115 200 bits a second.
        public internal(set) var divisor: UInt16 = 12
        /// FCR without the bits that clear themselves.
        public internal(set) var fifoControl: UInt8 = 0
        /// Bytes that the guest has not read, at most 16.
        public internal(set) var receiveQueue: [UInt8] = []
        /// Bytes that the stream has not taken, at most 16.
        public internal(set) var transmitQueue: [UInt8] = []
        /// The transmitter became empty and nobody has looked yet.
        public internal(set) var transmitterPending = false
        /// Bytes below the trigger level have waited for four characters' time.
        public internal(set) var timeoutPending = false

        var usesFIFO: Bool { fifoControl & 1 != 0 }
        var isLoopback: Bool { modemControl & 0x10 != 0 }
        var capacity: Int { usesFIFO ? UART16550.fifoDepth : 1 }
        /// Bytes that raise the receive interrupt.
        var trigger: Int {
            guard usesFIFO else { return 1 }
            return [1, 4, 8, 14][Int(fifoControl >> 6)]
        }
    }

    enum LineStatus {
        static let dataReady: UInt8 = 0x01
        static let overrun: UInt8 = 0x02
        static let breakReceived: UInt8 = 0x10
        static let holdingEmpty: UInt8 = 0x20
        static let transmitterEmpty: UInt8 = 0x40
        static let transmitterIdle = holdingEmpty | transmitterEmpty
        static let errors: UInt8 = 0x1E
    }

    enum ModemStatus {
        /// Carrier, DSR and CTS: somebody is there.
        static let connected: UInt8 = 0xB0
        static let deltas: UInt8 = 0x0F
        static let ring: UInt8 = 0x40
    }

    enum InterruptEnable {
        static let received: UInt8 = 0x01
        static let transmitterEmpty: UInt8 = 0x02
        static let lineStatus: UInt8 = 0x04
        static let modemStatus: UInt8 = 0x08
    }

    /// Causes in IIR, from the highest priority to the lowest.
    enum Cause {
        static let lineStatus: UInt8 = 0x06
        static let timeout: UInt8 = 0x0C
        static let received: UInt8 = 0x04
        static let transmitterEmpty: UInt8 = 0x02
        static let modemStatus: UInt8 = 0x00
        static let none: UInt8 = 0x01
    }
}
