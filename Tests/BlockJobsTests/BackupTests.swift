// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import DiskImages
import HostSystem
import StorageTestKit
import Testing

@Suite struct BackupTests {
    private static let piece = 1 << 20

    private func disks() throws -> (Disks, BlockBackend) {
        let disks = try Disks()
        let backend = try disks.addDrive()
        for place in 0..<8 { try backend.fill(UInt8(place + 1), at: Int64(place) << 20, count: Self.piece) }
        return (disks, backend)
    }

    private func start(
        _ disks: Disks, to target: any BlockNode, _ change: (inout BlockDevices.BackupRequest) -> Void = { _ in }
    ) throws {
        var options = JobOptions("b0")
        options.speed = 16 << 20
        var request = BlockDevices.BackupRequest("d0", options: options)
        change(&request)
        let prepared = try disks.devices.prepare(request, to: target)
        try disks.devices.perform([], snapshots: [], backups: [prepared])
    }

    private func bytes(_ node: any BlockNode) throws -> [UInt8] {
        try (0..<8).map { try node.byte(at: Int64($0) << 20 + 77) }
    }

    private func bitmap(_ disks: Disks, _ name: String = "m") throws -> DirtyBitmapReport {
        try #require(disks.devices.bitmaps(of: try disks.devices.node("d0")).first { $0.name == name })
    }

    private func add(_ disks: Disks, persistent: Bool = false, _ name: String = "m") throws {
        try disks.devices.perform(
            [.add(node: "d0", name: name, granularity: nil, isPersistent: persistent, isDisabled: false)],
            snapshots: [], backups: [])
    }

    @Test(arguments: ["qcow2", "raw"]) func hasWhatWasThereAtItsBeginning(format: String) throws {
        let (disks, backend) = try disks()
        let copy = try disks.addTarget("t", format: format)
        try start(disks, to: copy)
        for place in [7, 0, 3, 6] { try backend.fill(0xEE, at: Int64(place) << 20, count: Self.piece) }
        try backend.discard(at: 5 << 20, count: 1 << 20)
        try disks.wait(for: "b0", nil)
        #expect(try bytes(copy) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(try bytes(backend)[0] == 0xEE && disks.devices.jobs.reports.isEmpty)
        #expect(disks.events.contains { if case .completed(let report) = $0 { report.problem == nil } else { false } })
    }

    /// Writers on threads of their own that follow each other closely, and whose writes cross the pieces' borders.
    @Test func writersRaceTheCopy() throws {
        let (disks, backend) = try disks()
        let before = try backend.readBytes(at: 0, count: 8 << 20)
        let copy = try disks.addTarget("t")
        try start(disks, to: copy) { $0.options.speed = 0 }
        let threads = try (0..<4).map { number in
            try HostThread(name: "writer") {
                var random = UInt64(number &* 7919 &+ 1)
                for _ in 0..<200 {
                    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    let offset = Int64(random >> 33) % (8 << 20 - 70_000)
                    #expect(throws: Never.self) { try backend.fill(0xAA, at: offset, count: 66_000) }
                }
            }
        }
        for thread in threads { thread.join() }
        try disks.wait(for: "b0", nil)
        #expect(try copy.readBytes(at: 0, count: 8 << 20) == before)
    }

    @Test func topHasTheTopmostImageAlone() throws {
        let (disks, backend) = try disks()
        try disks.snapshot("b.qcow2")
        try backend.fill(0x22, at: 2 << 20, count: Self.piece)
        let copy = try disks.addTarget("t")
        try start(disks, to: copy) { $0.scope = .top }
        try backend.fill(0x33, at: 2 << 20, count: 2 * Self.piece)
        try disks.wait(for: "b0", nil)
        #expect(try bytes(copy) == [0, 0, 0x22, 0, 0, 0, 0, 0])
    }

    @Test func noneKeepsWhatIsOverwritten() throws {
        let (disks, backend) = try disks()
        var request = BlockDevices.BackupRequest("d0", options: JobOptions("b0"))
        request.scope = .none
        let copy = try disks.devices.backupTarget(
            disks.folder.file("t.qcow2"), format: nil, exists: false, &request)
        try disks.devices.perform([], snapshots: [], backups: [try disks.devices.prepare(request, to: copy)])
        try backend.fill(0x44, at: 4 << 20 + 1000, count: 10)
        // The overlay shows the disk as it was.
        #expect(try bytes(copy) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(try copy.byte(at: 4 << 20 + 1005) == 5 && backend.byte(at: 4 << 20 + 1005) == 0x44)
        #expect(disks.status("b0") == .running)
        try disks.devices.jobs.cancel("b0", block: true, force: false)
        try disks.wait(for: "b0", nil)
        #expect(disks.events.contains { if case .cancelled = $0 { true } else { false } })
        try backend.fill(0x45, at: 0, count: 10)
    }

