// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import Glibc
import HostSystem
import StorageTestKit

// Random reads and writes of 4 KiB on a fully allocated qcow2 image and on a raw one, in turn; prints the ratio of the
// best times. usage: block-benchmark [MiB] [requests]

let arguments = CommandLine.arguments.dropFirst().compactMap { Int64($0) }
let size = (arguments.first ?? 512) << 20
let requests = Int(arguments.dropFirst().first ?? 100_000)
let requestSize = 4096
let rounds = 5

func makeDisk(_ format: String, _ folder: Folder) throws -> any BlockNode {
    let graph = DiskImages.graph()
    let path = folder.file("disk.\(format)")
    guard let driver = graph.driver(format) as? any CreatingDriver else {
        throw BlockError(.notSupported, "no driver for \(format)")
    }
    var options = CreateOptions(driver.createOptions)
    try options.set("size", String(size))
    try driver.create(CreateRequest(filename: path, options: options, graph: graph))
    var flags = OpenFlags.writable
    flags.cache = .unsafe
    let disk = try graph.open(path, format: format, flags: flags)
    let chunk = AlignedBuffer(count: 1 << 20)
    chunk.region.fill(0x5a)
    for offset in stride(from: Int64(0), to: size, by: 1 << 20) { try disk.write(chunk.region, at: offset) }
    return disk
}

/// What the processor has spent on this thread, so that other programs do not count.
func processorTime() -> UInt64 {
    var now = timespec()
    // clock_gettime fills the struct on this frame.
    guard unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0 else { return monotonicNanoseconds() }
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Nanoseconds of the processor for all requests.
func time(_ disk: any BlockNode, isWrite: Bool, seed: UInt64) throws -> UInt64 {
    var random = SeededGenerator(seed: seed)
    let buffer = AlignedBuffer(count: requestSize)
    buffer.region.fill(1)
    let slots = UInt64(size) / UInt64(requestSize)
    let start = processorTime()
    for _ in 0..<requests {
        let offset = Int64(random.next() % slots) * Int64(requestSize)
        if isWrite { try disk.write(buffer.region, at: offset) } else { try disk.read(buffer.region, at: offset) }
    }
    return processorTime() - start
}

let folder = Folder()
let disks = try ["raw", "qcow2"].map { try makeDisk($0, folder) }
for isWrite in [false, true] {
    var best: [UInt64] = [.max, .max]
    for round in 0..<rounds {
        for (index, disk) in disks.enumerated() {
            best[index] = min(best[index], try time(disk, isWrite: isWrite, seed: UInt64(round)))
        }
    }
    let each = best.map { Double($0) / Double(requests) }
    let ratio = Int(each[1] / each[0] * 1000 + 0.5)
    print(
        "\(isWrite ? "write" : "read") 4 KiB: raw \(Int(each[0])) ns, qcow2 \(Int(each[1])) ns, ratio \(ratio / 1000).\(String(ratio % 1000 + 1000).dropFirst()) (at most 1.1)"
    )
}
for disk in disks { try disk.close() }
