// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// ESXi's space-efficient sparse extent, to read: two levels of 64-bit entries, whose top digit tells their kind.
final class SESparseExtent: VMDKExtent, @unchecked Sendable {
    let file: any BlockNode
    let type = "SESPARSE"
    let lock = Lock()
    let mappedLength: Int64
    let lowerOffset: Int64
    let blockSize: Int64 = 4096
    let isCompressed = false
    let hasChangedTables = false
    let shouldWriteTables = false
    var grainSize: Int64? { blockSize }
    var lowerNode: (any BlockNode)? { backing.node }
    private let backing: BackingReference
    // Guarded by `lock`.
    private let directory: TablePages
    private let tables: TablePages
    private let grainsOffset: Int64

    private static let magic: UInt64 = 0xcafe_babe
    private static let version: UInt64 = 0x2_0000_0001
    private static let entriesPerTable: Int64 = 4096

    private init(
        file: any BlockNode, length: Int64, start: Int64, backing: BackingReference,
        _ directory: TablePages, _ tables: TablePages, _ grainsOffset: Int64
    ) {
        self.file = file
        self.backing = backing
        self.directory = directory
        self.tables = tables
        self.grainsOffset = grainsOffset
        mappedLength = length
        lowerOffset = start
    }

    static func open(
        _ file: any BlockNode, length: Int64, start: Int64, _ backing: BackingReference, isWritable: Bool
    ) throws(BlockError) -> SESparseExtent {
        guard !isWritable else { throw BlockError(.notSupported, "No write support for seSparse images available") }
        let bytes = try file.readBytes(at: 0, count: 512)
        func word(_ offset: Int) -> UInt64 { bytes.load(at: offset) ?? 0 }
        guard word(0) == magic else { throw BlockError(.invalidArgument, "invalid const header magic: \(word(0))") }
        guard word(8) == version else {
            throw BlockError(.notSupported, "Unsupported version: 0x\(NumberText.hex(word(8)))")
        }
        guard word(24) == 8 else { throw BlockError(.notSupported, "Unsupported grain size: \(word(24))") }
        guard word(32) == 64 else { throw BlockError(.notSupported, "Unsupported grain table size: \(word(32))") }
        func range(_ offset: Int) throws(BlockError) -> (start: Int64, count: Int64) {
            let end = UInt64(file.length / 512)
            guard word(offset) <= end, word(offset + 8) <= end else {
                throw BlockError(.corrupt, "seSparse: an area lies outside the file", errno: .invalidArgument)
            }
            return (Int64(word(offset)) * 512, Int64(word(offset + 8)) * 512)
        }
        // Places of the areas: directory at 128, tables at 144, grains at 192, each an offset and a size in sectors.
        let directory = try range(128)
        let tables = try range(144)
        let grains = Int64(truncatingIfNeeded: min(word(192), UInt64(file.length / 512))) * 512
        return SESparseExtent(
            file: file, length: length, start: start, backing: backing,
            TablePages(file: file, offset: directory.start, byteCount: directory.count, order: .little),
            TablePages(file: file, offset: tables.start, byteCount: tables.count, order: .little), grains)
    }

    func run(from block: Int64) throws(BlockError) -> BlockRun {
        let entry = try directory.load(UInt64.self, at: block / Self.entriesPerTable)
        if entry == 0 {
            return BlockRun(.unallocated, blocks: Self.entriesPerTable - block % Self.entriesPerTable)
        }
        guard entry & 0xffff_ffff_0000_0000 == 0x1000_0000_0000_0000 else {
            throw BlockError(.corrupt, "\(file.location.filename): a directory entry is damaged")
        }
        let table = Int64(entry & 0xffff_ffff)
        let grain = try tables.load(UInt64.self, at: table * Self.entriesPerTable + block % Self.entriesPerTable)
        switch grain >> 60 {
        case 0: return BlockRun(.unallocated)
        case 1, 2: return BlockRun(.zero)
        case 3:
            // The number's low twelve bits stand above the others.
            let index = ((grain & 0x0fff_0000_0000_0000) >> 48) | ((grain & 0x0000_ffff_ffff_ffff) << 12)
            guard index < UInt64(file.length / blockSize) else {
                throw BlockError(.corrupt, "\(file.location.filename): a grain lies outside the file")
            }
            return BlockRun(.stored(file: file, offset: grainsOffset + Int64(index) * blockSize))
        default: throw BlockError(.corrupt, "\(file.location.filename): a grain's entry is damaged")
        }
    }

    func writeTables() {}
    func check(report: (String) -> Void) -> CheckResult { CheckResult() }
}
