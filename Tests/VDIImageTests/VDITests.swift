// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import FormatTestKit
import StorageTestKit
import Testing
import VDIImage

@Suite struct VDITests {
    let lab = FormatLab("vdi", [VDIDriver()])

    @Test(arguments: ["", "static=on"], [1, 2] as [UInt64])
    func anyRequestsInAnyOrder(_ options: String, _ seed: UInt64) throws {
        var life = try ImageLife(lab, size: 9_000_448, options, seed: seed)
        try life.run(400)
    }

    @Test(arguments: ["", "static=on"]) func writesWhatOthersRead(_ options: String) throws {
        for seed in 1...3 as ClosedRange<UInt64> {
            try lab.writeHereReadThere(size: 9_000_448, options, seed: seed)
        }
    }

    @Test(arguments: ["", "static=on"]) func readsWhatOthersWrote(_ options: String) throws {
        try lab.writeThereReadHere(size: 7 << 20, options, seed: 11)
    }

    @Test func anEmptyImageIsSmall() throws {
        let path = try lab.create("large.vdi", size: 1 << 40)
        let node = try lab.open(path, writable: false)
        #expect(node.length == 1 << 40)
        let status = try node.status(at: 0, count: node.length, detail: .mapping)
        #expect(status.isZero && !status.isData && status.isAllocated)
        #expect(try #require((node as? any HostStorageNode)?.allocatedBytes()) < 8 << 20)
        try node.close()
    }

    @Test func refusesSizesBeyondTheFormat() {
        let error = #expect(throws: BlockError.self) { try lab.create("huge.vdi", size: 1 << 60) }
        #expect(
            error?.message
                == "Unsupported VDI image size (size is 0x1000000000000000, max supported is 0x1fffff8000000)")
    }

    @Test func saysWhatIsWrongWithAHeader() throws {
        let path = try lab.create("x.vdi", size: 1 << 20)
        let file = try lab.graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: .writable)
        try file.write([2, 0, 1, 0], at: 0x44)
        try file.close()
        let error = #expect(throws: BlockError.self) { try lab.open(path) }
        #expect(error?.message == "unsupported VDI image (version 1.2)")
    }

    @Test func checkFindsABlockUsedTwice() throws {
        let path = try lab.create("twice.vdi", size: 4 << 20)
        let node = try lab.open(path)
        try node.write([UInt8](repeating: 7, count: 4 << 20), at: 0)
        try node.close()
        let file = try lab.graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: .writable)
        try file.write([0, 0, 0, 0], at: 512 + 8)
        try file.close()
        let damaged = try lab.open(path, writable: false)
        let result = try #require(damaged as? any CheckableNode).check(repair: []) { _ in }
        #expect(result.corruptions == 1)
        try damaged.close()
    }

    @Test func survivesDamage() throws {
        let path = try lab.create("m.vdi", size: 3 << 20)
        let node = try lab.open(path)
        try node.write([UInt8](repeating: 9, count: 100_000), at: 1 << 20)
        try node.close()
        try lab.survivesMutations(of: path, metadata: 1024)
    }
}
