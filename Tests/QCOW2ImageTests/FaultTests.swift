// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RawImage
import StorageTestKit
import Testing

/// A request to the file below fails: the caller hears of it, and the image stays one.
@Suite struct FaultTests {
    private static let size = 1 << 20

    private func makeImage(_ options: String) throws -> FailingNode {
        let file = FailingNode()
        var values = CreateOptions(QCOW2Driver().createOptions)
        try values.parse(options)
        try QCOW2Driver.formatForTests(file, values)
        let node = try CrashRun.open(file, writable: true)
        try node.resize(to: Int64(Self.size), preallocation: .off, exact: true)
        try node.write([UInt8](repeating: 1, count: Self.size / 4), at: 0)
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 1))
        try node.close()
        return file
    }

    /// A little of everything; what fails is let go. Returns whether anything did.
    private func work(_ node: QCOW2Node) -> Bool {
        var hasFailed = false
        func attempt(_ body: () throws -> Void) { do { try body() } catch { hasFailed = true } }
        attempt { try node.write([UInt8](repeating: 2, count: 100_000), at: 10_000) }
        attempt { try node.flush() }
        attempt { try node.write([UInt8](repeating: 3, count: 200_000), at: 500_000) }
        attempt { try node.writeZeroes(at: 300_000, count: 300_000, flags: .mayUnmap) }
        attempt { try node.createSnapshot(SnapshotInformation(identifier: "", name: "t", dateSeconds: 2)) }
        attempt { try node.write([UInt8](repeating: 4, count: 50_000), at: 0) }
        attempt {
            let cluster = [UInt8](repeating: 5, count: node.clusterSize ?? 65536)
            try node.writeCompressing(AlignedBuffer.holding(cluster).region, at: 13 << 16)
        }
        attempt { try node.applySnapshot(identifier: "1") }
        attempt { try node.deleteSnapshot(identifier: "1") }
        attempt { try node.resize(to: Int64(Self.size * 3), preallocation: .off, exact: true) }
        attempt { try node.discard(at: 0, count: 1 << 19) }
        attempt { try node.close() }
        return hasFailed
    }

    private func expectSound(_ bytes: [UInt8], _ comment: Comment) throws {
        let node = try CrashRun.open(MemoryNode(bytes), writable: false, checking: true)
        var lines: [String] = []
        let result = try node.check(repair: [], report: { lines.append($0) })
        #expect(result.corruptions == 0 && result.checkErrors == 0, "\(comment): \(lines.prefix(4))")
        _ = try node.readBytes(at: 0, count: Int(node.length))
    }

    @Test(arguments: ["cluster_size=4k", "cluster_size=16k,extended_l2=on", "cluster_size=512,compat=0.10"])
    func aFullDiskLeavesTheImageSound(options: String) throws {
        let fresh = try makeImage(options)
        for number in 0..<400 {
            let file = FailingNode(fresh.content)
            file.arm(.write(number))
            // A cluster that could not be freed is told and leaked.
            let lines = Lines()
            let hasFailed = work(try CrashRun.open(file, writable: true, warn: { lines.add($0) }))
            #expect(hasFailed || !lines.all.isEmpty || file.hits == 0, "\(options), write \(number)")
            try expectSound(file.content, "\(options), write \(number)")
            if file.hits == 0 { break }
        }
    }

    @Test(arguments: ["cluster_size=4k", "cluster_size=16k,extended_l2=on"])
    func aFailedFlushIsTold(options: String) throws {
        let fresh = try makeImage(options)
        for number in 0..<200 {
            let file = FailingNode(fresh.content)
            file.arm(.flush(number))
            let hasFailed = work(try CrashRun.open(file, writable: true))
            #expect(hasFailed || file.hits == 0, "\(options), flush \(number)")
            try expectSound(file.content, "\(options), flush \(number)")
            if file.hits == 0 { break }
        }
    }

    @Test func aBadSectorFailsOneRead() throws {
        let file = try makeImage("cluster_size=4k")
        let before = file.content
        let node = try CrashRun.open(file, writable: false)
        let place = try #require(try node.status(at: 40_960, count: 4096, detail: .mapping).offset)
        file.arm(.read(place..<place + 512))
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 100_000) }
        #expect(try node.readBytes(at: 45_056, count: 4096).allSatisfy { $0 == 1 })
        #expect(try node.readBytes(at: 0, count: 40_960).allSatisfy { $0 == 1 })
        #expect(file.content == before)
    }

    @Test func aSecondWriterIsKeptOut() throws {
        let images = Images()
        let path = try images.create("l.qcow2", size: 1 << 20)
        let first = try images.open(path)
        do {
            _ = try images.open(path)
            Issue.record("two writers")
        } catch let error as BlockError {
            #expect(error.kind == .locked)
            #expect(error.message.hasSuffix("Failed to get \"write\" lock"))
            #expect(error.hint == "Is another process using the image [\(path)]?")
        }
        try first.write([1, 2, 3], at: 0)
        try first.close()
        try expectClean(images, path, "locked")
        if hasQEMU {
            let writer = try images.open(path)
            #expect(run("qemu-io -c 'write 0 512' \(path)").output.contains("lock"))
            try writer.close()
        }
    }
}
