// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import QCOW2Image
import RandomKit
import RawImage
import StorageTestKit
import Testing

/// Images with damaged bytes: every call must end, in an error or not, without a trap and without endless work.
@Suite struct HostileTests {
    private func sample(_ options: String) throws -> [UInt8] {
        let images = Images()
        let path = try images.create("h.qcow2", size: 1 << 20, options)
        let node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 100_000), at: 5000)
        try node.writeCompressing(
            AlignedBuffer.holding([UInt8](repeating: 2, count: node.clusterSize ?? 65536)).region, at: 1 << 19)
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 1))
        try node.addBitmap(BitmapInformation(name: "b", granularity: 65536, isEnabled: true))
        try node.write([UInt8](repeating: 3, count: 5000), at: 0)
        try node.close()
        let raw = try images.graph.open(path, format: "raw")
        return try raw.readBytes(at: 0, count: Int(raw.length))
    }

    /// Everything that a program does with an image, on one that cannot be trusted.
    private func exercise(_ bytes: [UInt8]) {
        let file = MemoryNode(bytes)
        for isWritable in [false, true] {
            guard let node = try? CrashRun.open(file, writable: isWritable, checking: !isWritable) else { continue }
            let length = min(node.length, 1 << 20)
            _ = try? node.readBytes(at: 0, count: Int(length))
            _ = try? node.specificInformation()
            var offset: Int64 = 0
            for _ in 0..<200 where offset < node.length {
                guard let status = try? node.status(at: offset, count: node.length - offset, detail: .mapping) else {
                    break
                }
                offset += max(status.count, 1)
            }
            _ = try? node.check(repair: [], report: { _ in })
            guard isWritable else { continue }
            _ = try? node.write([UInt8](repeating: 9, count: Int(min(length, 70_000))), at: 0)
            _ = try? node.discard(at: 0, count: length)
            _ = try? node.createSnapshot(SnapshotInformation(identifier: "", name: "t", dateSeconds: 1))
            for snapshot in node.snapshots.prefix(3) { _ = try? node.applySnapshot(identifier: snapshot.identifier) }
            for bitmap in node.bitmaps.prefix(3) { _ = try? node.dirtyRanges(of: bitmap.name) }
            for snapshot in node.snapshots.prefix(3) { _ = try? node.deleteSnapshot(identifier: snapshot.identifier) }
            _ = try? node.flush()
            _ = try? node.close()
        }
    }

    @Test(
        arguments: ["cluster_size=4k", "cluster_size=512,compat=0.10", "cluster_size=16k,extended_l2=on"],
        1...4 as ClosedRange<UInt64>)
    func damagedTablesEndInErrors(options: String, seed: UInt64) throws {
        let isOld = options.contains("0.10")
        let good = try isOld ? sampleWithoutBitmap(options) : sample(options)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<60 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                // Mostly where the tables are.
                let limit = Bool.random(using: &random) ? 120 : bytes.count
                let place = Int.random(in: 0..<limit, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
                default:
                    for index in place..<min(place + 8, bytes.count) {
                        bytes[index] = UInt8.random(in: 0...255, using: &random)
                    }
                }
            }
            exercise(bytes)
        }
    }

    private func sampleWithoutBitmap(_ options: String) throws -> [UInt8] {
        let images = Images()
        let path = try images.create("h.qcow2", size: 1 << 20, options)
        let node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 30_000), at: 5000)
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 1))
        try node.close()
        let raw = try images.graph.open(path, format: "raw")
        return try raw.readBytes(at: 0, count: Int(raw.length))
    }

    @Test func aLoopOfBackingFilesIsRefused() throws {
        let images = Images()
        let first = images.folder.file("first")
        let second = try images.create("second", size: 1 << 20, "backing_file=\(first),backing_fmt=qcow2")
        _ = try images.create("first", size: 1 << 20, "backing_file=\(second),backing_fmt=qcow2")
        let failure = #expect(throws: BlockError.self) { _ = try images.open(first, writable: false) }
        #expect(failure?.message.contains("infinite loop") == true)
    }

    @Test func truncatedImagesAreRefusedOrReadable() throws {
        let good = try sample("cluster_size=4k")
        for length in stride(from: 0, to: good.count, by: 1777) { exercise(Array(good[..<length])) }
    }
}
