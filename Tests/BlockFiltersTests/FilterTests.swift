// SPDX-License-Identifier: Apache-2.0

import BlockFilters
import BlockLayer
import Testing

@Suite struct FilterTests {
    private let graph = BlockGraph(drivers: [FaultDriver(), QuorumDriver(), NullDriver()])

    private func open(_ pairs: [(String, String)]) throws -> any BlockNode {
        var options = BlockOptions()
        for (key, value) in pairs { options[key] = .string(value) }
        return try graph.open(nil, options: options, flags: OpenFlags())
    }

    private let disk = [("driver", "blkdebug"), ("image.driver", "null-co"), ("image.read-zeroes", "on")]

    @Test func aRuleFailsTheSectorItNames() throws {
        let node = try open(disk + [("inject-error.0.event", "none"), ("inject-error.0.sector", "8")])
        #expect(try node.readBytes(at: 0, count: 4096) == [UInt8](repeating: 0, count: 4096))
        #expect(throws: BlockError.self) { try node.readBytes(at: 3584, count: 1024) }
        #expect(throws: BlockError.self) { try node.readBytes(at: 4096, count: 512) }
        #expect(try node.readBytes(at: 4608, count: 512).count == 512)
    }

    @Test func anEventStartsARuleAndOnceEndsIt() throws {
        let node = try open(
            disk + [
                ("inject-error.0.event", "read_aio"), ("inject-error.0.errno", "28"), ("inject-error.0.once", "on"),
            ])
        #expect(try node.readBytes(at: 0, count: 512).count == 512)
        node.tell("read_aio")
        let error = #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 512) }
        #expect(error?.kind == .noSpace)
        #expect(try node.readBytes(at: 0, count: 512).count == 512)
    }

    @Test func aNameSaysWhereTheImageIs() throws {
        let plain = [("driver", "blkdebug"), ("image.driver", "null-co")]
        #expect(try open(plain).location.filename == "blkdebug::null-co://")
        let ruled = try open(disk + [("inject-error.0.event", "none"), ("inject-error.0.sector", "8")])
        #expect(ruled.location.filename.hasPrefix("json:{"))
    }

    @Test func aQuorumNeedsEnoughCopies() throws {
        let copies = [
            ("driver", "quorum"), ("children.0.driver", "null-co"), ("children.0.read-zeroes", "on"),
            ("children.1.driver", "blkdebug"), ("children.1.image.driver", "null-co"),
            ("children.1.inject-error.0.event", "none"),
        ]
        #expect(try open(copies + [("vote-threshold", "1")]).readBytes(at: 0, count: 512).count == 512)
        let node = try open(copies + [("vote-threshold", "2")])
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 512) }
        #expect(throws: BlockError.self) { try open(copies + [("vote-threshold", "3")]) }
    }
}
