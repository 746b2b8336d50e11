// SPDX-License-Identifier: Apache-2.0

/// Why a SCSI command failed (SPC-4, 4.5).
public struct Sense: Equatable, Sendable, Codable {
    /// The sense key, 0...15: 2 not ready, 3 medium, 5 illegal request, 6 attention, 7 protected.
    public var key: UInt8
    /// The additional sense code (ASC).
    public var code: UInt8
    /// The additional sense code's qualifier (ASCQ).
    public var qualifier: UInt8

    /// A sense key with additional sense code and qualifier.
    public init(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8 = 0) {
        self.key = key
        self.code = code
        self.qualifier = qualifier
    }

    /// NO SENSE: nothing is wrong.
    public static let none = Sense(0, 0)
    /// MEDIUM NOT PRESENT.
    public static let noMedium = Sense(2, 0x3A)
    /// MEDIUM NOT PRESENT - TRAY OPEN.
    public static let trayOpen = Sense(2, 0x3A, 0x02)
    /// LOGICAL UNIT IS IN PROCESS OF BECOMING READY, right after a disc was put in.
    public static let becomingReady = Sense(2, 0x04, 0x01)
    /// UNRECOVERED READ ERROR: the host could not read.
    public static let readError = Sense(3, 0x11)
    /// WRITE ERROR: the host could not write.
    public static let writeError = Sense(3, 0x0C)
    /// INVALID COMMAND OPERATION CODE.
    public static let invalidCommand = Sense(5, 0x20)
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    public static let outOfRange = Sense(5, 0x21)
    /// INVALID FIELD IN CDB.
    public static let invalidField = Sense(5, 0x24)
    /// SAVING PARAMETERS NOT SUPPORTED, for MODE SENSE of saved values.
    public static let savingNotSupported = Sense(5, 0x39)
    /// MEDIUM REMOVAL PREVENTED: the guest locked the tray.
    public static let removalPrevented = Sense(5, 0x53, 0x02)
    /// NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED.
    public static let mediumChanged = Sense(6, 0x28)
    /// POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    public static let powerOn = Sense(6, 0x29)
    /// WRITE PROTECTED.
    public static let writeProtected = Sense(7, 0x27)

    /// Fixed-format sense data, 18 bytes.
    public var data: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 18)
        bytes[0] = 0x70
        bytes[2] = key
        bytes[7] = 10
        bytes[12] = code
        bytes[13] = qualifier
        return bytes
    }
}

/// What a device does for a SCSI command.
public enum SCSIReply: Equatable, Sendable {
    /// Done, without data.
    case done
    /// These bytes go to the host.
    case data([UInt8])
    /// A range of the medium in bytes goes to the host.
    case read(offset: Int64, count: Int)
    /// As many bytes come from the host and go to the medium.
    case write(offset: Int64, count: Int, isForced: Bool)
    /// As many bytes come from the host, for `receive`.
    case parameters(count: Int)
    /// Everything written becomes durable.
    case flush
    case failed(Sense)
}

/// Fields of command descriptor blocks; beyond the end they read as 0.
struct CommandBlock {
    let bytes: [UInt8]

    subscript(index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }
    func word(_ index: Int) -> Int { Int(self[index]) << 8 | Int(self[index + 1]) }
    func triple(_ index: Int) -> Int { Int(self[index]) << 16 | word(index + 1) }
    func long(_ index: Int) -> UInt64 { UInt64(word(index)) << 16 | UInt64(word(index + 2)) }
}

/// Big-endian replies.
struct ReplyBuilder {
    var bytes: [UInt8] = []
    mutating func append(_ values: UInt8...) { bytes += values }
    mutating func append(word: Int) {
        bytes += [UInt8(truncatingIfNeeded: word >> 8), UInt8(truncatingIfNeeded: word)]
    }
    mutating func append(long: UInt64) {
        append(word: Int(truncatingIfNeeded: long >> 16 & 0xFFFF))
        append(word: Int(truncatingIfNeeded: long & 0xFFFF))
    }
    mutating func append(text: String, count: Int) {
        let characters = Array(text.utf8.prefix(count))
        bytes += characters + [UInt8](repeating: 0x20, count: count - characters.count)
    }
    mutating func zeros(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }
    func limited(to count: Int) -> [UInt8] { Array(bytes.prefix(max(0, count))) }
}
