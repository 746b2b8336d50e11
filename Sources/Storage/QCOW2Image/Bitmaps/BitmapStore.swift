// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: BitmapStore {
    /// Version 3 holds bitmaps.
    public var storesBitmaps: Bool { lock.withLock { header.version >= 3 } }

    /// The bitmaps in the directory's order.
    public var bitmaps: [BitmapInformation] { lock.withLock { bitmapList.map(\.information) } }

    private func index(_ name: String) throws(BlockError) -> Int {
        guard let index = bitmapList.firstIndex(where: { $0.information.name == name }) else {
            throw BlockError(.notFound, "Dirty bitmap '\(name)' not found")
        }
        return index
    }

    private func usable(_ name: String) throws(BlockError) -> Int {
        let index = try index(name)
        if bitmapList[index].information.isInconsistent {
            throw BlockError(
                .invalidArgument, "Bitmap '\(name)' is inconsistent and cannot be used",
                hint: "Try block-dirty-bitmap-remove to delete this bitmap from disk")
        }
        return index
    }

    /// Adds an empty bitmap, which is stored when the image is closed; version 3 only.
    public func addBitmap(_ information: BitmapInformation) throws(BlockError) {
        try checkWritable()
        try exclusively { () throws(BlockError) in
            let name = information.name
            guard header.version >= 3 else {
                throw BlockError(
                    .notSupported,
                    "Can't make bitmap '\(name)' persistent in '\(location.filename)': Cannot store dirty bitmaps in qcow2 v2 files"
                )
            }
            guard !bitmapList.contains(where: { $0.information.name == name }) else {
                throw BlockError(.exists, "Bitmap already exists: \(name)")
            }
            guard !name.isEmpty else { throw BlockError(.invalidArgument, "Bitmap name cannot be empty") }
            guard name.utf8.count <= 1023 else {
                throw BlockError(
                    .invalidArgument,
                    "Can't make bitmap '\(name)' persistent in '\(location.filename)': Name length exceeds maximum (1023)"
                )
            }
            let granularity = information.granularity
            guard granularity & (granularity - 1) == 0, (512...(Int64(1) << 31)).contains(granularity) else {
                throw BlockError(.invalidArgument, "Granularity must be power of 2")
            }
            var bitmap = Bitmap(information: information)
            bitmap.bits = Array(repeating: 0, count: Bitmap.words(header.size, granularity: granularity))
            bitmap.isChanged = true
            bitmapList.append(bitmap)
            // It is stored when the image is closed, as everything about bitmaps.
            bitmapsChanged = true
        }
    }

    /// Removes a bitmap and its clusters.
    public func removeBitmap(_ name: String) throws(BlockError) {
        try checkWritable()
        try exclusively { () throws(BlockError) in
            let bitmap = bitmapList.remove(at: try index(name))
            bitmapsChanged = true
            guard bitmap.tableOffset != 0 else { return }
            try writeDirectory(inUse: areBitmapsMarked)
            try freeBits(bitmap)
        }
    }

    /// Clears all bits.
    public func clearBitmap(_ name: String) throws(BlockError) {
        try checkWritable()
        try exclusively { () throws(BlockError) in
            let index = try usable(name)
            bitmapList[index].bits = Array(
                repeating: 0, count: Bitmap.words(header.size, granularity: bitmapList[index].information.granularity))
            bitmapList[index].isChanged = true
            bitmapsChanged = true
        }
    }

    /// Starts or stops recording.
    public func setBitmap(_ name: String, enabled: Bool) throws(BlockError) {
        try checkWritable()
        try exclusively { () throws(BlockError) in
            let index = try usable(name)
            bitmapList[index].information.isEnabled = enabled
            bitmapsChanged = true
        }
    }

    /// The dirty ranges.
    public func dirtyRanges(of name: String) throws(BlockError) -> [Range<Int64>] {
        try exclusively { () throws(BlockError) in
            let index = try usable(name)
            if bitmapList[index].bits == nil { try loadBits(index) }
            return bitmapList[index].ranges(size: header.size)
        }
    }

    /// Marks ranges as dirty.
    public func markDirty(_ ranges: [Range<Int64>], in name: String) throws(BlockError) {
        try checkWritable()
        try exclusively { () throws(BlockError) in
            let index = try usable(name)
            if bitmapList[index].bits == nil { try loadBits(index) }
            for range in ranges { bitmapList[index].set(range.clamped(to: 0..<header.size)) }
            bitmapList[index].isChanged = true
            bitmapsChanged = true
        }
    }
}
