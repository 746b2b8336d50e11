// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import RawImage
import StorageTestKit
import Testing

private func makeGraph() -> BlockGraph {
    BlockGraph(drivers: [RawDriver(), FileDriver.file, FileDriver.hostDevice, NullDriver()])
}

private func makeRaw(_ graph: BlockGraph, _ path: String, _ size: Int64) throws {
    var options = CreateOptions(FileDriver.file.createOptions)
    try options.set("size", String(size))
    try RawDriver().create(CreateRequest(filename: path, options: options, graph: graph))
}

@Suite struct RawFileTests {
    let folder = Folder()
    let graph = makeGraph()

    @Test func writesAreReadBackAndHolesAreSeen() throws {
        let path = folder.file("a.raw")
        try makeRaw(graph, path, 10 << 20)
        let node = try graph.open(path, format: "raw", flags: .writable)
        #expect(node.length == 10 << 20)
        try node.write([UInt8](repeating: 7, count: 5000), at: 1 << 20)
        #expect(try node.readBytes(at: (1 << 20) - 1, count: 5002) == [0] + [UInt8](repeating: 7, count: 5000) + [0])
        // As QEMU does, creating allocates the first block, from which the host's alignment can be told.
        let first = try node.status(at: 0, count: node.length, detail: .mapping)
        #expect(first.isData && first.offset == 0)
        let hole = try node.status(at: first.count, count: node.length, detail: .mapping)
        #expect(hole.isZero && first.count + hole.count == 1 << 20 && hole.offset == first.count)
        let second = try node.status(at: 1 << 20, count: node.length, detail: .mapping)
        #expect(second.isData && !second.isZero)
        try node.writeZeroes(at: 1 << 20, count: 8192, flags: .mayUnmap)
        #expect(try node.status(at: first.count, count: node.length, detail: .mapping).isEnd)
        try node.close()
    }

    @Test func vectorsAreOneRequest() throws {
        let path = folder.file("v.raw")
        try makeRaw(graph, path, 1 << 20)
        let node = try graph.open(path, format: "raw", flags: .writable)
        let parts = (1...3).map { value in
            let buffer = AlignedBuffer(count: 512 * value)
            buffer.region.fill(UInt8(value))
            return buffer
        }
        try node.write(parts.map(\.region), at: 4096, flags: [])
        let whole = try node.readBytes(at: 4096, count: 3072)
        #expect(whole == (1...3).flatMap { [UInt8](repeating: UInt8($0), count: 512 * $0) })
        parts.forEach { $0.region.fill(0) }
        try node.read(parts.map(\.region), at: 4096)
        #expect(parts.map { $0.region[0] } == [1, 2, 3])
    }

    @Test func aSecondWriterIsKeptOut() throws {
        let path = folder.file("l.raw")
        try makeRaw(graph, path, 1 << 20)
        var exclusive = OpenFlags.writable
        exclusive.isExclusive = true
        let first = try graph.open(path, format: "raw", flags: exclusive)
        let failure = #expect(throws: BlockError.self) { _ = try graph.open(path, format: "raw", flags: exclusive) }
        #expect(failure?.message == "Failed to get \"write\" lock")
        var shared = OpenFlags()
        shared.forceShare = true
        _ = try graph.open(path, format: "raw", flags: shared)
        try first.close()
        _ = try graph.open(path, format: "raw", flags: exclusive)
    }

    @Test func aFileThatShrinksIsAnError() throws {
        let path = folder.file("s.raw")
        try makeRaw(graph, path, 1 << 20)
        let node = try graph.open(path, format: "raw")
        unsafe truncate(path, 4096)
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 8192) }
    }

    @Test func aGuessedRawImageKeepsItsKind() throws {
        struct Magic: ProbingDriver {
            let name = "magic"
            func probe(head: [UInt8], filename: String) -> Int { head.starts(with: "MAGIC".utf8) ? 100 : 0 }
            func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
                throw BlockError(.notSupported, "magic")
            }
        }
        let graph = BlockGraph(drivers: [Magic(), RawDriver(), FileDriver.file])
        let path = folder.file("g.raw")
        try makeRaw(graph, path, 1 << 20)
        let node = try graph.open(path, flags: .writable)
        try node.write([1, 2, 3], at: 0)
        #expect(throws: BlockError.self) { try node.write(Array("MAGIC".utf8), at: 0) }
        try node.close()
        try graph.open(path, format: "raw", flags: .writable).write(Array("MAGIC".utf8), at: 0)
    }

    @Test func partsOfAFile() throws {
        let path = folder.file("p.raw")
        try makeRaw(graph, path, 1 << 20)
        let options = try BlockOptions.parse("driver=raw,offset=4096,size=8192,file.filename=\(path)")
        let node = try graph.open(nil, options: options, flags: .writable)
        #expect(node.length == 8192)
        try node.write([9], at: 0)
        #expect(throws: BlockError.self) { try node.write([9], at: 8192) }
        try node.close()
        #expect(try graph.open(path, format: "raw").readBytes(at: 4096, count: 1) == [9])
    }

    @Test func messagesNameWhatIsWrong() {
        let missing = #expect(throws: BlockError.self) { _ = try graph.open("/nonexistent/x") }
        #expect(missing?.message == "Could not open '/nonexistent/x': No such file or directory")
        let scheme = #expect(throws: BlockError.self) { _ = try graph.open("foo:bar") }
        #expect(scheme?.message == "Unknown protocol 'foo'")
        let driver = #expect(throws: BlockError.self) { _ = try graph.open("/dev/null", format: "nope") }
        #expect(driver?.message == "Unknown driver 'nope'")
    }
}
