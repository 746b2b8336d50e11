// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import DiskImages
import HostSystem
import NBDProtocol
import StorageTestKit
import Testing

@Suite struct BitmapTests {
    private func change(_ disks: Disks, _ changes: BitmapChange...) throws {
        try disks.devices.perform(changes, snapshots: [], backups: [])
    }

    private func problem(_ disks: Disks, _ changes: BitmapChange...) -> String? {
        do throws(BlockError) {
            try disks.devices.perform(changes, snapshots: [], backups: [])
            return nil
        } catch { return error.message }
    }

    private func add(_ name: String, persistent: Bool = false, granularity: Int64? = nil) -> BitmapChange {
        .add(node: "d0", name: name, granularity: granularity, isPersistent: persistent, isDisabled: false)
    }

    private func counts(_ disks: Disks) throws -> [String: Int64] {
        Dictionary(
            uniqueKeysWithValues: disks.devices.bitmaps(of: try disks.devices.node("d0")).map { ($0.name, $0.count) })
    }

    @Test func bitmapsNoteWrites() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try change(disks, add("a"), add("p", persistent: true), add("fine", granularity: 512))
        try backend.fill(1, at: 100_000, count: 70_000)
        #expect(try counts(disks) == ["a": 131_072, "p": 131_072, "fine": 70_656])
        try change(disks, .setRecording(node: "d0", name: "a", false), .clear(node: "d0", name: "p"))
        try backend.fill(1, at: 1 << 20, count: 1)
        #expect(try counts(disks) == ["a": 131_072, "p": 65536, "fine": 71_168])
        try change(disks, .merge(node: "d0", target: "p", sources: [(nil, "a"), ("d0", "fine")]))
        #expect(try counts(disks)["p"] == 196_608)
        try change(disks, .remove(node: "d0", name: "a"), .remove(node: "d0", name: "p"))
        #expect(try counts(disks) == ["fine": 71_168])
    }

    /// A bitmap stays with its node when a snapshot puts another one above it.
    @Test func bitmapsStayWithTheirNode() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try change(disks, add("m"))
        let below = disks.devices.name(of: try disks.devices.node("d0"))
        try backend.fill(1, at: 0, count: 1)
        try disks.snapshot("b.qcow2")
        try backend.fill(1, at: 1 << 20, count: 1)
        #expect(try counts(disks).isEmpty)
        #expect(try disks.devices.bitmaps(of: disks.devices.node(below)).map(\.count) == [65536])
        try change(disks, add("n"))
        try backend.fill(1, at: 2 << 20, count: 1)
        #expect(try counts(disks) == ["n": 65536])
    }

    @Test func transactionsAreUndone() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try change(disks, add("a"), add("p", persistent: true), add("other"))
        try backend.fill(1, at: 0, count: 1)
        let wrong = BitmapChange.clear(node: "d0", name: "no")
        #expect(
            problem(
                disks, .clear(node: "d0", name: "a"), .clear(node: "d0", name: "p"), .remove(node: "d0", name: "other"),
                add("new"), .merge(node: "d0", target: "p", sources: [(nil, "new")]), wrong)
                == "Dirty bitmap 'no' not found")
        #expect(try counts(disks) == ["a": 65536, "p": 65536, "other": 65536])
        try backend.fill(1, at: 1 << 20, count: 1)
        #expect(try counts(disks) == ["a": 131_072, "p": 131_072, "other": 131_072])
    }

    @Test func refusals() throws {
        let disks = try Disks()
        try disks.addDrive()
        try change(disks, add("a"))
        #expect(problem(disks, add("a")) == "Bitmap already exists: a")
        #expect(problem(disks, add("")) == "Bitmap name cannot be empty")
        #expect(problem(disks, add("b", granularity: 1000)) == "Granularity must be power of 2 and at least 512")
        #expect(problem(disks, add(String(repeating: "x", count: 1024)))?.hasPrefix("Bitmap name too long") == true)
        #expect(problem(disks, .clear(node: "x", name: "a")) == "Node 'x' not found")
        #expect(
            problem(disks, .add(node: "x", name: "a", granularity: nil, isPersistent: false, isDisabled: false))
                == "Cannot find device='x' nor node-name='x'")
        #expect(
            problem(disks, .merge(node: "d0", target: "a", sources: [(nil, "b")])) == "Dirty bitmap 'b' not found")
    }

    /// A tracker beside a set of numbers, under random operations.
    @Test(arguments: [512, 4096, 65536]) func trackersAreSets(unit: Int64) {
        var random = UInt64(unit)
        func next(_ bound: Int64) -> Int64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int64(random >> 33) % bound
        }
        let length = unit * 200 - 100
        let tracker = WriteTracker(length: length, granularity: unit)
        var model = Set<Int64>()
        for _ in 0..<2000 {
            let offset = next(length + unit) - unit / 2, count = next(unit * 9)
            switch next(8) {
            case 0...3:
                tracker.mark(at: offset, count: count)
                if count > 0, offset < length, offset + count > 0 {
                    for piece in max(offset, 0) / unit...(min(offset + count, length) - 1) / unit {
                        model.insert(piece)
                    }
                }
            case 4, 5:
                guard let taken = tracker.take(touching: offset, count: count, limit: unit * 3) else {
                    let end = min(offset + count, length)
                    #expect(!model.contains { $0 * unit < end && min(($0 + 1) * unit, length) > offset } || count == 0)
                    continue
                }
                #expect(taken.lowerBound < offset + count && taken.upperBound > offset)
                for piece in taken.lowerBound / unit...(taken.upperBound - 1) / unit {
                    #expect(model.remove(piece) != nil)
                }
            case 6:
                guard let taken = tracker.take(from: offset, limit: unit * 2) else { continue }
                for piece in taken.lowerBound / unit...(taken.upperBound - 1) / unit {
                    #expect(model.remove(piece) != nil)
                }
            default:
                #expect(tracker.markedWholePieces == Int64(model.count) * unit)
                let pieces = tracker.ranges.flatMap { Array($0.lowerBound / unit...($0.upperBound - 1) / unit) }
                #expect(pieces == model.sorted())
            }
        }
        tracker.resize(to: length / 2)
        #expect(tracker.markedWholePieces == Int64(model.count { $0 * unit < length / 2 }) * unit)
        tracker.clear()
        #expect(tracker.ranges.isEmpty)
        tracker.isRecording = false
        tracker.note(at: 0, count: 1)
        #expect(tracker.markedBytes == 0)
    }

    // MARK: exports

    private func problem(_ body: () throws(BlockError) -> Void) -> String? {
        do throws(BlockError) {
            try body()
            return nil
        } catch { return error.message }
    }

    @Test func clientsUseExports() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        let exports = disks.devices.exports
        var deleted: [String] = []
        exports.deleted = { deleted.append($0) }
        try backend.fill(9, at: 0, count: 4096)
        #expect(problem { () throws(BlockError) in try exports.stop() } == "NBD server not running")
        var request = BlockExports.Request("e0", node: "d0")
        #expect(problem { () throws(BlockError) in try exports.add(request) } == "NBD server not running")
        let path = disks.folder.file("socket")
        try exports.start(on: .unix(path: path), mostClients: 4, credentials: nil, authorizedName: nil)
        #expect(
            problem { () throws(BlockError) in
                try exports.start(on: .unix(path: path), mostClients: 4, credentials: nil, authorizedName: nil)
            } == "NBD server already running")
        request.name = "one"
        request.isWritable = true
        try exports.add(request)
        try exports.add(BlockExports.Request("e1", node: "d0"))
        #expect(exports.reports.map(\.identifier) == ["e1", "e0"])
        #expect(problem { () throws(BlockError) in try exports.add(request) }?.contains("already in use") == true)
        let url = "nbd+unix:///one?socket=\(path)"
        let client = try disks.devices.graph.open(url, options: BlockOptions(), flags: .writable)
        #expect(try client.byte(at: 100) == 9)
        try client.fill(7, at: 1 << 20, count: 1)
        #expect(try backend.byte(at: 1 << 20) == 7)
        #expect(
            problem { () throws(BlockError) in try exports.remove("e0", isHard: false) } == "export 'e0' still in use")
        try exports.remove("e0", isHard: true)
        #expect((try? client.byte(at: 1)) == nil || deleted == ["e0"])
        #expect(throws: BlockError.self) {
            try disks.devices.graph.open(url, options: BlockOptions(), flags: .writable)
        }
        #expect(
            problem { () throws(BlockError) in try exports.remove("e0", isHard: true) } == "Export 'e0' is not found")
        try exports.stop()
        #expect(deleted == ["e0", "e1"])
        try? client.close()
    }

    @Test func bitmapsAreShownToClients() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try change(disks, add("m"))
        try backend.fill(9, at: 1 << 20, count: 4096)
        let path = disks.folder.file("socket")
        try disks.devices.exports.start(on: .unix(path: path), mostClients: 4, credentials: nil, authorizedName: nil)
        var request = BlockExports.Request("e0", node: "d0")
        request.bitmaps = [(nil, "m")]
        #expect(
            problem { () throws(BlockError) in try disks.devices.exports.add(request) }
                == "Enabled bitmap 'm' incompatible with readonly export")
        try change(disks, .setRecording(node: "d0", name: "m", false))
        try disks.devices.exports.add(request)
        guard isInstalled("qemu-img") else { return }
        let map = run(
            "qemu-img map --output=json --image-opts driver=nbd,server.type=unix,server.path=\(path),export=e0,"
                + "x-dirty-bitmap=qemu:dirty-bitmap:m")
        // Dirty ranges show as holes there.
        #expect(map.status == 0 && map.output.contains("\"start\": 1048576, \"length\": 65536"))
    }
}
