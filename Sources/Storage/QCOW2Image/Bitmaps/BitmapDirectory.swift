// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

extension QCOW2Node {
    private static var mostBitmaps: UInt32 { 65535 }
    /// A directory of as many entries as are allowed, with the longest names.
    private static var largestDirectory: UInt64 { UInt64(mostBitmaps) * 1056 }

    /// Reads the bitmap directory that the header extension points to.
    func loadBitmaps() throws(BlockError) {
        guard let data = header.extensionData(Format.Extension.bitmaps) else { return }
        guard data.count == 24 else { throw BlockError(.invalidArgument, "bitmaps_ext: Invalid extension length") }
        guard header.autoClear & Format.AutoClear.bitmaps != 0 else {
            warn(
                header.version < 3
                    ? "WARNING: This qcow2 v2 image contains bitmaps, but they may have been modified by a program without persistent bitmap support; so now they must all be considered inconsistent"
                    : "WARNING: a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent\nSome clusters may be leaked, run 'qemu-img check -r' on the image file to fix."
            )
            // The next writing of the header leaves the names of what is no longer true out.
            if !isReadOnly { header.setExtension(Format.Extension.bitmaps, nil) }
            return
        }
        let (count, reserved, size, offset) = data[...].withRegionOfCopy { region in
            (
                region.bigEndian(at: 0, as: UInt32.self), region.bigEndian(at: 4, as: UInt32.self),
                region.bigEndian(at: 8, as: UInt64.self), region.bigEndian(at: 16, as: UInt64.self)
            )
        }
        guard reserved == 0 else { throw BlockError(.invalidArgument, "bitmaps_ext: Reserved field is not zero") }
        guard count <= Self.mostBitmaps else {
            throw BlockError(
                .invalidArgument,
                "bitmaps_ext: Image has \(count) bitmaps, exceeding the QEMU supported maximum of \(Self.mostBitmaps)")
        }
        guard count > 0 else { throw BlockError(.invalidArgument, "found bitmaps extension with zero bitmaps") }
        guard offset & UInt64(geometry.clusterMask) == 0, offset <= UInt64(Int64.max) >> 1 else {
            throw BlockError(.invalidArgument, "bitmaps_ext: invalid bitmap directory offset")
        }
        guard size <= Self.largestDirectory else {
            throw BlockError(
                .invalidArgument,
                "bitmaps_ext: bitmap directory size (\(size)) exceeds the maximum supported size (\(Self.largestDirectory))"
            )
        }
        guard size > 0 else { throw BlockError(.invalidArgument, "Requested bitmap directory size is zero") }
        try parseDirectory(Int64(offset), Int(size), Int(count))
    }

    private func parseDirectory(_ offset: Int64, _ size: Int, _ count: Int) throws(BlockError) {
        let buffer = AlignedBuffer(count: size)
        try file.read(buffer.region, at: offset)
        var position = 0
        while position < size {
            guard bitmapList.count < count else {
                throw BlockError(.invalidArgument, "More bitmaps found than specified in header extension")
            }
            let (bitmap, end) = try parseEntry(buffer.region, position)
            bitmapList.append(bitmap)
            position = end
        }
        guard bitmapList.count == count else {
            throw BlockError(.invalidArgument, "Less bitmaps found than specified in header extension")
        }
    }

    private func parseEntry(
        _ region: ByteRegion, _ position: Int
    ) throws(BlockError) -> (bitmap: Bitmap, end: Int) {
        let broken = BlockError(.invalidArgument, "Broken bitmap directory")
        let fixed = 24
        guard position + fixed <= region.count else { throw broken }
        let nameSize = Int(region.bigEndian(at: position + 18, as: UInt16.self))
        let extraSize = Int(region.bigEndian(at: position + 20, as: UInt32.self))
        let end = (position + fixed + extraSize + nameSize + 7) & ~7
        guard end <= region.count else { throw broken }
        guard extraSize == 0 else { throw BlockError(.invalidArgument, "Bitmap extra data is not supported") }
        let flags: UInt32 = region.bigEndian(at: position + 12)
        let rawName = region.slice(position + fixed, nameSize).bytes
        let name = String(decoding: rawName, as: UTF8.self)
        let tableOffset: Int64 = region.bigEndian(at: position)
        let entries = Int(region.bigEndian(at: position + 8, as: UInt32.self))
        let bits = region[position + 17]
        let bytes = Int64(entries) << Int64(geometry.clusterBits)
        let isInUse = flags & Bitmap.Flag.inUse != 0
        guard entries > 0, tableOffset > 0, tableOffset & geometry.clusterMask == 0,
            bytes <= Bitmap.largestSize, Bitmap.granularityBits.contains(bits),
            flags & ~(Bitmap.Flag.inUse | Bitmap.Flag.auto) == 0, nameSize <= Bitmap.longestName,
            region[position + 16] == Bitmap.dirtyTracking,
            isInUse || header.size <= (bytes * 8) << Int64(bits)
        else { throw BlockError(.invalidArgument, "Bitmap '\(name)' doesn't satisfy the constraints") }
        var bitmap = Bitmap(
            information: BitmapInformation(
                name: name, granularity: 1 << Int64(bits), isEnabled: flags & Bitmap.Flag.auto != 0,
                isInconsistent: isInUse))
        bitmap.rawName = rawName
        bitmap.tableOffset = tableOffset
        bitmap.tableEntries = entries
        return (bitmap, end)
    }

