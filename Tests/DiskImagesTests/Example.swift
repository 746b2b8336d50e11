// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages

/// The program of docs/storage.md, word for word; a test compares the two.
func example() throws {
    // EXAMPLE BEGINS
    let graph = DiskImages.graph(warn: { print($0) })

    // A new image of 10 GiB.
    guard let driver = graph.driver("qcow2") as? any CreatingDriver else { return }
    var options = CreateOptions(driver.createOptions)
    try options.set("size", "10G")
    try driver.create(CreateRequest(filename: "disk.qcow2", options: options, graph: graph))

    // Open, write, read.
    let disk = try graph.open("disk.qcow2", format: "qcow2", flags: .writable)
    let buffer = AlignedBuffer(count: 4096)
    buffer.region.fill(0x5a)
    try disk.write(buffer.region, at: 1 << 20)
    try disk.flush()
    try disk.read(buffer.region, at: 1 << 20)

    // A snapshot, and what it holds.
    if let store = disk as? any SnapshotStore {
        try store.createSnapshot(SnapshotInformation(identifier: "", name: "before", dateSeconds: 1_700_000_000))
        try disk.writeZeroes(at: 0, count: 2 << 20, flags: .mayUnmap)
        if let snapshot = store.snapshots.last {
            let view = try store.openSnapshot(identifier: snapshot.identifier)
            try view.read(buffer.region, at: 1 << 20)
            try view.close()
        }
    }
    try disk.close()
    // EXAMPLE ENDS
}
