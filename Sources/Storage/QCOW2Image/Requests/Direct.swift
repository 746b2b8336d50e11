// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// A request that the kernel works on.
struct DirectRequest {
    let offset: Int64
    let count: Int
    let isWrite: Bool
    let host: Int64
    /// The write's ticket.
    var ticket: UInt64 = 0
    /// The read's token.
    var token = 0
}

extension QCOW2Node: DirectlyMappedNode {
    /// A range that lies in one piece in the host's file: plain clusters, for writing those that are this disk's alone.
    ///
    /// Never waits: where a table would have to be read, or another request is in the way, the answer is nil.
    public func beginDirect(at offset: Int64, count: Int, isWrite: Bool) -> DirectMapping? {
        let length = Int64(count)
        guard let directData, cipher == nil, events == nil, length > 0, offset >= 0,
            !isWrite || (!isReadOnly && !flags.cache.isWriteThrough)
        else { return nil }
        lock.lock()
        defer { lock.unlock() }
        guard !isBroken, offset <= header.size - length,
            let host = recentPlace(offset, length, isWrite: isWrite) ?? cachedPlace(offset, length, isWrite: isWrite),
            let mapping = directData.beginDirect(at: host, count: count, isWrite: isWrite)
        else { return nil }
        var request = DirectRequest(offset: offset, count: count, isWrite: isWrite, host: host)
        if isWrite {
            guard let ticket = beginInPlace(offset, length) else {
                directData.endDirect(at: host, count: count, isWrite: true)
                return nil
            }
            request.ticket = ticket
        } else {
            request.token = freeList.beginRead()
        }
        directRequests.append(request)
        return mapping
    }

    /// Ends a request that `beginDirect` allowed.
    public func endDirect(at offset: Int64, count: Int, isWrite: Bool) {
        lock.lock()
        defer { lock.unlock() }
        // Of several for one range any will do: they hold the same.
        let index = directRequests.firstIndex {
            $0.offset == offset && $0.count == count && $0.isWrite == isWrite
        }
        guard let index else { return }
        let request = directRequests[index]
        directRequests.swapAt(index, directRequests.count - 1)
        directRequests.removeLast()
        directData?.endDirect(at: request.host, count: count, isWrite: isWrite)
        if isWrite {
            isUnflushed = true
            tracker.end(request.ticket)
        } else {
            freeList.endRead(request.token)
        }
    }

    /// Where a range lies, by a table that is in memory. Called with the lock held.
    private func cachedPlace(_ offset: Int64, _ count: Int64, isWrite: Bool) -> Int64? {
        // What is wrong with a table is told, and the image marked, by the other way, which comes next.
        guard let table = try? l2TableOffset(geometry.l1Index(offset)),
            l2.holds(table + Int64(geometry.l2Index(offset) * geometry.entrySize))
        else { return nil }
        if isWrite {
            guard let extent = try? inPlaceExtent(offset, count), extent.count >= count else { return nil }
            return extent.host
        }
        guard let extent = try? lookup(offset, limit: count), extent.kind == .normal, extent.count >= count else {
            return nil
        }
        remember(extent, at: offset)
        return extent.host
    }
}
