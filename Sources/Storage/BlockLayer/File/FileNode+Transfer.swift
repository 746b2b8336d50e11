// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem
internal import Synchronization

extension FileNode {
    /// Reads; what lies past the end of the file is zeroes.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        guard isAligned(region, offset) else { return try readUnaligned(region, at: offset) }
        try readAligned(region, at: offset)
    }

    /// Writes; the file grows where the range is past its end.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        guard isAligned(region, offset) else { return try writeUnaligned(region, at: offset, flags: flags) }
        try writeAligned(region, at: offset, flags: flags)
    }

    /// Reads with one call where the kernel allows.
    public func read(_ regions: [ByteRegion], at offset: Int64) throws(BlockError) {
        let total = regions.reduce(0) { $0 &+ $1.count }
        let isWhole = offset >= 0 && Int64(total) <= length &- offset
        if regions.count > 1, regions.count <= Self.longestVector, isWhole, isAligned(regions, offset) {
            let done = unsafe withVectors(regions) { vectors, count in
                unsafe preadv(descriptor.number, vectors, count, Int(offset))
            }
            if done == total { return }
            // Errors and short reads are found again, and told apart, one by one.
        }
        var position = offset
        for region in regions {
            try read(region, at: position)
            position &+= Int64(region.count)
        }
    }

    /// Writes with one call where the kernel allows.
    public func write(_ regions: [ByteRegion], at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        let total = regions.reduce(0) { $0 &+ $1.count }
        if regions.count > 1, regions.count <= Self.longestVector, isAligned(regions, offset), offset >= 0 {
            let done = unsafe withVectors(regions) { vectors, count in
                unsafe pwritev(descriptor.number, vectors, count, Int(offset))
            }
            if done == total { return try finishWrite(end: offset &+ Int64(total), flags) }
        }
        var position = offset
        for region in regions {
            try write(region, at: position, flags: flags)
            position &+= Int64(region.count)
        }
    }

    /// IOV_MAX of Linux.
    private static var longestVector: Int { 1024 }

    private func withVectors(
        _ regions: [ByteRegion], _ call: (UnsafePointer<iovec>?, Int32) -> Int
    ) -> Int {
        // The temporary array lives for the call; each vector is a region that the caller keeps alive.
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: regions.count) { vectors in
            for index in regions.indices {
                unsafe vectors.initializeElement(
                    at: index, to: iovec(iov_base: regions[index].base, iov_len: regions[index].count))
            }
            return unsafe call(UnsafePointer(vectors.baseAddress), Int32(regions.count))
        }
    }

    private func isAligned(_ region: ByteRegion, _ offset: Int64) -> Bool {
        let alignment = limits.requestAlignment
        if alignment == 1 { return true }
        // Only the address's value is looked at.
        let address = unsafe Int(bitPattern: region.base)
        return (Int(truncatingIfNeeded: offset) | region.count) & (alignment - 1) == 0
            && address & (limits.memoryAlignment - 1) == 0
    }

    private func isAligned(_ regions: [ByteRegion], _ offset: Int64) -> Bool {
        limits.requestAlignment == 1 || regions.allSatisfy { isAligned($0, offset) }
    }

    private func readAligned(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        var done = 0
        while done < region.count {
            let rest = region.from(done)
            let position = offset &+ Int64(done)
            let count: Int
            do {
                count = try unsafe descriptor.read(into: rest.buffer, at: position)
            } catch {
                throw BlockError(system: error, "Could not read '\(path)' at \(position)")
            }
            if count > 0 {
                done += count
                continue
            }
            let known = length
            guard position >= known || isDevice == false && position >= endNow() && !shrunk(position, known) else {
                throw BlockError(
                    .inputOutput,
                    "Could not read '\(path)' at \(position): the file has become shorter than \(known) bytes")
            }
            return rest.fill(0)
        }
    }

    private func endNow() -> Int64 { (try? descriptor.size()) ?? 0 }

    /// A file that ends before a position that it had when it was opened, or after this process's last write.
    private func shrunk(_ position: Int64, _ known: Int64) -> Bool { position < known }

    private func writeAligned(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        var done = 0
        while done < region.count {
            let position = offset &+ Int64(done)
            do {
                done += try unsafe descriptor.write(UnsafeRawBufferPointer(region.from(done).buffer), at: position)
            } catch {
                throw BlockError(system: error, "Could not write '\(path)' at \(position)")
            }
        }
        try finishWrite(end: offset &+ Int64(region.count), flags)
    }

    func finishWrite(end: Int64, _ flags: WriteFlags) throws(BlockError) {
        extents.forget()
        raiseLength(to: end)
        if flags.contains(.forceUnitAccess) || self.flags.cache.isWriteThrough { try flush() }
    }

    func raiseLength(to end: Int64) {
        if end > currentLength.load(ordering: .relaxed) { currentLength.max(end, ordering: .acquiringAndReleasing) }
    }

    // Direct I/O of what is not aligned goes through a buffer that is; writes read the edges first.

    private func enclosing(_ offset: Int64, _ count: Int) -> (start: Int64, count: Int) {
        let mask = Int64(limits.requestAlignment - 1)
        let start = offset & ~mask
        return (start, Int(((offset &+ Int64(count) &+ mask) & ~mask) &- start))
    }

    private func readUnaligned(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let whole = enclosing(offset, region.count)
        let bounce = AlignedBuffer(count: whole.count)
        try readAligned(bounce.region, at: whole.start)
        region.copy(from: bounce.region.slice(Int(offset - whole.start), region.count))
    }

    private func writeUnaligned(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        let whole = enclosing(offset, region.count)
        let oldLength = length
        try exclusively { () throws(BlockError) in
            let bounce = AlignedBuffer(count: whole.count)
            try readAligned(bounce.region, at: whole.start)
            bounce.region.from(Int(offset - whole.start)).copy(from: region)
            try writeAligned(bounce.region, at: whole.start, flags: flags)
        }
        // The padding of the last sector must not make a file longer than was written.
        let end = max(oldLength, offset &+ Int64(region.count))
        if !isDevice, length > end { try setLength(end) }
    }
}
