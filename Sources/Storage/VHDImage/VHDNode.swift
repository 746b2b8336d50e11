// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import BlockMapping
public import HostSystem
internal import ByteCoding

/// An opened VHD image, dynamic or fixed.
///
/// A dynamic image has blocks, each behind a bitmap of its sectors, found through a table. A fixed image is the disk's
/// bytes and a footer. `lock` guards the table and where the next block goes.
public final class VHDNode: MappedNode, DescribedNode, @unchecked Sendable {
    /// "vpc".
    public let driverName = "vpc"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// The file.
    public let file: any BlockNode
    /// The file's location as a VHD image.
    public let location: NodeLocation
    /// Guards the table.
    public let lock = Lock()
    /// Bytes of a block; of a fixed image, of all of it.
    public let blockSize: Int64
    /// The disk's length.
    public let mappedLength: Int64
    /// Differencing images are refused.
    public var treatsHolesAsZero: Bool { true }
    /// A fixed image may be a sparse file.
    public var mayHaveHoles: Bool { dynamic == nil }

    private let dynamic: VHDDynamicHeader?
    private let table: TablePages?
    private let footer: VHDFooter
    private var nextBlock: Int64
    private var isFooterMoved = false
    private var lastMarked: Int64 = -1

    static let unallocated: UInt32 = 0xffff_ffff

    /// - Parameter dynamic: nil for a fixed image.
    init(
        file: any BlockNode, footer: VHDFooter, length: Int64, dynamic: VHDDynamicHeader?, isReadOnly: Bool
    ) throws(BlockError) {
        self.file = file
        self.footer = footer
        self.dynamic = dynamic
        self.isReadOnly = isReadOnly
        mappedLength = length
        location = Self.location(over: file, driver: "vpc")
        guard let dynamic else {
            blockSize = max(length, 512)
            table = nil
            nextBlock = 0
            return
        }
        blockSize = dynamic.blockSize
        let table = TablePages(
            file: file, offset: dynamic.tableOffset, byteCount: dynamic.entries * 4, order: .big)
        self.table = table
        var end = (dynamic.tableOffset + dynamic.entries * 4 + 511) & ~511
        let step = dynamic.bitmapSize + dynamic.blockSize
        try table.forEach(UInt32.self, count: dynamic.entries) { _, entry in
            if entry != Self.unallocated { end = max(end, Int64(entry) * 512 + step) }
        }
        if end > file.length {
            throw BlockError(
                .invalidArgument,
                "block-vpc: free_data_block_offset points after the end of file. The image has been truncated.")
        }
        nextBlock = end
    }

    /// The sector where the block's bitmap begins; the content follows it.
    public func run(from block: Int64) throws(BlockError) -> BlockRun {
        guard let dynamic, let table else { return BlockRun(.stored(file: file, offset: 0)) }
        guard block < dynamic.entries else { return BlockRun(.zero) }
        let entry = try table.load(UInt32.self, at: block)
        guard entry != Self.unallocated else { return BlockRun(.zero) }
        return BlockRun(.stored(file: file, offset: Int64(entry) * 512 + dynamic.bitmapSize))
    }

    /// The place of the old footer, one block at a time.
    public func reserve(_ block: Int64, count: Int64) throws(BlockError) -> BlockGrant {
        guard let dynamic, nextBlock / 512 < Int64(Self.unallocated) else {
            throw BlockError(.noSpace, "\(location.filename): the format cannot address a longer file")
        }
        return BlockGrant(block: block, blocks: 1, file: file, offset: nextBlock + dynamic.bitmapSize)
    }

    /// Marks all sectors of the block as there and enters it.
    public func publish(_ grant: BlockGrant) throws(BlockError) {
        guard let dynamic, let table else { return }
        let bitmap = AlignedBuffer(count: Int(dynamic.bitmapSize)).region
        bitmap.fill(0xff)
        try file.write(bitmap, at: nextBlock)
        try table.store(UInt32(truncatingIfNeeded: nextBlock / 512), at: grant.block)
        nextBlock += dynamic.bitmapSize + dynamic.blockSize
        // The copy of the footer belongs behind the last block, also while the image is open.
        isFooterMoved = true
        try file.write(footer.bytes, at: nextBlock)
    }

    /// Other programs mark sectors one by one, and take an unmarked sector for zeroes.
    public func prepareOverwrite(_ block: Int64, count: Int64) throws(BlockError) {
        guard let dynamic, block != lastMarked || count > 1 else { return }
        for index in block..<block + count {
            guard case .stored(_, let offset) = try run(from: index).place else { continue }
            let bitmap = AlignedBuffer(count: Int(dynamic.bitmapSize)).region
            let place = offset - dynamic.bitmapSize
            try file.read(bitmap, at: place)
            if (0..<bitmap.count).contains(where: { bitmap[$0] != 0xff }) {
                bitmap.fill(0xff)
                try file.write(bitmap, at: place)
            }
            lastMarked = index
        }
    }

    /// There are new blocks.
    public var hasChangedTables: Bool { isFooterMoved || table?.isChanged == true }
    /// The table's pages fill the memory.
    public var shouldWriteTables: Bool { table?.isFull == true }

    /// Writes the table.
    public func writeTables() throws(BlockError) {
        try table?.writeBack()
        isFooterMoved = false
    }

    /// Bytes of a block; a fixed image has none.
    public var clusterSize: Int? { dynamic.map { Int($0.blockSize) } }
    /// Blocks of a dynamic image are the unit of zeroing.
    public var limits: BlockLimits { BlockLimits(clusterSize: clusterSize ?? 0) }
    /// Never.
    public var isEncrypted: Bool { false }
    /// There is no such mark.
    public var isDirty: Bool { false }
    /// Nothing beyond the common facts.
    public func specificInformation() throws(BlockError) -> SpecificInformation? { nil }
}
