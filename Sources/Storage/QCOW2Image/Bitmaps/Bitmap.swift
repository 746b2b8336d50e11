// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// A persistent dirty bitmap with its bits in memory (loaded when first needed). Guarded by the node's lock.
struct Bitmap {
    var information: BitmapInformation
    /// The name as it is on disk, which need not be text.
    var rawName: [UInt8]
    /// Where the table is on disk; 0 for a bitmap that is not stored yet.
    var tableOffset: Int64 = 0
    var tableEntries = 0
    /// The bits, one for each granule; nil until loaded.
    var bits: [UInt64]?
    /// The bits differ from those on disk.
    var isChanged = false

    init(information: BitmapInformation) {
        self.information = information
        rawName = Array(information.name.utf8)
    }

    /// The only type that there is.
    static let dirtyTracking: UInt8 = 1
    static let granularityBits: ClosedRange<UInt8> = 9...31
    static let longestName = 1023
    /// The longest bitmap in bytes.
    static let largestSize: Int64 = 512 << 20
    /// What all loaded bitmaps of an image may take up in bytes.
    static let mostLoaded = 512 << 20

    /// Whether an entry of a bitmap's table can be.
    static func isValid(_ entry: UInt64, clusterMask: Int64) -> Bool {
        guard entry & 0xff00_0000_0000_01fe == 0 else { return false }
        let offset = entry & L2Entry.offsetMask
        return offset == 0 || (entry & 1 == 0 && Int64(offset) & clusterMask == 0)
    }

    enum Flag {
        static let inUse: UInt32 = 1
        static let auto: UInt32 = 2
    }

    static func words(_ size: Int64, granularity: Int64) -> Int {
        Int(((size + granularity - 1) / granularity + 63) / 64)
    }

    /// Makes the loaded bits as many as a disk of `size` bytes needs; new ones are clear.
    mutating func resize(to size: Int64) {
        guard var words = bits else { return }
        bits = nil
        let count = Self.words(size, granularity: information.granularity)
        if count < words.count { words.removeLast(words.count - count) }
        words.append(contentsOf: repeatElement(0, count: count - words.count))
        let used = (size + information.granularity - 1) / information.granularity & 63
        if used > 0, !words.isEmpty { words[words.count - 1] &= (1 << UInt64(used)) - 1 }
        bits = words
        isChanged = true
    }

    mutating func set(_ range: Range<Int64>) {
        guard var words = bits, !range.isEmpty else { return }
        bits = nil
        let first = range.lowerBound / information.granularity
        let last = (range.upperBound - 1) / information.granularity
        var bit = first
        while bit <= last {
            let word = Int(bit >> 6)
            guard word < words.count else { break }
            if bit & 63 == 0, last - bit >= 63 {
                words[word] = .max
                bit += 64
            } else {
                words[word] |= 1 << UInt64(bit & 63)
                bit += 1
            }
        }
        bits = words
        isChanged = true
    }

    /// The ranges of set bits in bytes, cut at the disk's size.
    func ranges(size: Int64) -> [Range<Int64>] {
        guard let bits else { return [] }
        var result: [Range<Int64>] = []
        var start: Int64?
        let count = (size + information.granularity - 1) / information.granularity
        var bit: Int64 = 0
        while bit < count {
            let word = bits[Int(bit >> 6)]
            if bit & 63 == 0, word == 0 || word == .max, bit + 64 <= count {
                close(&start, isSet: word != 0, at: bit, &result)
                bit += 64
                continue
            }
            close(&start, isSet: word & (1 << UInt64(bit & 63)) != 0, at: bit, &result)
            bit += 1
        }
        if let start { result.append(start..<size) }
        return result
    }

    private func close(_ start: inout Int64?, isSet: Bool, at bit: Int64, _ result: inout [Range<Int64>]) {
        if isSet, start == nil { start = bit * information.granularity }
        if !isSet, let first = start {
            result.append(first..<bit * information.granularity)
            start = nil
        }
    }
}

extension QCOW2Node {
    /// Notes a write in all bitmaps that record; the first time the image says so before the data changes. Called with
    /// the lock held.
    func noteDirty(_ offset: Int64, _ count: Int64) throws(BlockError) {
        if bitmapList.isEmpty { return }
        for index in bitmapList.indices
        where bitmapList[index].information.isEnabled && !bitmapList[index].information.isInconsistent {
            if !areBitmapsMarked { try markBitmapsInUse() }
            if bitmapList[index].bits == nil { try loadBits(index) }
            bitmapList[index].set(offset..<offset + count)
        }
    }

    /// Makes the bitmaps as long as the disk is going to be. Those on disk do not fit it then until they are stored, and
    /// the image says so before its size changes. Called with the lock held.
    func resizeBitmaps(to size: Int64) throws(BlockError) {
        if bitmapList.isEmpty { return }
        if let bad = bitmapList.first(where: \.information.isInconsistent) {
            throw BlockError(
                .notSupported, "Bitmap '\(bad.information.name)' is inconsistent and cannot be used",
                hint: "Try block-dirty-bitmap-remove to delete this bitmap from disk")
        }
        for index in bitmapList.indices where bitmapList[index].bits == nil { try loadBits(index) }
        if !areBitmapsMarked { try markBitmapsInUse() }
        for index in bitmapList.indices { bitmapList[index].resize(to: size) }
        bitmapsChanged = true
    }

    /// Reads a bitmap's bits from its clusters.
    func loadBits(_ index: Int) throws(BlockError) {
        let bitmap = bitmapList[index]
        let words = Bitmap.words(header.size, granularity: bitmap.information.granularity)
        let loaded = bitmapList.reduce(words) { $0 + ($1.bits?.count ?? 0) }
        guard loaded <= Bitmap.mostLoaded / 8 else {
            throw BlockError(
                .outOfRange, "Bitmap '\(bitmap.information.name)' is too large to be loaded beside the others",
                errno: .noMemory)
        }
        var bits = [UInt64](repeating: 0, count: words)
        let perCluster = geometry.clusterSize / 8
        let table = AlignedBuffer(count: bitmap.tableEntries * 8)
        if bitmap.tableEntries > 0 { try file.read(table.region, at: bitmap.tableOffset) }
        let cluster = AlignedBuffer(count: geometry.clusterSize)
        for entry in 0..<bitmap.tableEntries where entry * perCluster < words {
            let value: UInt64 = table.region.bigEndian(at: entry * 8)
            let offset = Int64(value & L2Entry.offsetMask)
            let range = entry * perCluster..<min(words, (entry + 1) * perCluster)
            if offset == 0 {
                if value & 1 != 0 { for word in range { bits[word] = .max } }
                continue
            }
            guard Bitmap.isValid(value, clusterMask: geometry.clusterMask) else {
                throw BlockError(
                    .corrupt, "The table of bitmap '\(bitmap.information.name)' is damaged", errno: .invalidArgument)
            }
            try file.read(cluster.region, at: offset)
            for word in range { bits[word] = cluster.region.littleEndian(at: (word - range.lowerBound) * 8) }
        }
        bitmapList[index].bits = bits
    }
}
