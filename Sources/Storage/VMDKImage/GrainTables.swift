// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping
internal import ByteCoding

/// The two levels of a sparse extent: a directory of grain tables, and the tables in use, with their copies.
///
/// Guarded by the extent's lock. Changes stay in memory until `writeBack`.
final class GrainTables {
    private let file: any BlockNode
    private let directory: TablePages
    private let copy: TablePages?
    private let entries: Int64
    private var tables: [Int64: Table] = [:]
    private var recent: (number: Int64, table: Table)?
    private var changed = 0
    private var clock: UInt64 = 0

    private static let mostTables = 4096

    private final class Table {
        let region: ByteRegion
        let sector: UInt32
        let copySector: UInt32
        var isChanged = false
        var used: UInt64 = 0
        init(_ region: ByteRegion, _ sector: UInt32, _ copySector: UInt32) {
            self.region = region
            self.sector = sector
            self.copySector = copySector
        }
    }

    init(file: any BlockNode, header: SparseHeader) {
        self.file = file
        entries = header.entries
        directory = TablePages(
            file: file, offset: header.directory * 512, byteCount: header.tables * 4, order: .little)
        let hasCopy = header.flags & SparseHeader.Flag.redundantTable != 0 && header.redundantDirectory != 0
        copy =
            hasCopy
            ? TablePages(
                file: file, offset: header.redundantDirectory * 512, byteCount: header.tables * 4, order: .little) : nil
    }

    var isChanged: Bool { changed > 0 || directory.isChanged || copy?.isChanged == true }
    var isFull: Bool { changed >= Self.mostTables / 2 || directory.isFull }

    /// The entry of a grain; nil where the extent has no table for it.
    func entry(_ grain: Int64) throws(BlockError) -> UInt32? {
        guard let table = try table(grain / entries) else { return nil }
        return table.region.littleEndian(at: Int(grain % entries) * 4)
    }

    /// Changes the entry of a grain whose table there is.
    func set(_ grain: Int64, _ value: UInt32) throws(BlockError) {
        guard let table = try table(grain / entries) else {
            throw BlockError(.corrupt, "\(file.location.filename): grain \(grain) has no table")
        }
        table.region.storeLittleEndian(value, at: Int(grain % entries) * 4)
        if !table.isChanged {
            table.isChanged = true
            changed += 1
        }
    }

    private func table(_ number: Int64) throws(BlockError) -> Table? {
        if let recent, recent.number == number { return recent.table }
        clock &+= 1
        if let table = tables[number] {
            table.used = clock
            recent = (number, table)
            return table
        }
        let sector = try directory.load(UInt32.self, at: number)
        guard sector != 0 else { return nil }
        if tables.count >= Self.mostTables { evict() }
        let table = Table(
            AlignedBuffer(zeroed: Int(entries) * 4).region, sector, try copy?.load(UInt32.self, at: number) ?? 0)
        try file.read(table.region, at: Int64(sector) * 512)
        table.used = clock
        tables[number] = table
        recent = (number, table)
        return table
    }

    private func evict() {
        let clean = tables.filter { !$0.value.isChanged }.sorted { $0.value.used < $1.value.used }
        for entry in clean.prefix(max(clean.count / 2, 1)) { tables[entry.key] = nil }
        recent = nil
    }

    /// Makes an empty table at a sector, for an extent that was made without.
    func addTable(for grain: Int64, at sector: UInt32) throws(BlockError) {
        let number = grain / entries
        let table = Table(AlignedBuffer(zeroed: Int(entries) * 4).region, sector, 0)
        try file.write(table.region, at: Int64(sector) * 512)
        try directory.store(sector, at: number)
        tables[number] = table
        recent = (number, table)
    }

    /// Grains from `grain` on that have no table, at most to the end of the first table's span.
    func missingRun(from grain: Int64) -> Int64 { entries - grain % entries }

    /// The copies, then the tables themselves, then the directory.
    func writeBack() throws(BlockError) {
        let waiting = tables.values.filter(\.isChanged).sorted { $0.sector < $1.sector }
        for table in waiting where table.copySector != 0 {
            try file.write(table.region, at: Int64(table.copySector) * 512)
        }
        for table in waiting {
            try file.write(table.region, at: Int64(table.sector) * 512)
            table.isChanged = false
            changed -= 1
        }
        if directory.isChanged {
            try file.flush()
            try copy?.writeBack()
            try directory.writeBack()
        }
    }
}
