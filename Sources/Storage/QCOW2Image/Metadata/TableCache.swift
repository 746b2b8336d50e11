// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// Slices of tables (L2 or refcount) of one file, kept in memory and written back when told to.
///
/// Not thread-safe: the node's lock guards it. A dirty slice is never dropped; when all are dirty the cache grows beyond
/// its capacity, and `isPressed` tells the node to write back.
final class TableCache {
    private struct Slot {
        var offset: Int64
        var isDirty = false
        var isRecent = true
        private let buffer: AlignedBuffer
        /// The buffer's memory, which lives as long as the slot: without an owner, whose counting would cost a look-up as
        /// much as the rest of it.
        let region: ByteRegion

        init(count: Int) {
            offset = -1
            buffer = AlignedBuffer(count: count)
            // Slots are never removed, and the cache outlives what it lends.
            region = unsafe ByteRegion(unsafe: buffer.region.base, count: count)
        }
    }

    let sliceSize: Int
    private let file: any BlockNode
    private var capacity: Int
    private var slots: [Slot] = []
    private var index = OffsetIndex()
    private var hand = 0
    private(set) var dirtyCount = 0
    /// Another number whenever what the tables say may have changed.
    private(set) var version: UInt64 = 0
    private var lastOffset: Int64 = -1
    private var lastSlot = 0

    /// Slots that scans fill in turn, so that looking through a large image does not fill the cache.
    private var scanned: [Int] = []
    private var nextScanned = 0

    static let preferredSlice = 4096
    private static let longestScan = 64

    /// - Parameter memory: bytes that the slices may take up.
    init(file: any BlockNode, clusterSize: Int, memory: Int) {
        self.file = file
        sliceSize = min(clusterSize, Self.preferredSlice)
        capacity = max(memory / sliceSize, 32)
    }

    /// More than three quarters of the slices wait for being written.
    var isPressed: Bool { dirtyCount > capacity / 4 * 3 }

    /// The slice that holds a file offset, and the position of the offset in it.
    /// - Parameter isScan: the caller goes through the whole image and will not come back soon.
    @inline(__always)
    func slice(at offset: Int64, isScan: Bool = false) throws(BlockError) -> (slot: Int, position: Int) {
        let start = offset & ~Int64(sliceSize - 1)
        let position = Int(offset - start)
        if start == lastOffset { return (lastSlot, position) }
        return (try find(start, isScan), position)
    }

    /// Whether the slice with a file offset is in memory.
    func holds(_ offset: Int64) -> Bool { index[offset & ~Int64(sliceSize - 1)] != nil }

    private func find(_ start: Int64, _ isScan: Bool) throws(BlockError) -> Int {
        if let slot = index[start] {
            if !slots[slot].isRecent { slots[slot].isRecent = true }
            lastOffset = start
            lastSlot = slot
            return slot
        }
        let slot = isScan ? makeScanRoom() : makeRoom()
        try file.read(slots[slot].region, at: start)
        slots[slot].offset = start
        slots[slot].isRecent = true
        index[start] = slot
        lastOffset = start
        lastSlot = slot
        return slot
    }

    /// As `makeRoom`, of the few slots that scans use.
    private func makeScanRoom() -> Int {
        guard scanned.count >= Self.longestScan else {
            let slot = makeRoom()
            scanned.append(slot)
            return slot
        }
        nextScanned = nextScanned + 1 < scanned.count ? nextScanned + 1 : 0
        let slot = scanned[nextScanned]
        if slots[slot].isDirty {
            scanned[nextScanned] = makeRoom()
            return scanned[nextScanned]
        }
        empty(slot)
        return slot
    }

    /// Takes a slot's content out of the index: it is not found under any offset until it is filled, even when reading
    /// fails.
    private func empty(_ slot: Int) {
        if slots[slot].offset >= 0 { index[slots[slot].offset] = nil }
        if lastSlot == slot { lastOffset = -1 }
        slots[slot].offset = -1
    }

    /// A slot whose content may be replaced; it is out of the index.
    private func makeRoom() -> Int {
        if slots.count >= capacity {
            for _ in 0..<slots.count * 2 {
                hand = hand + 1 < slots.count ? hand + 1 : 0
                if slots[hand].isDirty { continue }
                if slots[hand].isRecent {
                    slots[hand].isRecent = false
                    continue
                }
                empty(hand)
                return hand
            }
        }
        slots.append(Slot(count: sliceSize))
        return slots.count - 1
    }

    /// The slice's bytes. Valid until the next `slice(at:)`.
    @inline(__always)
    func region(_ slot: Int) -> ByteRegion { slots[slot].region }

    /// Notes that the slice was changed.
    func markDirty(_ slot: Int) {
        version &+= 1
        if slots[slot].isDirty { return }
        slots[slot].isDirty = true
        dirtyCount += 1
    }

    /// Forgets slices of a range of the file, changed or not: the range is not a table any more, or was written past
    /// the cache.
    func forget(_ offset: Int64, count: Int64) {
        version &+= 1
        var start = offset
        while start < offset + count {
            if let slot = index[start] {
                index[start] = nil
                if slots[slot].isDirty { dirtyCount -= 1 }
                slots[slot].isDirty = false
                slots[slot].isRecent = false
                slots[slot].offset = -1
            }
            start += Int64(sliceSize)
        }
        lastOffset = -1
    }

    /// Forgets everything that is not dirty.
    func forgetClean() {
        version &+= 1
        for slot in slots.indices where !slots[slot].isDirty && slots[slot].offset >= 0 {
            index[slots[slot].offset] = nil
            slots[slot].offset = -1
            slots[slot].isRecent = false
        }
        lastOffset = -1
    }

    /// Forgets everything, changed or not.
    func forgetAll() {
        version &+= 1
        for slot in slots.indices {
            slots[slot].offset = -1
            slots[slot].isDirty = false
            slots[slot].isRecent = false
        }
        index.removeAll()
        dirtyCount = 0
        lastOffset = -1
    }

    /// Writes all changed slices, neighbours together.
    func writeBack() throws(BlockError) {
        guard dirtyCount > 0 else { return }
        let dirty = slots.indices.filter { slots[$0].isDirty }.sorted { slots[$0].offset < slots[$1].offset }
        var start = 0
        while start < dirty.count {
            var end = start + 1
            while end < dirty.count, end - start < 256,
                slots[dirty[end]].offset == slots[dirty[end - 1]].offset + Int64(sliceSize)
            {
                end += 1
            }
            try file.write(
                dirty[start..<end].map { slots[$0].region }, at: slots[dirty[start]].offset, flags: [])
            for slot in dirty[start..<end] { slots[slot].isDirty = false }
            dirtyCount -= end - start
            start = end
        }
    }
}
