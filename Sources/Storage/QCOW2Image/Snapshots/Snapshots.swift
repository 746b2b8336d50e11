// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: SnapshotStore, EmptyableNode {
    /// The image's snapshots in the table's order.
    public var snapshots: [SnapshotInformation] { lock.withLock { snapshotList.map(\.information) } }

    private func index(_ identifier: String) throws(BlockError) -> Int {
        guard let index = snapshotList.firstIndex(where: { $0.information.identifier == identifier }) else {
            throw BlockError(.notFound, "Can't find the snapshot")
        }
        return index
    }

    private func checkSnapshotsPossible() throws(BlockError) {
        try checkWritable()
        if geometry.hasDataFile {
            throw BlockError(system: .notSupported)
        }
    }

    /// Takes a snapshot: one atomic change of the image.
    public func createSnapshot(_ information: SnapshotInformation) throws(BlockError) {
        try checkSnapshotsPossible()
        try exclusively { () throws(BlockError) in
            guard snapshotList.count < Format.maximumSnapshots else { throw BlockError(system: .fileTooLarge) }
            try settle()
            var information = information
            if information.identifier.isEmpty { information.identifier = nextIdentifier }
            guard !snapshotList.contains(where: { $0.information.identifier == information.identifier }) else {
                throw BlockError(.exists, "A snapshot with id '\(information.identifier)' exists")
            }
            information.diskSize = header.size
            let place = try copyL1()
            var changes = try CountChanges(clusters: geometry.clusters(file.length))
            try count(l1, 1, in: &changes)
            try validate(changes)
            let snapshot = Snapshot(information: information, l1Offset: place, l1Size: l1.count)
            try replaceSnapshots(snapshotList + [snapshot], l1: l1, changes)
            if information.vmStateSize > 0 {
                let start = vmStateStart
                try dropClusters(start..<geometry.roundUp(start + information.vmStateSize))
                try settle()
            }
        }
    }

    /// The snapshot's L1 table. Called with the lock held.
    private func copyL1() throws(BlockError) -> Int64 {
        guard !l1.isEmpty else { return 0 }
        let clusters = Int(geometry.clusters(Int64(l1.count) * 8))
        let place = try refcounts.allocateRow(clusters)
        let buffer = AlignedBuffer(zeroed: clusters * geometry.clusterSize)
        for (index, entry) in l1.enumerated() { buffer.region.storeBigEndian(entry, at: index * 8) }
        try file.write(buffer.region, at: place)
        return place
    }

    /// Writes the table of snapshots to a new place and makes it the image's together with changed counts.
    private func replaceSnapshots(
        _ list: [Snapshot], l1: [UInt64], _ changes: CountChanges
    ) throws(BlockError) {
        let old = (header.snapshotsOffset, geometry.clusters(snapshotsSize) << Int64(geometry.clusterBits))
        let place = try writeSnapshotTable(list)
        var next = header
        next.snapshotsOffset = place.offset
        next.snapshotCount = list.count
        try perform(TableSwitch(l1: l1, header: next, snapshots: list, snapshotsSize: place.size, changes: changes))
        guard old.1 > 0 else { return }
        file.tell("cluster_free")
        freeList.add(old.0, old.1, discards: true)
        do throws(BlockError) {
            try settle()
        } catch {
            // The image is as it should be; a cluster or two are leaked.
            warn("qcow2_free_clusters failed: \(error.errno)")
        }
    }

    private var nextIdentifier: String {
        let largest = snapshotList.compactMap { UInt64($0.information.identifier) }.max() ?? 0
        return String(largest &+ 1)
    }

    /// Makes the disk what it was, in one atomic change.
    public func applySnapshot(identifier: String) throws(BlockError) {
        try checkSnapshotsPossible()
        try exclusively { () throws(BlockError) in
            try settle()
            // The bitmaps would have to tell what differs between the two.
            guard bitmapList.isEmpty else { throw BlockError(.notSupported, "Device has active dirty bitmaps") }
            let snapshot = snapshotList[try index(identifier)]
            try checkL1(snapshot, tellsEarlier: true)
            if snapshot.l1Size > l1.count {
                try growL1(to: snapshot.l1Size)
                try settle()
            }
            var old = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
            old += repeatElement(0, count: l1.count - old.count)
            var changes = try CountChanges(clusters: geometry.clusters(file.length))
            try count(l1, -1, in: &changes)
            try count(old, 1, in: &changes)
            var next = header
            next.size = snapshot.information.diskSize
            try perform(
                TableSwitch(
                    l1: old, header: next, snapshots: snapshotList, snapshotsSize: snapshotsSize, changes: changes))
        }
    }

    /// Forgets a snapshot: first the image does not name it any more, then what it held is freed.
    public func deleteSnapshot(identifier: String) throws(BlockError) {
        try checkSnapshotsPossible()
        try exclusively { () throws(BlockError) in
            try settle()
            let position = try index(identifier)
            let snapshot = snapshotList[position]
            try checkL1(snapshot)
            var list = snapshotList
            list.remove(at: position)
            do throws(BlockError) {
                try replaceSnapshots(list, l1: l1, try CountChanges(clusters: 0))
            } catch {
                throw BlockError(system: error.errno, "Failed to remove snapshot from snapshot list")
            }
            do throws(BlockError) {
                try releaseTables(of: snapshot)
            } catch {
                throw BlockError(system: error.errno, "Failed to free the cluster and L1 table")
            }
        }
    }

    private func releaseTables(of snapshot: Snapshot) throws(BlockError) {
        let old = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
        var changes = try CountChanges(clusters: geometry.clusters(file.length))
        try count(old, -1, in: &changes)
        if snapshot.l1Size > 0 {
            try changes.add(
                -1, offset: snapshot.l1Offset, count: Int64(snapshot.l1Size) * 8, bits: Int64(geometry.clusterBits))
        }
        try perform(
            TableSwitch(
                l1: l1, header: header, snapshots: snapshotList, snapshotsSize: snapshotsSize, changes: changes))
    }

    /// A read-only view of the disk as it was. It must be closed before the image is changed.
    public func openSnapshot(identifier: String) throws(BlockError) -> any BlockNode {
        try exclusively { () throws(BlockError) in
            if !isReadOnly { try settle() }
            let snapshot = snapshotList[try index(identifier)]
            try checkL1(snapshot)
            var old = header
            old.l1Offset = snapshot.l1Offset
            old.l1Size = snapshot.l1Size
            old.size = snapshot.information.diskSize
            guard Int64(old.l1Size) >= old.l1EntriesNeeded(for: old.size) else {
                throw BlockError(.corrupt, "Snapshot L1 table too small")
            }
            var readOnly = flags
            readOnly.isWritable = false
            let view = try QCOW2Node(
                Parts(
                    file: file, data: data, header: old, flags: readOnly, backing: backingNode, cipher: cipher,
                    secrets: secrets,
                    l2Memory: 1 << 20, ownOptions: BlockOptions(), warn: warn))
            // The children stay this node's.
            view.isClosed = true
            return view
        }
    }

    /// Drops everything that the disk has allocated.
    public func makeEmpty() throws(BlockError) {
        try checkWritable()
        try exclusively { () throws(BlockError) in
            try settle()
            guard canReset else {
                try dropClusters(0..<geometry.roundUp(header.size))
                return try settle()
            }
            file.tell("l1_update")
            let size = geometry.clusters(Int64(l1.count) * 8) << Int64(geometry.clusterBits)
            if size > 0 { try file.writeZeroes(at: header.l1Offset, count: size, flags: []) }
            for index in l1.indices { l1[index] = 0 }
            try file.flush()
            file.tell("empty_image_prepare")
            try resetTables()
        }
    }

    /// Nothing but the disk's own clusters and tables is in the image, and the tables are small.
    private var canReset: Bool {
        header.version >= 3 && snapshotList.isEmpty && bitmapList.isEmpty && header.cryptMethod == 0
            && !geometry.hasDataFile && 3 + geometry.clusters(Int64(l1.count) * 8) <= Int64(geometry.countsPerBlock)
    }

    /// Where machine state lies in the guest's address space: behind the disk, at the next L1 entry.
    var vmStateStart: Int64 { header.l1EntriesNeeded(for: header.size) * geometry.l2Coverage }
}
