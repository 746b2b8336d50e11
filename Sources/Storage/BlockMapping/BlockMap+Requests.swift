// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension BlockMap {
    /// Reads any range inside the disk.
    public func readMapped(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        var done = 0
        while done < region.count {
            let position = offset + Int64(done)
            let limit = Int64(region.count - done)
            let found = try lock.withLock { () throws(BlockError) in try extent(at: position, limit: limit) }
            let part = region.slice(done, Int(found.count))
            switch found.place {
            case .zero: part.fill(0)
            case .unallocated: try readLower(part, at: position)
            case .stored(let file, let start):
                file.tell("read_aio")
                try file.read(part, at: start)
            case .packed: try readPacked(part, block: position / blockSize, at: position % blockSize)
            }
            done += part.count
        }
    }

    private func readLower(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let start = offset + lowerOffset
        guard let lowerNode, start < lowerNode.length else { return region.fill(0) }
        let there = Int(min(Int64(region.count), lowerNode.length - start))
        try lowerNode.read(region.slice(0, there), at: start)
        region.from(there).fill(0)
    }

    /// Writes any range inside the disk, taking up blocks as needed.
    public func writeMapped(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        var done = 0
        while done < region.count {
            let position = offset + Int64(done)
            let rest = region.from(done)
            let found = try lock.withLock { () throws(BlockError) in
                let found = try extent(at: position, limit: Int64(rest.count))
                if case .stored = found.place {
                    let first = position / blockSize
                    try prepareOverwrite(first, count: (position + found.count - 1) / blockSize - first + 1)
                    return found
                }
                return MappedExtent(place: .zero, count: try writeNew(rest.slice(0, Int(found.count)), at: position))
            }
            if case .stored(let file, let start) = found.place {
                file.tell("write_aio")
                try file.write(rest.slice(0, Int(found.count)), at: start, flags: [])
            }
            done += Int(found.count)
        }
    }

    /// Writes to blocks that are not stored. Called with the lock held, which keeps others off the same blocks.
    /// - Returns: the bytes written, from the beginning of the region.
    private func writeNew(_ region: ByteRegion, at offset: Int64) throws(BlockError) -> Int64 {
        let block = offset / blockSize
        let head = offset % blockSize
        var isPacked = packsNewBlocks
        if case .packed = try run(from: block).place { isPacked = true }
        if isPacked {
            let count = min(Int64(region.count), blockSize - head)
            try writePacked(region.slice(0, Int(count)), block: block, at: head)
            return count
        }
        let wanted = (head + Int64(region.count) + blockSize - 1) / blockSize
        let grant = try reserve(block, count: wanted)
        let end = min(head + Int64(region.count), grant.blocks &* blockSize)
        let count = end - head
        let tail = (blockSize - end % blockSize) % blockSize
        grant.file.tell("write_aio")
        let isZero: Bool
        if case .zero = try run(from: block).place { isZero = true } else { isZero = lowerNode == nil }
        if isZero || (head == 0 && tail == 0) {
            if head > 0 { try grant.file.writeZeroes(at: grant.offset, count: head, flags: []) }
            try grant.file.write(region.slice(0, Int(count)), at: grant.offset + head, flags: [])
            if tail > 0 { try grant.file.writeZeroes(at: grant.offset + end, count: tail, flags: []) }
        } else {
            try copyUp(region.slice(0, Int(count)), grant, head: head, tail: tail)
        }
        var used = grant
        used.blocks = (end + tail) / blockSize
        try publish(used)
        return count
    }

    /// Writes the region between what the backing node has before and after it in the same blocks.
    private func copyUp(_ region: ByteRegion, _ grant: BlockGrant, head: Int64, tail: Int64) throws(BlockError) {
        let start = grant.block * blockSize
        let before = AlignedBuffer(count: Int(head)).region
        let after = AlignedBuffer(count: Int(tail)).region
        try readLower(before, at: start)
        try readLower(after, at: start + head + Int64(region.count))
        try grant.file.write([before, region, after].filter { $0.count > 0 }, at: grant.offset, flags: [])
    }

    /// Makes a range read as zeroes, by the table where that is possible.
    public func zeroMapped(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        var position = offset
        let end = offset + count
        while position < end {
            let limit = end - position
            let (place, isDone) = try lock.withLock { () throws(BlockError) in
                let found = try extent(at: position, limit: limit)
                return (found, try zeroByTable(found, at: position))
            }
            var found = place
            if case .stored(let file, let start) = found.place, !isDone {
                try zeroStored(file, start, found.count, at: position, flags)
            } else if !isDone {
                found.count = try writeZeroBytes(at: position, count: found.count, flags)
            }
            position += found.count
        }
    }

    /// Whether the extent reads as zeroes already or does so now. Called with the lock held.
    private func zeroByTable(_ found: MappedExtent, at offset: Int64) throws(BlockError) -> Bool {
        switch found.place {
        case .zero: return true
        case .unallocated:
            if lowerNode == nil { return true }
        case .packed, .stored: break
        }
        let isEnd = offset + found.count == mappedLength
        guard offset % blockSize == 0, found.count % blockSize == 0 || isEnd else { return false }
        return try markZero(offset / blockSize, count: (found.count + blockSize - 1) / blockSize)
    }

    private func zeroStored(
        _ file: any BlockNode, _ start: Int64, _ count: Int64, at offset: Int64, _ flags: ZeroFlags
    ) throws(BlockError) {
        try lock.withLock { () throws(BlockError) in
            let first = offset / blockSize
            try prepareOverwrite(first, count: (offset + count - 1) / blockSize - first + 1)
        }
        var below = flags
        below.remove(.forceUnitAccess)
        try file.writeZeroes(at: start, count: count, flags: below)
    }

    private func writeZeroBytes(at offset: Int64, count: Int64, _ flags: ZeroFlags) throws(BlockError) -> Int64 {
        if flags.contains(.noFallback) {
            throw BlockError(.notSupported, "zeroes cannot be made cheaply in this format")
        }
        let chunk = min(count, max(blockSize, 1 << 20))
        try writeMapped(AlignedBuffer(zeroed: Int(chunk)).region, at: offset)
        return chunk
    }

    /// What a range holds.
    public func mappedStatus(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        guard offset >= 0, offset < mappedLength else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        let limit = min(count, mappedLength - offset)
        let found = try lock.withLock { () throws(BlockError) in try extent(at: offset, limit: limit) }
        var status = BlockStatus(count: found.count)
        switch found.place {
        case .zero: status.isZero = true
        case .unallocated:
            status.isAllocated = treatsHolesAsZero
            status.isZero = lowerNode == nil
        case .packed:
            status.isData = true
            status.isCompressed = true
        case .stored(let file, let start):
            status.isData = true
            status.offset = start
            status.file = file
            if detail != .allocation, mayHaveHoles { try lookBelow(&status, file, start) }
        }
        status.isEnd = offset + status.count == mappedLength
        return status
    }

    private func lookBelow(_ status: inout BlockStatus, _ file: any BlockNode, _ start: Int64) throws(BlockError) {
        let below = try file.status(at: start, count: status.count, detail: .mapping)
        status.isZero = below.isZero || below.count == 0
        if below.count > 0 { status.count = min(status.count, below.count) }
    }
}
