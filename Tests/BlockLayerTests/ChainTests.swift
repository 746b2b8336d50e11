// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import RandomKit
import Testing

@Suite struct ChainTests {
    private func sector(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: LayerNode.sector) }

    /// Three layers, the lowest shorter than the others, and what the top shows.
    private func layers(_ random: inout SeededGenerator) throws -> (nodes: [LayerNode], content: [UInt8]) {
        let base = LayerNode(sectors: 12)
        let middle = LayerNode(sectors: 20, over: base)
        let top = LayerNode(sectors: 20, over: middle)
        var content = [UInt8](repeating: 0, count: 20 * LayerNode.sector)
        for (node, count) in [(base, 12), (middle, 20), (top, 20)] {
            for _ in 0..<5 {
                let place = Int.random(in: 0..<count, using: &random) * LayerNode.sector
                let byte = UInt8.random(in: 1...255, using: &random)
                try node.write(sector(byte), at: Int64(place))
                content.replaceSubrange(place..<(place + LayerNode.sector), with: sector(byte))
            }
        }
        return ([top, middle, base], content)
    }

    @Test func theStatusOfAChainSaysWhereEachByteIs() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<40 {
            let (nodes, content) = try layers(&random)
            #expect(nodes[0].chain.map { ObjectIdentifier($0) } == nodes.map { ObjectIdentifier($0) })
            var offset: Int64 = 0
            while offset < nodes[0].length {
                let found = try nodes[0].chainStatus(at: offset, count: nodes[0].length - offset)
                try #require(found.status.count > 0)
                let range = Int(offset)..<Int(offset + found.status.count)
                if found.status.isAllocated {
                    let own = try nodes[found.depth].readBytes(at: offset, count: range.count)
                    #expect(own.elementsEqual(content[range]))
                    let above = nodes.prefix(found.depth).flatMap(\.ownSectors)
                    #expect(!above.contains { range.contains($0 * LayerNode.sector) })
                } else {
                    #expect(found.status.isZero && content[range].allSatisfy { $0 == 0 })
                }
                #expect(found.status.isEnd == (range.upperBound == content.count))
                offset += found.status.count
            }
            #expect(try nodes[0].chainStatus(at: nodes[0].length, count: 1).status.isEnd)
        }
    }

    @Test func aCommitMovesTheContentDownAndKeepsWhatTheTopShows() throws {
        var random = SeededGenerator(seed: 2)
        for round in 0..<40 {
            let (nodes, content) = try layers(&random)
            let base = nodes[round % 2 + 1]
            if base.length < nodes[0].length {
                try base.resize(to: nodes[0].length, preallocation: .off, exact: true)
            }
            let job = CommitJob(top: nodes[0], base: base)
            var reached: [Int64] = []
            try job.copy { reached.append($0) }
            #expect(reached == reached.sorted() && reached.last == nodes[0].length)
            #expect(base.flushes > 0)
            #expect(try base.readBytes(at: 0, count: content.count) == content)
            #expect(try nodes[0].readBytes(at: 0, count: content.count) == content)
            if round % 2 == 0 {
                #expect(try job.emptyTop() && nodes[0].ownSectors.isEmpty)
                #expect(try nodes[0].readBytes(at: 0, count: content.count) == content)
            }
        }
    }

    @Test func whatGrowsOverALongerImageShowsZeroes() throws {
        let base = LayerNode(sectors: 8)
        try base.write(sector(9), at: 6 * 512)
        let top = LayerNode(sectors: 4, over: base)
        try top.resizeOverBacking(to: 8 * 512)
        #expect(try top.readBytes(at: 6 * 512, count: 512) == [UInt8](repeating: 0, count: 512))
        #expect(try base.readBytes(at: 6 * 512, count: 1) == [9])
    }
}

