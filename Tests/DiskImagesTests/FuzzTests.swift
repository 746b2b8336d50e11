// SPDX-License-Identifier: Apache-2.0

import ImageFuzzing
import StorageTestKit
import Testing

/// A share of what `make fuzz-images` does without end: the same rounds in every run.
@Suite struct FuzzTests {
    @Test(arguments: ["qcow2", "vdi", "vpc", "vmdk", "vhdx", "luks", "raw"])
    func damagedImagesEndInErrors(format: String) throws {
        let fuzzer = try ImageFuzzer(format: format)
        for round in 0..<(format == "qcow2" ? 120 : 25) as Range<UInt64> {
            var random = SeededGenerator(seed: 77 &+ round)
            let sample = fuzzer.samples[Int(round) % fuzzer.samples.count]
            fuzzer.exercise(fuzzer.damage(sample, &random), format: sample.format)
        }
    }
}
