// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RandomKit
import StorageTestKit
import Testing

/// Random requests against an image and against an array side by side.
struct ModelRun {
    let images = Images()
    let path: String
    let size: Int
    var node: QCOW2Node
    var model: [UInt8]
    var saved: [String: [UInt8]] = [:]
    var random: SeededGenerator
    let base: [UInt8]
    let options: String

    init(_ options: String, size: Int, seed: UInt64, hasBacking: Bool) throws {
        self.size = size
        self.options = options
        random = SeededGenerator(seed: seed)
        var text = options
        base = (0..<size / 2).map { UInt8(truncatingIfNeeded: $0 / 512 &* 7 &+ 3) }
        if hasBacking {
            let raw = try images.raw("base.raw", base)
            text += (text.isEmpty ? "" : ",") + "backing_file=\(raw),backing_fmt=raw"
        }
        path = try images.create("model.qcow2", size: Int64(size), text)
        node = try images.open(path)
        model = hasBacking ? base + [UInt8](repeating: 0, count: size - base.count) : [UInt8](repeating: 0, count: size)
    }

    var hasDataFile: Bool { options.contains("data_file") }
    var isVersion2: Bool { options.contains("compat=0.10") }

    mutating func range() -> Range<Int> {
        let start = Int.random(in: 0..<size, using: &random)
        let longest = Bool.random(using: &random) ? 300_000 : 5000
        let isAligned = Bool.random(using: &random)
        let end = min(size, start + Int.random(in: 1...longest, using: &random))
        return isAligned ? (start & ~511)..<min(size, (end + 511) & ~511) : start..<end
    }

    mutating func step() throws {
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<9: try write()
        case 9, 10: try zero()
        case 11: try discard()
        case 12: try compress()
        case 13: try node.flush()
        case 14: try snapshot()
        case 15: try applyOrDelete()
        case 16: try reopen()
        default: try verify(range())
        }
    }

    mutating func write() throws {
        let range = range()
        let bytes = range.map { _ in UInt8.random(in: 0...255, using: &random) }
        if Bool.random(using: &random), bytes.count > 10 {
            let first = AlignedBuffer(count: 7)
            let second = AlignedBuffer(count: bytes.count - 7)
            first.region.copy(from: Array(bytes[..<7]))
            second.region.copy(from: Array(bytes[7...]))
            try node.write([first.region, second.region], at: Int64(range.lowerBound), flags: [])
        } else {
            try node.write(bytes, at: Int64(range.lowerBound))
        }
        model.replaceSubrange(range, with: bytes)
    }

    mutating func zero() throws {
        let range = range()
        let flags: ZeroFlags = Bool.random(using: &random) ? .mayUnmap : []
        try node.writeZeroes(at: Int64(range.lowerBound), count: Int64(range.count), flags: flags)
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
    }

    mutating func discard() throws {
        let range = range()
        try node.discard(at: Int64(range.lowerBound), count: Int64(range.count))
        // What it reads as is not promised beyond old bytes or zeroes (or the backing file's, in version 2).
        let now = try node.readBytes(at: Int64(range.lowerBound), count: range.count)
        for (position, byte) in zip(range, now) where byte != model[position] {
            let below = position < base.count && isVersion2 ? base[position] : 0
            #expect(byte == below || byte == 0)
        }
        model.replaceSubrange(range, with: now)
    }

    mutating func compress() throws {
        // Two bits cannot count several compressed clusters in one place and snapshots of them.
        guard !hasDataFile, !options.contains("refcount_bits=2") else { return }
        let cluster = node.clusterSize ?? 65536
        let start = Int.random(in: 0..<size / cluster, using: &random) * cluster
        let end = min(size, start + cluster * 3)
        let bytes = (start..<end).map { UInt8(truncatingIfNeeded: $0 / 100) }
        try node.writeCompressing(AlignedBuffer.holding(bytes).region, at: Int64(start))
        model.replaceSubrange(start..<end, with: bytes)
    }

    mutating func snapshot() throws {
        guard !hasDataFile, saved.count < 3, !options.contains("refcount_bits=1,") else { return }
        let name = "s\(UInt16.random(in: 0...65535, using: &random))"
        let limit = options.contains("refcount_bits=2") ? 2 : 3
        guard saved.count < limit else { return }
        try node.createSnapshot(SnapshotInformation(identifier: "", name: name, dateSeconds: 1))
        let identifier = try #require(node.snapshots.last?.identifier)
        saved[identifier] = model
    }

    mutating func applyOrDelete() throws {
        guard let (identifier, content) = saved.sorted(by: { $0.key < $1.key }).randomElement(using: &random) else {
            return
        }
        if Bool.random(using: &random) {
            try node.applySnapshot(identifier: identifier)
            model = content
        } else {
            let view = try node.openSnapshot(identifier: identifier)
            #expect(try view.readBytes(at: 0, count: size) == content)
            try view.close()
            try node.deleteSnapshot(identifier: identifier)
            saved[identifier] = nil
        }
    }

    mutating func reopen() throws {
        try node.close()
        try expectClean(images, path, "\(options)")
        node = try images.open(path)
    }

    func verify(_ range: Range<Int>) throws {
        let bytes = try node.readBytes(at: Int64(range.lowerBound), count: range.count)
        #expect(bytes == Array(model[range]), "\(options) at \(range)")
    }

    mutating func finish() throws {
        try verify(0..<size)
        try node.close()
        try expectClean(images, path, "\(options)")
        guard hasQEMU else { return }
        let raw = try images.raw("model.raw", model)
        let outcome = run("qemu-img compare -f qcow2 -F raw \(path) \(raw)")
        #expect(outcome.status == 0, "\(options): \(outcome.output)")
    }
}

extension AlignedBuffer {
    static func holding(_ bytes: [UInt8]) -> AlignedBuffer {
        let buffer = AlignedBuffer(count: bytes.count)
        buffer.region.copy(from: bytes)
        return buffer
    }
}

@Suite struct ModelTests {
    @Test(
        arguments: [
            "", "compat=0.10", "cluster_size=512", "cluster_size=4k,compression_type=zstd", "cluster_size=2M",
            "extended_l2=on", "extended_l2=on,cluster_size=16k", "refcount_bits=1,cluster_size=4k",
            "refcount_bits=2", "refcount_bits=8,cluster_size=1k", "refcount_bits=64", "lazy_refcounts=on",
            "compression_type=zstd,extended_l2=on,cluster_size=32k",
        ], [false, true])
    func anImageBehavesLikeAnArray(options: String, hasBacking: Bool) throws {
        var run = try ModelRun(options, size: 3_000_320, seed: 1, hasBacking: hasBacking)
        for _ in 0..<120 { try run.step() }
        try run.finish()
    }

    @Test(arguments: ["", ",data_file_raw=on", ",extended_l2=on"])
    func externalDataFiles(extra: String) throws {
        let data = Folder()
        var run = try ModelRun("data_file=\(data.file("d.raw"))\(extra)", size: 3_000_320, seed: 5, hasBacking: false)
        for _ in 0..<150 { try run.step() }
        try run.finish()
        if extra.contains("raw") {
            let raw = try run.images.graph.open(data.file("d.raw"), format: "raw")
            #expect(try raw.readBytes(at: 0, count: run.size) == run.model)
        }
    }
}
