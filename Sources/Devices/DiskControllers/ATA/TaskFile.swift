// SPDX-License-Identifier: Apache-2.0

/// The command block registers of a drive (ATA/ATAPI-8 ACS, 6), with the previous content that 48-bit commands use.
public struct TaskFile: Equatable, Sendable, Codable {
    /// Status register bits.
    public enum Status {
        /// BSY: the drive has the registers.
        public static let busy: UInt8 = 0x80
        /// DRDY: commands are taken.
        public static let ready: UInt8 = 0x40
        /// DF: the drive is broken.
        public static let fault: UInt8 = 0x20
        /// DSC, which disks leave set.
        public static let seekComplete: UInt8 = 0x10
        /// DRQ: a block is to be moved.
        public static let dataRequest: UInt8 = 0x08
        /// ERR: the error register says why.
        public static let error: UInt8 = 0x01
    }
    /// Error register bits.
    public enum Failure {
        /// UNC: the data could not be read.
        public static let uncorrectable: UInt8 = 0x40
        /// IDNF: there is no such sector.
        public static let notFound: UInt8 = 0x10
        /// ABRT: the command is unknown or its arguments are wrong.
        public static let aborted: UInt8 = 0x04
    }
    /// Device register bits.
    public enum Selection {
        /// DEV: the registers are meant for the second drive of the cable.
        public static let second: UInt8 = 0x10
        /// The address is a sector's number, not cylinder, head and sector.
        public static let usesLBA: UInt8 = 0x40
    }

    /// `Status` bits; reading it takes the interrupt back, reading the alternate does not.
    public var status: UInt8 = 0
    /// `Failure` bits, valid while ERR is set; after a reset the diagnostic code.
    public var error: UInt8 = 0
    /// `Selection` bits, and bits 24...27 of a 28-bit address.
    public var device: UInt8 = 0
    /// The low byte is the register, the high byte what was there before.
    public var feature: UInt16 = 0
    /// Sectors to move, where 0 means 256, or 65536 for 48-bit commands; for packets the reason.
    public var count: UInt16 = 0
    /// Bits 0...7 of the address, and 24...31 in the previous content.
    public var low: UInt16 = 0
    /// Bits 8...15, and 32...39 before; for packets the byte count's low half.
    public var middle: UInt16 = 0
    /// Bits 16...23, and 40...47 before; for packets the byte count's high half.
    public var high: UInt16 = 0

    /// All zero.
    public init() {}

    /// A guest's write moves the old byte up.
    static func push(_ value: UInt8, into register: inout UInt16) { register = register << 8 | UInt16(value) }

    /// Replaces the current byte, as the drive does.
    static func set(_ value: UInt8, in register: inout UInt16) { register = register & 0xFF00 | UInt16(value) }

    /// Cylinder registers together: the byte count of packet transfers.
    var byteCount: UInt16 {
        get { (high & 0xFF) << 8 | middle & 0xFF }
        set {
            Self.set(UInt8(truncatingIfNeeded: newValue), in: &middle)
            Self.set(UInt8(truncatingIfNeeded: newValue >> 8), in: &high)
        }
    }

    /// The 28-bit address of device, high, middle and low.
    var address28: UInt64 {
        UInt64(device & 0x0F) << 24 | UInt64(high & 0xFF) << 16 | UInt64(middle & 0xFF) << 8 | UInt64(low & 0xFF)
    }

    /// The 48-bit address of both contents of high, middle and low.
    var address48: UInt64 {
        let upper = UInt64(high >> 8) << 40 | UInt64(middle >> 8) << 32 | UInt64(low >> 8) << 24
        return upper | UInt64(high & 0xFF) << 16 | UInt64(middle & 0xFF) << 8 | UInt64(low & 0xFF)
    }

    /// Shows an address in the registers.
    mutating func show(address: UInt64, is48Bit: Bool) {
        func word(_ shift: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: address >> shift & 0xFF) }
        low = is48Bit ? word(24) << 8 | word(0) : word(0)
        middle = is48Bit ? word(32) << 8 | word(8) : word(8)
        high = is48Bit ? word(40) << 8 | word(16) : word(16)
        if !is48Bit { device = device & 0xF0 | UInt8(truncatingIfNeeded: address >> 24 & 0x0F) }
    }
}
