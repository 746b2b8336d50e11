// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import HostSystem
import StorageTestKit
import Testing

/// Pull backups: a scratch image keeps what the guest overwrites, and shows the rest of the disk below it.
@Suite struct FleecingTests {
    /// A disk with a scratch image above it, a job that fills that, and how clients read it.
    private func setUp() throws -> (disks: Disks, disk: HaltingNode, guest: BlockBackend, client: any BlockNode) {
        let disks = try Disks()
        let disk = HaltingNode(length: 8 << 20)
        try disks.devices.graph.register(disk, as: "disk")
        disks.devices.addDrive("d0", disk, flags: .writable)
        let guest = try #require(disks.devices.backend(of: "d0"))
        let scratch = try disks.addTarget("scratch", backing: "disk")
        var request = BlockDevices.BackupRequest("d0", options: JobOptions("b0"))
        request.scope = .none
        try disks.devices.perform(
            [], snapshots: [], backups: [try disks.devices.prepare(request, to: scratch)])
        return (disks, disk, guest, disks.devices.reader(of: scratch))
    }

    private func end(_ disks: Disks) throws {
        try disks.devices.jobs.cancel("b0", block: true, force: true)
        try disks.wait(for: "b0", nil)
    }

    /// A client has found nothing in the scratch image and is about to read from the disk, when the guest writes there.
    @Test func aReadThatHasBegunIsNotOvertaken() throws {
        let (disks, disk, guest, client) = try setUp()
        let scratch = try disks.devices.node("scratch")
        let gate = disks.devices.gate(of: scratch)
        // The client's read, the first one of the disk, goes on once the guest's write waits, or has been let through.
        disk.halt { gate.isAwaited || disk.isWritten }
        let reader = try HostThread(name: "client") {
            #expect((try? client.byte(at: 4096)) == 0)
        }
        disk.waitForReader()
        let writer = try HostThread(name: "guest") {
            #expect(throws: Never.self) { try guest.fill(0x77, at: 4096, count: 512) }
        }
        reader.join()
        writer.join()
        #expect(try client.byte(at: 4096) == 0 && guest.byte(at: 4096) == 0x77)
        try end(disks)
    }

    /// Clients read everything again and again while the guest overwrites it: they see the disk as it was.
    @Test func clientsSeeOneMoment() throws {
        let (disks, _, guest, client) = try setUp()
        let writer = try HostThread(name: "guest") {
            var random = UInt64(17)
            for _ in 0..<400 {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let offset = Int64(random >> 33) % (8 << 20 - 8192)
                #expect(throws: Never.self) { try guest.fill(0xAA, at: offset, count: 8192) }
            }
        }
        let fine = try inParallel(3) { _ in
            (0..<3).allSatisfy { _ in
                (0..<128).allSatisfy { place in
                    let bytes = try? client.readBytes(at: Int64(place) << 16, count: 65536)
                    return bytes?.allSatisfy { $0 == 0 } ?? false
                }
            }
        }
        writer.join()
        #expect(fine.allSatisfy { $0 })
        try end(disks)
    }
}

/// A disk in memory one of whose reads waits until something holds.
private final class HaltingNode: BlockNode, @unchecked Sendable {
    private let inner: MemoryNode
    private let lock = Lock()
    // Guarded by `lock`.
    private var condition: (@Sendable () -> Bool)?
    private var hasReader = false, hasWriter = false

    init(length: Int) { inner = MemoryNode([UInt8](repeating: 0, count: length)) }

    /// Something was written.
    var isWritten: Bool { lock.withLock { hasWriter } }
    /// The next read waits until `condition` holds.
    func halt(until condition: @escaping @Sendable () -> Bool) { lock.withLock { self.condition = condition } }
    /// Waits for the read that waits.
    func waitForReader() { lock.withLock { while !hasReader { lock.wait() } } }

    let driverName = "halting", isReadOnly = false
    var length: Int64 { inner.length }
    let limits = BlockLimits(), location = NodeLocation(filename: "halting"), children: [NodeChild] = []
    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let condition = lock.withLock { () -> (@Sendable () -> Bool)? in
            defer {
                self.condition = nil
                hasReader = true
                lock.broadcast()
            }
            return self.condition
        }
        if let condition {
            while !condition() { lock.withLock { _ = lock.wait(until: monotonicNanoseconds() + 100_000) } }
        }
        try inner.read(region, at: offset)
    }
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try inner.write(region, at: offset)
        lock.withLock { hasWriter = true }
    }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try inner.writeZeroes(at: offset, count: count, flags: flags)
    }
    func discard(at offset: Int64, count: Int64) throws(BlockError) {}
    func flush() throws(BlockError) {}
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        BlockStatus(count: count, isData: true)
    }
    func close() throws(BlockError) {}
}