    @Test(arguments: [false, true]) func incrementsFollowEachOther(persistent: Bool) throws {
        let (disks, backend) = try disks()
        try add(disks, persistent: persistent)
        #expect(try bitmap(disks).count == 0 && bitmap(disks).isPersistent == persistent)
        try backend.fill(0x51, at: 1 << 20 + 5, count: 1)
        #expect(try bitmap(disks).count == 65536 && bitmap(disks).isRecording)
        let first = try disks.addTarget("t")
        try start(disks, to: first) {
            ($0.scope, $0.bitmap, $0.bitmapMode) = (.bitmap, "m", .onSuccess)
            // Slow enough that it is under way when the guest writes.
            $0.options.speed = 1
        }
        #expect(try bitmap(disks).isBusy)
        #expect(throws: BlockError.self) {
            try disks.devices.perform([.clear(node: "d0", name: "m")], snapshots: [], backups: [])
        }
        try backend.fill(0x52, at: 6 << 20, count: 1)
        try disks.devices.jobs.setSpeed("b0", to: 0)
        try disks.wait(for: "b0", nil)
        #expect(try first.byte(at: 1 << 20 + 5) == 0x51 && first.byte(at: 1 << 20) == 2 && bytes(first)[6] == 0)
        #expect(try bitmap(disks).count == 65536 && !bitmap(disks).isBusy)
        let second = try disks.addTarget("u")
        try start(disks, to: second) { ($0.scope, $0.bitmap, $0.bitmapMode) = (.bitmap, "m", .onSuccess) }
        try disks.wait(for: "b0", nil)
        #expect(try second.byte(at: 6 << 20) == 0x52 && second.byte(at: 1 << 20 + 5) == 0)
        #expect(try bitmap(disks).count == 0)
    }

    @Test func whatWasNotCopiedStaysMarked() throws {
        let (disks, backend) = try disks()
        try add(disks)
        for place in 0..<4 { try backend.fill(0x61, at: Int64(place) << 20, count: 1) }
        for mode in [BlockDevices.BitmapMode.onSuccess, .always, .never] {
            let copy = try disks.addTarget("t\(mode.rawValue)")
            try start(disks, to: copy) {
                ($0.scope, $0.bitmap, $0.bitmapMode) = (.bitmap, "m", mode)
                $0.options.speed = 1
            }
            try disks.devices.jobs.cancel("b0", block: true, force: true)
            try disks.wait(for: "b0", nil)
            let left = try bitmap(disks).count
            #expect(mode == .always ? (3 * 65536...4 * 65536).contains(left) : left % 65536 == 0 && left > 0)
        }
    }

    /// A target that is full ends the backup, and the guest goes on.
    @Test func aFailingTargetDoesNotStopTheGuest() throws {
        let (disks, backend) = try disks()
        let copy = FullNode(length: 8 << 20)
        try disks.devices.graph.register(copy, as: "full")
        try start(disks, to: copy) { $0.options.speed = 1 }
        for place in 0..<8 { try backend.fill(0x71, at: Int64(place) << 20, count: Self.piece) }
        try disks.wait(for: "b0", nil)
        #expect(try bytes(backend) == [UInt8](repeating: 0x71, count: 8))
        #expect(disks.events.contains { if case .completed(let report) = $0 { report.problem != nil } else { false } })
    }

    @Test func wrongWishesAreRefused() throws {
        let (disks, _) = try disks()
        let small = try disks.addTarget("small", size: 4 << 20), raw = try disks.addTarget("r", format: "raw")
        func problem(_ target: any BlockNode, _ change: (inout BlockDevices.BackupRequest) -> Void) -> String? {
            do {
                try start(disks, to: target, change)
                return nil
            } catch { return (error as? BlockError)?.message }
        }
        #expect(problem(small) { _ in } == "Source and target image have different sizes")
        #expect(problem(try disks.devices.node("d0")) { _ in } == "Source and target cannot be the same")
        #expect(problem(raw) { $0.compresses = true } == "Compression is not supported for this drive r")
        #expect(problem(raw) { $0.bitmap = "no" } == "Bitmap 'no' could not be found")
        try add(disks)
        #expect(
            problem(raw) { $0.bitmap = "m" } == "Bitmap sync mode must be given when providing a bitmap")
        #expect(problem(raw) { ($0.bitmap, $0.bitmapMode) = ("m", .never) }?.contains("no meaningful effect") == true)
        #expect(problem(raw) { $0.options.identifier = "1" } == "Invalid job ID '1'")
    }

    @Test func compressedBackupsRead() throws {
        let (disks, _) = try disks()
        let copy = try disks.addTarget("t")
        try start(disks, to: copy) { $0.compresses = true }
        try disks.wait(for: "b0", nil)
        #expect(try bytes(copy) == [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(((copy as? any HostStorageNode)?.allocatedBytes() ?? 0) < 4 << 20)
    }
}

/// A disk that takes nothing.
private final class FullNode: BlockNode, @unchecked Sendable {
    let length: Int64
    init(length: Int64) { self.length = length }
    let driverName = "full", isReadOnly = false
    let limits = BlockLimits(), location = NodeLocation(filename: "full"), children: [NodeChild] = []
    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {}
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        throw BlockError(.noSpace, "No space left on device")
    }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        throw BlockError(.noSpace, "No space left on device")
    }
    func discard(at offset: Int64, count: Int64) throws(BlockError) {}
    func flush() throws(BlockError) {}
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        BlockStatus(count: count, isData: true)
    }
    func close() throws(BlockError) {}
}
