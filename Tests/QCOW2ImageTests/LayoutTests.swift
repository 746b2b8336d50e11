// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import StorageTestKit
import Testing

/// What changes of size, width and preallocation leave behind.
@Suite struct LayoutTests {
    private func check(_ images: Images, _ path: String) throws -> CheckResult {
        let node = try images.open(path, writable: false)
        defer { try? node.close() }
        return try node.check(repair: [], report: { _ in })
    }

    @Test(arguments: [1, 2, 64])
    func aSnapshotThatOverflowsCountsIsRefused(bits: Int) throws {
        let images = Images()
        let path = try images.create("w.qcow2", size: 1 << 20, "refcount_bits=\(bits)")
        var node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 65536), at: 0)
        try node.close()
        if bits == 64 {
            // The count of the data cluster is as large as can be.
            let raw = try images.graph.open(path, format: "raw", flags: .writable)
            try raw.write([UInt8](repeating: 0xff, count: 8), at: 131_072 + 5 * 8)
            try raw.close()
        }
        node = try images.open(path)
        let most = bits == 2 ? 2 : 0
        for number in 0...most {
            let information = SnapshotInformation(identifier: "", name: "s\(number)", dateSeconds: 1)
            if number < most {
                try node.createSnapshot(information)
            } else {
                #expect(throws: BlockError.self) { try node.createSnapshot(information) }
            }
        }
        try node.close()
        let result = try check(images, path)
        // A count that is wrong does not go with the flag that says 1.
        #expect((bits == 64 || result.corruptions == 0) && result.checkErrors == 0)
    }

    @Test(arguments: [Preallocation.metadata, .falloc, .full], ["", "extended_l2=on"])
    func growingKeepsWhatTheBackingFileHas(mode: Preallocation, options: String) throws {
        let images = Images()
        let base = try images.create("base.qcow2", size: 1 << 17)
        var node = try images.open(base)
        try node.write([UInt8](repeating: 1, count: 1 << 17), at: 0)
        try node.close()
        let path = try images.create(
            "top.qcow2", size: 31 << 10,
            ["backing_file=base.qcow2,backing_fmt=qcow2", options].filter { !$0.isEmpty }.joined(separator: ","))
        node = try images.open(path)
        try node.resizeOverBacking(to: 96 << 10, preallocation: mode)
        let bytes = try node.readBytes(at: 0, count: 96 << 10)
        #expect(bytes[..<(31 << 10)].allSatisfy { $0 == 1 })
        #expect(bytes[(31 << 10)...].allSatisfy { $0 == 0 })
        try node.close()
        let result = try check(images, path)
        #expect(result.corruptions == 0 && result.leaks == 0)
    }

    @Test func shrinkingDropsRefcountBlocksThatCountNothing() throws {
        let images = Images()
        let path = try images.create("s.qcow2", size: 4 << 20, "cluster_size=512")
        var node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 4 << 20), at: 0)
        try node.resize(to: 64 << 10, preallocation: .off, exact: true)
        let blocks = node.refcountBlockCount
        #expect(blocks < 6)
        try node.close()
        node = try images.open(path)
        #expect(try node.readBytes(at: 0, count: 64 << 10).allSatisfy { $0 == 1 })
        try node.close()
        let result = try check(images, path)
        #expect(result.corruptions == 0 && result.leaks == 0)
    }

    @Test func theWidthOfCountsChangesBothWays() throws {
        let images = Images()
        let path = try images.create("n.qcow2", size: 1 << 20, "cluster_size=512")
        let node = try images.open(path)
        try node.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
        for bits in [64, 1, 8, 16] {
            var options = CreateOptions(QCOW2Driver().amendOptions)
            try options.set("refcount_bits", String(bits))
            var last = 0.0
            try node.amend(options, force: false) { last = $0 }
            #expect(last == 1)
            #expect(try node.readBytes(at: 1 << 19, count: 512).allSatisfy { $0 == 1 })
            try node.flush()
            let result = try node.check(repair: [], report: { _ in })
            #expect(result.corruptions == 0 && result.leaks == 0, "\(bits)")
        }
        try node.close()
    }
}