    /// Those that the image has; others are new.
    private var storedBitmaps: [Bitmap] { bitmapList.filter { $0.tableOffset != 0 } }

    private func directory(inUse: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for bitmap in storedBitmaps {
            let name = bitmap.rawName
            let size = (24 + name.count + 7) & ~7
            let buffer = AlignedBuffer(zeroed: size)
            var flags: UInt32 = bitmap.information.isEnabled ? Bitmap.Flag.auto : 0
            if inUse || bitmap.information.isInconsistent { flags |= Bitmap.Flag.inUse }
            buffer.region.storeBigEndian(bitmap.tableOffset, at: 0)
            buffer.region.storeBigEndian(UInt32(bitmap.tableEntries), at: 8)
            buffer.region.storeBigEndian(flags, at: 12)
            buffer.region[16] = Bitmap.dirtyTracking
            buffer.region[17] = UInt8(bitmap.information.granularity.trailingZeroBitCount)
            buffer.region.storeBigEndian(UInt16(name.count), at: 18)
            buffer.region.from(24).copy(from: name)
            bytes += buffer.region.bytes
        }
        return bytes
    }

    /// Where the directory is, by the header's extension.
    var bitmapDirectory: (offset: Int64, size: Int64)? {
        header.extensionData(Format.Extension.bitmaps).flatMap { data in
            guard data.count == 24 else { return nil }
            let (offset, size) = data[...].withRegionOfCopy {
                ($0.bigEndian(at: 16, as: Int64.self), $0.bigEndian(at: 8, as: Int64.self))
            }
            return offset >= 0 && size >= 0 && size <= Int64(Self.largestDirectory) ? (offset, size) : nil
        }
    }

    /// Says in the image that the bitmaps on disk are behind. Each flag is in one sector, so this is done in place.
    /// Called with the lock held.
    func markBitmapsInUse() throws(BlockError) {
        bitmapsChanged = true
        areBitmapsMarked = true
        guard let place = bitmapDirectory else { return }
        let bytes = directory(inUse: true)
        guard Int64(bytes.count) == place.size else { return try writeDirectory(inUse: true) }
        try file.write(bytes, at: place.offset)
        try file.flush()
    }

    /// Writes the bitmaps anew, and a directory that says they are complete. Called with the lock held.
    ///
    /// All bitmaps are written when one changed, as QEMU does it: then they stay together.
    func storeBitmaps() throws(BlockError) {
        guard bitmapsChanged else { return }
        for index in bitmapList.indices where !bitmapList[index].information.isInconsistent {
            if bitmapList[index].isChanged || bitmapList[index].bits != nil {
                try storeBits(index)
            } else {
                try moveBits(index)
            }
        }
        try writeDirectory(inUse: false)
        bitmapsChanged = false
        areBitmapsMarked = false
    }

    /// Copies the clusters and the table of a bitmap whose bits are not in memory.
    private func moveBits(_ index: Int) throws(BlockError) {
        let bitmap = bitmapList[index]
        guard bitmap.tableOffset != 0, bitmap.tableEntries > 0 else { return }
        let clusters = Int(geometry.clusters(Int64(bitmap.tableEntries) * 8))
        let table = AlignedBuffer(zeroed: clusters * geometry.clusterSize)
        try file.read(table.region.slice(0, bitmap.tableEntries * 8), at: bitmap.tableOffset)
        let cluster = AlignedBuffer(count: geometry.clusterSize)
        for entry in 0..<bitmap.tableEntries {
            let value: UInt64 = table.region.bigEndian(at: entry * 8)
            let offset = Int64(value & L2Entry.offsetMask)
            guard offset != 0, Bitmap.isValid(value, clusterMask: geometry.clusterMask) else { continue }
            try file.read(cluster.region, at: offset)
            let place = try refcounts.allocateRow(1)
            try file.write(cluster.region, at: place)
            table.region.storeBigEndian(place, at: entry * 8)
        }
        let place = try refcounts.allocateRow(clusters)
        try file.write(table.region, at: place)
        try freeBits(bitmap)
        bitmapList[index].tableOffset = place
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
            let value: UInt64 = table.region.bigEndian(at: entry * 8)
            let offset = Int64(value & L2Entry.offsetMask)
            if offset != 0, Bitmap.isValid(value, clusterMask: geometry.clusterMask) {
                freeList.add(offset, Int64(geometry.clusterSize), discards: false)
            }
        }
        freeList.add(bitmap.tableOffset, Int64(bitmap.tableEntries) * 8, discards: false)
    }

    /// Writes the directory to a new place and makes the header name it.
    func writeDirectory(inUse: Bool) throws(BlockError) {
        let old = bitmapDirectory
        if storedBitmaps.isEmpty {
            header.setExtension(Format.Extension.bitmaps, nil)
            header.autoClear &= ~Format.AutoClear.bitmaps
        } else {
            let bytes = directory(inUse: inUse)
            let place = try refcounts.allocateRow(Int(geometry.clusters(Int64(bytes.count))))
            try file.write(bytes, at: place)
            let buffer = AlignedBuffer(zeroed: 24)
            buffer.region.storeBigEndian(UInt32(storedBitmaps.count), at: 0)
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
