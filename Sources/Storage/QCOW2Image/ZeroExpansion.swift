// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// Version 2 knows no zero clusters: before an image becomes one, they get bytes, or go where nothing shines through.
extension QCOW2Node {
    /// - Parameter progress: gets the part of all L1 entries, the snapshots' too, that was looked through.
    func expandZeroes(_ progress: (Double) -> Void) throws(BlockError) {
        let (entries, snapshots) = lock.withLock { (l1.count, snapshotList) }
        for snapshot in snapshots { try checkL1(snapshot, tellsEarlier: true) }
        let total = Double(entries + snapshots.reduce(0) { $0 + $1.l1Size })
        var done = 0.0
        for index in 0..<entries {
            try expandActive(index)
            done += 1
            progress(done / total)
        }
        var seen: Set<Int64> = []
        for snapshot in snapshots {
            let table = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
            for entry in table {
                let offset = Int64(entry & L2Entry.offsetMask)
                if offset != 0, seen.insert(offset).inserted {
                    try exclusively { () throws(BlockError) in
                        try settle()
                        try expandInactive(offset)
                    }
                }
                done += 1
                progress(done / total)
            }
        }
    }

    /// The clusters that one L1 entry of the disk covers.
    private func expandActive(_ index: Int) throws(BlockError) {
        let zeroes = AlignedBuffer(zeroed: geometry.clusterSize)
        var offset = Int64(index) * geometry.l2Coverage
        let size = min(length, offset + geometry.l2Coverage)
        while offset < size {
            let limit = size - offset
            let extent = try lock.withLock { () throws(BlockError) in try lookup(offset, limit: limit) }
            let end = offset + extent.count
            guard extent.kind == .zeroPlain || extent.kind == .zeroAllocated else {
                offset = end
                continue
            }
            while offset < end {
                let part = Int(min(Int64(geometry.clusterSize), end - offset))
                if backing == nil, extent.kind == .zeroPlain {
                    let guest = offset
                    try exclusively { () throws(BlockError) in
                        try makeL2Writable(guest)
                        try setL2Entry(guest, 0)
                    }
                } else {
                    try write(zeroes.region.slice(0, part), at: offset, flags: [])
                }
                offset += Int64(part)
            }
        }
    }

    /// A table that only snapshots refer to (what they share with the disk was copied for it, or has no zero clusters).
    /// A cluster of the table counts once for each snapshot that has the table. Called with the lock held.
    private func expandInactive(_ offset: Int64) throws(BlockError) {
        guard offset & geometry.clusterMask == 0 else {
            throw corruption("L2 table offset \(hexadecimal(UInt64(offset))) unaligned (L1 index: 0)")
        }
        let bits = Int64(geometry.clusterBits)
        let table = AlignedBuffer(count: geometry.clusterSize)
        try file.read(table.region, at: offset)
        let users = try refcounts.count(of: offset >> bits)
        let zeroes = AlignedBuffer(zeroed: geometry.clusterSize)
        var isChanged = false
        var released: [Int64] = []
        for position in stride(from: 0, to: geometry.clusterSize, by: 8) {
            let entry: UInt64 = table.region.bigEndian(at: position)
            let kind = kind(of: entry)
            guard kind == .zeroPlain || kind == .zeroAllocated else { continue }
            isChanged = true
            if kind == .zeroPlain, backingNode == nil {
                table.region.storeBigEndian(UInt64(0), at: position)
                continue
            }
            // The cluster that is kept may hold something else's bytes.
            let host = try refcounts.allocateRow(1, for: .data)
            try refcounts.setCount(users, of: host >> bits)
            try file.write(zeroes.region, at: host)
            table.region.storeBigEndian(UInt64(host) | (users == 1 ? L2Entry.copied : 0), at: position)
            if kind == .zeroAllocated { released.append(Int64(entry & L2Entry.offsetMask)) }
        }
        guard isChanged else { return }
        try settleTables()
        try file.write(table.region, at: offset)
        isUnflushed = true
        try file.flush()
        for host in released {
            let count = try refcounts.count(of: host >> bits)
            try refcounts.setCount(count - min(count, users), of: host >> bits)
        }
        try settle()
    }
}
