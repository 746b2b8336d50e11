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
            var changes = try CountChanges(clusters: geometry.clusters(file.length))
            try count(l1, 1, in: &changes)
            let snapshot = Snapshot(information: information, l1Offset: header.l1Offset, l1Size: l1.count)
            let size = header.size
            try perform(
                TableSwitch(
                    l1: l1, size: size, snapshots: snapshotList + [snapshot], changes: changes, keepsOldL1: true))
            if information.vmStateSize > 0 {
                let start = vmStateStart
                try dropClusters(start..<geometry.roundUp(start + information.vmStateSize))
                try settle()
            }
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
            let snapshot = snapshotList[try index(identifier)]
            try checkL1(snapshot)
            if snapshot.information.diskSize != header.size, let bitmap = bitmapList.first {
                throw BlockError(
                    .notSupported,
                    "The snapshot's disk has another size, which the persistent bitmap '\(bitmap.information.name)' does not allow"
                )
            }
            let old = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
            var changes = try CountChanges(clusters: geometry.clusters(file.length))
            try count(l1, -1, in: &changes)
            try count(old, 1, in: &changes)
            try perform(
                TableSwitch(
                    l1: old, size: snapshot.information.diskSize, snapshots: snapshotList, changes: changes))
        }
    }

    /// Forgets a snapshot, in one atomic change.
    public func deleteSnapshot(identifier: String) throws(BlockError) {
        try checkSnapshotsPossible()
        try exclusively { () throws(BlockError) in
            try settle()
            let position = try index(identifier)
            let snapshot = snapshotList[position]
            try checkL1(snapshot)
            let old = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
            var changes = try CountChanges(clusters: geometry.clusters(file.length))
            try count(old, -1, in: &changes)
            if snapshot.l1Size > 0 {
                try changes.add(
                    -1, offset: snapshot.l1Offset, count: Int64(snapshot.l1Size) * 8, bits: Int64(geometry.clusterBits))
            }
            var list = snapshotList
            list.remove(at: position)
            try perform(TableSwitch(l1: l1, size: header.size, snapshots: list, changes: changes))
        }
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
                    l2Memory: 1 << 20, ownOptions: BlockOptions(), warn: warn))
            // The children stay this node's.
            view.isClosed = true
            return view
        }
    }

    /// Drops everything that the disk has allocated, in one atomic change.
    public func makeEmpty() throws(BlockError) {
        try checkWritable()
        if geometry.hasDataFile {
            try discardAll()
            return
        }
        try exclusively { () throws(BlockError) in
            try settle()
            var changes = try CountChanges(clusters: geometry.clusters(file.length))
            try count(l1, -1, in: &changes)
            let empty = [UInt64](repeating: 0, count: l1.count)
            try perform(TableSwitch(l1: empty, size: header.size, snapshots: snapshotList, changes: changes))
            // What is left lies behind the room that became free: move it there, so that the file can be cut.
            let none = try CountChanges(clusters: geometry.clusters(file.length))
            try perform(
                TableSwitch(l1: empty, size: header.size, snapshots: snapshotList, changes: none, movesBlocks: true))
            try cutFile()
        }
    }

    private func discardAll() throws(BlockError) {
        try exclusively { () throws(BlockError) in
            try dropClusters(0..<geometry.roundUp(header.size))
            try settle()
        }
    }

    /// Where machine state lies in the guest's address space: behind the disk, at the next L1 entry.
    var vmStateStart: Int64 { header.l1EntriesNeeded(for: header.size) * geometry.l2Coverage }
}
