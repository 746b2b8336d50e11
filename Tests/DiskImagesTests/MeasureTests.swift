// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import RandomKit
import StorageTestKit
import Testing

@Suite struct MeasureTests {
    private let formats = ["raw", "qcow2", "luks"]

    private func measure(_ format: String, _ text: String, _ size: Int64) throws -> ImageMeasure? {
        let graph = DiskImages.graph(warn: { _ in })
        let driver = try #require(graph.driver(format) as? any MeasuringDriver)
        var options = CreateOptions(driver.createOptions)
        if !text.isEmpty { try options.parse(text) }
        try options.set("size", String(size))
        return try? driver.measure(options, source: nil)
    }

    @Test func anySizeHasAnAnswerOrAnError() throws {
        var random = SeededGenerator(seed: 5)
        let extremes: [Int64] = [0, 1, 511, 512, .max, .max - 511, .max - (2 << 20), 1 << 62, 1 << 56]
        let sizes = extremes + (0..<200).map { Int64.random(in: 0...Int64.max, using: &random) >> Int64($0 % 63) }
        let widths = ["", ",refcount_bits=1", ",refcount_bits=64", ",compat=0.10", ",extended_l2=on"]
        for format in formats {
            for size in sizes {
                var text = ""
                if format == "qcow2" {
                    text = "cluster_size=\(512 << Int.random(in: 0...12, using: &random))"
                    text += widths.randomElement(using: &random) ?? ""
                }
                guard let found = try measure(format, text, size) else { continue }
                #expect(found.required >= 0 && found.required <= found.fullyAllocated, "\(format) \(text) \(size)")
                #expect(found.fullyAllocated >= size, "\(format) \(text) \(size)")
            }
        }
    }

    @Test func optionsThatDecideNothingAreNotLookedAt() throws {
        #expect(try measure("qcow2", "lazy_refcounts=on,compat=0.10", 1 << 20) != nil)
        #expect(try measure("qcow2", "compression_type=lzo", 1 << 20) != nil)
        #expect(try measure("qcow2", "compat=v3", 1 << 20) == nil)
        #expect(try measure("qcow2", "preallocation=nope", 1 << 20) == nil)
    }

    @Test func preallocationNeedsEverything() throws {
        let plain = try #require(try measure("qcow2", "", 1 << 30))
        let full = try #require(try measure("qcow2", "preallocation=full", 1 << 30))
        #expect(plain.required < full.required)
        #expect(full.required == full.fullyAllocated)
    }

    /// What is promised is kept: a full image is not longer than was said.
    @Test(arguments: ["", "cluster_size=4k", "cluster_size=2M", "refcount_bits=64,cluster_size=512"])
    func aFullImageIsNoLonger(options: String) throws {
        let size: Int64 = 5 << 20
        let promised = try #require(try measure("qcow2", options, size)).fullyAllocated
        let folder = Folder()
        let path = folder.file("full.qcow2")
        let more = options.isEmpty ? [] : ["-o", options]
        #expect(tool(["create", "-q", "-f", "qcow2", "-o", "preallocation=falloc"] + more + [path, "5M"]).status == 0)
        let graph = DiskImages.graph(warn: { _ in })
        let file = try graph.open(path, format: "raw")
        #expect(file.length <= promised)
        try file.close()
    }
}
