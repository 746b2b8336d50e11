// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import Compression
internal import HostSystem

/// A part of a VMDK disk.
protocol VMDKExtent: BlockMap {
    /// The file that holds it.
    var file: any BlockNode { get }
    /// "FLAT", "SPARSE"..., or empty for the disk's own file.
    var type: String { get }
    /// Whether `info` shows a grain size.
    var grainSize: Int64? { get }
    var isCompressed: Bool { get }
    var hasChangedTables: Bool { get }
    var shouldWriteTables: Bool { get }
    func writeTables() throws(BlockError)
    /// Checks that every grain lies in the file.
    func check(report: (String) -> Void) throws(BlockError) -> CheckResult
}

/// Bytes of the disk, one after the other, in a file.
final class FlatExtent: VMDKExtent, @unchecked Sendable {
    let file: any BlockNode
    let type: String
    let mappedLength: Int64
    let lock = Lock()
    var blockSize: Int64 { mappedLength }
    let lowerNode: (any BlockNode)? = nil
    let mayHaveHoles = true
    let grainSize: Int64? = nil
    let isCompressed = false
    let hasChangedTables = false
    let shouldWriteTables = false
    private let offset: Int64

    init(file: any BlockNode, type: String, length: Int64, offset: Int64) {
        self.file = file
        self.type = type
        self.offset = offset
        mappedLength = length
    }

    func run(from block: Int64) -> BlockRun { BlockRun(.stored(file: file, offset: offset)) }
    func writeTables() {}
    func check(report: (String) -> Void) -> CheckResult { CheckResult() }
}

/// Grains, found through two levels of tables; each may be compressed.
final class SparseExtent: VMDKExtent, @unchecked Sendable {
    let file: any BlockNode
    let type: String
    let lock = Lock()
    let mappedLength: Int64
    let blockSize: Int64
    let lowerOffset: Int64
    let isCompressed: Bool
    let hasZeroGrain: Bool
    var grainSize: Int64? { blockSize }
    var packsNewBlocks: Bool { isCompressed }

    /// The disk's backing node; shared by all extents.
    var lowerNode: (any BlockNode)? { backing.node }
    private let backing: BackingReference
    private let header: SparseHeader
    // Guarded by `lock`.
    private let tables: GrainTables
    private var nextByte: Int64

    static let zeroEntry: UInt32 = 1

    init(
        file: any BlockNode, type: String, header: SparseHeader, length: Int64, start: Int64, backing: BackingReference
    ) {
        self.file = file
        self.type = type
        self.header = header
        self.backing = backing
        mappedLength = length
        lowerOffset = start
        blockSize = header.grain * 512
        isCompressed = header.isCompressed
        hasZeroGrain = header.flags & SparseHeader.Flag.zeroGrain != 0
        tables = GrainTables(file: file, header: header)
        nextByte = (file.length + 511) & ~511
    }

    func run(from block: Int64) throws(BlockError) -> BlockRun {
        guard block < header.tables &* header.entries else { return BlockRun(.unallocated) }
        guard let entry = try tables.entry(block) else {
            return BlockRun(.unallocated, blocks: tables.missingRun(from: block))
        }
        if entry == 0 { return BlockRun(.unallocated) }
        if entry == Self.zeroEntry, hasZeroGrain { return BlockRun(.zero) }
        if isCompressed { return BlockRun(.packed) }
        return BlockRun(.stored(file: file, offset: Int64(entry) * 512))
    }

    /// Whole grains at the end of the file.
    func reserve(_ block: Int64, count: Int64) throws(BlockError) -> BlockGrant {
        try needTable(block)
        var blocks: Int64 = 1
        while blocks < count, try isFree(block + blocks) { blocks += 1 }
        let offset = (nextByte + blockSize - 1) / blockSize * blockSize
        guard (offset + blocks * blockSize) / 512 <= Int64(UInt32.max) else {
            throw BlockError(.noSpace, "\(file.location.filename): the format cannot address a file beyond 2 TiB")
        }
        return BlockGrant(block: block, blocks: blocks, file: file, offset: offset)
    }

    /// Whether a grain has a table and nothing stored.
    private func isFree(_ block: Int64) throws(BlockError) -> Bool {
        guard block < header.tables &* header.entries, let entry = try tables.entry(block) else { return false }
        return entry == 0 || (entry == Self.zeroEntry && hasZeroGrain)
    }

    private func needTable(_ block: Int64) throws(BlockError) {
        guard block < header.tables &* header.entries else {
            throw BlockError(.corrupt, "\(file.location.filename): the directory does not reach grain \(block)")
        }
        if try tables.entry(block) != nil { return }
        let sector = nextByte / 512
        guard sector + header.tableSectors <= Int64(UInt32.max) else {
            throw BlockError(.noSpace, "\(file.location.filename): the format cannot address a file beyond 2 TiB")
        }
        try tables.addTable(for: block, at: UInt32(truncatingIfNeeded: sector))
        nextByte += header.tableSectors * 512
    }

    func publish(_ grant: BlockGrant) throws(BlockError) {
        for index in 0..<grant.blocks {
            let sector = (grant.offset + index * blockSize) / 512
            try tables.set(grant.block + index, UInt32(truncatingIfNeeded: sector))
        }
        nextByte = grant.offset + grant.blocks * blockSize
    }

    func markZero(_ block: Int64, count: Int64) throws(BlockError) -> Bool {
        guard hasZeroGrain else { return false }
        // What is stored stays where it is, since others may be writing there.
        for index in block..<block + count {
            let isStored = try tables.entry(index) != nil ? !(try isFree(index)) : false
            if isStored { return false }
        }
        for index in block..<block + count {
            try needTable(index)
            try tables.set(index, Self.zeroEntry)
        }
        return true
    }

