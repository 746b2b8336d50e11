// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem
internal import Synchronization

/// The extent of data or of a hole that the kernel told last, so that a walk over a file asks once for each.
final class ExtentMemory: @unchecked Sendable {
    // Everything below is guarded by `lock`; `generation` says whether the file changed while the kernel was asked.
    private let lock = Lock()
    private var range: Range<Int64> = 0..<0
    private var isData = false
    private let isEmpty = Atomic<Bool>(true)
    private var generation: UInt64 = 0

    func lookup(_ offset: Int64) -> (range: Range<Int64>, isData: Bool)? {
        lock.withLock { range.contains(offset) ? (range, isData) : nil }
    }

    var currentGeneration: UInt64 { lock.withLock { generation } }

    func remember(_ found: Range<Int64>, isData: Bool, generation asked: UInt64) {
        lock.withLock {
            guard asked == generation else { return }
            range = found
            self.isData = isData
            isEmpty.store(false, ordering: .releasing)
        }
    }

    /// Called after every change; costs one atomic load when nothing is remembered.
    func forget() {
        if isEmpty.load(ordering: .acquiring) { return }
        lock.withLock {
            generation &+= 1
            range = 0..<0
            isEmpty.store(true, ordering: .releasing)
        }
    }
}

extension FileNode {
    /// Punches holes or lets the host's file system make zeroes; writes zero bytes where it cannot.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        guard count > 0 else { return }
        let end = offset &+ count
        defer { extents.forget() }
        if isDevice {
            try zeroDevice(at: offset, count: count, flags)
        } else if offset >= length {
            try setLength(end)
        } else if !makeZeroes(at: offset, count: count, flags) {
            if flags.contains(.noFallback) {
                throw BlockError(.notSupported, "'\(path)': zeroes cannot be made cheaply")
            }
            try writeZeroBytes(at: offset, count: count)
        }
        raiseLength(to: end)
        if flags.contains(.forceUnitAccess) || self.flags.cache.isWriteThrough { try flush() }
    }

    private func makeZeroes(at offset: Int64, count: Int64, _ flags: ZeroFlags) -> Bool {
        let inside = min(count, max(length - offset, 0))
        let mayUnmap = flags.contains(.mayUnmap) && self.flags.unmaps
        if mayUnmap, allocate(Int32(ROOST_FALLOC_PUNCH_HOLE) | Int32(ROOST_FALLOC_KEEP_SIZE), offset, inside) {
            return inside == count || (try? setLength(offset + count)) != nil
        }
        return allocate(Int32(ROOST_FALLOC_ZERO_RANGE), offset, count)
    }

    private func allocate(_ mode: Int32, _ offset: Int64, _ count: Int64) -> Bool {
        (try? retrying { roost_fallocate(descriptor.number, mode, offset, count) }) != nil
    }

    private func zeroDevice(at offset: Int64, count: Int64, _ flags: ZeroFlags) throws(BlockError) {
        let isAligned = (offset | count) & 511 == 0
        let mode =
            flags.contains(.mayUnmap) && self.flags.unmaps
            ? Int32(ROOST_FALLOC_PUNCH_HOLE) : Int32(ROOST_FALLOC_ZERO_RANGE)
        if isAligned, allocate(mode | Int32(ROOST_FALLOC_KEEP_SIZE), offset, count) { return }
        if flags.contains(.noFallback) { throw BlockError(.notSupported, "'\(path)': zeroes cannot be made cheaply") }
        try writeZeroBytes(at: offset, count: count)
    }

    private func writeZeroBytes(at offset: Int64, count: Int64) throws(BlockError) {
        let chunk = AlignedBuffer(zeroed: Int(min(count, 1 << 20)))
        var done: Int64 = 0
        while done < count {
            let part = Int(min(Int64(chunk.region.count), count - done))
            try write(chunk.region.slice(0, part), at: offset + done, flags: [])
            done += Int64(part)
        }
    }

    /// Gives a range's storage back to the host, if the node was opened so.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        guard flags.unmaps, count > 0 else { return }
        defer { extents.forget() }
        let inside = min(count, max(length - offset, 0))
        // A file system that cannot punch holes keeps the bytes, which a hint allows.
        if inside > 0 { _ = allocate(Int32(ROOST_FALLOC_PUNCH_HOLE) | Int32(ROOST_FALLOC_KEEP_SIZE), offset, inside) }
    }

    /// Makes the file longer or shorter; a device keeps its length and must be long enough.
    public func resize(to newLength: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        try checkWritable()
        if isDevice {
            guard preallocation == .off else {
                throw BlockError(
                    .notSupported,
                    "Preallocation mode '\(preallocation.rawValue)' unsupported for this non-regular file")
            }
            guard newLength <= length else { throw BlockError(.invalidArgument, "Cannot grow device files") }
            guard newLength == length || !exact else {
                throw BlockError(.notSupported, "Cannot resize device files")
            }
            return
        }
        let old = length
        switch preallocation {
        case .off, .metadata: break
        default:
            guard newLength >= old else {
                throw BlockError(.notSupported, "Preallocation can't be used for shrinking files")
            }
        }
        try setLength(newLength)
        if old == 0, preallocation == .off { allocateFirstBlock() }
        do {
            try reserve(preallocation, from: old, to: newLength)
        } catch {
            try? setLength(old)
            throw error
        }
    }

    /// A file whose first block is not a hole tells its alignment for direct I/O; QEMU allocates it too, and what `map`
    /// shows of a new raw image depends on it.
    private func allocateFirstBlock() {
        let block = AlignedBuffer(zeroed: Int(min(length, 4096)))
        // A hint only: without it everything works as well.
        _ = try? writeZeroHint(block.region)
    }

    private func writeZeroHint(_ region: ByteRegion) throws(BlockError) {
        try write(region, at: 0, flags: [])
    }

    private func reserve(_ mode: Preallocation, from old: Int64, to newLength: Int64) throws(BlockError) {
        guard newLength > old else { return }
        switch mode {
        case .off: return
        case .metadata: throw BlockError(.notSupported, "Unsupported preallocation mode: metadata")
        case .falloc:
            let failure = posix_fallocate(descriptor.number, Int(old), Int(newLength - old))
            guard failure == 0 else {
                throw BlockError(system: Errno(failure), "Could not preallocate data for the new file")
            }
        case .full:
            do {
                try writeZeroBytes(at: old, count: newLength - old)
            } catch {
                throw BlockError(system: error.errno, "Could not write zeros for preallocation")
            }
            try flush()
        }
    }

    func setLength(_ newLength: Int64) throws(BlockError) {
        do {
            _ = try retrying { ftruncate(descriptor.number, Int(newLength)) }
        } catch {
            throw BlockError(system: error, "Could not resize file")
        }
        extents.forget()
        currentLength.store(newLength, ordering: .releasing)
    }

    /// Data and holes as the host's file system tells them.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let end = length
        guard offset < end else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        let limit = min(count, end - offset)
        guard detail != .allocation else {
            return BlockStatus(
                count: limit, isData: true, offset: offset, file: self, isEnd: offset + limit == end)
        }
        let extent = extents.lookup(offset) ?? askExtent(offset, end)
        let found = min(limit, extent.range.upperBound - offset)
        return BlockStatus(
            count: found, isData: extent.isData, isZero: !extent.isData, offset: offset, file: self,
            isEnd: offset + found == end)
    }

    private func askExtent(_ offset: Int64, _ end: Int64) -> (range: Range<Int64>, isData: Bool) {
        let generation = extents.currentGeneration
        let data = Int64(lseek(descriptor.number, Int(offset), Int32(ROOST_SEEK_DATA)))
        let answer: (range: Range<Int64>, isData: Bool)
        if data > offset {
            answer = (offset..<min(data, end), false)
        } else if data < 0 {
            // ENXIO: a hole up to the end. Anything else: no holes are known here.
            answer = (offset..<end, Errno.current.code != ENXIO)
        } else {
            let hole = Int64(lseek(descriptor.number, Int(offset), Int32(ROOST_SEEK_HOLE)))
            answer = (offset..<(hole > offset ? min(hole, end) : end), true)
        }
        extents.remember(answer.range, isData: answer.isData, generation: generation)
        return answer
    }

    /// Tells file systems with extents (XFS) in what pieces to allocate; others do not know it.
    func setExtentSizeHint(_ hint: Int64) {
        guard hint > 0, !isDevice else { return }
        // struct fsxattr is 28 bytes: xflags, extsize, nextents, projid, cowextsize, 8 spare. FS_IOC_FSGETXATTR fills
        // it, FS_IOC_FSSETXATTR takes it; the array has the room.
        var attributes = [UInt32](repeating: 0, count: 7)
        let get: UInt = 0x801c_581f
        let set: UInt = 0x401c_5820
        guard unsafe roost_ioctl_pointer(descriptor.number, get, &attributes) == 0 else { return }
        attributes[0] |= 0x800  // FS_XFLAG_EXTSIZE
        attributes[1] = UInt32(clamping: hint)
        _ = unsafe roost_ioctl_pointer(descriptor.number, set, &attributes)
    }

    /// Turns copying on write off where the file system can (btrfs).
    func disableCopyOnWrite() {
        var attributes: Int = 0
        let get: UInt = 0x8008_6601
        let set: UInt = 0x4008_6602
        // FS_IOC_GETFLAGS and FS_IOC_SETFLAGS use an int in the place of a long.
        guard unsafe roost_ioctl_pointer(descriptor.number, get, &attributes) == 0 else { return }
        attributes |= 0x0080_0000  // FS_NOCOW_FL
        _ = unsafe roost_ioctl_pointer(descriptor.number, set, &attributes)
    }
}