@Suite struct MemoryNodeTests {
    @Test func bytesAreWhereTheyWereWritten() throws {
        let node = MemoryNode(name: "m")
        var model: [UInt8] = []
        var random = SeededGenerator(seed: 3)
        for _ in 0..<300 {
            let offset = Int.random(in: 0..<5000, using: &random)
            let count = Int.random(in: 0...700, using: &random)
            let byte = UInt8.random(in: 0...255, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                try node.write([UInt8](repeating: byte, count: count), at: Int64(offset))
                if offset + count > model.count {
                    model += [UInt8](repeating: 0, count: offset + count - model.count)
                }
                model.replaceSubrange(offset..<(offset + count), with: repeatElement(byte, count: count))
            case 2:
                try node.resize(to: Int64(offset), preallocation: .off, exact: true)
                if offset < model.count {
                    model.removeLast(model.count - offset)
                } else {
                    model += [UInt8](repeating: 0, count: offset - model.count)
                }
            default:
                // Behind the end there are zeroes.
                let padded = model + [UInt8](repeating: 0, count: 8000)
                #expect(
                    try node.readBytes(at: Int64(offset), count: count).elementsEqual(padded[offset..<(offset + count)])
                )
            }
            #expect(node.length == Int64(model.count))
        }
        #expect(node.content == model)
    }

    @Test func thereIsALongestOne() {
        let node = MemoryNode(longest: 4096)
        #expect(throws: BlockError.self) { try node.write([1], at: 4096) }
        #expect(throws: BlockError.self) { try node.write([1], at: -1) }
        #expect(throws: BlockError.self) { try node.writeZeroes(at: .max, count: 1, flags: []) }
        #expect(throws: BlockError.self) { try node.resize(to: .max, preallocation: .off, exact: true) }
        #expect(throws: BlockError.self) { try MemoryNode([1], isReadOnly: true).write([1], at: 0) }
        #expect(node.length == 0)
    }
}

@Suite struct NameOpeningTests {
    private let graph = BlockGraph(drivers: [NullDriver(), NullDriver(name: "null-aio"), FileDriver.file])

    private func message(_ name: String?, _ options: [(String, String)] = []) -> String {
        do {
            _ = try graph.open(name, options: BlockOptions(options.map { ($0.0, BlockOptions.Value.string($0.1)) }))
            return "no error"
        } catch { return error.message }
    }

    @Test func namesInJSONAreOptions() throws {
        let node = try graph.open("json:{\"driver\":\"null-co\",\"size\":4096,\"read-zeroes\":true}")
        #expect(node.length == 4096 && node.driverName == "null-co")
        #expect(try node.readBytes(at: 0, count: 512).allSatisfy { $0 == 0 })
        #expect(throws: BlockError.self) { try node.readBytes(at: 4000, count: 512) }
        // Options that were given beside the name win.
        let other = try graph.open(
            "json:{\"driver\":\"null-co\",\"size\":4096}", options: BlockOptions([("size", .string("8k"))]))
        #expect(other.length == 8192)
    }

    @Test(arguments: [
        ("json:", "Could not parse the JSON options"), ("json:{", "Could not parse the JSON options"),
        ("json:[]", "Invalid JSON object given"), ("json:{\"driver\":\"nothing\"}", "Unknown driver 'nothing'"),
        ("json:{}", "Must specify either driver or file"), ("nothing:x", "Unknown protocol 'nothing'"),
        ("null-co:x", "The only allowed filename for this driver is 'null-co://'"),
        (
            "json:{\"driver\":\"null-co\",\"nothing\":1}",
            "Block protocol 'null-co' doesn't support the option 'nothing'"
        ),
        ("json:{\"driver\":\"null-co\",\"size\":\"x\"}", "Parameter 'size' expects a non-negative number"),
        ("json:{\"driver\":\"null-co\",\"read-zeroes\":\"x\"}", "Parameter 'read-zeroes' expects 'on' or 'off'"),
        ("json:{\"driver\":\"null-co\",\"discard\":\"x\"}", "Invalid discard option"),
        ("/nonexistent/x", "Could not open '/nonexistent/x'"),
    ])
    func whatCannotBeOpened(_ name: String, _ beginning: String) {
        #expect(message(name).hasPrefix(beginning), "\(message(name))")
    }

    @Test func deepNamesAreRefused() {
        #expect(message("json:" + String(repeating: "{\"a\":", count: 10_000)) != "no error")
        #expect(message("json:" + String(repeating: "[", count: 100_000)) != "no error")
    }

    @Test func sharingIsForReaders() {
        #expect(throws: BlockError.self) {
            var flags = OpenFlags.writable
            flags.forceShare = true
            _ = try graph.open("null-co://", flags: flags)
        }
    }
}