    var hasChangedTables: Bool { tables.isChanged }
    var shouldWriteTables: Bool { tables.isFull }
    func writeTables() throws(BlockError) { try tables.writeBack() }

    // MARK: Compressed grains

    private static let markerSize = 12

    func readPacked(_ region: ByteRegion, block: Int64, at offset: Int64) throws(BlockError) {
        let entry = try lock.withLock { () throws(BlockError) in try tables.entry(block) ?? 0 }
        let grain = AlignedBuffer(zeroed: Int(offset) + region.count).region
        try unpack(grain, from: Int64(entry) * 512)
        region.copy(from: grain.slice(Int(offset), region.count))
    }

    private func unpack(_ grain: ByteRegion, from place: Int64) throws(BlockError) {
        var start = place
        var count = Int(blockSize) * 2
        if header.flags & SparseHeader.Flag.markers != 0 {
            let marker = try file.readBytes(at: place, count: Self.markerSize)
            count = Int(marker.load(UInt32.self, at: 8) ?? 0)
            start += Int64(Self.markerSize)
            guard count > 0, count <= Int(blockSize) * 2 else { throw damaged(place) }
        }
        count = Int(min(Int64(count), file.length - start))
        guard count > 0 else { throw damaged(place) }
        let source = AlignedBuffer(count: count).region
        try file.read(source, at: start)
        do {
            // Both regions live until the call returns.
            _ = try unsafe PartialInflate.decompress(
                UnsafeRawBufferPointer(source.buffer), into: grain.buffer, container: .zlib)
        } catch {
            throw damaged(place)
        }
    }

    private func damaged(_ place: Int64) -> BlockError {
        BlockError(.inputOutput, "\(file.location.filename): the compressed grain at byte \(place) is damaged")
    }

    /// Compresses the whole grain again and appends it; what it took up before stays behind.
    func writePacked(_ region: ByteRegion, block: Int64, at offset: Int64) throws(BlockError) {
        let grain = AlignedBuffer(zeroed: Int(blockSize)).region
        if region.count < grain.count {
            if case .packed = try run(from: block).place {
                try unpack(grain, from: Int64(try tables.entry(block) ?? 0) * 512)
            } else if let lower = lowerNode {
                let start = lowerOffset + block * blockSize
                let count = max(min(blockSize, lower.length - start), 0)
                if count > 0 { try lower.read(grain.slice(0, Int(count)), at: start) }
            }
        }
        grain.from(Int(offset)).copy(from: region)
        let output = AlignedBuffer(count: GrainCompressor.bound(grain.count)).region
        let count = try GrainCompressor.shared.compress(grain, output)
        try appendPacked(output.slice(0, count), block: block)
    }

    /// Appends a compressed grain. Called with the lock held.
    func appendPacked(_ compressed: ByteRegion, block: Int64) throws(BlockError) {
        try needTable(block)
        let total = (Self.markerSize + compressed.count + 511) & ~511
        guard (nextByte + Int64(total)) / 512 <= Int64(UInt32.max) else {
            throw BlockError(.noSpace, "\(file.location.filename): the format cannot address a file beyond 2 TiB")
        }
        let buffer = AlignedBuffer(zeroed: total).region
        buffer.storeLittleEndian(UInt64((lowerOffset / blockSize + block) * header.grain), at: 0)
        buffer.storeLittleEndian(UInt32(compressed.count), at: 8)
        buffer.from(Self.markerSize).copy(from: compressed)
        try file.write(buffer, at: nextByte)
        try tables.set(block, UInt32(truncatingIfNeeded: nextByte / 512))
        nextByte += Int64(total)
    }

    func check(report: (String) -> Void) throws(BlockError) -> CheckResult {
        var result = CheckResult()
        let grains = (mappedLength + blockSize - 1) / blockSize
        var block: Int64 = 0
        while block < grains {
            try lock.withLock { () throws(BlockError) in
                guard let entry = try tables.entry(block) else {
                    block += tables.missingRun(from: block)
                    return
                }
                if entry > Self.zeroEntry, Int64(entry) * 512 >= file.length {
                    report(
                        "ERROR: cluster offset \(Int64(entry) * 512) of grain \(block) is behind the end of the file")
                    result.corruptions += 1
                }
                block += 1
            }
        }
        return result
    }
}

/// The backing node that all extents of a disk read from; changed only while no request is under way.
final class BackingReference: @unchecked Sendable {
    private let lock = Lock()
    private var current: (any BlockNode)?
    var node: (any BlockNode)? {
        get { lock.withLock { current } }
        set { lock.withLock { current = newValue } }
    }
}

/// Compresses grains with zlib's container; several threads at a time.
final class GrainCompressor: @unchecked Sendable {
    static let shared = GrainCompressor()
    private let lock = Lock()
    private var idle: [DeflateCompressor] = []
    private static let level = 6

    /// Room for a grain that does not get smaller: stored blocks of deflate, and the frame.
    static func bound(_ count: Int) -> Int { count + count / 1000 + 64 }

    func compress(_ source: ByteRegion, _ output: ByteRegion) throws(BlockError) -> Int {
        do {
            let compressor = try lock.withLock { idle.popLast() } ?? DeflateCompressor(level: Self.level)
            defer { lock.withLock { idle.append(compressor) } }
            // Both regions live until the call returns.
            let count = unsafe compressor.compress(
                UnsafeRawBufferPointer(source.buffer), into: output.buffer, container: .zlib)
            guard let count else { throw BlockError(.inputOutput, "a grain could not be compressed") }
            return count
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "a grain could not be compressed: \(error)")
        }
    }
}
