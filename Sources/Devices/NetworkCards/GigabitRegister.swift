// SPDX-License-Identifier: Apache-2.0

/// Registers of Intel's gigabit controllers by byte offset (8254x Software Developer's Manual, chapter 13; 82574
/// datasheet, chapter 10).
enum GigabitRegister {
    static let control = 0x0, status = 0x8, eepromControl = 0x10, eepromRead = 0x14, extendedControl = 0x18
    static let mediaControl = 0x20, vlanType = 0x38
    static let cause = 0xC0, throttle = 0xC4, causeSet = 0xC8, maskSet = 0xD0, maskClear = 0xD8, autoClear = 0xDC
    static let autoMask = 0xE0, vectors = 0xE4
    static let receiveControl = 0x100, transmitControl = 0x400
    static let packetBuffer = 0x1000, managementEEPROM = 0x1010
    /// The first ring's registers; the second ring's are 0x100 further.
    static let receiveBase = 0x2800, transmitBase = 0x3800
    static let ringStep = 0x100
    static let statistics = 0x4000..<0x4100
    static let receiveChecksum = 0x5000, receiveFilter = 0x5008
    static let multicastTable = 0x5200, addresses = 0x5400, vlanTable = 0x5600
    static let packetSplit = 0x2170
    static let management = 0x5820
    static let count = 0x20000
}

/// A ring's registers behind its base.
enum GigabitRing {
    static let low = 0x0, high = 0x4, length = 0x8, head = 0x10, tail = 0x18
}

/// Bits of the registers.
enum GigabitBit {
    enum Control {
        static let masterDisable: UInt32 = 1 << 2, linkUp: UInt32 = 1 << 6, reset: UInt32 = 1 << 26
        static let vlanMode: UInt32 = 1 << 30, phyReset: UInt32 = 1 << 31
    }
    enum Status {
        static let fullDuplex: UInt32 = 1, linkUp: UInt32 = 2, gigabit: UInt32 = 0x80
        static let masterEnable: UInt32 = 1 << 19
    }
    enum EEPROM {
        static let clock: UInt32 = 1, select: UInt32 = 2, input: UInt32 = 4, output: UInt32 = 8
        static let request: UInt32 = 0x40, grant: UInt32 = 0x80, present: UInt32 = 0x100, loaded: UInt32 = 0x200
    }
    enum Receive {
        static let enable: UInt32 = 2, bad: UInt32 = 4, allUnicast: UInt32 = 8, allMulticast: UInt32 = 0x10
        static let long: UInt32 = 0x20, broadcast: UInt32 = 0x8000, vlanFilter: UInt32 = 1 << 18
        static let largeBuffers: UInt32 = 1 << 25, stripChecksum: UInt32 = 1 << 26
    }
    enum Transmit { static let enable: UInt32 = 2 }
    enum Cause {
        static let transmitted: UInt32 = 1, transmitQueueEmpty: UInt32 = 2, linkChanged: UInt32 = 4
        static let receiveThreshold: UInt32 = 0x10, overrun: UInt32 = 0x40, received: UInt32 = 0x80
        static let media: UInt32 = 0x200, receiveQueue: UInt32 = 1 << 20, transmitQueue: UInt32 = 1 << 22
        static let other: UInt32 = 1 << 24, asserted: UInt32 = 1 << 31
        /// Those that the 82574 gathers in `other`.
        static let others: UInt32 = 4 | 0x40 | 0x200 | 1 << 16 | 1 << 17 | 1 << 18
    }
    enum Extended { static let autoMask: UInt32 = 1 << 27, vectorAutoMask: UInt32 = 1 << 24 }
    enum Media {
        static let write: UInt32 = 1 << 26, read: UInt32 = 2 << 26, ready: UInt32 = 1 << 28
        static let interrupt: UInt32 = 1 << 29, failed: UInt32 = 1 << 30
    }
}
