// SPDX-License-Identifier: Apache-2.0

/// Register places and bits (Serial ATA AHCI 1.3.1).
enum AHCI {
    /// Ports and command slots of the ICH9.
    static let portCount = 6, slotCount = 32
    static let windowCount: UInt64 = 4096
    static let portBase: UInt64 = 0x100, portStride: UInt64 = 0x80

    /// Offsets of the host's registers.
    enum Host {
        static let capabilities: UInt64 = 0x00, control: UInt64 = 0x04, interruptStatus: UInt64 = 0x08
        static let portsImplemented: UInt64 = 0x0C, version: UInt64 = 0x10
        /// 64-bit addresses, NCQ, AHCI only, generation 1 speed, 32 slots.
        static let capabilityBits: UInt32 =
            1 << 31 | 1 << 30 | 1 << 20 | 1 << 18 | UInt32(slotCount - 1) << 8 | UInt32(portCount - 1)
        static let versionNumber: UInt32 = 0x1_0000
        static let reset: UInt32 = 1, interruptEnable: UInt32 = 2, enable: UInt32 = 1 << 31
    }

    /// Offsets of a port's registers.
    enum Port {
        static let commandList: UInt64 = 0x00, commandListHigh: UInt64 = 0x04
        static let received: UInt64 = 0x08, receivedHigh: UInt64 = 0x0C
        static let interruptStatus: UInt64 = 0x10, interruptEnable: UInt64 = 0x14
        static let command: UInt64 = 0x18, taskFile: UInt64 = 0x20, signature: UInt64 = 0x24
        static let sataStatus: UInt64 = 0x28, sataControl: UInt64 = 0x2C, sataError: UInt64 = 0x30
        static let sataActive: UInt64 = 0x34, issue: UInt64 = 0x38
    }

    /// Bits of a port's command register.
    enum Command {
        static let start: UInt32 = 1, spinUp: UInt32 = 2, powerOn: UInt32 = 4, override: UInt32 = 8
        static let receive: UInt32 = 1 << 4, receiving: UInt32 = 1 << 14, running: UInt32 = 1 << 15
        static let slotShift: UInt32 = 8
        static let writable: UInt32 = start | spinUp | powerOn | receive | 1 << 24 | 1 << 25 | 0xF << 28
    }

    /// Bits of a port's interrupt status.
    enum Event {
        static let registers: UInt32 = 1, setup: UInt32 = 2, deviceBits: UInt32 = 8, descriptor: UInt32 = 1 << 5
        static let connect: UInt32 = 1 << 6, overflow: UInt32 = 1 << 24, hostError: UInt32 = 1 << 29
        static let taskFileError: UInt32 = 1 << 30
    }

    /// Frame types, and where received frames go.
    enum Frame {
        static let hostToDevice: UInt8 = 0x27, deviceToHost: UInt8 = 0x34, setup: UInt8 = 0x5F, bits: UInt8 = 0xA1
        static let setupPlace: UInt64 = 0x20, registersPlace: UInt64 = 0x40, bitsPlace: UInt64 = 0x58
        static let interrupt: UInt8 = 0x40, toHost: UInt8 = 0x20
    }

    /// A link at generation 1 with a drive at the other end; its signature.
    static let linkUp: UInt32 = 0x113
    static let diskSignature: UInt32 = 0x0000_0101, packetSignature: UInt32 = 0xEB14_0101
}
