// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import Glibc
import HostSystem
import StorageTestKit

// Random reads and writes of 4 KiB on a raw disk, on a fully allocated qcow2 image, and on the bytes of that image's file as a
// raw disk, in turn; prints the ratios of the best times. The third tells what the format costs from what the host's page
// cache does with another file. usage: block-benchmark [MiB] [requests]

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
var sharing = OpenFlags()
sharing.forceShare = true
let sameFile = try DiskImages.graph().open(folder.file("disk.qcow2"), format: "raw", flags: sharing)
for isWrite in [false, true] {
    // What would be written over tables is only read.
    let disks = isWrite ? disks : disks + [sameFile]
    var best: [UInt64] = [.max, .max, .max]
    for round in 0..<rounds {
        for (index, disk) in disks.enumerated() {
            best[index] = min(best[index], try time(disk, isWrite: isWrite, seed: UInt64(round)))
        }
    }
    let each = best.map { Double($0) / Double(requests) }
    var line = "\(isWrite ? "write" : "read") 4 KiB: raw \(Int(each[0])) ns, qcow2 \(Int(each[1])) ns, "
    line += "ratio \(ratio(each[1], each[0])) (at most 1.1)"
    if !isWrite { line += "; its file as raw \(Int(each[2])) ns, ratio \(ratio(each[1], each[2]))" }
    print(line)
}
for disk in disks + [sameFile] { try disk.close() }

func ratio(_ a: Double, _ b: Double) -> String {
    let thousandths = Int(a / b * 1000 + 0.5)
    return "\(thousandths / 1000).\(String(thousandths % 1000 + 1000).dropFirst())"
}
