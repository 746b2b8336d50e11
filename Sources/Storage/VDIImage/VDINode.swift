// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import BlockMapping
public import HostSystem
internal import ByteCoding

/// An opened VDI image: blocks of 1 MiB, found through a table of their numbers.
///
/// The header and the table are guarded by `lock`.
public final class VDINode: MappedNode, DescribedNode, @unchecked Sendable {
    /// "vdi".
    public let driverName = "vdi"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// The file.
    public let file: any BlockNode
    /// The file's location as a VDI image.
    public let location: NodeLocation
    /// Guards header and table.
    public let lock = Lock()
    /// 1 MiB.
    public let blockSize = Int64(VDIHeader.blockSize)
    /// The disk's length.
    public let mappedLength: Int64
    /// Images of VDI cannot have a parent here.
    public var treatsHolesAsZero: Bool { true }
    /// A fixed image may be a sparse file.
    public var mayHaveHoles: Bool { header.kind == VDIHeader.Kind.fixed.rawValue }

    private var header: VDIHeader
    private let table: TablePages
    private var isHeaderChanged = false

    static let unallocated: UInt32 = 0xffff_ffff
    static let discarded: UInt32 = 0xffff_fffe

    init(file: any BlockNode, header: VDIHeader, isReadOnly: Bool) {
        self.file = file
        self.header = header
        self.isReadOnly = isReadOnly
        mappedLength = Int64(header.diskSize)
        table = TablePages(
            file: file, offset: Int64(header.tableOffset), byteCount: Int64(header.blockCount) * 4, order: .little)
        location = Self.location(over: file, driver: "vdi")
    }

    /// The block's number in the file, or one of two marks.
    public func run(from block: Int64) throws(BlockError) -> BlockRun {
        guard block < Int64(header.blockCount) else { return BlockRun(.zero) }
        let entry = try table.load(UInt32.self, at: block)
        guard entry < Self.discarded else { return BlockRun(.zero) }
        return BlockRun(.stored(file: file, offset: place(entry)))
    }

    private func place(_ number: UInt32) -> Int64 { Int64(header.dataOffset) + Int64(number) * blockSize }

    /// The blocks after the last one.
    public func reserve(_ block: Int64, count: Int64) throws(BlockError) -> BlockGrant {
        guard header.allocated < VDIHeader.mostBlocks else {
            throw BlockError(.corrupt, "\(location.filename): the image counts \(header.allocated) blocks, too many")
        }
        var blocks: Int64 = 1
        while blocks < count, block + blocks < Int64(header.blockCount) {
            let entry = try table.load(UInt32.self, at: block + blocks)
            guard entry >= Self.discarded else { break }
            blocks += 1
        }
        return BlockGrant(block: block, blocks: blocks, file: file, offset: place(header.allocated))
    }

    /// Enters the blocks.
    public func publish(_ grant: BlockGrant) throws(BlockError) {
        for index in 0..<grant.blocks {
            try table.store(header.allocated, at: grant.block + index)
            header.allocated += 1
        }
        isHeaderChanged = true
    }

    /// There are new blocks.
    public var hasChangedTables: Bool { isHeaderChanged || table.isChanged }
    /// The table's pages fill the memory.
    public var shouldWriteTables: Bool { table.isFull }

    /// The count of blocks first: an image that lost the rest takes up no block twice.
    public func writeTables() throws(BlockError) {
        try file.write(header.serialized, at: 0)
        isHeaderChanged = false
        try table.writeBack()
    }

    /// 1 MiB.
    public var clusterSize: Int? { Int(blockSize) }
    /// Never.
    public var isEncrypted: Bool { false }
    /// There is no such mark.
    public var isDirty: Bool { false }
    /// Nothing beyond the common facts.
    public func specificInformation() throws(BlockError) -> SpecificInformation? { nil }
}

extension VDINode: CheckableNode {
    /// Nothing is repaired.
    public var canRepair: Bool { false }

    /// Damage beyond repair need not be listed to the end.
    private static let mostFindings: Int64 = 1_000_000

    /// Counts the blocks and looks for numbers out of range or used twice.
    public func check(repair: RepairOptions, report: (String) -> Void) throws(BlockError) -> CheckResult {
        if !repair.isEmpty {
            throw BlockError(.notSupported, "This image format does not support repairs")
        }
        return try lock.withLock { () throws(BlockError) in
            var result = CheckResult()
            func found(_ line: String) throws(BlockError) {
                result.corruptions += 1
                guard result.corruptions <= Self.mostFindings else {
                    throw BlockError(.corrupt, "more than \(Self.mostFindings) errors; the rest was not looked at")
                }
                report(line)
            }
            var used = [UInt64](repeating: 0, count: Int(header.blockCount) / 64 + 1)
            var count: UInt32 = 0
            try table.forEach(UInt32.self, count: Int64(header.blockCount)) { (block, entry) throws(BlockError) in
                guard entry < Self.discarded else { return }
                guard entry < header.blockCount else {
                    return try found("ERROR: block index \(block) out of range, is \(entry)")
                }
                count &+= 1
                let bit: UInt64 = 1 << UInt64(entry % 64)
                if used[Int(entry / 64)] & bit != 0 { try found("ERROR: block index \(entry) also used twice") }
                used[Int(entry / 64)] |= bit
            }
            if count != header.allocated {
                try found("ERROR: allocated blocks mismatch, is \(count), should be \(header.allocated)")
            }
            return result
        }
    }
}
