// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: BackedNode {
    /// What a range of this image holds by its tables and, where asked, by the host's file.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        lock.lock()
        let extent: Extent
        let size = header.size
        let hasBacking = backingNode != nil
        do {
            guard offset < size else {
                lock.unlock()
                return BlockStatus(count: 0, isZero: true, isEnd: true)
            }
            extent = try longExtent(offset, limit: min(count, size - offset))
            lock.unlock()
        } catch {
            lock.unlock()
            throw error
        }
        var status = BlockStatus(count: extent.count, isEnd: offset + extent.count == size)
        switch extent.kind {
        case .unallocated:
            status.isAllocated = false
            status.isZero = !hasBacking
            if extent.isReserved, cipher == nil {
                status.offset = extent.host
                status.file = data
            }
        case .zeroPlain: status.isZero = true
        case .zeroAllocated:
            status.isZero = true
            status.offset = extent.host
            status.file = data
        case .compressed:
            status.isData = true
            status.isCompressed = true
        case .normal:
            status.isData = true
            status.offset = cipher == nil ? extent.host : nil
            status.file = data
            if detail != .allocation, cipher == nil { try refine(&status, extent) }
        }
        return status
    }

    /// A data cluster may be a hole in the host's file: it reads as zeroes then.
    private func refine(_ status: inout BlockStatus, _ extent: Extent) throws(BlockError) {
        guard preallocatedHoles else { return }
        let below = try data.status(at: extent.host, count: extent.count, detail: .mapping)
        if below.isEnd, below.count == 0 || below.isZero {
            // Past the end of the file it reads as zeroes.
            status.isZero = true
            return
        }
        status.isZero = below.isZero
        if below.count < status.count {
            status.count = below.count
            status.isEnd = false
        }
    }

    /// The run from `offset` on over as many L2 slices as belong together. Called with the lock held.
    private func longExtent(_ offset: Int64, limit: Int64) throws(BlockError) -> Extent {
        var extent = try lookup(offset, limit: limit, isScan: true)
        if extent.kind == .compressed { return extent }
        while extent.count < limit {
            let next = try lookup(offset + extent.count, limit: limit - extent.count, isScan: true)
            guard next.kind == extent.kind else { break }
            guard next.isReserved == extent.isReserved else { break }
            let hasHost = extent.kind == .normal || extent.kind == .zeroAllocated || extent.isReserved
            if hasHost, next.host != extent.host + extent.count { break }
            extent.count += next.count
        }
        return extent
    }

    /// The opened backing node.
    public var backing: (any BlockNode)? { lock.withLock { backingNode } }
    /// The name in the header.
    public var backingName: String? { lock.withLock { header.backingName } }
    /// The format in the header.
    public var backingFormat: String? { lock.withLock { header.extensionText(Format.Extension.backingFormat) } }

    /// Writes another name and format into the header.
    public func changeBackingReference(name: String?, format: String?) throws(BlockError) {
        try checkWritable()
        if name?.isEmpty == false, header.autoClear & Format.AutoClear.rawDataFile != 0 {
            throw BlockError(system: .invalidArgument)
        }
        if let name, name.utf8.count > Format.maximumBackingName {
            throw BlockError(.invalidArgument, "Backing file name too long")
        }
        try exclusively { () throws(BlockError) in
            var changed = header
            changed.backingName = name?.isEmpty == true ? nil : name
            changed.setExtension(Format.Extension.backingFormat, format.map { Array($0.utf8) })
            let old = header
            header = changed
            do throws(BlockError) {
                try writeWholeHeader()
            } catch {
                header = old
                throw error
            }
        }
    }

    /// Reads of unallocated clusters go to another node from now on.
    public func replaceBacking(_ node: (any BlockNode)?) throws(BlockError) {
        try exclusively { () throws(BlockError) in backingNode = node }
    }
}
