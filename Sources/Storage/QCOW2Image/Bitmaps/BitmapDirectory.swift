// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

extension QCOW2Node {
    private static var largestDirectory: UInt64 { 64 << 20 }
    private static var mostBitmaps: UInt32 { 65535 }

    /// Reads the bitmap directory that the header extension points to.
    func loadBitmaps() throws(BlockError) {
        guard let data = header.extensionData(Format.Extension.bitmaps) else { return }
        guard header.autoClear & Format.AutoClear.bitmaps != 0 else {
            if !isReadOnly {
                warn(
                    "WARNING: a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent\nSome clusters may be leaked, run 'qemu-img check -r' on the image file to fix."
                )
            }
            return
        }
        guard data.count == 24 else { throw BlockError(.invalidArgument, "bitmaps_ext: Invalid extension length") }
        let (count, size, offset) = data[...].withRegionOfCopy { region in
            (
                region.bigEndian(at: 0, as: UInt32.self), region.bigEndian(at: 8, as: UInt64.self),
                region.bigEndian(at: 16, as: UInt64.self)
            )
        }
        guard count > 0, count <= Self.mostBitmaps else {
            throw BlockError(
                .invalidArgument,
                count == 0 ? "found bitmaps extension with zero bitmaps" : "bitmaps_ext: too many dirty bitmaps")
        }
        guard offset & UInt64(geometry.clusterMask) == 0, offset <= UInt64(Int64.max) >> 1 else {
            throw BlockError(.invalidArgument, "bitmaps_ext: invalid bitmap directory offset")
        }
        guard size <= Self.largestDirectory else {
            throw BlockError(
                .invalidArgument,
                "bitmaps_ext: bitmap directory size (\(size)) exceeds the maximum supported size (\(Self.largestDirectory))"
            )
        }
        try parseDirectory(Int64(offset), Int(size), Int(count))
    }

    private func parseDirectory(_ offset: Int64, _ size: Int, _ count: Int) throws(BlockError) {
        let buffer = AlignedBuffer(count: size)
        try file.read(buffer.region, at: offset)
        let region = buffer.region
        var position = 0
        for _ in 0..<count {
            guard position + 24 <= size else { throw BlockError(.corrupt, "Broken bitmap directory") }
            let nameSize = Int(region.bigEndian(at: position + 18, as: UInt16.self))
            let extraSize = Int(region.bigEndian(at: position + 20, as: UInt32.self))
            let end = position + 24 + extraSize + nameSize
            let flags: UInt32 = region.bigEndian(at: position + 12)
            let granularityBits = region[position + 17]
            guard end <= size, nameSize > 0, nameSize <= 1023, (9...31).contains(granularityBits) else {
                throw BlockError(.corrupt, "Broken bitmap directory")
            }
            let entries = Int(region.bigEndian(at: position + 8, as: UInt32.self))
            let text = String(decoding: region.slice(position + 24 + extraSize, nameSize).bytes, as: UTF8.self)
            guard flags & ~(Bitmap.Flag.auto | Bitmap.Flag.inUse) == 0 else {
                throw BlockError(.invalidArgument, "Bitmap '\(text)' doesn't satisfy the constraints")
            }
            guard entries <= 0x8000000 / 8 else { throw BlockError(.corrupt, "A bitmap's table is too large") }
            bitmapList.append(
                Bitmap(
                    information: BitmapInformation(
                        name: String(decoding: region.slice(position + 24 + extraSize, nameSize).bytes, as: UTF8.self),
                        granularity: 1 << Int64(granularityBits), isEnabled: flags & Bitmap.Flag.auto != 0,
                        isInconsistent: flags & Bitmap.Flag.inUse != 0),
                    tableOffset: region.bigEndian(at: position), tableEntries: entries,
                    extra: region.slice(position + 24, extraSize).bytes))
            position = (end + 7) & ~7
        }
    }

    private func directory(inUse: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for bitmap in bitmapList {
            let name = Array(bitmap.information.name.utf8)
            let size = (24 + bitmap.extra.count + name.count + 7) & ~7
            let buffer = AlignedBuffer(zeroed: size)
            var flags: UInt32 = bitmap.information.isEnabled ? Bitmap.Flag.auto : 0
            if inUse || bitmap.information.isInconsistent { flags |= Bitmap.Flag.inUse }
            buffer.region.storeBigEndian(bitmap.tableOffset, at: 0)
            buffer.region.storeBigEndian(UInt32(bitmap.tableEntries), at: 8)
            buffer.region.storeBigEndian(flags, at: 12)
            buffer.region[16] = 1
            buffer.region[17] = UInt8(bitmap.information.granularity.trailingZeroBitCount)
            buffer.region.storeBigEndian(UInt16(name.count), at: 18)
            buffer.region.storeBigEndian(UInt32(bitmap.extra.count), at: 20)
            buffer.region.from(24).copy(from: bitmap.extra)
            buffer.region.from(24 + bitmap.extra.count).copy(from: name)
            bytes += buffer.region.bytes
        }
        return bytes
    }

