// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import GuestMemory
import HostSystem
import RandomKit
import RawImage
import Testing
import VirtioDevices
import VirtqueueDriver

/// A disk on a file, through io_uring where this kernel allows it.
@Suite(.serialized) struct VirtioBlockFileTests {
    private static func makeFile(sectors: Int) throws -> String {
        let path = "/tmp/roost-virtio-blk-\(getpid())-\(monotonicNanoseconds())"
        let file = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT | O_TRUNC)
        try file.writeAll((0..<sectors * 512).map { UInt8(truncatingIfNeeded: $0 / 512) })
        return path
    }

    private func withDisk(
        sectors: Int, _ options: VirtioBlockOptions = .init(), _ body: (DiskDriver, String) throws -> Void
    ) throws {
        let path = try Self.makeFile(sectors: sectors)
        // Only the path is passed.
        defer { _ = unsafe unlink(path) }
        let graph = BlockGraph(drivers: [FileDriver.file, RawDriver()])
        let node = try graph.open(path, format: "raw", flags: .writable)
        let disk = try DiskDriver(node, options)
        try body(disk, path)
        disk.device.close()
        try node.close()
    }

    @Test func readsWritesAndFlushes() throws {
        try withDisk(sectors: 128) { disk, path in
            #expect(disk.request(0, sector: 9, reading: 4096)?.data.last == 16)
            #expect(disk.request(1, sector: 2, writing: [UInt8](repeating: 0xC3, count: 1024))?.status == 0)
            #expect(disk.request(4)?.status == 0)
            #expect(disk.request(13, writing: DiskDriver.segment(sector: 8, count: 8, flags: 1))?.status == 0)
            #expect(disk.request(0, sector: 8, reading: 512)?.data == [UInt8](repeating: 0, count: 512))
            #expect(disk.request(11, writing: DiskDriver.segment(sector: 32, count: 8, flags: 0))?.status == 0)
            let content = try FileDescriptor.open(path)
            var bytes = [UInt8](repeating: 0, count: 512)
            // The array has the length that is read.
            _ = try unsafe bytes.withUnsafeMutableBytes { try unsafe content.read(into: $0, at: 1024) }
            #expect(bytes == [UInt8](repeating: 0xC3, count: 512))
        }
    }

    @Test(arguments: [1, 4]) func manyAtOnce(queues: Int) throws {
        var options = VirtioBlockOptions()
        options.queueCount = queues
        try withDisk(sectors: 4096, options) { disk, _ in
            for round in 0..<8 {
                for queue in 0..<queues {
                    for index in 0..<64 {
                        let sector = UInt64((round * 64 + index) * 8 % 4096)
                        let added = disk.pci.queues[queue]!.add(
                            reading: [DiskDriver.header(0, sector: sector)], writing: [512, 3584, 1])
                        #expect(added != nil)
                    }
                    disk.pci.kick(queue)
                }
                for queue in 0..<queues {
                    let used = disk.wait(queue, count: 64)
                    #expect(used.count == 64)
                    for entry in used {
                        #expect(entry.bytes.last == 0 && entry.written == 4097)
                        let first = entry.bytes[0]
                        #expect(entry.bytes[3584 + 511] == first &+ 7)
                    }
                }
            }
        }
    }

    @Test func unevenEndOfFile() throws {
        // The last bytes do not fill a sector and are not part of the disk.
        let path = try Self.makeFile(sectors: 4)
        // Only the path is passed.
        defer { _ = unsafe unlink(path) }
        // As above.
        _ = unsafe truncate(path, 4 * 512 + 100)
        let node = try BlockGraph(drivers: [FileDriver.file, RawDriver()]).open(path, format: "raw", flags: .writable)
        let disk = try DiskDriver(node)
        #expect(disk.request(0, sector: 3, reading: 512)?.status == 0)
        disk.device.close()
        try node.close()
    }

    @Test func randomRingsOnFile() throws {
        try withDisk(sectors: 64) { disk, _ in
            var generator = SeededGenerator(seed: 21)
            for _ in 0..<60 {
                let queue = disk.pci.queues[0]!
                try disk.machine.memory.write(generator.bytes(0x1000), at: queue.descriptors)
                queue.setAvailableIndex(UInt16.random(in: 0...256, using: &generator))
                disk.pci.notify(0)
                disk.pci.notify(0)
                disk.pci.status = 0
                #expect(disk.pci.status == 0)
                #expect(disk.pci.start([0]))
            }
            #expect(disk.request(0, reading: 512)?.status == 0)
        }
    }
}
