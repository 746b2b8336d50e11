// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import GuestMemory
import HostIO
import HostSystem
import PacketPorts
import QCOW2Image
import RandomKit
import RawImage
import Virtio
import VirtioDevices
import VirtqueueDriver

// What a request costs on the device's side: rings alone, disk requests of 4 KiB, frames over a wire. The numbers include
// the driver that the benchmark has to play, so they are for comparing one build with another on one host.

func report(_ name: String, _ count: Int, since start: UInt64) {
    let nanoseconds = max(monotonicNanoseconds() - start, 1)
    print("\(name): \(nanoseconds / UInt64(max(count, 1))) ns each, \(UInt64(count) * 1_000_000_000 / nanoseconds) /s")
}

/// Takes and completes requests of three descriptors.
func rings() throws {
    let machine = try VirtioTestMachine()
    let driver = VirtqueueDriver(machine.memory, base: 0x10000, end: 0x80000, size: 256)
    let queue = Virtqueue(index: 0, maximumSize: 256, memory: machine.memory)
    queue.layout.size = driver.size
    queue.layout.descriptors = driver.descriptors
    queue.layout.available = driver.available
    queue.layout.used = driver.used
    queue.configure(features: [.version1, .eventIndex])
    for index in 0..<3 {
        driver.setDescriptor(
            UInt16(index), address: 0x40000, count: 512, flags: index == 2 ? 2 : 1, next: UInt16(index + 1))
    }
    let chain = DescriptorChain(memory: machine.memory)
    for _ in 0..<256 { driver.makeAvailable(0) }
    let batches = 4000
    let start = monotonicNanoseconds()
    for batch in 0..<batches {
        while queue.take(into: chain) { queue.complete(chain.head, written: 512) }
        _ = queue.publish()
        // The entries stay as they are: only the index moves on.
        driver.setAvailableIndex(UInt16(truncatingIfNeeded: (batch + 2) * 256))
    }
    report("ring: take, complete, publish in batches of 256", batches * 256, since: start)
}

/// Requests of 4 KiB at random places, `depth` at a time. Returns nanoseconds for each.
func disk(_ node: any BlockNode, depth: Int, isWrite: Bool, seed: UInt64) throws -> UInt64 {
    let machine = try VirtioTestMachine()
    let device = try VirtioBlockDevice(node)
    defer { device.close() }
    let driver = try VirtioPCIDriver(device, in: machine)
    guard driver.start([0]), let queue = driver.queues[0] else { return 0 }
    var generator = SeededGenerator(seed: seed)
    let total = 10_000
    var sent = 0, done = 0
    let blocks = UInt64(node.length) / 4096
    let content = [UInt8](repeating: 7, count: 4096)
    let start = monotonicNanoseconds()
    while done < total {
        while sent - done < depth, sent < total {
            let sector = generator.next() % blocks * 8
            let header =
                [isWrite ? 1 : 0] + [UInt8](repeating: 0, count: 7)
                + (0..<8).map { UInt8(truncatingIfNeeded: sector >> UInt64($0 * 8)) }
            let added =
                isWrite
                ? queue.add(reading: [header, content], writing: [1])
                : queue.add(reading: [header], writing: [4096, 1])
            guard added != nil else { break }
            sent += 1
        }
        driver.kick(0)
        let used = queue.takeUsed().count
        if used == 0, !machine.messages.wait() { break }
        _ = machine.messages.take()
        done += used
    }
    return (monotonicNanoseconds() - start) / UInt64(max(done, 1))
}

/// The same requests on a raw disk and on a qcow2 image, in turn; prints the best times and the medians.
func disks(_ folder: String) throws {
    let graph = BlockGraph(drivers: [FileDriver.file, RawDriver(), QCOW2Driver()])
    let nodes = try ["raw", "qcow2"].map { format in
        guard let driver = graph.driver(format) as? any CreatingDriver else { throw Errno(ENOTSUP) }
        var options = CreateOptions(driver.createOptions)
        try options.set("size", "64M")
        try driver.create(CreateRequest(filename: folder + format, options: options, graph: graph))
        var flags = OpenFlags.writable
        flags.cache = .unsafe
        let node = try graph.open(folder + format, format: format, flags: flags)
        for index in 0..<64 { try node.write([UInt8](repeating: 7, count: 1 << 20), at: Int64(index) << 20) }
        return node
    }
    let rounds = 7
    for isWrite in [false, true] {
        for depth in [1, 32] {
            var times: [[UInt64]] = [[], []]
            for round in 0..<rounds {
                for (index, node) in nodes.enumerated() {
                    let seed = UInt64(2 * round + index)
                    times[index].append(try disk(node, depth: depth, isWrite: isWrite, seed: seed))
                }
            }
            let sorted = times.map { $0.sorted() }
            print(
                "disk: \(isWrite ? "writes" : "reads") of 4 KiB, \(depth) at a time: raw \(sorted[0][0]) ns (median",
                "\(sorted[0][rounds / 2])), qcow2 \(sorted[1][0]) ns (median \(sorted[1][rounds / 2]))")
        }
    }
    for node in nodes { try node.close() }
}

/// Frames of 1500 bytes from the driver to the far end of a wire.
func network() throws {
    final class Sink: PacketReceiver {
        var count = 0
        func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
            count += 1
            return .accepted
        }
        func portIsReady() {}
        func linkChanged(isUp: Bool) {}
    }
    let machine = try VirtioTestMachine()
    let (near, far) = LoopbackPort.pair(on: machine.loop)
    let sink = Sink()
    far.receiver = sink
    let device = VirtioNetworkDevice(.init(address: [0x52, 0x54, 0, 0x12, 0x34, 0x56]), port: near, loop: machine.loop)
    let driver = try VirtioPCIDriver(device, in: machine)
    guard driver.start([0, 1]), let queue = driver.queues[1] else { return }
    machine.drain()
    let frame = [UInt8](repeating: 0, count: 1512)
    let total = 100_000
    var sent = 0
    let start = monotonicNanoseconds()
    while sink.count < total {
        while sent < total, queue.add(reading: [frame]) != nil { sent += 1 }
        driver.kick(1)
        machine.loop.runOnce(timeoutMilliseconds: 0)
        _ = queue.takeUsed()
    }
    report("network: frames of 1500 bytes sent", total, since: start)
}

func main() throws {
    try rings()
    let path = "/tmp/roost-virtio-benchmark-\(monotonicNanoseconds())-"
    defer {
        // Only the paths are passed.
        for format in ["raw", "qcow2"] { _ = unsafe unlink(path + format) }
    }
    try disks(path)
    try network()
}

try main()
