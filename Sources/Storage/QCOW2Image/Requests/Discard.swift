// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node {
    /// Makes a range read as zeroes: whole clusters (or subclusters) in the tables, the rest by writing.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        guard count > 0 else { return }
        try lock.withLock { () throws(BlockError) in try checkRequest(offset, count) }
        let end = offset + count
        // The last cluster of the disk counts as whole.
        let fullEnd = end == length ? geometry.roundUp(end) : end
        let startUnit = try zeroUnit(offset)
        let endUnit = try zeroUnit(end - 1)
        let bodyStart = (offset + startUnit - 1) & ~(startUnit - 1)
        let bodyEnd = fullEnd & ~(endUnit - 1)
        if header.version < 3 || bodyStart >= bodyEnd {
            try writeZeroBytes(offset..<end, flags)
        } else {
            try writeZeroBytes(offset..<bodyStart, flags)
            try changeClusters(bodyStart..<bodyEnd) { [self] guest, range, old throws(BlockError) in
                try zeroCluster(guest, range, old, mayUnmap: flags.contains(.mayUnmap))
            }
            try writeZeroBytes(max(bodyEnd, bodyStart)..<max(end, bodyEnd), flags)
            if geometry.hasDataFile, header.autoClear & Format.AutoClear.rawDataFile != 0 {
                try data.writeZeroes(at: bodyStart, count: min(bodyEnd, end) - bodyStart, flags: flags)
            }
        }
        if flags.contains(.forceUnitAccess) || self.flags.cache.isWriteThrough { try flush() }
    }

    /// The unit in which the tables can say "zero" around an offset: a compressed cluster has no parts.
    private func zeroUnit(_ offset: Int64) throws(BlockError) -> Int64 {
        guard geometry.hasExtendedL2 else { return Int64(geometry.clusterSize) }
        let entry = try lock.withLock { () throws(BlockError) in try l2Entry(offset)?.entry ?? 0 }
        return Int64(entry & L2Entry.compressed != 0 ? geometry.clusterSize : geometry.subclusterSize)
    }

    private func writeZeroBytes(_ range: Range<Int64>, _ flags: ZeroFlags) throws(BlockError) {
        guard !range.isEmpty else { return }
        var position = range.lowerBound
        let chunk = AlignedBuffer(zeroed: Int(min(Int64(range.count), 1 << 20)))
        while position < range.upperBound {
            let limit = range.upperBound - position
            let (isZero, length) = try lock.withLock { () throws(BlockError) in
                let extent = try lookup(position, limit: limit)
                let isZero =
                    extent.kind == .zeroPlain || extent.kind == .zeroAllocated
                    || (extent.kind == .unallocated && backingNode == nil)
                return (isZero, extent.count)
            }
            let part = min(length, Int64(chunk.region.count))
            if isZero {
                position += length
                continue
            }
            if flags.contains(.noFallback) { throw BlockError(.notSupported, "Zeroes cannot be made cheaply here") }
            try write(chunk.region.slice(0, Int(part)), at: position, flags: [])
            position += part
        }
    }

    /// Gives back the storage of the whole clusters in a range; they read as zeroes afterwards (in version 2 images as
    /// what the backing file has).
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try lock.withLock { () throws(BlockError) in try checkRequest(offset, count) }
        let start = geometry.roundUp(offset)
        let end = offset + count == length ? geometry.roundUp(offset + count) : geometry.clusterStart(offset + count)
        guard start < end else { return }
        try changeClusters(start..<end) { [self] guest, _, old throws(BlockError) in try discardCluster(guest, old) }
    }

    /// Calls `change` for each cluster of a range, with the lock held and no other write to the cluster under way.
    private func changeClusters(
        _ range: Range<Int64>,
        _ change: (_ guest: Int64, _ part: Range<Int64>, _ old: (entry: UInt64, bitmap: UInt64)) throws(BlockError) ->
            Void
    ) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        var guest = geometry.clusterStart(range.lowerBound)
        while guest < range.upperBound {
            // A stretch at a time, so that other requests get their turn.
            let stretch = min(range.upperBound, (guest / geometry.l2Coverage + 1) * geometry.l2Coverage)
            try lock.withLock { () throws(BlockError) in
                try checkUsable()
                try relieve()
                isUnflushed = true
                while tracker.conflicts(guest..<geometry.roundUp(stretch), isExclusive: true) { tracker.wait() }
                try noteDirty(guest, min(stretch, header.size) - guest)
                while guest < stretch {
                    let part = max(guest, range.lowerBound)..<min(guest + size, range.upperBound)
                    try change(guest, part, try l2Entry(guest) ?? (0, 0))
                    guest += size
                }
            }
        }
    }

    private func zeroCluster(
        _ guest: Int64, _ part: Range<Int64>, _ old: (entry: UInt64, bitmap: UInt64), mayUnmap: Bool
    ) throws(BlockError) {
        if geometry.hasExtendedL2 { return try zeroSubclusters(guest, part, old, mayUnmap: mayUnmap) }
        let isCompressed = old.entry & L2Entry.compressed != 0
        let kind = kind(of: old.entry)
        let isHeld = kind == .normal || kind == .zeroAllocated
        let drops = isCompressed || (mayUnmap && isHeld && !keepsReference)
        let new = (drops ? 0 : old.entry) | L2Entry.zero
        if new == old.entry { return }
        try makeL2Writable(guest)
        try setL2Entry(guest, new)
        if drops { try freeOld(old.entry, discards: true) }
    }

    /// With a raw external data file the host cluster stays where the guest's is.
    private var keepsReference: Bool {
        geometry.hasDataFile && header.autoClear & Format.AutoClear.rawDataFile != 0
    }

    private func zeroSubclusters(
        _ guest: Int64, _ part: Range<Int64>, _ old: (entry: UInt64, bitmap: UInt64), mayUnmap: Bool
    ) throws(BlockError) {
        let isWhole = part.count >= geometry.clusterSize
        if isWhole {
            let isHeld = old.entry & L2Entry.compressed == 0 && old.entry & (L2Entry.offsetMask | L2Entry.copied) != 0
            let drops = old.entry & L2Entry.compressed != 0 || (mayUnmap && isHeld && !keepsReference)
            let new: (entry: UInt64, bitmap: UInt64) = (drops ? 0 : old.entry, 0xffff_ffff << 32)
            if new == old { return }
            try makeL2Writable(guest)
            try setL2Entry(guest, new.entry, bitmap: new.bitmap)
            if drops { try freeOld(old.entry, discards: true) }
            return
        }
        if old.entry & L2Entry.compressed != 0 {
            throw BlockError(.notSupported, "A part of a compressed cluster cannot be made zero in the tables")
        }
        let mask = subclusterMask(part, guest)
        try makeL2Writable(guest)
        try setL2Entry(guest, old.entry, bitmap: old.bitmap & ~mask | mask << 32)
    }

    private func discardCluster(_ guest: Int64, _ old: (entry: UInt64, bitmap: UInt64)) throws(BlockError) {
        let isCompressed = old.entry & L2Entry.compressed != 0
        let allZero: UInt64 = 0xffff_ffff << 32
        var new: (entry: UInt64, bitmap: UInt64) = (0, 0)
        if geometry.hasExtendedL2 {
            let isHeld = isCompressed || old.entry & (L2Entry.offsetMask | L2Entry.copied) != 0
            if !isHeld, old.bitmap == allZero || (old.bitmap == 0 && backingNode == nil) { return }
            new.bitmap = allZero
        } else {
            let kind = kind(of: old.entry)
            if kind == .zeroPlain || (kind == .unallocated && backingNode == nil) { return }
            if kind == .unallocated, header.version < 3 { return }
            // Version 2 has no zero flag: the backing file shows through, as a discard may do.
            new.entry = header.version >= 3 && (backingNode != nil || kind != .unallocated) ? L2Entry.zero : 0
        }
        if keepsReference {
            try data.discard(at: guest, count: Int64(geometry.clusterSize))
            new.entry |= old.entry
        }
        if new == old { return }
        try makeL2Writable(guest)
        try setL2Entry(guest, new.entry, bitmap: new.bitmap)
        if !keepsReference { try freeOld(old.entry, discards: true) }
    }
}
