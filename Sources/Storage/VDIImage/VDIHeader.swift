// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping
internal import ByteCoding

/// The first 512 bytes of a VDI image, version 1.1; all numbers are little-endian.
struct VDIHeader: Sendable {
    enum Kind: UInt32 { case dynamic = 1, fixed = 2 }

    static let byteCount = 512
    static let signature: UInt32 = 0xbeda_107f
    static let version: UInt32 = 0x0001_0001
    static let blockSize: UInt32 = 1 << 20
    /// Whole sectors of entries in a table below 2 GiB.
    static let mostBlocks: UInt32 = 0x7fff_fe00 / 4
    static let largestDisk = UInt64(mostBlocks) * UInt64(blockSize)

    /// Where the fields are.
    enum Offset {
        static let signature = 0x40
        static let version = 0x44
        static let headerSize = 0x48
        static let kind = 0x4c
        static let table = 0x154
        static let data = 0x158
        static let sectorSize = 0x168
        static let diskSize = 0x170
        static let blockSize = 0x178
        static let blockCount = 0x180
        static let allocated = 0x184
        static let imageUUID = 0x188
        static let snapshotUUID = 0x198
        static let linkUUID = 0x1a8
        static let parentUUID = 0x1b8
    }

    var bytes: [UInt8]
    var kind: UInt32
    var tableOffset: UInt32
    var dataOffset: UInt32
    var diskSize: UInt64
    var blockCount: UInt32
    var allocated: UInt32

    /// Checks the fields as they were read from a file.
    init(parsing bytes: [UInt8]) throws(BlockError) {
        func word(_ offset: Int) -> UInt32 { bytes.load(at: offset) ?? 0 }
        func refuse(_ what: String) -> BlockError { BlockError(.notSupported, "unsupported VDI image (\(what))") }
        self.bytes = bytes
        let size: UInt64 = bytes.load(at: Offset.diskSize) ?? 0
        // A disk of odd size is read up to the end of its last sector.
        diskSize = size > UInt64(Int64.max) - 511 ? size : (size + 511) & ~511
        if size > Self.largestDisk { throw Self.tooLarge(size) }
        guard word(Offset.signature) == Self.signature else {
            let text = NumberText.hex(word(Offset.signature), width: 8)
            throw BlockError(.invalidArgument, "Image not in VDI format (bad signature \(text))")
        }
        let version = word(Offset.version)
        guard version == Self.version else { throw refuse("version \(version >> 16).\(version & 0xffff)") }
        kind = word(Offset.kind)
        tableOffset = word(Offset.table)
        dataOffset = word(Offset.data)
        blockCount = word(Offset.blockCount)
        allocated = word(Offset.allocated)
        if tableOffset % 512 != 0 { throw refuse("unaligned block map offset 0x\(NumberText.hex(tableOffset))") }
        if dataOffset % 512 != 0 { throw refuse("unaligned data offset 0x\(NumberText.hex(dataOffset))") }
        let sector = word(Offset.sectorSize)
        if sector != 512 { throw refuse("sector size \(sector) is not 512") }
        let block = word(Offset.blockSize)
        if block != Self.blockSize { throw refuse("block size \(block) is not \(Self.blockSize)") }
        let room = UInt64(blockCount) * UInt64(Self.blockSize)
        if diskSize > room { throw refuse("disk size \(diskSize), image bitmap has room for \(room)") }
        if !isNull(Offset.linkUUID) { throw refuse("non-NULL link UUID") }
        if !isNull(Offset.parentUUID) { throw refuse("non-NULL parent UUID") }
        if blockCount > Self.mostBlocks { throw refuse("too many blocks \(blockCount), max is \(Self.mostBlocks)") }
    }

    private func isNull(_ offset: Int) -> Bool { bytes.bytes(at: offset, count: 16)?.allSatisfy { $0 == 0 } ?? false }

    static func tooLarge(_ size: UInt64) -> BlockError {
        BlockError(
            .notSupported,
            "Unsupported VDI image size (size is 0x\(NumberText.hex(size)), max supported is 0x\(NumberText.hex(largestDisk)))"
        )
    }

    /// The header of a new image.
    /// - Parameter identifiers: 32 random bytes for the two UUIDs.
    init(size: UInt64, kind: Kind, identifiers: [UInt8]) {
        let blocks = UInt32(truncatingIfNeeded: (size + UInt64(Self.blockSize) - 1) / UInt64(Self.blockSize))
        let tableBytes = (blocks * 4 + 511) & ~511
        self.kind = kind.rawValue
        tableOffset = UInt32(Self.byteCount)
        dataOffset = UInt32(Self.byteCount) + tableBytes
        diskSize = size
        blockCount = blocks
        allocated = kind == .fixed ? blocks : 0
        bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.store(bytes: Array("<<< Oracle VM VirtualBox Disk Image >>>\n".utf8), at: 0)
        bytes.store(Self.signature, at: Offset.signature)
        bytes.store(Self.version, at: Offset.version)
        bytes.store(UInt32(0x180), at: Offset.headerSize)
        bytes.store(UInt32(512), at: Offset.sectorSize)
        bytes.store(Self.blockSize, at: Offset.blockSize)
        bytes.store(bytes: Self.versionFour(identifiers.prefix(16)), at: Offset.imageUUID)
        bytes.store(bytes: Self.versionFour(identifiers.dropFirst(16).prefix(16)), at: Offset.snapshotUUID)
    }

    private static func versionFour(_ random: ArraySlice<UInt8>) -> [UInt8] {
        var uuid = Array(random)
        guard uuid.count == 16 else { return uuid }
        // RFC 9562, section 5.4; the third field is stored little-endian.
        uuid[7] = uuid[7] & 0x0f | 0x40
        uuid[8] = uuid[8] & 0x3f | 0x80
        return uuid
    }

    /// The bytes with the fields that can have changed.
    var serialized: [UInt8] {
        var result = bytes
        result.store(kind, at: Offset.kind)
        result.store(tableOffset, at: Offset.table)
        result.store(dataOffset, at: Offset.data)
        result.store(diskSize, at: Offset.diskSize)
        result.store(blockCount, at: Offset.blockCount)
        result.store(allocated, at: Offset.allocated)
        return result
    }
}
