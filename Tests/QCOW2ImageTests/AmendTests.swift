// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import StorageTestKit
import Testing

/// Options of `amend` from text.
private func amendOptions(_ text: String) throws -> CreateOptions {
    var options = CreateOptions(QCOW2Driver().amendOptions)
    try options.parse(text)
    return options
}

@Suite struct AmendTests {
    private func amend(_ node: QCOW2Node, _ text: String) throws {
        try node.amend(try amendOptions(text), force: false) { _ in }
    }

    @Test func anotherCompressionGoesWithTheVersionWhileNothingIsCompressed() throws {
        let images = Images()
        let path = try images.create("z.qcow2", size: 1 << 20, "compression_type=zstd")
        var node = try images.open(path)
        let buffer = AlignedBuffer(count: 65536)
        buffer.region.fill(3)
        try node.write(buffer.region, at: 0)
        try amend(node, "compat=0.10")
        try node.close()
        try expectClean(images, path, "version 2")
        node = try images.open(path)
        #expect(try node.readBytes(at: 65535, count: 2) == [3, 0])
        try node.close()
    }

    @Test(arguments: [false, true]) func compressedClustersKeepTheVersion(inSnapshot: Bool) throws {
        let images = Images()
        let path = try images.create("z.qcow2", size: 1 << 20, "compression_type=zstd")
        let node = try images.open(path)
        let buffer = AlignedBuffer(count: 65536)
        buffer.region.fill(3)
        try node.writeCompressing(buffer.region, at: 0)
        if inSnapshot {
            try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 0))
            try node.write(buffer.region, at: 0)
        }
        #expect(throws: BlockError.self) { try amend(node, "compat=0.10") }
        #expect(try node.readBytes(at: 0, count: 1) == [3])
        try node.close()
        try expectClean(images, path, "still version 3")
    }

    @Test func aRawDataFileHasNoBacking() throws {
        let images = Images()
        let data = images.folder.file("data.raw")
        let path = try images.create("e.qcow2", size: 1 << 20, "data_file=\(data),data_file_raw=on")
        let node = try images.open(path)
        #expect(throws: BlockError.self) { try node.changeBackingReference(name: "base.raw", format: "raw") }
        try node.changeBackingReference(name: nil, format: nil)
        try node.close()
    }

    /// An image that somebody uses is not made anew, and above all not removed.
    @Test func anImageInUseSurvivesCreation() throws {
        let images = Images()
        let path = try images.create("used.qcow2", size: 1 << 20)
        let node = try images.open(path)
        let bytes = [UInt8](repeating: 6, count: 4096)
        try node.write(bytes, at: 0)
        try node.flush()
        #expect(throws: BlockError.self) { _ = try images.create("used.qcow2", size: 2 << 20) }
        try node.close()
        let again = try images.open(path)
        #expect(again.length == 1 << 20)
        #expect(try again.readBytes(at: 0, count: 4096) == bytes)
        try again.close()
    }

    @Test func aFailedCreationLeavesNothing() throws {
        let images = Images()
        let path = images.folder.file("new.qcow2")
        for options in ["data_file=/nonexistent/folder/data", "backing_fmt=raw", "cluster_size=3k"] {
            #expect(throws: BlockError.self) { _ = try images.create("new.qcow2", size: 1 << 20, options) }
            #expect(throws: BlockError.self) { _ = try images.graph.open(path, format: "raw") }
        }
    }
}

@Suite struct ResizeTests {
    /// What was cut off stays away, whatever kind of cluster it ended in.
    @Test(
        arguments: [
            "", "cluster_size=512", "cluster_size=2M", "extended_l2=on", "compat=0.10", "compression_type=zstd",
        ],
        [false, true])
    func whatWasCutOffIsZero(options: String, isCompressed: Bool) throws {
        let images = Images()
        let size: Int64 = 4 << 20
        let path = try images.create("r.qcow2", size: size, options)
        let node = try images.open(path)
        let buffer = AlignedBuffer(count: Int(size))
        buffer.region.fill(9)
        if isCompressed {
            try node.writeCompressing(buffer.region, at: 0)
        } else {
            try node.write(buffer.region, at: 0)
        }
        let short: Int64 = 1_234_432
        try node.resize(to: short, preallocation: .off, exact: true)
        try node.resize(to: size, preallocation: .off, exact: true)
        let content = try node.readBytes(at: 0, count: Int(size))
        #expect(content[..<Int(short)].allSatisfy { $0 == 9 })
        #expect(content[Int(short)...].allSatisfy { $0 == 0 })
        try node.close()
        try expectClean(images, path, "\(options)")
    }
}