    private var oldDirectory: (offset: Int64, size: Int64)? {
        header.extensionData(Format.Extension.bitmaps).flatMap { data in
            guard data.count == 24 else { return nil }
            return data[...].withRegionOfCopy { ($0.bigEndian(at: 16), $0.bigEndian(at: 8)) }
        }
    }

    /// Says in the image that the bitmaps on disk are behind. Called with the lock held.
    func markBitmapsInUse() throws(BlockError) {
        bitmapsChanged = true
        guard oldDirectory != nil else { return }
        try writeDirectory(inUse: true)
    }

    /// Writes the bitmaps that changed, and a directory that says they are complete. Called with the lock held.
    func storeBitmaps() throws(BlockError) {
        guard bitmapsChanged else { return }
        for index in bitmapList.indices
        where bitmapList[index].isChanged && !bitmapList[index].information.isInconsistent {
            try storeBits(index)
        }
        try writeDirectory(inUse: false)
        bitmapsChanged = false
    }

    private func storeBits(_ index: Int) throws(BlockError) {
        let bitmap = bitmapList[index]
        guard let bits = bitmap.bits else { return }
        let perCluster = geometry.clusterSize / 8
        let entries = (bits.count + perCluster - 1) / perCluster
        let tableClusters = Int(geometry.clusters(Int64(entries) * 8))
        let table = AlignedBuffer(zeroed: max(tableClusters, 1) * geometry.clusterSize)
        let cluster = AlignedBuffer(count: geometry.clusterSize)
        for entry in 0..<entries {
            let words = bits[entry * perCluster..<min(bits.count, (entry + 1) * perCluster)]
            if words.allSatisfy({ $0 == 0 }) { continue }
            cluster.region.fill(0)
            for (position, word) in words.enumerated() { cluster.region.storeLittleEndian(word, at: position * 8) }
            let place = try refcounts.allocateRow(1)
            try file.write(cluster.region, at: place)
            table.region.storeBigEndian(place, at: entry * 8)
        }
        let place = entries == 0 ? 0 : try refcounts.allocateRow(tableClusters)
        if entries > 0 { try file.write(table.region, at: place) }
        try freeBits(bitmap)
        bitmapList[index].tableOffset = place
        bitmapList[index].tableEntries = entries
        bitmapList[index].isChanged = false
    }

    /// Frees a bitmap's clusters and table, once the directory no longer names them.
    func freeBits(_ bitmap: Bitmap) throws(BlockError) {
        guard bitmap.tableOffset != 0, bitmap.tableEntries > 0 else { return }
        let table = AlignedBuffer(count: bitmap.tableEntries * 8)
        try file.read(table.region, at: bitmap.tableOffset)
        for entry in 0..<bitmap.tableEntries {
            let offset = Int64(table.region.bigEndian(at: entry * 8, as: UInt64.self) & L2Entry.offsetMask)
            if offset != 0 { freeList.add(offset, Int64(geometry.clusterSize), discards: false) }
        }
        freeList.add(bitmap.tableOffset, Int64(bitmap.tableEntries) * 8, discards: false)
    }

    /// Writes the directory to a new place and makes the header name it.
    func writeDirectory(inUse: Bool) throws(BlockError) {
        let old = oldDirectory
        if bitmapList.isEmpty {
            header.setExtension(Format.Extension.bitmaps, nil)
            header.autoClear &= ~Format.AutoClear.bitmaps
        } else {
            let bytes = directory(inUse: inUse)
            let place = try refcounts.allocateRow(Int(geometry.clusters(Int64(bytes.count))))
            try file.write(bytes, at: place)
            let buffer = AlignedBuffer(zeroed: 24)
            buffer.region.storeBigEndian(UInt32(bitmapList.count), at: 0)
            buffer.region.storeBigEndian(UInt64(bytes.count), at: 8)
            buffer.region.storeBigEndian(place, at: 16)
            header.setExtension(Format.Extension.bitmaps, buffer.region.bytes)
            header.autoClear |= Format.AutoClear.bitmaps
        }
        try writeMetadata()
        try file.flush()
        try writeWholeHeader()
        if let old { freeList.add(old.offset, old.size, discards: false) }
    }
}
