// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import NBDProtocol
import RandomKit
import StorageTestKit
import Testing

/// A disk in memory, served on a unix socket by a thread of this process.
private struct Served {
    let folder = Folder()
    let disk: MemoryNode
    let server: NBDServer
    let path: String
    let graph = BlockGraph(drivers: [NBDDriver(), FileDriver.file])

    init(
        size: Int = 1 << 20, isReadOnly: Bool = false, mostClients: Int = 0,
        _ change: (inout NBDServedExport) -> Void = { _ in }
    ) throws {
        disk = MemoryNode([UInt8](repeating: 0, count: size))
        path = folder.file("s")
        var export = NBDServedExport(node: disk, name: "disk", description: "a test", isReadOnly: isReadOnly)
        change(&export)
        server = try NBDServer(export, on: .unix(path: path), mostClients: mostClients)
        let server = server
        try onThread { server.run(isPersistent: true) }
    }

    func open(writable: Bool = true, export: String = "disk", extra: String = "") throws -> any BlockNode {
        try graph.open(
            nil, options: BlockOptions.parse("driver=nbd,path=\(path),export=\(export)\(extra)"),
            flags: writable ? .writable : OpenFlags())
    }
}

@Suite struct NBDProtocolTests {
    @Test func whatIsWrittenIsThere() throws {
        let served = try Served()
        defer { served.server.stop() }
        let node = try served.open()
        #expect(node.length == 1 << 20 && !node.isReadOnly)
        var generator = SeededGenerator(seed: 5)
        var model = [UInt8](repeating: 0, count: 1 << 20)
        for round in 0..<60 {
            let count = Int.random(in: 1...50_000, using: &generator)
            let offset = Int.random(in: 0...model.count - count, using: &generator)
            let byte: UInt8 = round % 4 == 0 ? 0 : UInt8(round)
            if byte == 0 {
                try node.writeZeroes(at: Int64(offset), count: Int64(count), flags: .mayUnmap)
            } else {
                try node.write([UInt8](repeating: byte, count: count), at: Int64(offset))
            }
            model.replaceSubrange(offset..<offset + count, with: repeatElement(byte, count: count))
        }
        try node.flush()
        #expect(try node.readBytes(at: 0, count: model.count) == model)
        #expect(served.disk.content == model)
        try node.close()
    }

    @Test func severalThreadsShareAConnection() throws {
        let served = try Served()
        defer { served.server.stop() }
        let node = try served.open()
        let outcome = try inParallel(8) { index in
            let place = Int64(index) * 65536
            for round in 0..<50 {
                let bytes = [UInt8](repeating: UInt8((index * 31 + round) & 0xFF), count: 4096)
                guard (try? node.write(bytes, at: place)) != nil else { return false }
                guard (try? node.readBytes(at: place, count: 4096)) == bytes else { return false }
            }
            return true
        }
        #expect(outcome.allSatisfy { $0 })
        try node.close()
    }

    @Test func aReadOnlyExportRefusesWrites() throws {
        let served = try Served(isReadOnly: true)
        defer { served.server.stop() }
        let refusal = #expect(throws: BlockError.self) { try served.open() }
        #expect(refusal?.message == "request on denied for read-only export")
        let node = try served.open(writable: false)
        #expect(node.isReadOnly)
        #expect(throws: BlockError.self) { try node.write([1], at: 0) }
        try node.close()
    }

    @Test func anExportDoesNotGrow() throws {
        let served = try Served()
        defer { served.server.stop() }
        let node = try served.open()
        let error = #expect(throws: BlockError.self) { try node.write([1, 2], at: (1 << 20) - 1) }
        #expect(error?.kind == .noSpace)
        #expect(try node.readBytes(at: (1 << 20) - 1, count: 3) == [0, 0, 0])
        try node.close()
    }

    @Test func anUnknownNameIsAnError() throws {
        let served = try Served()
        defer { served.server.stop() }
        let error = #expect(throws: BlockError.self) { try served.open(export: "other") }
        #expect(error?.message == "Requested export not available")
        #expect(error?.hint == "server reported: export 'other' not present")
    }

    @Test func exportsAreListed() throws {
        let served = try Served {
            $0.exposesDepth = true
            $0.bitmaps = [("changes", [4096..<8192])]
        }
        defer { served.server.stop() }
        let list = try NBDListing.exports(of: .unix(path: served.path))
        #expect(list.map(\.name) == ["disk"])
        #expect(list.first?.description == "a test")
        #expect(list.first?.size == 1 << 20)
        #expect(
            list.first?.contexts == ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:changes"])
        #expect(list.first?.flagNames == ["flush", "fua", "trim", "zeroes", "df", "cache", "fast-zero"])
    }

    @Test func bitmapsAreTold() throws {
        let served = try Served { $0.bitmaps = [("b", [4096..<8192, 65536..<65537])] }
        defer { served.server.stop() }
        let node = try served.open(writable: false, extra: ",x-dirty-bitmap=qemu:dirty-bitmap:b")
        func isClean(_ offset: Int64) throws -> (Int64, Bool) {
            let status = try node.status(at: offset, count: 1 << 20 - offset, detail: .zeroes)
            return (status.count, status.isData)
        }
        // A dirty bit stands where "hole" does: what is dirty shows as no data.
        #expect(try isClean(0) == (4096, true))
        #expect(try isClean(4096) == (4096, false))
        #expect(try isClean(5000) == (3192, false))
        #expect(try isClean(65536) == (1, false))
        #expect(try isClean(65537).1)
        try node.close()
    }

    @Test func aServerThatGoesAwayIsAnError() throws {
        let served = try Served()
        let node = try served.open()
        served.server.stop()
        #expect(throws: BlockError.self) {
            for _ in 0..<100 { _ = try node.readBytes(at: 0, count: 512) }
        }
    }

    @Test(arguments: [
        ("nbd:unix:/a/b:exportname=c", "unix", "/a/b", "c"), ("nbd+unix:///c%20d?socket=/a/b", "unix", "/a/b", "c d"),
    ]) func namesOfUnixSockets(_ name: String, _ type: String, _ path: String, _ export: String) throws {
        let options = try NBDDriver().parse(filename: name)
        #expect(options.string("server.type") == type)
        #expect(options.string("server.path") == path)
        #expect(options.string("export") == export)
    }

    @Test(arguments: [
        ("nbd:host:99", "host", "99"), ("nbd://host", "host", "10809"), ("nbd://[::1]:7/", "::1", "7"),
        ("nbd:[::1]:7", "::1", "7"),
    ]) func namesOfHosts(_ name: String, _ host: String, _ port: String) throws {
        let options = try NBDDriver().parse(filename: name)
        #expect(options.string("server.host") == host)
        #expect(options.string("server.port") == port)
    }

    @Test(arguments: ["nbd:", "nbd:host", "host:1", "nbd+unix:///x", "nbd://"]) func badNames(_ name: String) {
        #expect(throws: BlockError.self) { try NBDDriver().parse(filename: name) }
    }
}
