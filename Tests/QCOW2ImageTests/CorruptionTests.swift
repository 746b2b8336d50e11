// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RawImage
import StorageTestKit
import Testing

/// Single damaged fields: what is told, what is refused, and that a repair as QEMU does it leaves a clean image.
@Suite struct CorruptionTests {
    private struct Damaged {
        let file: MemoryNode
        let lines = Lines()

        func open(checking: Bool = false, options: [(String, BlockOptions.Value)] = []) throws -> QCOW2Node {
            let graph = BlockGraph(drivers: [RawDriver(), QCOW2Driver()], warn: { [lines] in lines.add($0) })
            try graph.register(file, as: "disk")
            var flags = OpenFlags.writable
            flags.forChecking = checking
            let all: [(String, BlockOptions.Value)] = [("driver", .string("qcow2")), ("file", .string("disk"))]
            return try #require(
                try graph.open(nil, options: BlockOptions(all + options), flags: flags) as? QCOW2Node)
        }

        /// Repairs twice, as the tool checks twice.
        func repair() throws -> CheckResult {
            let node = try open(checking: true)
            _ = try node.check(repair: [.leaks, .errors], report: { lines.add($0) })
            let result = try node.check(repair: [], report: { lines.add($0) })
            try node.close()
            return result
        }
    }

    /// An image of 64 MiB with its first cluster written: header, refcount table, refcount block, L1, L2, data.
    private func sample(_ patches: [(offset: Int, bytes: [UInt8])]) throws -> Damaged {
        let images = Images()
        let path = try images.create("c.qcow2", size: 64 << 20)
        let node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 65536), at: 0)
        try node.close()
        let raw = try images.graph.open(path, format: "raw")
        var bytes = try raw.readBytes(at: 0, count: Int(raw.length))
        try raw.close()
        for (offset, patch) in patches { bytes.replaceSubrange(offset..<offset + patch.count, with: patch) }
        return Damaged(file: MemoryNode(bytes))
    }

    private static let (refcountTable, refcountBlock, l1, l2) = (65536, 131072, 196608, 262144)

    /// A refcount block that nothing counts is found before the disk becomes shorter, not in the middle of it.
    @Test(arguments: [[0, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 0x10, 0, 0, 0, 0]] as [[UInt8]])
    func aFailedShrinkLeavesTheSize(_ place: [UInt8]) throws {
        let image = try sample([(Self.refcountTable + 8, place)])
        let node = try image.open()
        let error = #expect(throws: BlockError.self) {
            try node.resize(to: 32 << 20, preallocation: .off, exact: true)
        }
        #expect(error?.description.contains("Failed to discard unused refblocks") == true)
        #expect(node.length == 64 << 20)
        try? node.close()
        #expect(try image.repair().corruptions == 0)
        let again = try image.open()
        #expect(again.length == 64 << 20)
        #expect(try again.readBytes(at: 0, count: 1) == [1])
        try again.resize(to: 32 << 20, preallocation: .off, exact: true)
        #expect(again.length == 32 << 20)
        try again.close()
    }

    /// (what, where, bytes, the words of the message) for damage that a write over the first cluster runs into.
    static let writes: [(String, Int, [UInt8], String)] = [
        ("data in L1", l2, [0x80, 0, 0, 0, 0, 3, 0, 0], "overlaps with active L1 table"),
        ("data in refcount block", l2, [0x80, 0, 0, 0, 0, 2, 0, 0], "overlaps with refcount block"),
        ("data in refcount table", l2, [0x80, 0, 0, 0, 0, 1, 0, 0], "overlaps with refcount table"),
        ("data in L2", l2, [0x80, 0, 0, 0, 0, 4, 0, 0], "overlaps with active L2 table"),
        (
            "unaligned data", l2, [0x80, 0, 0, 0, 0, 5, 0x2a, 0],
            "Data cluster offset 0x52a00 unaligned (guest offset: 0)"
        ),
        ("unaligned L2", l1, [0x80, 0, 0, 0, 0, 4, 0x2a, 0], "L2 table offset 0x42a00 unaligned (L1 index: 0)"),
        (
            "unaligned zero cluster", l2, [0x80, 0, 0, 0, 0, 0, 0x2a, 1],
            "Preallocated zero cluster offset 0x2a00 unaligned (guest offset: 0)"
        ),
        ("data past the end", l2, [0x80, 0, 0, 1, 0, 0, 0, 0], "lies past the end of the file"),
    ]

    @Test(arguments: writes) func aWriteIsRefused(what: String, offset: Int, bytes: [UInt8], message: String) throws {
        let damaged = try sample([(offset, bytes)])
        let before = damaged.file.content
        let node = try damaged.open()
        #expect(throws: BlockError.self) { try node.write([UInt8](repeating: 7, count: 65536), at: 0) }
        #expect(damaged.lines.all.count == 1)
        #expect(damaged.lines.all.first?.hasPrefix("qcow2: Marking image as corrupt: ") == true)
        #expect(damaged.lines.all.first?.contains(message) == true, "\(what): \(damaged.lines.all)")
        // Nothing is served any more, and nothing but the mark was written.
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 512) }
        try node.close()
        #expect(damaged.file.content[0..<79] == before[0..<79])
        #expect(damaged.file.content[80...] == before[80...])
        #expect(damaged.file.content[79] == before[79] | 2)
        #expect(throws: BlockError.self) { try damaged.open() }
    }

    /// Damage that an allocation runs into.
    static let allocations: [(String, Int, [UInt8], String)] = [
        (
            "empty refcount table", refcountTable, [UInt8](repeating: 0, count: 8),
            "overlaps with refcount table"
        ),
        ("counts of L1 gone", refcountBlock + 6, [0, 0], "overlaps with active L1 table"),
        ("counts of L2 gone", refcountBlock + 8, [0, 0], "overlaps with active L2 table"),
        ("count of the header gone", refcountBlock, [0, 0], "overlaps with qcow2_header"),
        (
            "unaligned refcount block", refcountTable, [0, 0, 0, 0, 0, 2, 0x2a, 0],
            "Refblock offset 0x22a00 unaligned (reftable index: 0)"
        ),
    ]

    @Test(arguments: allocations)
    func anAllocationIsRefused(what: String, offset: Int, bytes: [UInt8], message: String) throws {
        let damaged = try sample([(offset, bytes)])
        let node = try damaged.open()
        #expect(throws: BlockError.self) { try node.write([UInt8](repeating: 7, count: 65536), at: 1 << 20) }
        #expect(damaged.lines.all.contains { $0.contains(message) }, "\(what): \(damaged.lines.all)")
        try node.close()
        // The repair may have to begin afresh after the first time.
        _ = try? damaged.repair()
        let result = try damaged.repair()
        #expect(result.corruptions == 0 && result.leaks == 0 && result.checkErrors == 0)
        let repaired = try damaged.open()
        #expect(try repaired.readBytes(at: 0, count: 65536).allSatisfy { $0 == 1 })
        try repaired.close()
    }

    @Test func twoEntriesWithOneTableAreRefused() throws {
        let entry: [UInt8] = [0x80, 0, 0, 0, 0, 4, 0, 0]
        let images = Images()
        let path = try images.create("c.qcow2", size: 64 << 20, "cluster_size=4k")
        let node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 4096), at: 0)
        try node.close()
        let raw = try images.graph.open(path, format: "raw")
        var bytes = try raw.readBytes(at: 0, count: Int(raw.length))
        let l1 = 3 * 4096
        bytes.replaceSubrange(l1 + 8..<l1 + 16, with: bytes[l1..<l1 + 8])
        #expect(entry[0] == bytes[l1])
        let damaged = Damaged(file: MemoryNode(bytes))
        let twice = try damaged.open()
        #expect(throws: BlockError.self) { try twice.write([1, 2, 3], at: 3 << 20) }
        #expect(damaged.lines.all.contains { $0.contains("overlaps with active L2 table") })
        try twice.close()
    }

    @Test func freeingWhatIsNotAlignedIsToldAndSurvived() throws {
        let damaged = try sample([(Self.l2, [0x80, 0, 0, 0, 0, 5, 0x2a, 0])])
        let node = try damaged.open()
        try node.discard(at: 0, count: 65536)
        #expect(
            damaged.lines.all.first?.hasPrefix("qcow2: Image is corrupt: Cannot free unaligned cluster 0x52a00") == true
        )
        #expect(try node.readBytes(at: 0, count: 512).allSatisfy { $0 == 0 })
        try node.close()
    }
}
