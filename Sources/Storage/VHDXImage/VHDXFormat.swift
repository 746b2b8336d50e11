// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import HostSystem

/// Places and numbers of the VHDX format (Microsoft's specification 1.00); all numbers are little-endian.
enum VHDX {
    static let fileMagic = Array("vhdxfile".utf8)
    static let headerMagic = Array("head".utf8)
    static let regionMagic = Array("regi".utf8)
    static let metadataMagic = Array("metadata".utf8)
    static let mebibyte: Int64 = 1 << 20
    static let headerOffsets: [Int64] = [64 << 10, 128 << 10]
    static let headerSize = 4096
    static let regionOffsets: [Int64] = [192 << 10, 256 << 10]
    static let regionTableSize = 64 << 10
    static let metadataTableSize = 64 << 10
    static let largestDisk: Int64 = 64 << 40
    static let blockSizes: ClosedRange<Int64> = 1 << 20...256 << 20
    /// Sectors that one block of the sector bitmap describes.
    static let sectorsPerBitmap: Int64 = 1 << 23

    enum Identifier {
        static let table = guid(0x2dc2_7766, 0xf623, 0x4200, [0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08])
        static let metadata = guid(0x8b7c_a206, 0x4790, 0x4b9a, [0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e])
        static let parameters = guid(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b])
        static let diskSize = guid(0x2fa5_4224, 0xcd1b, 0x4876, [0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8])
        static let diskID = guid(0xbeca_12ab, 0xb2e6, 0x4523, [0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46])
        static let logicalSector = guid(0x8141_bf1d, 0xa96f, 0x4709, [0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f])
        static let physicalSector = guid(
            0xcda3_48c7, 0x445d, 0x4471, [0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56])
        static let parentLocator = guid(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c])

        private static func guid(_ a: UInt32, _ b: UInt16, _ c: UInt16, _ rest: [UInt8]) -> [UInt8] {
            var builder = ByteBuilder()
            builder.append(a)
            builder.append(b)
            builder.append(c)
            return builder.bytes + rest
        }
    }

    enum BlockState {
        static let mask: UInt64 = 7
        static let zero: UInt64 = 2
        static let present: UInt64 = 6
        static let partial: UInt64 = 7
        /// The place of a block, whole mebibytes.
        static let offsetMask: UInt64 = 0xffff_ffff_fff0_0000
    }

    /// CRC-32C with the checksum's own four bytes taken as zero.
    static func checksum(_ bytes: [UInt8], field: Int) -> UInt32 {
        var crc: UInt32 = 0xffff_ffff
        for (index, byte) in bytes.enumerated() {
            let value = index >= field && index < field + 4 ? 0 : byte
            crc = crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ value)] ^ (crc >> 8)
        }
        return ~crc
    }

    private static let crcTable: [UInt32] = (0..<256).map { number in
        var value = UInt32(number)
        // The Castagnoli polynomial, reflected.
        for _ in 0..<8 { value = value & 1 != 0 ? 0x82f6_3b78 ^ (value >> 1) : value >> 1 }
        return value
    }

    static func isIntact(_ bytes: [UInt8], magic: [UInt8]) -> Bool {
        bytes.starts(with: magic) && bytes.load(UInt32.self, at: 4) == checksum(bytes, field: 4)
    }

    static func refuse(_ text: String) -> BlockError { BlockError(.invalidArgument, text) }
}

/// One of the two headers, of which the one with the higher number holds.
struct VHDXHeader: Sendable {
    enum Offset {
        static let sequence = 8
        static let fileWriteID = 16
        static let dataWriteID = 32
        static let logID = 48
        static let logVersion = 64
        static let version = 66
        static let logLength = 68
        static let logOffset = 72
    }

    var sequence: UInt64
    var fileWriteID: [UInt8]
    var dataWriteID: [UInt8]
    /// All zero: the log is empty.
    var logID: [UInt8]
    var logLength: UInt32
    var logOffset: UInt64

    var hasLog: Bool { logID.contains { $0 != 0 } }

    /// nil where the copy is damaged or of another version.
    init?(parsing bytes: [UInt8]) {
        guard VHDX.isIntact(bytes, magic: VHDX.headerMagic), bytes.load(UInt16.self, at: Offset.version) == 1,
            bytes.load(UInt16.self, at: Offset.logVersion) == 0
        else { return nil }
        sequence = bytes.load(at: Offset.sequence) ?? 0
        fileWriteID = bytes.bytes(at: Offset.fileWriteID, count: 16) ?? []
        dataWriteID = bytes.bytes(at: Offset.dataWriteID, count: 16) ?? []
        logID = bytes.bytes(at: Offset.logID, count: 16) ?? []
        logLength = bytes.load(at: Offset.logLength) ?? 0
        logOffset = bytes.load(at: Offset.logOffset) ?? 0
    }

