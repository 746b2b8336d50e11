// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Diagnostics
import HostSystem
import RawImage
import Testing
import Virtio
import VirtioDevices
import VirtqueueDriver

/// A disk of memory that can be told to fail or to wait.
final class FaultyNode: BlockNode, @unchecked Sendable {
    let driverName = "faulty"
    let length: Int64
    let isReadOnly: Bool
    let limits = BlockLimits()
    let location = NodeLocation(filename: "faulty")
    let children: [NodeChild] = []
    private let lock = Lock()
    private var content: [UInt8]
    private var failure: BlockError?
    private var isHeld = false
    private var counts: [String: Int] = [:]

    init(sectors: Int, isReadOnly: Bool = false) {
        length = Int64(sectors * 512)
        self.isReadOnly = isReadOnly
        content = (0..<sectors * 512).map { UInt8(truncatingIfNeeded: $0 / 512) }
    }

    var bytes: [UInt8] { lock.withLock { content } }
    func count(_ name: String) -> Int { lock.withLock { counts[name, default: 0] } }
    func fail(_ error: BlockError?) { lock.withLock { failure = error } }
    func hold() { lock.withLock { isHeld = true } }
    func release() {
        lock.withLock {
            isHeld = false
            lock.broadcast()
        }
    }
    /// Waits until a call of this name has begun.
    func waitFor(_ name: String) -> Bool {
        let deadline = monotonicNanoseconds() + 10_000_000_000
        return lock.withLock {
            while counts[name, default: 0] == 0 { if !lock.wait(until: deadline) { return false } }
            return true
        }
    }

    private func begin(_ name: String) throws(BlockError) {
        lock.lock()
        defer { lock.unlock() }
        counts[name, default: 0] += 1
        lock.broadcast()
        while isHeld { lock.wait() }
        if let failure { throw failure }
    }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try begin("read")
        lock.withLock { for index in 0..<region.count { region[index] = content[Int(offset) + index] } }
    }
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try begin(flags.contains(.forceUnitAccess) ? "forced" : "write")
        lock.withLock { for index in 0..<region.count { content[Int(offset) + index] = region[index] } }
    }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try begin(flags.contains(.mayUnmap) ? "unmap" : "zero")
        lock.withLock { for index in 0..<Int(count) { content[Int(offset) + index] = 0 } }
    }
    func discard(at offset: Int64, count: Int64) throws(BlockError) { try begin("discard") }
    func flush() throws(BlockError) { try begin("flush") }
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        BlockStatus(count: count, isData: true)
    }
    func close() throws(BlockError) {}
}

/// The driver of a disk.
final class DiskDriver {
    let machine: VirtioTestMachine
    let device: VirtioBlockDevice
    let pci: VirtioPCIDriver

    init(_ node: any BlockNode, _ options: VirtioBlockOptions = .init(), except: UInt64 = 0) throws {
        machine = try VirtioTestMachine()
        device = try VirtioBlockDevice(node, options: options)
        pci = try VirtioPCIDriver(device, in: machine)
        #expect(pci.start(Array(0..<options.queueCount), except: except))
    }
    deinit { device.close() }

    static func header(_ kind: UInt32, sector: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: kind >> UInt32(shift))) }
        bytes += [0, 0, 0, 0]
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: sector >> UInt64(shift * 8))) }
        return bytes
    }

    /// Segment of a discard or zeroing.
    static func segment(sector: UInt64, count: UInt32, flags: UInt32) -> [UInt8] {
        Array(header(0, sector: sector)[8...]) + Array(header(count, sector: 0)[..<4])
            + Array(header(flags, sector: 0)[..<4])
    }

    func wait(_ queue: Int = 0, count: Int) -> [VirtqueueDriver.Used] {
        var used: [VirtqueueDriver.Used] = []
        while used.count < count {
            used += pci.queues[queue]!.takeUsed()
            if used.count < count, !machine.messages.wait() { break }
            _ = machine.messages.take()
        }
        return used
    }

    /// One request with its answer: the data read and the status.
    func request(
        _ kind: UInt32, sector: UInt64 = 0, writing: [UInt8] = [], reading: Int = 0, queue: Int = 0
    ) -> (data: [UInt8], status: UInt8, written: Int)? {
        pci.queues[queue]!.add(
            reading: [Self.header(kind, sector: sector)] + (writing.isEmpty ? [] : [writing]),
            writing: (reading > 0 ? [reading] : []) + [1])
        pci.kick(queue)
        guard let used = wait(queue, count: 1).first, let status = used.bytes.last else { return nil }
        return (Array(used.bytes.dropLast()), status, used.written)
    }
}

