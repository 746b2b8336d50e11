// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import HostSystem
import QCOW2Image
import RandomKit
import StorageTestKit
import Synchronization
import Testing

/// Ranges that are given to the kernel.
@Suite struct DirectTests {
    private static let cluster = 65536

    private func fill(_ byte: UInt8, _ count: Int = cluster) -> [UInt8] { [UInt8](repeating: byte, count: count) }

    /// What the host's file has at a mapping.
    private func bytes(_ mapping: DirectMapping, _ count: Int) -> [UInt8] {
        var result = fill(0, count)
        // The array is as long as what is asked for.
        let done = unsafe result.withUnsafeMutableBytes { buffer in
            unsafe pread(mapping.descriptor, buffer.baseAddress, count, off_t(mapping.offset))
        }
        #expect(done == count)
        return result
    }

    private func put(_ content: [UInt8], _ mapping: DirectMapping) {
        let done = unsafe content.withUnsafeBytes { buffer in
            unsafe pwrite(mapping.descriptor, buffer.baseAddress, content.count, off_t(mapping.offset))
        }
        #expect(done == content.count)
    }

    @Test func plainClustersAreMapped() throws {
        let images = Images()
        let node = try images.open(try images.create("d.qcow2", size: 4 << 20))
        try node.write(fill(1, 3 * Self.cluster), at: 0)
        let mapping = try #require(node.beginDirect(at: 4096, count: 2 * Self.cluster, isWrite: false))
        #expect(bytes(mapping, 2 * Self.cluster) == fill(1, 2 * Self.cluster))
        node.endDirect(at: 4096, count: 2 * Self.cluster, isWrite: false)
        let place = try #require(node.beginDirect(at: 8192, count: 512, isWrite: true))
        put(fill(2, 512), place)
        node.endDirect(at: 8192, count: 512, isWrite: true)
        #expect(try node.readBytes(at: 8191, count: 514) == [1] + fill(2, 512) + [1])
        try node.close()
    }