    init(sequence: UInt64, identifiers: [UInt8], logLength: UInt32) {
        self.sequence = sequence
        fileWriteID = Array(identifiers.prefix(16))
        dataWriteID = Array(identifiers.dropFirst(16).prefix(16))
        logID = [UInt8](repeating: 0, count: 16)
        self.logLength = logLength
        logOffset = UInt64(VHDX.mebibyte)
    }

    var serialized: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: VHDX.headerSize)
        bytes.store(bytes: VHDX.headerMagic, at: 0)
        bytes.store(sequence, at: Offset.sequence)
        bytes.store(bytes: fileWriteID, at: Offset.fileWriteID)
        bytes.store(bytes: dataWriteID, at: Offset.dataWriteID)
        bytes.store(bytes: logID, at: Offset.logID)
        bytes.store(UInt16(1), at: Offset.version)
        bytes.store(logLength, at: Offset.logLength)
        bytes.store(logOffset, at: Offset.logOffset)
        bytes.store(VHDX.checksum(bytes, field: 4), at: 4)
        return bytes
    }

    /// The current header and which copy it is.
    static func read(_ file: any BlockNode) throws(BlockError) -> (header: VHDXHeader, index: Int) {
        var best: (header: VHDXHeader, index: Int)?
        for (index, offset) in VHDX.headerOffsets.enumerated() {
            let bytes = try file.readBytes(at: offset, count: VHDX.headerSize)
            guard let header = VHDXHeader(parsing: bytes) else { continue }
            if best == nil || header.sequence > best?.header.sequence ?? 0 { best = (header, index) }
        }
        guard let best else { throw VHDX.refuse("No valid VHDX header found") }
        return best
    }
}

/// Where the block table and the metadata are.
struct VHDXRegions: Sendable {
    var table: Range<Int64>
    var metadata: Range<Int64>

    static func read(_ file: any BlockNode) throws(BlockError) -> VHDXRegions {
        for offset in VHDX.regionOffsets {
            let bytes = try file.readBytes(at: offset, count: VHDX.regionTableSize)
            if VHDX.isIntact(bytes, magic: VHDX.regionMagic) { return try VHDXRegions(bytes, fileLength: file.length) }
        }
        throw VHDX.refuse("No valid VHDX region table found")
    }

    private init(_ bytes: [UInt8], fileLength: Int64) throws(BlockError) {
        let count: UInt32 = bytes.load(at: 8) ?? 0
        guard count <= 2047 else { throw VHDX.refuse("VHDX region table has too many entries (\(count))") }
        var found: [[UInt8]: Range<Int64>] = [:]
        for index in 0..<Int(count) {
            let place = 16 + index * 32
            let identifier = bytes.bytes(at: place, count: 16) ?? []
            let start: UInt64 = bytes.load(at: place + 16) ?? 0
            let length: UInt32 = bytes.load(at: place + 24) ?? 0
            let isRequired = (bytes.load(UInt32.self, at: place + 28) ?? 0) & 1 != 0
            let isKnown = identifier == VHDX.Identifier.table || identifier == VHDX.Identifier.metadata
            guard isKnown else {
                if isRequired { throw BlockError(.notSupported, "VHDX image has a required region of unknown kind") }
                continue
            }
            guard start >= UInt64(VHDX.mebibyte), start <= UInt64(fileLength),
                UInt64(length) <= UInt64(fileLength) - start, found[identifier] == nil
            else { throw VHDX.refuse("VHDX region lies outside the file or is there twice") }
            found[identifier] = Int64(start)..<Int64(start) + Int64(length)
        }
        guard let table = found[VHDX.Identifier.table], let metadata = found[VHDX.Identifier.metadata],
            !table.overlaps(metadata)
        else { throw VHDX.refuse("VHDX image lacks its block table or its metadata") }
        self.table = table
        self.metadata = metadata
    }

    static func make(table: Range<Int64>, metadata: Range<Int64>) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: VHDX.regionTableSize)
        bytes.store(bytes: VHDX.regionMagic, at: 0)
        bytes.store(UInt32(2), at: 8)
        for (index, entry) in [(VHDX.Identifier.table, table), (VHDX.Identifier.metadata, metadata)].enumerated() {
            let place = 16 + index * 32
            bytes.store(bytes: entry.0, at: place)
            bytes.store(UInt64(entry.1.lowerBound), at: place + 16)
            bytes.store(UInt32(truncatingIfNeeded: entry.1.count), at: place + 24)
            bytes.store(UInt32(1), at: place + 28)
        }
        bytes.store(VHDX.checksum(bytes, field: 4), at: 4)
        return bytes
    }
}

/// What the metadata region says of the disk.
struct VHDXMetadata: Sendable {
    var blockSize: Int64
    var isFixed: Bool
    var diskSize: Int64
    var sectorSize: Int64

