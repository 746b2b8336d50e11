// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import HostSystem
import StorageTestKit
import Testing

@Suite struct WriteTrackerTests {
    private static let piece = WriteTracker.granularity

    @Test func marksAreTakenOnceAndInOrder() {
        let tracker = WriteTracker(length: 100 * Self.piece + 5)
        tracker.mark(at: Self.piece - 1, count: 2)
        tracker.mark(at: 70 * Self.piece, count: 1)
        tracker.mark(at: 100 * Self.piece, count: 100)
        #expect(tracker.markedBytes == 4 * Self.piece)
        #expect(tracker.take(from: Self.piece * 2, limit: .max) == 70 * Self.piece..<71 * Self.piece)
        #expect(tracker.take(from: Self.piece * 71, limit: .max) == 100 * Self.piece..<100 * Self.piece + 5)
        // Nothing is left behind: begins anew.
        #expect(tracker.take(from: Self.piece * 71, limit: 1) == 0..<Self.piece)
        #expect(tracker.take(from: 0, limit: .max) == Self.piece..<2 * Self.piece)
        #expect(tracker.take(from: 0, limit: .max) == nil && tracker.markedBytes == 0)
    }

    @Test(
        arguments: [(-5, 3), (0, 0), (Int64.max, 1), (1 << 40, 7), (-1, Int64.max), (Int64.min, 5)] as [(Int64, Int64)])
    func rangesOutsideDoNothingWrong(offset: Int64, count: Int64) {
        let tracker = WriteTracker(length: 3 * Self.piece)
        tracker.mark(at: offset, count: count)
        var seen: Int64 = 0
        while let range = tracker.take(from: 0, limit: .max) { seen += range.upperBound - range.lowerBound }
        #expect(seen == 0 || offset == -1 && seen == 3 * Self.piece)
    }

    @Test func anEmptyDisk() {
        let tracker = WriteTracker(length: 0)
        tracker.mark(at: 0, count: 10)
        #expect(tracker.take(from: 0, limit: 1) == nil)
    }
}

@Suite struct BlockBackendTests {
    @Test func requestsGoToTheNodeThatIsThere() throws {
        let first = MemoryNode([UInt8](repeating: 1, count: 4096)),
            second = MemoryNode([UInt8](repeating: 2, count: 4096))
        let backend = BlockBackend(first)
        #expect(try backend.byte(at: 7) == 1)
        backend.hold(.all) { _ in backend.exchange(for: second) }
        #expect(try backend.byte(at: 7) == 2)
        try backend.fill(9, at: 100, count: 4)
        #expect(try second.byte(at: 103) == 9 && first.byte(at: 103) == 1)
        #expect(backend.filtered === second && backend.length == 4096 && !backend.isReadOnly)
    }

    @Test func writesAreTracked() throws {
        let backend = BlockBackend(MemoryNode([UInt8](repeating: 0, count: 1 << 20)))
        let tracker = WriteTracker(length: backend.length)
        backend.add(tracker)
        _ = try backend.byte(at: 0)
        try backend.flush()
        #expect(tracker.markedBytes == 0)
        try backend.fill(1, at: 70_000, count: 1)
        try backend.writeZeroes(at: 200_000, count: 10, flags: [])
        #expect(tracker.markedBytes == 2 * WriteTracker.granularity)
        backend.remove(tracker)
        try backend.fill(1, at: 900_000, count: 1)
        #expect(tracker.markedBytes == 2 * WriteTracker.granularity)
    }

    /// Requests of several threads and holders in turn: no request is under way while all are held.
    @Test func holdersAndRequestsTakeTurns() throws {
        let node = CountingNode()
        let backend = BlockBackend(node)
        let threads = try (0..<3).map { number in
            try HostThread(name: "request") {
                for round in 0..<300 {
                    if number == 0 { _ = try? backend.readBytes(at: 0, count: 8) }
                    if number > 0 { try? backend.fill(UInt8(round & 255), at: Int64(number) * 8, count: 8) }
                }
            }
        }
        for round in 0..<300 {
            let kind: BlockBackend.Hold = round % 2 == 0 ? .all : .writes
            backend.hold(kind) { _ in
                #expect(node.writing == 0)
                if kind == .all { #expect(node.reading == 0) }
            }
        }
        for thread in threads { thread.join() }
        #expect(node.reading == 0 && node.writing == 0)
    }

    @Test func directRequestsDoNotWait() throws {
        let folder = Folder()
        let path = folder.file("disk")
        #expect(run("truncate -s 1M \(path)").status == 0)
        let disks = try Disks()
        let backend = BlockBackend(try disks.devices.graph.open(path, format: "raw", flags: .writable))
        #expect(backend.beginDirect(at: 0, count: 512, isWrite: true) != nil)
        backend.endDirect(at: 0, count: 512, isWrite: true)
        backend.hold(.writes) { _ in
            #expect(backend.beginDirect(at: 0, count: 512, isWrite: true) == nil)
            #expect(backend.beginDirect(at: 0, count: 512, isWrite: false) != nil)
            backend.endDirect(at: 0, count: 512, isWrite: false)
        }
    }
}

/// Counts what is under way.
private final class CountingNode: BlockNode, @unchecked Sendable {
    private let lock = Lock()
    private let memory = MemoryNode([UInt8](repeating: 0, count: 4096))
    private var counts = (reading: 0, writing: 0)
    var reading: Int { lock.withLock { counts.reading } }
    var writing: Int { lock.withLock { counts.writing } }
    let driverName = "counting", isReadOnly = false
    var length: Int64 { memory.length }
    var limits: BlockLimits { memory.limits }
    var location: NodeLocation { memory.location }
    var children: [NodeChild] { [] }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        lock.withLock { counts.reading += 1 }
        defer { lock.withLock { counts.reading -= 1 } }
        try memory.read(region, at: offset)
    }
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        lock.withLock { counts.writing += 1 }
        defer { lock.withLock { counts.writing -= 1 } }
        try memory.write(region, at: offset, flags: flags)
    }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {}
    func discard(at offset: Int64, count: Int64) throws(BlockError) {}
    func flush() throws(BlockError) {}
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        try memory.status(at: offset, count: count, detail: detail)
    }
    func close() throws(BlockError) {}
}