    @Test(arguments: ["", "extended_l2=on"])
    func whatHasNoPlaceIsNotMapped(_ options: String) throws {
        let images = Images()
        let path = try images.create("d.qcow2", size: 4 << 20, options)
        let node = try images.open(path)
        try node.write(fill(1), at: 0)
        try node.write(fill(1), at: 2 << 20)
        try node.writeZeroes(at: 2 << 20, count: Int64(Self.cluster), flags: [])
        func isMapped(_ offset: Int64, _ count: Int, isWrite: Bool) -> Bool {
            guard node.beginDirect(at: offset, count: count, isWrite: isWrite) != nil else { return false }
            node.endDirect(at: offset, count: count, isWrite: isWrite)
            return true
        }
        for isWrite in [false, true] {
            #expect(isMapped(0, 4096, isWrite: isWrite))
            #expect(!isMapped(1 << 20, 4096, isWrite: isWrite), "nothing there")
            #expect(!isMapped(2 << 20, 4096, isWrite: isWrite), "zeroes")
            #expect(!isMapped(0, 2 * Self.cluster, isWrite: isWrite), "only a part is there")
            #expect(!isMapped(-512, 512, isWrite: isWrite))
            #expect(!isMapped(4 << 20, 512, isWrite: isWrite))
            #expect(!isMapped((4 << 20) - 512, 1024, isWrite: isWrite))
            #expect(!isMapped(.max, 512, isWrite: isWrite))
            #expect(!isMapped(0, 0, isWrite: isWrite))
        }
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 0))
        #expect(try node.readBytes(at: 0, count: 1) == [1])
        #expect(isMapped(0, 4096, isWrite: false))
        #expect(!isMapped(0, 4096, isWrite: true), "the snapshot's, too")
        try node.close()
        let reader = try images.open(path, writable: false)
        #expect(reader.beginDirect(at: 0, count: 4096, isWrite: false) == nil, "its table is not in memory yet")
        #expect(try reader.readBytes(at: 0, count: 1) == [1])
        #expect(reader.beginDirect(at: 0, count: 4096, isWrite: false) != nil)
        reader.endDirect(at: 0, count: 4096, isWrite: false)
        #expect(reader.beginDirect(at: 0, count: 4096, isWrite: true) == nil)
        try reader.close()
    }

    /// A write that the kernel works on has to end before its cluster goes.
    @Test func whatFreesAClusterWaitsForTheKernel() throws {
        let images = Images()
        let node = try images.open(try images.create("d.qcow2", size: 4 << 20))
        try node.write(fill(1), at: 0)
        let place = try #require(node.beginDirect(at: 0, count: 4096, isWrite: true))
        let steps = Mutex<[String]>([])
        let thread = try HostThread(name: "discard") {
            #expect(throws: Never.self) { try node.discard(at: 0, count: Int64(Self.cluster)) }
            steps.withLock { $0.append("discarded") }
        }
        put(fill(2, 4096), place)
        steps.withLock { $0.append("written") }
        node.endDirect(at: 0, count: 4096, isWrite: true)
        thread.join()
        #expect(steps.withLock { $0 } == ["written", "discarded"])
        #expect(try node.readBytes(at: 0, count: 4096) == fill(0, 4096))
        try node.close()
    }

    /// A cluster that the kernel reads is not given to somebody else before that is done.
    @Test func aClusterThatIsReadIsNotReused() throws {
        let images = Images()
        let node = try images.open(try images.create("d.qcow2", size: 4 << 20))
        try node.write(fill(1), at: 0)
        try node.flush()
        let place = try #require(node.beginDirect(at: 0, count: Self.cluster, isWrite: false))
        try node.discard(at: 0, count: Int64(Self.cluster))
        for index in 1..<8 {
            try node.flush()
            try node.write(fill(9), at: Int64(index * Self.cluster))
            try node.flush()
        }
        #expect(bytes(place, Self.cluster) == fill(1))
        node.endDirect(at: 0, count: Self.cluster, isWrite: false)
        try node.close()
    }

    /// Requests through the kernel and through the node, in any order, against an array.
    @Test(arguments: ["", "extended_l2=on", "cluster_size=4k", "lazy_refcounts=on"])
    func bothWaysShowOneDisk(_ options: String) throws {
        let images = Images()
        let size = 1 << 20
        let path = try images.create("d.qcow2", size: Int64(size), options)
        let node = try images.open(path)
        var model = fill(0, size)
        var random = SeededGenerator(seed: 11)
        var mapped = 0
        for step in 0..<600 {
            let count = 512 * Int.random(in: 1...40, using: &random)
            let offset = 512 * Int.random(in: 0...(size - count) / 512, using: &random)
            let content = fill(UInt8(truncatingIfNeeded: step), count)
            switch Int.random(in: 0..<12, using: &random) {
            case 0:
                try node.discard(at: Int64(offset), count: Int64(count))
                model.replaceSubrange(
                    offset..<offset + count, with: try node.readBytes(at: Int64(offset), count: count))
            case 1:
                try node.writeZeroes(at: Int64(offset), count: Int64(count), flags: .mayUnmap)
                model.replaceSubrange(offset..<offset + count, with: fill(0, count))
            case 2: try node.flush()
            case 3 where step % 50 == 3:
                try node.createSnapshot(SnapshotInformation(identifier: "", name: "s\(step)", dateSeconds: 0))
            case 4..<8:
                if let place = node.beginDirect(at: Int64(offset), count: count, isWrite: true) {
                    put(content, place)
                    node.endDirect(at: Int64(offset), count: count, isWrite: true)
                    mapped += 1
                } else {
                    try node.write(content, at: Int64(offset))
                }
                model.replaceSubrange(offset..<offset + count, with: content)
            default:
                if let place = node.beginDirect(at: Int64(offset), count: count, isWrite: false) {
                    #expect(bytes(place, count)[...] == model[offset..<offset + count])
                    node.endDirect(at: Int64(offset), count: count, isWrite: false)
                    mapped += 1
                }
                #expect(try node.readBytes(at: Int64(offset), count: count)[...] == model[offset..<offset + count])
            }
        }
        #expect(mapped > 50)
        #expect(try node.readBytes(at: 0, count: size) == model)
        try node.close()
        try expectClean(images, path, "\(options)")
    }
}
