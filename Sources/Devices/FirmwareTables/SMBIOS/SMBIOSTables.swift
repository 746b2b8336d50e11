// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// What the system management BIOS tables tell, with QEMU's words where nothing else is given.
public struct SMBIOSDescription: Sendable {
    /// Type 0; nil leaves it to firmware that runs.
    public struct Firmware: Equatable, Sendable {
        /// Type 0, 04h.
        public var vendor: String
        /// Type 0, 05h.
        public var version: String
        /// Type 0, 08h: MM/DD/YYYY.
        public var date: String
        /// Major and minor release.
        public var release: (major: UInt8, minor: UInt8) = (0, 0)
        /// The firmware is UEFI.
        public var isUEFI = false
        /// Firmware by name.
        public init(vendor: String, version: String, date: String = "04/01/2014") {
            self.vendor = vendor
            self.version = version
            self.date = date
        }

        /// Written out, as the release's pair is not equatable by itself.
        public static func == (left: Firmware, right: Firmware) -> Bool {
            left.vendor == right.vendor && left.version == right.version && left.date == right.date
                && left.release == right.release && left.isUEFI == right.isUEFI
        }
    }
    /// What type 0 says; nil leaves the table out.
    public var firmware: Firmware?
    /// What a person gave for one of types 2, 3, 4 and 17: texts by QEMU's names ("manufacturer", "serial", "loc_pfx").
    public var fields: [Int: [String: String]] = [:]
    /// Type 11: texts for whoever looks.
    public var oemStrings: [String] = []
    /// What stands wherever a manufacturer is asked for and none was given.
    static let standardManufacturer = "QEMU"
    /// Type 1, 04h; other tables that have one use it too.
    public var manufacturer = SMBIOSDescription.standardManufacturer
    /// Type 1, 05h.
    public var product: String
    /// The machine type, "pc-q35-7.2", unless a person gave another text.
    public var version: String
    /// The machine type.
    let machineName: String
    /// Type 1, 07h; empty leaves the text out.
    public var serial = ""
    /// Type 1, 19h; empty leaves the text out.
    public var sku = ""
    /// Type 1, 1Ah; empty leaves the text out.
    public var family = ""
    /// 16 bytes in the order of the text form; nil is all zero.
    public var uuid: [UInt8]?
    /// Processors by socket, and what is in each.
    public var sockets: Int
    /// Type 4, 23h.
    public var coresPerSocket: Int
    /// Threads of a core; type 4, 25h has all of a socket.
    public var threadsPerCore: Int
    /// CPUID leaf 1: EAX, and EDX.
    public var processorSignature: UInt32
    /// The second half of type 4's processor identifier.
    public var processorFeatures: UInt32
    /// Ranges of RAM.
    public var memory: [Range<UInt64>]
    /// The 64-bit entry point of version 3.0 instead of the 32-bit one of 2.8.
    public var usesVersion3 = false

    /// A machine of the given board.
    public init(
        board: MachineDescription.Board, sockets: Int, coresPerSocket: Int, threadsPerCore: Int,
        processorSignature: UInt32, processorFeatures: UInt32, memory: [Range<UInt64>]
    ) {
        switch board {
        case .q35: (product, version) = ("Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2")
        case .pc: (product, version) = ("Standard PC (i440FX + PIIX, 1996)", "pc-i440fx-7.2")
        case .microvm: (product, version) = ("microvm (i386)", "microvm")
        }
        machineName = version
        self.sockets = sockets
        self.coresPerSocket = coresPerSocket
        self.threadsPerCore = threadsPerCore
        self.processorSignature = processorSignature
        self.processorFeatures = processorFeatures
        self.memory = memory
    }
}

/// One structure: a formatted part, then its strings (DSP0134 3.1, 6.1).
struct SMBIOSStructure {
    private var builder = ByteBuilder()
    private var strings: [String] = []

    init(type: UInt8, handle: UInt16) {
        builder.append(type)
        builder.append(UInt8(0))
        builder.append(handle)
    }

    mutating func append<Value: FixedWidthInteger>(_ value: Value) { builder.append(value) }
    mutating func append(bytes: [UInt8]) { builder.append(bytes: bytes) }

    /// The number of a string; 0 for none.
    mutating func append(string: String) {
        // A zero byte would end the string early.
        let text = string.filter { $0 != "\0" }
        guard !text.isEmpty else {
            builder.append(UInt8(0))
            return
        }
        strings.append(text)
        builder.append(UInt8(strings.count))
    }

    /// A string that the formatted part does not number: type 11 counts them.
    mutating func addString(_ text: String) { strings.append(text.filter { $0 != "\0" }) }

    var bytes: [UInt8] {
        var formatted = builder
        formatted.patch(UInt8(truncatingIfNeeded: formatted.count), at: 1)
        var result = formatted.bytes
        for string in strings { result += Array(string.utf8) + [0] }
        return result + (strings.isEmpty ? [0, 0] : [0])
    }
}

/// The entry point and the structures.
public struct SMBIOSTables: Sendable {
    /// Names under which firmware finds them in fw_cfg.
    public static let anchorFile = "etc/smbios/smbios-anchor", structuresFile = "etc/smbios/smbios-tables"

    /// The entry point, without the structures' address and the checksums.
    public let anchor: [UInt8]
    /// All structures.
    public let structures: [UInt8]

    /// Builds the structures.
    public init(_ description: SMBIOSDescription) {
        let list = SMBIOSContents(description: description).structures.map(\.bytes)
        structures = Array(list.joined())
        anchor =
            description.usesVersion3
            ? Self.makeAnchor64(count: structures.count)
            : Self.makeAnchor32(structures: list, count: structures.count)
    }

    /// The files for fw_cfg by name.
    public var firmwareFiles: [(name: String, bytes: [UInt8])] {
        [(Self.anchorFile, linkedAnchor(structuresAt: 0)), (Self.structuresFile, structures)]
    }

    private static let anchor32Count = 31, anchor64Count = 24

    private static func makeAnchor32(structures: [[UInt8]], count: Int) -> [UInt8] {
        var builder = ByteBuilder()
        builder.append(text: "_SM_", count: 4)
        builder.append(UInt8(0))
        builder.append(UInt8(anchor32Count))
        builder.append(bytes: [2, 8])
        builder.append(UInt16(clamping: structures.map(\.count).max() ?? 0))
        builder.append(zeros: 6)
        builder.append(text: "_DMI_", count: 5)
        builder.append(UInt8(0))
        builder.append(UInt16(clamping: count))
        builder.append(UInt32(0))
        builder.append(UInt16(clamping: structures.count))
        builder.append(UInt8(0x28))
        return builder.bytes
    }

    private static func makeAnchor64(count: Int) -> [UInt8] {
        var builder = ByteBuilder()
        builder.append(text: "_SM3_", count: 5)
        builder.append(UInt8(0))
        builder.append(UInt8(anchor64Count))
        builder.append(bytes: [3, 0, 0, 1, 0])
        builder.append(UInt32(count))
        builder.append(UInt64(0))
        return builder.bytes
    }

    /// The entry point for structures at an address, with its checksums.
    func linkedAnchor(structuresAt address: UInt64) -> [UInt8] {
        var linked = anchor
        if linked.count == Self.anchor64Count {
            linked.store(address, at: 16)
            linked[5] = 0 &- byteSum(linked)
        } else {
            linked.store(UInt32(truncatingIfNeeded: address), at: 24)
            linked[21] = 0 &- byteSum(linked[16...])
            linked[4] = 0 &- byteSum(linked)
        }
        return linked
    }
}
