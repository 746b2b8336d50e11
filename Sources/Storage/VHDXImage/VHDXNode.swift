// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import BlockMapping
public import HostSystem
internal import ByteCoding
internal import Cryptography

/// An opened VHDX image: blocks of 1 to 256 MiB, found through one table.
///
/// Header and table are guarded by `lock`. The table is changed in place, sector by sector, after the data is durable, so
/// that no log is written.
public final class VHDXNode: MappedNode, DescribedNode, CheckableNode, @unchecked Sendable {
    /// "vhdx".
    public let driverName = "vhdx"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// The file.
    public let file: any BlockNode
    /// The file's location as a VHDX image.
    public let location: NodeLocation
    /// Guards header and table.
    public let lock = Lock()
    /// Bytes of a block.
    public var blockSize: Int64 { metadata.blockSize }
    /// The disk's length.
    public var mappedLength: Int64 { metadata.diskSize }
    /// Images with a parent are refused.
    public var treatsHolesAsZero: Bool { true }
    /// A fixed image may be a sparse file.
    public var mayHaveHoles: Bool { metadata.isFixed }

    private let metadata: VHDXMetadata
    private let table: TablePages
    private let regions: VHDXRegions
    private var header: VHDXHeader
    private var headerIndex: Int
    private var isMarked = false
    private var nextByte: Int64
    private let replayed: Int

    init(_ parts: Parts) {
        file = parts.file
        metadata = parts.metadata
        regions = parts.regions
        header = parts.header.header
        headerIndex = parts.header.index
        replayed = parts.replayed
        isReadOnly = parts.isReadOnly
        table = TablePages(
            file: file, offset: parts.regions.table.lowerBound, byteCount: parts.metadata.tableEntries * 8,
            order: .little)
        nextByte = (file.length + VHDX.mebibyte - 1) / VHDX.mebibyte * VHDX.mebibyte
        location = Self.location(over: file, driver: "vhdx")
    }

    /// What a node is made from.
    struct Parts {
        let file: any BlockNode
        let header: (header: VHDXHeader, index: Int)
        let regions: VHDXRegions
        let metadata: VHDXMetadata
        let replayed: Int
        let isReadOnly: Bool
    }

    /// Entries of the sector bitmap stand between those of blocks.
    private func entryIndex(_ block: Int64) -> Int64 { block + block / metadata.chunkRatio }

    /// The block's state and place.
    public func run(from block: Int64) throws(BlockError) -> BlockRun {
        guard block < metadata.blocks else { return BlockRun(.zero) }
        let entry = try table.load(UInt64.self, at: entryIndex(block))
        switch entry & VHDX.BlockState.mask {
        case VHDX.BlockState.present:
            let offset = entry & VHDX.BlockState.offsetMask
            guard offset >= UInt64(VHDX.mebibyte), offset < 1 << 62 else { throw damaged(block) }
            return BlockRun(.stored(file: file, offset: Int64(offset)))
        case VHDX.BlockState.partial: throw damaged(block)
        default: return BlockRun(.zero)
        }
    }

    private func damaged(_ block: Int64) -> BlockError {
        BlockError(.corrupt, "\(location.filename): the table entry of block \(block) is damaged")
    }

    /// Whole mebibytes at the end of the file.
    public func reserve(_ block: Int64, count: Int64) throws(BlockError) -> BlockGrant {
        var blocks: Int64 = 1
        while blocks < count, block + blocks < metadata.blocks {
            let entry = try table.load(UInt64.self, at: entryIndex(block + blocks))
            guard entry & VHDX.BlockState.mask < VHDX.BlockState.present else { break }
            blocks += 1
        }
        return BlockGrant(block: block, blocks: blocks, file: file, offset: nextByte)
    }

    /// Enters the blocks.
    public func publish(_ grant: BlockGrant) throws(BlockError) {
        try markOpen()
        for index in 0..<grant.blocks {
            let place = UInt64(grant.offset + index * blockSize)
            try table.store(place | VHDX.BlockState.present, at: entryIndex(grant.block + index))
        }
        nextByte = grant.offset + grant.blocks * blockSize
    }

    /// Content changes with the next write.
    public func prepareOverwrite(_ block: Int64, count: Int64) throws(BlockError) { try markOpen() }

    /// The first write gives the file and the data new identifiers, in both headers, one after the other.
    private func markOpen() throws(BlockError) {
        guard !isMarked else { return }
        do {
            let bytes = try randomBytes(32)
            header.fileWriteID = Array(bytes.prefix(16))
            header.dataWriteID = Array(bytes.suffix(16))
        } catch {
            throw BlockError(.inputOutput, "Could not make an identifier: \(error)")
        }
        try Self.write(&header, &headerIndex, to: file)
        try Self.write(&header, &headerIndex, to: file)
        isMarked = true
    }

    /// Writes a header over the older copy.
    static func write(_ header: inout VHDXHeader, _ index: inout Int, to file: any BlockNode) throws(BlockError) {
        header.sequence &+= 1
        index = 1 - index
        try file.write(header.serialized, at: VHDX.headerOffsets[index])
        try file.flush()
    }

    /// There are new blocks.
    public var hasChangedTables: Bool { table.isChanged }
    /// The table's pages fill the memory.
    public var shouldWriteTables: Bool { table.isFull }
    /// Writes the table.
    public func writeTables() throws(BlockError) { try table.writeBack() }

    /// Bytes of a block.
    public var clusterSize: Int? { Int(blockSize) }
    /// Never.
    public var isEncrypted: Bool { false }
    /// A log was there to be replayed.
    public var isDirty: Bool { false }
    /// Nothing beyond the common facts.
    public func specificInformation() throws(BlockError) -> SpecificInformation? { nil }

    /// A log is replayed, if the image can be written.
    public var canRepair: Bool { true }

    /// Looks for blocks outside the file, over metadata, or over each other. A log that was replayed when the image was
    /// opened counts as one repair.
    public func check(repair: RepairOptions, report: (String) -> Void) throws(BlockError) -> CheckResult {
        try lock.withLock { () throws(BlockError) in
            var result = CheckResult()
            if replayed > 0 { result.corruptionsFixed += 1 }
            var places: [(start: Int64, block: Int64)] = []
            for block in 0..<metadata.blocks {
                let entry = try table.load(UInt64.self, at: entryIndex(block))
                guard entry & VHDX.BlockState.mask == VHDX.BlockState.present else { continue }
                let offset = entry & VHDX.BlockState.offsetMask
                let isInside = offset >= UInt64(VHDX.mebibyte) && offset < UInt64(max(file.length, 0))
                let range = isInside ? Int64(offset)..<Int64(offset) + blockSize : 0..<0
                if !isInside || range.overlaps(regions.table) || range.overlaps(regions.metadata) {
                    report("ERROR: VHDX BAT entry \(block) offset \(offset) points after end of file or over metadata")
                    result.corruptions += 1
                } else {
                    places.append((Int64(offset), block))
                }
            }
            places.sort { $0.start < $1.start }
            for (one, next) in zip(places, places.dropFirst()) where one.start + blockSize > next.start {
                report("ERROR: VHDX blocks \(one.block) and \(next.block) overlap")
                result.corruptions += 1
            }
            return result
        }
    }
}
