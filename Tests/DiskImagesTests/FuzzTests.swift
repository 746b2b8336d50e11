// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import ImageFuzzing
import RandomKit
import Testing

/// A share of what `make fuzz-images` does without end: the same rounds in every run.
@Suite struct FuzzTests {
    @Test(arguments: [
        "qcow2", "vdi", "vpc", "vmdk", "vhdx", "luks", "raw", "qed", "qcow", "parallels", "bochs", "cloop", "dmg",
    ])
    func damagedImagesEndInErrors(format: String) throws {
        let fuzzer = try ImageFuzzer(format: format)
        for round in 0..<(format == "qcow2" ? 120 : 25) as Range<UInt64> {
            var random = SeededGenerator(seed: 77 &+ round)
            let sample = fuzzer.samples[Int(round) % fuzzer.samples.count]
            fuzzer.exercise(fuzzer.damage(sample, &random), format: sample.format)
        }
    }

    @Test(arguments: ["qed", "qcow", "parallels", "bochs", "cloop", "dmg"])
    func soundSamplesAreRead(format: String) throws {
        let sample = try #require(try ImageFuzzer(format: format).samples.first)
        let graph = DiskImages.graph()
        try graph.register(MemoryNode(sample.bytes), as: "disk")
        let options = BlockOptions([("driver", .string(format)), ("file", .string("disk"))])
        let node = try graph.open(nil, options: options, flags: OpenFlags())
        let bytes = try node.readBytes(at: 0, count: Int(node.length))
        #expect(bytes[4096..<8192].contains { $0 != 0 } || bytes[8192..<12288].contains { $0 != 0 })
        try node.close()
    }
}
