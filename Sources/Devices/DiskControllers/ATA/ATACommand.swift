// SPDX-License-Identifier: Apache-2.0

/// Command codes (ATA/ATAPI-8 ACS, 7).
enum ATACommand {
    static let dataSetManagement: UInt8 = 0x06
    static let deviceReset: UInt8 = 0x08
    static let recalibrate: ClosedRange<UInt8> = 0x10...0x1F
    static let readSectors: UInt8 = 0x20
    static let readSectorsOnce: UInt8 = 0x21
    static let readSectorsExtended: UInt8 = 0x24
    static let readDMAExtended: UInt8 = 0x25
    static let readNativeMaximumExtended: UInt8 = 0x27
    static let readMultipleExtended: UInt8 = 0x29
    static let writeSectors: UInt8 = 0x30
    static let writeSectorsOnce: UInt8 = 0x31
    static let writeSectorsExtended: UInt8 = 0x34
    static let writeDMAExtended: UInt8 = 0x35
    static let writeMultipleExtended: UInt8 = 0x39
    static let writeDMAForcedExtended: UInt8 = 0x3D
    static let verify: UInt8 = 0x40
    static let verifyOnce: UInt8 = 0x41
    static let verifyExtended: UInt8 = 0x42
    static let readQueued: UInt8 = 0x60
    static let writeQueued: UInt8 = 0x61
    static let seek: UInt8 = 0x70
    static let diagnose: UInt8 = 0x90
    static let initializeParameters: UInt8 = 0x91
    static let packet: UInt8 = 0xA0
    static let identifyPacketDevice: UInt8 = 0xA1
    static let readMultiple: UInt8 = 0xC4
    static let writeMultiple: UInt8 = 0xC5
    static let setMultiple: UInt8 = 0xC6
    static let readDMA: UInt8 = 0xC8
    static let readDMAOnce: UInt8 = 0xC9
    static let writeDMA: UInt8 = 0xCA
    static let writeDMAOnce: UInt8 = 0xCB
    static let writeMultipleForcedExtended: UInt8 = 0xCE
    static let standbyImmediate: UInt8 = 0xE0
    static let idleImmediate: UInt8 = 0xE1
    static let standby: UInt8 = 0xE2
    static let idle: UInt8 = 0xE3
    static let checkPower: UInt8 = 0xE5
    static let sleep: UInt8 = 0xE6
    static let flush: UInt8 = 0xE7
    static let flushExtended: UInt8 = 0xEA
    static let identify: UInt8 = 0xEC
    static let setFeatures: UInt8 = 0xEF
    static let readNativeMaximum: UInt8 = 0xF8

    /// Addresses and counts have 48 and 16 bits.
    static func is48Bit(_ command: UInt8) -> Bool {
        switch command {
        case readSectorsExtended, readDMAExtended, readNativeMaximumExtended, readMultipleExtended,
            writeSectorsExtended, writeDMAExtended, writeMultipleExtended, writeDMAForcedExtended, verifyExtended,
            writeMultipleForcedExtended:
            true
        default: false
        }
    }

    /// Writes are durable when the command ends.
    static func isForced(_ command: UInt8) -> Bool {
        command == writeDMAForcedExtended || command == writeMultipleForcedExtended
    }

    /// Data goes from the host to the drive by DMA.
    static func isWriteDMA(_ command: UInt8) -> Bool {
        switch command {
        case writeDMA, writeDMAOnce, writeDMAExtended, writeDMAForcedExtended, dataSetManagement: true
        default: false
        }
    }

    /// Data moves in blocks of several sectors.
    static func isMultiple(_ command: UInt8) -> Bool {
        switch command {
        case readMultiple, readMultipleExtended, writeMultiple, writeMultipleExtended, writeMultipleForcedExtended:
            true
        default: false
        }
    }
}
