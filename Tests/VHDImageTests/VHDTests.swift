// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import FormatTestKit
import StorageTestKit
import Testing
import VHDImage

@Suite struct VHDTests {
    let lab = FormatLab("vpc", [VHDDriver()])
    static let variants = ["", "subformat=fixed", "force_size=on", "subformat=fixed,force_size=on"]

    @Test(arguments: variants, [1, 2] as [UInt64])
    func anyRequestsInAnyOrder(_ options: String, _ seed: UInt64) throws {
        var life = try ImageLife(lab, size: 9_000_448, options, seed: seed)
        try life.run(400, checks: false)
    }

    @Test(arguments: variants) func writesWhatOthersRead(_ options: String) throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            try lab.writeHereReadThere(size: 9_000_448, options, seed: seed, checks: false)
        }
    }

    @Test(arguments: ["force_size=on", "subformat=fixed,force_size=on"])
    func readsWhatOthersWrote(_ options: String) throws {
        try lab.writeThereReadHere(size: 7 << 20, options, seed: 11, checks: false)
    }

    @Test func sizesAreThoseOfQEMU() throws {
        guard FormatLab.hasQEMU else { return }
        for size in [
            0, 512, 1 << 20, 10 << 20, 100_000_256, 503 << 20, 504 << 20, 2 << 30, 33 << 30, 128 << 30, 2040 << 30,
        ] {
            for options in ["force_size=off", "force_size=on"] {
                let here = try lab.open(try lab.create("s.vpc", size: Int64(size), options), writable: false)
                let there = try lab.open(try lab.createWithQEMU("t.vpc", size: Int64(size), options), writable: false)
                #expect(here.length == there.length, "\(size) \(options)")
                try here.close()
                try there.close()
            }
        }
        let error = #expect(throws: BlockError.self) { try lab.create("u.vpc", size: 2 << 40) }
        #expect(error?.message == "The image size is too large for file format 'vpc'")
    }

    @Test func saysWhatIsWrong() throws {
        let path = try lab.create("x.vpc", size: 1 << 20)
        let file = try lab.graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: .writable)
        try file.write([0x55], at: 100)
        let damaged = #expect(throws: BlockError.self) { try lab.open(path) }
        #expect(damaged?.message == "Incorrect header checksum")
        try file.write([0], at: 0)
        try file.write([0], at: file.length - 512)
        let foreign = #expect(throws: BlockError.self) { try lab.open(path) }
        #expect(foreign?.message == "invalid VPC image")
        try file.close()
    }

    @Test(arguments: ["", "subformat=fixed"]) func survivesDamage(_ options: String) throws {
        let path = try lab.create("m.vpc", size: 3 << 20, options)
        let node = try lab.open(path)
        try node.write([UInt8](repeating: 9, count: 100_000), at: 1 << 20)
        try node.close()
        try lab.survivesMutations(of: path, metadata: 2100)
    }
}
