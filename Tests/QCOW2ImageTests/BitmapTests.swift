// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RandomKit
import Testing

/// Random writes, resizings and reopenings against a set of dirty granules side by side.
private struct BitmapRun {
    let images = Images()
    let path: String
    let granularity: Int64
    var node: QCOW2Node
    var size: Int64
    var dirty: Set<Int64> = []
    var isEnabled = true
    var random: SeededGenerator

    init(_ options: String, granularity: Int64, seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        size = 3 << 20
        self.granularity = granularity
        path = try images.create("bitmap.qcow2", size: size, options)
        node = try images.open(path)
        try node.addBitmap(BitmapInformation(name: "b", granularity: granularity, isEnabled: true))
    }

    mutating func step() throws {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5: try write()
        case 5: try resize()
        case 6:
            isEnabled.toggle()
            try node.setBitmap("b", enabled: isEnabled)
        case 7:
            try node.clearBitmap("b")
            dirty = []
        default: try reopen()
        }
        try verify()
    }

    mutating func write() throws {
        let start = Int64.random(in: 0..<size, using: &random)
        let end = min(size, start + Int64.random(in: 1...200_000, using: &random))
        let buffer = AlignedBuffer(count: Int(end - start))
        buffer.region.fill(7)
        try node.write(buffer.region, at: start)
        if isEnabled { dirty.formUnion(start / granularity...(end - 1) / granularity) }
    }

    mutating func resize() throws {
        let new = Int64.random(in: 1...12_000, using: &random) * 512
        try node.resize(to: new, preallocation: .off, exact: true)
        let granules = (new + granularity - 1) / granularity
        dirty = dirty.filter { $0 < granules }
        size = new
    }

    mutating func reopen() throws {
        try node.close()
        try expectClean(images, path, "after closing")
        node = try images.open(path)
        #expect(node.bitmaps.map(\.isEnabled) == [isEnabled])
        #expect(node.bitmaps.allSatisfy { !$0.isInconsistent })
    }

    func verify() throws {
        let ranges = try node.dirtyRanges(of: "b")
        var found: Set<Int64> = []
        for range in ranges {
            #expect(range.upperBound <= size)
            found.formUnion(range.lowerBound / granularity...(range.upperBound - 1) / granularity)
        }
        #expect(found == dirty)
    }
}

@Suite struct BitmapTests {
    @Test(
        arguments: zip(
            ["", "cluster_size=4k", "cluster_size=512", "extended_l2=on", "cluster_size=2M"],
            [65536, 512, 4096, 16384, 1 << 20] as [Int64]))
    func bitsFollowTheDisk(options: String, granularity: Int64) throws {
        for seed in 0..<3 as Range<UInt64> {
            var run = try BitmapRun(options, granularity: granularity, seed: seed)
            for _ in 0..<25 { try run.step() }
            try run.reopen()
            try run.verify()
            try run.node.close()
        }
    }

    @Test func whatIsCutOffIsClearWhenItComesBack() throws {
        let images = Images()
        let path = try images.create("b.qcow2", size: 1 << 20)
        let node = try images.open(path)
        try node.addBitmap(BitmapInformation(name: "b", granularity: 65536, isEnabled: true))
        try node.markDirty([0..<1 << 20], in: "b")
        try node.resize(to: 100_352, preallocation: .off, exact: true)
        #expect(try node.dirtyRanges(of: "b") == [0..<100_352])
        try node.resize(to: 1 << 20, preallocation: .off, exact: true)
        #expect(try node.dirtyRanges(of: "b") == [0..<131_072])
        try node.close()
        try expectClean(images, path, "grown again")
    }

    @Test func aSnapshotIsNotAppliedOverBitmaps() throws {
        let images = Images()
        let path = try images.create("b.qcow2", size: 1 << 20)
        let node = try images.open(path)
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 0))
        try node.addBitmap(BitmapInformation(name: "b", granularity: 65536, isEnabled: true))
        #expect(throws: BlockError.self) { try node.applySnapshot(identifier: "1") }
        try node.removeBitmap("b")
        try node.applySnapshot(identifier: "1")
        try node.close()
    }

    @Test func oldImagesHoldNone() throws {
        let images = Images()
        let node = try images.open(try images.create("old.qcow2", size: 1 << 20, "compat=0.10"))
        #expect(!node.storesBitmaps)
        #expect(throws: BlockError.self) {
            try node.addBitmap(BitmapInformation(name: "b", granularity: 65536, isEnabled: true))
        }
        try node.close()
    }
}

@Suite struct BitmapCrashTests {
    /// A crash leaves bitmaps that are complete or say that they are not, whatever became of the disk's size.
    @Test(arguments: ["cluster_size=4k", "cluster_size=512", "cluster_size=64k", "compat=0.10"])
    func everyCrashLeavesAnImage(options: String) throws {
        var run = try CrashRun(options, size: 400 * 512, seed: 9)
        if run.node.storesBitmaps {
            try run.node.addBitmap(BitmapInformation(name: "b", granularity: 512, isEnabled: true))
            try run.node.addBitmap(BitmapInformation(name: "off", granularity: 65536, isEnabled: false))
        }
        for _ in 0..<3 {
            try run.node.close()
            run.node = try CrashRun.open(run.recording, writable: true)
            let resize = 13
            let (write, zero, compressed) = (0, 6, 8)
            for move in [write, resize, write, resize, zero, compressed, resize] { try run.step(move) }
        }
        try run.node.close()
        try run.verify(samples: CrashDepth.samples)
    }
}