@Suite(.serialized) struct VirtioBlockTests {
    @Test func identityAndRegisters() throws {
        let disk = try DiskDriver(FaultyNode(sectors: 2048))
        #expect(disk.pci.configRead(0, 4) == 0x1001_1AF4)
        #expect(disk.pci.offered == 0x1_3000_6E54)
        // The registers that QEMU 7.2 shows for a disk of 1 MiB.
        let words: [UInt64] = [
            0x800, 0, 0, 0xFE, 0x3F10_0002, 0x200, 0, 0, 0x1_0001, 0x3F_FFFF, 1, 1, 0x3F_FFFF, 1, 0xFFFF_FFFF,
        ]
        for (index, word) in words.enumerated() { #expect(disk.pci.read(0x2000 + UInt64(index) * 4, 4) == word) }
        #expect(disk.pci.read(0x2038, 1) == 1)
    }

    @Test func readsAndWrites() throws {
        let node = FaultyNode(sectors: 64)
        let disk = try DiskDriver(node)
        let read = try #require(disk.request(0, sector: 3, reading: 1024))
        #expect(read.status == 0 && read.written == 1025)
        #expect(read.data == [UInt8](repeating: 3, count: 512) + [UInt8](repeating: 4, count: 512))
        let written = try #require(disk.request(1, sector: 5, writing: [UInt8](repeating: 0xAA, count: 512)))
        #expect(written.status == 0 && written.written == 1)
        #expect(node.bytes[5 * 512] == 0xAA && node.bytes[6 * 512] == 6)
        #expect(disk.request(4)?.status == 0 && node.count("flush") == 1)
    }

    @Test func rangesAreChecked() throws {
        let disk = try DiskDriver(FaultyNode(sectors: 64))
        #expect(disk.request(0, sector: 64, reading: 512)?.status == 1)
        #expect(disk.request(0, sector: 63, reading: 1024)?.status == 1)
        #expect(disk.request(0, sector: .max, reading: 512)?.status == 1)
        #expect(disk.request(0, sector: 1 << 55, reading: 512)?.status == 1)
        #expect(disk.request(0, sector: 0, reading: 100)?.status == 1)
        #expect(disk.request(77, sector: 0, reading: 512)?.status == 2)
        #expect(disk.request(0, sector: 63, reading: 512)?.status == 0)
    }

    @Test func identifies() throws {
        var options = VirtioBlockOptions()
        options.serial = "disk-1"
        let disk = try DiskDriver(FaultyNode(sectors: 8), options)
        let answer = try #require(disk.request(8, reading: 20))
        #expect(answer.status == 0 && Array(answer.data.prefix(7)) == Array("disk-1".utf8) + [0])
    }

    @Test func discardsAndZeroes() throws {
        let node = FaultyNode(sectors: 64)
        let disk = try DiskDriver(node)
        #expect(disk.request(11, writing: DiskDriver.segment(sector: 1, count: 2, flags: 0))?.status == 0)
        #expect(node.count("discard") == 1)
        #expect(disk.request(13, writing: DiskDriver.segment(sector: 4, count: 2, flags: 1))?.status == 0)
        #expect(node.count("unmap") == 1 && node.bytes[4 * 512] == 0 && node.bytes[6 * 512] == 6)
        #expect(disk.request(13, writing: DiskDriver.segment(sector: 7, count: 1, flags: 0))?.status == 0)
        #expect(node.count("zero") == 1)
        #expect(disk.request(11, writing: DiskDriver.segment(sector: 1, count: 2, flags: 1))?.status == 2)
        #expect(disk.request(13, writing: DiskDriver.segment(sector: 1, count: 2, flags: 8))?.status == 2)
        #expect(disk.request(13, writing: DiskDriver.segment(sector: 63, count: 2, flags: 0))?.status == 1)
        #expect(disk.request(13, writing: DiskDriver.segment(sector: 0, count: .max, flags: 0))?.status == 1)
        #expect(disk.request(13, writing: [1, 2, 3])?.status == 2)
    }

    @Test func readOnlyDisks() throws {
        let disk = try DiskDriver(FaultyNode(sectors: 8, isReadOnly: true))
        #expect(disk.pci.offered & 1 << 5 != 0)
        #expect(disk.request(1, writing: [UInt8](repeating: 1, count: 512))?.status == 1)
        #expect(disk.request(13, writing: DiskDriver.segment(sector: 1, count: 1, flags: 0))?.status == 1)
    }

    @Test func writeCache() throws {
        let node = FaultyNode(sectors: 8)
        let disk = try DiskDriver(node)
        let sector = [UInt8](repeating: 1, count: 512)
        #expect(disk.request(1, writing: sector)?.status == 0)
        #expect(node.count("write") == 1 && disk.pci.read(0x2020, 1) == 1)
        disk.pci.write(0x2020, 1, 0)
        #expect(disk.pci.read(0x2020, 1) == 0)
        #expect(disk.request(1, writing: sector)?.status == 0)
        #expect(node.count("forced") == 1)
        // A driver that cannot flush is never lied to.
        let careless = try DiskDriver(node, except: 1 << 9 | 1 << 11)
        #expect(careless.request(1, writing: sector)?.status == 0)
        #expect(node.count("forced") == 2)
    }

    @Test func errorsAreReported() throws {
        let node = FaultyNode(sectors: 8)
        let disk = try DiskDriver(node)
        node.fail(BlockError(.inputOutput, "broken"))
        let answer = try #require(disk.request(0, reading: 512))
        #expect(answer.status == 1 && answer.written == 1)
        node.fail(nil)
        #expect(disk.request(0, reading: 512)?.status == 0)
    }

    @Test func fullHostsStopTheMachine() throws {
        let node = FaultyNode(sectors: 8)
        let errors = ErrorList()
        var options = VirtioBlockOptions()
        options.onError = { errors.add($0) }
        let disk = try DiskDriver(node, options)
        node.fail(BlockError(.noSpace, "full"))
        disk.pci.queues[0]!.add(
            reading: [DiskDriver.header(1, sector: 0), [UInt8](repeating: 9, count: 512)], writing: [1])
        disk.pci.kick(0)
        #expect(errors.waitForOne())
        #expect(errors.all.first?.action == .stop && errors.all.first?.isNoSpace == true)
        #expect(disk.pci.queues[0]!.takeUsed().isEmpty)
        node.fail(nil)
        disk.device.resumeStopped()
        #expect(disk.wait(count: 1).first?.bytes == [0])
        #expect(node.bytes[0] == 9)
        // A stopped request is forgotten by a reset.
        node.fail(BlockError(.noSpace, "full"))
        disk.pci.queues[0]!.add(
            reading: [DiskDriver.header(1, sector: 0), [UInt8](repeating: 8, count: 512)], writing: [1])
        disk.pci.kick(0)
        disk.pci.status = 0
        #expect(disk.pci.status == 0)
    }

    private final class ErrorList: @unchecked Sendable {
        private let lock = Lock()
        private var errors: [BlockIOError] = []
        var all: [BlockIOError] { lock.withLock { errors } }
        func add(_ error: BlockIOError) {
            lock.withLock {
                errors.append(error)
                lock.broadcast()
            }
        }
        func waitForOne() -> Bool {
            let deadline = monotonicNanoseconds() + 10_000_000_000
            return lock.withLock {
                while errors.isEmpty { if !lock.wait(until: deadline) { return false } }
                return true
            }
        }
    }

    @Test func resetWaitsForRequestsInFlight() throws {
        let node = FaultyNode(sectors: 8)
        let disk = try DiskDriver(node)
        node.hold()
        disk.pci.queues[0]!.add(reading: [DiskDriver.header(0, sector: 7)], writing: [512, 1])
        disk.pci.kick(0)
        #expect(node.waitFor("read"))
        let releaser = try HostThread(name: "release") { node.release() }
        disk.pci.status = 0
        releaser.join()
        #expect(disk.pci.status == 0)
        // Nothing is shown to a driver that is gone; a new one starts clean.
        let old = disk.pci.queues[0]!
        let shown = old.usedIndex
        #expect(disk.pci.start([0]))
        #expect(disk.request(0, sector: 2, reading: 512)?.data.first == 2)
        #expect(old.usedIndex == shown)
    }

    @Test(
        arguments: [
            (0, [1], "missing"), (16, [], "missing"), (8, [1], "short"),
        ] as [(Int, [Int], String)])
    func malformedRequestsBreakTheQueue(header: Int, writing: [Int], word: String) throws {
        let disk = try DiskDriver(FaultyNode(sectors: 8))
        disk.pci.queues[0]!.add(
            reading: header > 0 ? [[UInt8](repeating: 0, count: header)] : [], writing: writing)
        disk.pci.kick(0)
        #expect(disk.machine.pump { disk.pci.status & 0x40 != 0 })
        disk.pci.status = 0
        #expect(disk.pci.start([0]))
        #expect(disk.request(0, reading: 512)?.status == 0)
    }

    @Test(arguments: [0, -1, 1000, 1 << 30]) func impossibleOptions(value: Int) {
        var keys = [\VirtioBlockOptions.logicalBlockSize, \.physicalBlockSize]
        if value != 1000 { keys.append(\.queueCount) }
        for key in keys {
            var options = VirtioBlockOptions()
            options[keyPath: key] = value
            #expect(throws: UserError.self) { _ = try VirtioBlockDevice(FaultyNode(sectors: 8), options: options) }
        }
    }
}
