// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import ByteCoding

/// A table of integers in a file, of which only the pages in use are in memory.
///
/// Changes stay in memory until `writeBack`: the owner makes the data durable first, so that no entry on disk refers to
/// a block whose content is not there. Whoever owns the table guards it; it has no lock of its own.
public final class TablePages: @unchecked Sendable {
    /// The file that holds the table.
    public let file: any BlockNode
    /// Where it begins in the file.
    public let offset: Int64
    /// Its length in bytes.
    public let byteCount: Int64
    private let order: ByteOrder
    private var pages: [Int64: Page] = [:]
    private var recent: (number: Int64, page: Page)?
    private var clock: UInt64 = 0
    private var changedPages = 0

    private static let pageSize: Int64 = 64 << 10
    private static let mostPages = 256

    private final class Page {
        let region: ByteRegion
        var changed: Range<Int>?
        var used: UInt64 = 0
        init(_ region: ByteRegion) { self.region = region }
    }

    /// A table of `byteCount` bytes at `offset`.
    public init(file: any BlockNode, offset: Int64, byteCount: Int64, order: ByteOrder) {
        self.file = file
        self.offset = offset
        self.byteCount = byteCount
        self.order = order
    }

    /// There are changes that the file does not have.
    public var isChanged: Bool { changedPages > 0 }
    /// So many changes are in memory that it is time to write them.
    public var isFull: Bool { changedPages >= Self.mostPages / 2 }

    /// The entry with a number.
    public func load<Value: FixedWidthInteger>(_ type: Value.Type, at index: Int64) throws(BlockError) -> Value {
        let position = try position(of: index, size: Value.bitWidth / 8)
        let page = try page(position / Self.pageSize)
        let place = Int(position % Self.pageSize)
        return order == .little ? page.region.littleEndian(at: place) : page.region.bigEndian(at: place)
    }

    /// Changes the entry with a number, in memory.
    public func store<Value: FixedWidthInteger>(_ value: Value, at index: Int64) throws(BlockError) {
        let position = try position(of: index, size: Value.bitWidth / 8)
        let page = try page(position / Self.pageSize)
        let place = Int(position % Self.pageSize)
        if order == .little {
            page.region.storeLittleEndian(value, at: place)
        } else {
            page.region.storeBigEndian(value, at: place)
        }
        let end = place + Value.bitWidth / 8
        if let old = page.changed {
            page.changed = min(old.lowerBound, place)..<max(old.upperBound, end)
        } else {
            page.changed = place..<end
            changedPages += 1
        }
    }

    private func position(of index: Int64, size: Int) throws(BlockError) -> Int64 {
        guard index >= 0, index < byteCount / Int64(size) else {
            throw BlockError(.corrupt, "\(file.location.filename): entry \(index) lies outside its table")
        }
        return index &* Int64(size)
    }

    private func page(_ number: Int64) throws(BlockError) -> Page {
        if let recent, recent.number == number { return recent.page }
        clock &+= 1
        if let page = pages[number] {
            page.used = clock
            recent = (number, page)
            return page
        }
        if pages.count >= Self.mostPages { evict() }
        let start = number * Self.pageSize
        let page = Page(AlignedBuffer(zeroed: Int(Self.pageSize)).region)
        try file.read(page.region.slice(0, Int(min(Self.pageSize, byteCount - start))), at: offset + start)
        page.used = clock
        pages[number] = page
        recent = (number, page)
        return page
    }

    /// Forgets the half of the unchanged pages that was not used for longest.
    private func evict() {
        let clean = pages.filter { $0.value.changed == nil }.sorted { $0.value.used < $1.value.used }
        for entry in clean.prefix(max(clean.count / 2, 1)) { pages[entry.key] = nil }
    }

    /// Writes the sectors that changed.
    public func writeBack() throws(BlockError) {
        for (number, page) in pages.sorted(by: { $0.key < $1.key }) {
            guard let changed = page.changed else { continue }
            let sector = 512
            let start = changed.lowerBound / sector * sector
            let room = Int(min(Self.pageSize, byteCount - number * Self.pageSize))
            let end = min((changed.upperBound + sector - 1) / sector * sector, room)
            try file.write(page.region.slice(start, end - start), at: offset + number * Self.pageSize + Int64(start))
            page.changed = nil
            changedPages -= 1
        }
    }

    /// Calls `body` with the entries from `first` on, in order, without filling the memory.
    public func forEach<Value: FixedWidthInteger>(
        _ type: Value.Type, count: Int64, _ body: (Int64, Value) throws(BlockError) -> Void
    ) throws(BlockError) {
        let size = Int64(Value.bitWidth / 8)
        let chunk = AlignedBuffer(count: 1 << 20).region
        var index: Int64 = 0
        while index < count {
            let here = min(count - index, Int64(chunk.count) / size)
            try file.read(chunk.slice(0, Int(here * size)), at: offset + index * size)
            for entry in 0..<Int(here) {
                let place = entry * Int(size)
                let value: Value = order == .little ? chunk.littleEndian(at: place) : chunk.bigEndian(at: place)
                try body(index + Int64(entry), value)
            }
            index += here
        }
    }
}
