// SPDX-License-Identifier: Apache-2.0

import BlockFilters
import BlockLayer
import Testing

@Suite struct QuorumTests {
    private let graph = BlockGraph(drivers: [QuorumDriver(), NullDriver()])

    private func quorum(_ copies: [[UInt8]], threshold: Int, pattern: String = "quorum") throws -> any BlockNode {
        var options = BlockOptions([
            ("driver", .string("quorum")), ("vote-threshold", .number(Int64(threshold))),
            ("read-pattern", .string(pattern)),
        ])
        for (place, bytes) in copies.enumerated() {
            let name = "copy\(place)"
            graph.unregister(name)
            try graph.register(MemoryNode(bytes, name: name), as: name)
            options["children.\(place)"] = .string(name)
        }
        return try graph.open(nil, options: options)
    }

    private func sector(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

    @Test func mostCopiesAreRight() throws {
        let node = try quorum([sector(1), sector(2), sector(1)], threshold: 2)
        #expect(try node.readBytes(at: 0, count: 512) == sector(1))
        #expect(throws: BlockError.self) {
            try quorum([sector(1), sector(2), sector(3)], threshold: 2).readBytes(at: 0, count: 512)
        }
        #expect(try quorum([sector(1), sector(1), sector(1)], threshold: 3).readBytes(at: 0, count: 512) == sector(1))
    }

    /// Each request is voted on alone.
    @Test func partsThatDifferAreVotedOnOneByOne() throws {
        let (good, bad) = (sector(1) + sector(2), sector(1) + sector(9))
        let node = try quorum([bad, good, good], threshold: 2)
        #expect(try node.readBytes(at: 512, count: 512) == sector(2) && node.readBytes(at: 0, count: 1024) == good)
        let torn = try quorum([sector(1) + sector(2), sector(3) + sector(2), sector(4) + sector(5)], threshold: 2)
        #expect(try torn.readBytes(at: 512, count: 512) == sector(2))
        #expect(throws: BlockError.self) { try torn.readBytes(at: 0, count: 1024) }
    }

    @Test func theShortestCopyIsTheLength() throws {
        let node = try quorum([sector(1) + sector(1), sector(1)], threshold: 1)
        #expect(node.length == 512 && node.isReadOnly && node.children.map(\.role) == ["children.0", "children.1"])
        #expect(throws: BlockError.self) { try node.write([1], at: 0) }
        #expect(throws: BlockError.self) { try node.writeZeroes(at: 0, count: 1, flags: []) }
        #expect(throws: BlockError.self) { try node.discard(at: 0, count: 1) }
    }

    @Test func thresholdsHaveBounds() {
        for (threshold, pattern) in [(0, "quorum"), (3, "quorum"), (1, "majority")] {
            #expect(throws: BlockError.self) {
                try quorum([sector(1), sector(1)], threshold: threshold, pattern: pattern)
            }
        }
        #expect(throws: BlockError.self) { try quorum([], threshold: 1) }
    }
}

@Suite struct ThrottleTests {
    private let groups = ThrottleGroups()

    private func open(_ group: String) throws -> any BlockNode {
        let graph = BlockGraph(drivers: [ThrottleDriver(groups: groups), NullDriver()])
        let options = BlockOptions([
            ("driver", .string("throttle")), ("throttle-group", .string(group)), ("file.driver", .string("null-co")),
            ("file.size", .number(.max - 511)), ("file.read-zeroes", .boolean(true)),
        ])
        return try graph.open(nil, options: options, flags: .writable)
    }

    @Test func requestsGoThrough() throws {
        try groups.add(BlockOptions([("id", .string("g")), ("x-iops-total", .string("1000000"))]))
        let node = try open("g")
        #expect(try node.readBytes(at: 512, count: 512) == [UInt8](repeating: 0, count: 512))
        try node.write([1], at: 0)
        #expect(node.length == .max - 511 && node.driverName == "throttle")
        #expect(try node.status(at: 0, count: 512, detail: .mapping).isZero)
    }

    /// The first request begins at once, however long it makes those behind it wait.
    @Test func costsHaveABound() throws {
        try groups.add(BlockOptions([("id", .string("slow")), ("limits.bps-write", .string("1"))]))
        let node = try open("slow")
        try node.discard(at: 0, count: 1 << 62)
        // Reads are not counted.
        #expect(try node.readBytes(at: 0, count: 512).count == 512)
    }

    @Test func groupsAreChecked() {
        #expect(throws: BlockError.self) { try groups.add(BlockOptions([("x-iops-total", .string("1"))])) }
        #expect(throws: BlockError.self) {
            try groups.add(BlockOptions([("id", .string("a")), ("x-iops-max", .string("1"))]))
        }
        #expect(throws: BlockError.self) {
            try groups.add(BlockOptions([("id", .string("a")), ("x-bps-read", .string("x"))]))
        }
        #expect(throws: BlockError.self) { try open("none") }
    }
}
