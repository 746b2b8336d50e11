// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import HostSystem

/// Where the content of a block is.
public enum BlockPlace: Sendable {
    /// In the backing node; without one the block reads as zeroes.
    case unallocated
    /// Nowhere: it reads as zeroes, whatever the backing node has.
    case zero
    /// In a file, one byte after the other from `offset` on.
    case stored(file: any BlockNode, offset: Int64)
    /// In a form that only the map can read: compressed, or patched together.
    case packed
}

/// What a map says of one block and some that follow.
public struct BlockRun: Sendable {
    /// Where the first block is.
    public var place: BlockPlace
    /// How many blocks are so, at least 1; stored blocks then lie one after the other.
    public var blocks: Int64

    /// Both parts.
    public init(_ place: BlockPlace, blocks: Int64 = 1) {
        self.place = place
        self.blocks = blocks
    }
}

/// Room for blocks that no table refers to yet.
public struct BlockGrant: Sendable {
    /// The first block.
    public var block: Int64
    /// How many, at least 1.
    public var blocks: Int64
    /// The file that they go to.
    public var file: any BlockNode
    /// Where the first one begins in it; the others follow without a gap.
    public var offset: Int64

    /// All parts.
    public init(block: Int64, blocks: Int64, file: any BlockNode, offset: Int64) {
        self.block = block
        self.blocks = blocks
        self.file = file
        self.offset = offset
    }
}

/// A disk whose fixed-size blocks are found through a table: VDI, VHD, VHDX, VMDK's grains, QED, Parallels...
///
/// The format says where a block is and takes up new ones; the walk of requests over the blocks, copying from the
/// backing node, zeroes and status are here once (`readMapped` and the others). A block that is stored stays where it is
/// as long as the disk is open, so that reading and overwriting need no lock; taking up new blocks is one at a time.
public protocol BlockMap: AnyObject, Sendable {
    /// Guards the table. Every function below is called with it held, except `readPacked`.
    var lock: Lock { get }
    /// Bytes of a block.
    var blockSize: Int64 { get }
    /// Bytes of the disk; the last block may reach over its end.
    var mappedLength: Int64 { get }
    /// What unallocated blocks read from.
    var lowerNode: (any BlockNode)? { get }
    /// Where this disk's first byte is in the backing node; not 0 for the later parts of a split disk.
    var lowerOffset: Int64 { get }
    /// Unallocated blocks count as zeroes of this image (VDI), not as absent (VMDK).
    var treatsHolesAsZero: Bool { get }
    /// Stored blocks may be holes in the file: ask it when the status is wanted in detail.
    var mayHaveHoles: Bool { get }

    /// Where a block is.
    func run(from block: Int64) throws(BlockError) -> BlockRun
    /// Finds room for at least the first of `count` blocks that are not stored yet. Nothing refers to it before
    /// `publish`, and without it the next call gives the same room.
    func reserve(_ block: Int64, count: Int64) throws(BlockError) -> BlockGrant
    /// Lets the table refer to blocks whose content was written.
    func publish(_ grant: BlockGrant) throws(BlockError)
    /// Called before stored blocks are written in place.
    func prepareOverwrite(_ block: Int64, count: Int64) throws(BlockError)
    /// Makes blocks read as zeroes by the table alone; false where the format cannot.
    func markZero(_ block: Int64, count: Int64) throws(BlockError) -> Bool
    /// Writes a part of a block that cannot be written in place; the default refuses.
    func writePacked(_ region: ByteRegion, block: Int64, at offset: Int64) throws(BlockError)
    /// New blocks of this disk go through `writePacked`.
    var packsNewBlocks: Bool { get }
    /// Reads a part of a packed block. Called without the lock.
    func readPacked(_ region: ByteRegion, block: Int64, at offset: Int64) throws(BlockError)
}

extension BlockMap {
    /// No backing.
    public var lowerNode: (any BlockNode)? { nil }
    /// All of the disk.
    public var lowerOffset: Int64 { 0 }
    /// Absent.
    public var treatsHolesAsZero: Bool { false }
    /// No.
    public var mayHaveHoles: Bool { false }
    /// No.
    public var packsNewBlocks: Bool { false }

    /// Read-only formats have no room to give.
    public func reserve(_ block: Int64, count: Int64) throws(BlockError) -> BlockGrant {
        throw BlockError(.notSupported, "this format is only read")
    }
    /// Nothing was reserved.
    public func publish(_ grant: BlockGrant) throws(BlockError) {}
    /// Nothing to do.
    public func prepareOverwrite(_ block: Int64, count: Int64) throws(BlockError) {}
    /// The format cannot.
    public func markZero(_ block: Int64, count: Int64) throws(BlockError) -> Bool { false }
    /// Refuses.
    public func writePacked(_ region: ByteRegion, block: Int64, at offset: Int64) throws(BlockError) {
        throw BlockError(.notSupported, "compressed blocks of this format are only read")
    }
    /// Refuses.
    public func readPacked(_ region: ByteRegion, block: Int64, at offset: Int64) throws(BlockError) {
        throw BlockError(.corrupt, "the format has no packed blocks")
    }
}

/// A part of a disk that is in one place.
struct MappedExtent {
    var place: BlockPlace
    /// Bytes, at least 1.
    var count: Int64
}

extension BlockMap {
    /// The longest part from `offset` on that is in one place, at most `limit` bytes. Called with the lock held.
    func extent(at offset: Int64, limit: Int64) throws(BlockError) -> MappedExtent {
        var block = offset / blockSize
        let within = offset % blockSize
        let first = try run(from: block)
        var found = MappedExtent(place: first.place, count: min(limit, max(first.blocks, 1) &* blockSize - within))
        if case .stored(let file, let start) = first.place {
            found.place = .stored(file: file, offset: start &+ within)
        }
        block += max(first.blocks, 1)
        // Many small blocks must not hold the lock for long.
        var steps = 0
        while found.count < limit, steps < Self.longestWalk {
            let next = try run(from: block)
            guard Self.follows(found, next.place) else { break }
            found.count = min(limit, found.count + max(next.blocks, 1) &* blockSize)
            block += max(next.blocks, 1)
            steps += 1
        }
        return found
    }

    private static var longestWalk: Int { 1 << 16 }

    private static func follows(_ extent: MappedExtent, _ next: BlockPlace) -> Bool {
        switch (extent.place, next) {
        case (.unallocated, .unallocated), (.zero, .zero): true
        case (.stored(let file, let offset), .stored(let other, let start)):
            file === other && offset &+ extent.count == start
        default: false
        }
    }
}
