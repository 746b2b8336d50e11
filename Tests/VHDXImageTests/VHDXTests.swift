// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import FormatTestKit
import StorageTestKit
import Testing
import VHDXImage

@Suite struct VHDXTests {
    let lab = FormatLab("vhdx", [VHDXDriver()])
    static let variants = ["", "block_size=1M", "subformat=fixed", "block_state_zero=off,log_size=2M"]

    @Test(arguments: variants, [1, 2] as [UInt64])
    func anyRequestsInAnyOrder(_ options: String, _ seed: UInt64) throws {
        var life = try ImageLife(lab, size: 18_000_384, options, seed: seed)
        try life.run(400)
    }

    @Test(arguments: variants) func writesWhatOthersRead(_ options: String) throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            try lab.writeHereReadThere(size: 18_000_384, options, seed: seed)
        }
    }

    @Test(arguments: variants) func readsWhatOthersWrote(_ options: String) throws {
        try lab.writeThereReadHere(size: 18 << 20, options, seed: 11)
    }

    @Test func blockSizesAreThoseOfQEMU() throws {
        guard FormatLab.hasQEMU else { return }
        for size in [0, 20 << 20, 1 << 30, 33 << 30, 101 << 30, 64 << 40] as [Int64] {
            let here = try lab.open(try lab.create("s.vhdx", size: size), writable: false)
            let there = try lab.open(try lab.createWithQEMU("t.vhdx", size: size), writable: false)
            #expect(here.limits.clusterSize == there.limits.clusterSize && here.length == there.length)
            try here.close()
            try there.close()
        }
    }

    @Test func optionsThatCannotBe() {
        let cases = [
            ("block_size=3M", "Block size must be a power of two"),
            ("log_size=0", "Log size must be a multiple of 1 MB"),
            ("subformat=foo", "Parameter 'subformat' does not accept value 'foo'"),
        ]
        for (options, message) in cases {
            let error = #expect(throws: BlockError.self) { try lab.create("x.vhdx", size: 1 << 20, options) }
            #expect(error?.message == message)
        }
    }

    /// Stops qemu-io in the middle, so that its log stays behind, as after a crash.
    @Test func aPendingLogIsReplayed() throws {
        guard FormatLab.hasQEMU else { return }
        let path = try lab.createWithQEMU("log.vhdx", size: 64 << 20)
        _ = run("qemu-io -f vhdx -c 'write -P 0x77 9M 1M' -c 'write -P 0x78 30M 1M' -c 'sigraise 9' \(path)")
        let node = try lab.open(path)
        #expect(try node.readBytes(at: 9 << 20, count: 1 << 20).allSatisfy { $0 == 0x77 })
        #expect(try node.readBytes(at: 30 << 20, count: 1 << 20).allSatisfy { $0 == 0x78 })
        try node.close()
        let outcome = run("qemu-img check -f vhdx \(path)")
        #expect(outcome.status == 0, "\(outcome.output)")
    }

    @Test func survivesDamage() throws {
        let path = try lab.create("m.vhdx", size: 3 << 20, "block_size=1M")
        let node = try lab.open(path)
        try node.write([UInt8](repeating: 9, count: 100_000), at: 1 << 20)
        try node.close()
        try lab.survivesMutations(of: path, metadata: 200, rounds: 20)
        // The block table, and the metadata behind its table.
        try lab.survivesMutations(of: path, metadata: 4 << 20, rounds: 60, seed: 2)
    }
}