    /// Blocks between two entries of the sector bitmap.
    var chunkRatio: Int64 { max(VHDX.sectorsPerBitmap * sectorSize / blockSize, 1) }
    var blocks: Int64 { (diskSize + blockSize - 1) / blockSize }
    var tableEntries: Int64 { blocks == 0 ? 0 : blocks + (blocks - 1) / chunkRatio }

    init(blockSize: Int64, isFixed: Bool, diskSize: Int64) {
        self.blockSize = blockSize
        self.isFixed = isFixed
        self.diskSize = diskSize
        sectorSize = 512
    }

    static func read(_ file: any BlockNode, _ region: Range<Int64>) throws(BlockError) -> VHDXMetadata {
        let bytes = try file.readBytes(at: region.lowerBound, count: VHDX.metadataTableSize)
        guard bytes.starts(with: VHDX.metadataMagic) else { throw VHDX.refuse("VHDX metadata signature is wrong") }
        let count: UInt16 = bytes.load(at: 10) ?? 0
        guard count <= 2047 else { throw VHDX.refuse("VHDX metadata table has too many entries (\(count))") }
        var items: [[UInt8]: [UInt8]] = [:]
        for index in 0..<Int(count) {
            let place = 32 + index * 32
            let identifier = bytes.bytes(at: place, count: 16) ?? []
            let offset = Int64(bytes.load(UInt32.self, at: place + 16) ?? 0)
            guard offset >= Int64(VHDX.metadataTableSize), offset <= Int64(region.count) - 16 else {
                throw VHDX.refuse("VHDX metadata item lies outside its region")
            }
            items[identifier] = try file.readBytes(at: region.lowerBound + offset, count: 16)
        }
        return try VHDXMetadata(items)
    }

    private init(_ items: [[UInt8]: [UInt8]]) throws(BlockError) {
        guard let parameters = items[VHDX.Identifier.parameters], let size = items[VHDX.Identifier.diskSize],
            let logical = items[VHDX.Identifier.logicalSector]
        else { throw VHDX.refuse("VHDX metadata is incomplete") }
        let flags: UInt32 = parameters.load(at: 4) ?? 0
        guard flags & 2 == 0, items[VHDX.Identifier.parentLocator] == nil else {
            throw BlockError(.notSupported, "VHDX images with a parent are not supported")
        }
        isFixed = flags & 1 != 0
        blockSize = Int64(parameters.load(UInt32.self, at: 0) ?? 0)
        diskSize = Int64(truncatingIfNeeded: size.load(UInt64.self, at: 0) ?? 0)
        sectorSize = Int64(logical.load(UInt32.self, at: 0) ?? 0)
        guard sectorSize == 512 || sectorSize == 4096 else {
            throw BlockError(.notSupported, "VHDX logical sector size \(sectorSize) is not supported")
        }
        guard VHDX.blockSizes.contains(blockSize), blockSize & (blockSize - 1) == 0 else {
            throw VHDX.refuse("VHDX block size \(blockSize) is not valid")
        }
        guard diskSize >= 0, diskSize <= VHDX.largestDisk, diskSize % sectorSize == 0 else {
            throw VHDX.refuse("VHDX disk size \(diskSize) is not valid")
        }
    }

    /// The region of a new image: the table, and the items from 64 KiB on.
    func make(diskID: [UInt8]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: VHDX.metadataTableSize + 64)
        bytes.store(bytes: VHDX.metadataMagic, at: 0)
        bytes.store(UInt16(5), at: 10)
        let data = VHDX.metadataTableSize
        // Each: identifier, place, length, flags (2: of the disk, 4: required).
        let items: [([UInt8], Int, Int, UInt32)] = [
            (VHDX.Identifier.parameters, 0, 8, 4), (VHDX.Identifier.diskSize, 8, 8, 6),
            (VHDX.Identifier.diskID, 16, 16, 6), (VHDX.Identifier.logicalSector, 32, 4, 6),
            (VHDX.Identifier.physicalSector, 36, 4, 6),
        ]
        for (index, item) in items.enumerated() {
            let place = 32 + index * 32
            bytes.store(bytes: item.0, at: place)
            bytes.store(UInt32(data + item.1), at: place + 16)
            bytes.store(UInt32(item.2), at: place + 20)
            bytes.store(item.3, at: place + 24)
        }
        bytes.store(UInt32(truncatingIfNeeded: blockSize), at: data)
        bytes.store(UInt32(isFixed ? 1 : 0), at: data + 4)
        bytes.store(UInt64(diskSize), at: data + 8)
        bytes.store(bytes: diskID.prefix(16), at: data + 16)
        bytes.store(UInt32(sectorSize), at: data + 32)
        bytes.store(UInt32(sectorSize), at: data + 36)
        return bytes
    }
}
