// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import Glibc
import HostSystem
import RandomKit
import RawImage
import StorageTestKit

// Random reads and writes of 4 KiB on a raw disk, on a fully allocated qcow2 image, and on the same bytes of that image's file
// as a raw disk, in turn; prints the ratios of the best times and of the medians. The third tells what the format costs from
// what the host's page cache does with another file. usage: block-benchmark [MiB] [requests] [rounds]

let arguments = CommandLine.arguments.dropFirst().compactMap { Int64($0) }
let size = (arguments.first ?? 512) << 20
let requests = Int(arguments.dropFirst().first ?? 100_000)
let requestSize = 4096
let clusterSize: Int64 = 65536
let rounds = Int(arguments.dropFirst(2).first ?? 9)

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

/// Where each cluster of a qcow2 disk lies in its file.
func clusterPlaces(_ disk: any BlockNode) throws -> [Int64] {
    var places: [Int64] = []
    while Int64(places.count) * clusterSize < size {
        let position = Int64(places.count) * clusterSize
        let status = try disk.status(at: position, count: size - position, detail: .mapping)
        guard let offset = status.offset else { throw BlockError(.corrupt, "a cluster has no place") }
        for within in stride(from: 0, to: status.count, by: Int(clusterSize)) { places.append(offset + within) }
    }
    return places
}

/// Nanoseconds of the processor for all requests.
/// - Parameter places: where the clusters that are meant lie on this disk.
func time(_ disk: any BlockNode, isWrite: Bool, seed: UInt64, places: [Int64]) throws -> UInt64 {
    var random = SeededGenerator(seed: seed)
    let buffer = AlignedBuffer(count: requestSize)
    buffer.region.fill(1)
    let slots = UInt64(size) / UInt64(requestSize)
    let start = processorTime()
    for _ in 0..<requests {
        var offset = Int64(random.next() % slots) * Int64(requestSize)
        offset = places[Int(offset / clusterSize)] + offset % clusterSize
        if isWrite { try disk.write(buffer.region, at: offset) } else { try disk.read(buffer.region, at: offset) }
    }
    return processorTime() - start
}

let folder = Folder()
let (raw, qcow2) = (try makeDisk("raw", folder), try makeDisk("qcow2", folder))
guard let file = qcow2.children.first(where: { $0.role == "file" })?.node else { exit(1) }
let straight = stride(from: 0, to: size, by: Int(clusterSize)).map { $0 }
let places = try clusterPlaces(qcow2)
let disks: [(disk: any BlockNode, places: [Int64])] = [
    (raw, straight), (qcow2, straight), (RawNode(file: file), places),
]
for isWrite in [false, true] {
    var times: [[UInt64]] = [[], [], []]
    for round in 0..<rounds {
        for (index, (disk, places)) in disks.enumerated() {
            // Other places each time: the third disk would find the second one's pages in the processor's caches.
            let seed = UInt64(round * disks.count + index)
            times[index].append(try time(disk, isWrite: isWrite, seed: seed, places: places))
        }
    }
    let sorted = times.map { $0.map { Double($0) / Double(requests) }.sorted() }
    let (best, middle) = (sorted.map { $0[0] }, sorted.map { $0[rounds / 2] })
    print(
        """
        \(isWrite ? "write" : "read") 4 KiB: raw \(Int(best[0])) ns, qcow2 \(Int(best[1])) ns, ratio \(ratio(best[1], best[0])), \
        of medians \(ratio(middle[1], middle[0])) (at most 1.1); its file as raw \(Int(best[2])) ns, \
        ratio \(ratio(best[1], best[2])), of medians \(ratio(middle[1], middle[2]))
        """)
}
for disk in [raw, qcow2] { try disk.close() }

func ratio(_ a: Double, _ b: Double) -> String {
    let thousandths = Int(a / b * 1000 + 0.5)
    return "\(thousandths / 1000).\(String(thousandths % 1000 + 1000).dropFirst())"
}
