// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import QCOW2Image
import RawImage
import StorageTestKit
import Testing

/// Runs operations over a recording file and then looks at the image as it would be after a crash at any instant: with
/// all that was flushed, and any part of what was written since.
struct CrashRun {
    let recording = RecordingNode()
    var node: QCOW2Node
    /// What the disk held after each operation; the index is the mark in the log.
    var versions: [[UInt8]] = []
    /// The version that a returned flush has acknowledged, by mark.
    var acknowledged: [Int: Int] = [:]
    var random: SeededGenerator
    let options: String

    init(_ options: String, size: Int, seed: UInt64) throws {
        self.options = options
        random = SeededGenerator(seed: seed)
        var values = CreateOptions(QCOW2Driver().createOptions)
        if !options.isEmpty { try values.parse(options) }
        try QCOW2Driver.formatForTests(recording, values)
        node = try Self.open(recording, writable: true)
        try node.resize(to: Int64(size), preallocation: .off, exact: true)
        try node.flush()
        note([UInt8](repeating: 0, count: size), isAcknowledged: true)
    }

    static func open(
        _ file: any BlockNode, writable: Bool, checking: Bool = false,
        warn: @escaping @Sendable (String) -> Void = { _ in }
    ) throws -> QCOW2Node {
        let graph = BlockGraph(drivers: [RawDriver(), QCOW2Driver(), FileDriver.file], warn: warn)
        try graph.register(file, as: "disk")
        var flags = writable ? OpenFlags.writable : OpenFlags()
        flags.forChecking = checking
        let options = BlockOptions([("driver", .string("qcow2")), ("file", .string("disk"))])
        return try #require(try graph.open(nil, options: options, flags: flags) as? QCOW2Node)
    }

    mutating func note(_ content: [UInt8], isAcknowledged: Bool = false) {
        let number = versions.count
        versions.append(content)
        if isAcknowledged { acknowledged[number] = number }
        recording.mark(number)
    }

    var current: [UInt8] { versions[versions.count - 1] }

    mutating func step() throws {
        let size = current.count
        let start = Int.random(in: 0..<size / 512, using: &random) * 512
        let end = min(size, start + Int.random(in: 1...100, using: &random) * 512)
        var next = current
        switch Int.random(in: 0..<16, using: &random) {
        case 0..<6:
            let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random), count: end - start)
            next.replaceSubrange(start..<end, with: bytes)
            announce(next)
            try node.write(bytes, at: Int64(start))
        case 6:
            next.replaceSubrange(start..<end, with: repeatElement(0, count: end - start))
            announce(next)
            try node.writeZeroes(at: Int64(start), count: Int64(end - start), flags: .mayUnmap)
        case 7:
            // Discarded data may stay or read as zeroes: both are allowed versions.
            next.replaceSubrange(start..<end, with: repeatElement(0, count: end - start))
            announce(next)
            try node.discard(at: Int64(start), count: Int64(end - start))
            next = try node.readBytes(at: 0, count: size)
        case 8:
            let cluster = node.clusterSize ?? 65536
            let place = start / cluster * cluster
            let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random), count: min(cluster, size - place))
            next.replaceSubrange(place..<place + bytes.count, with: bytes)
            announce(next)
            try node.writeCompressing(AlignedBuffer.holding(bytes).region, at: Int64(place))
        case 9 where node.snapshots.count < 3:
            try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 1))
            return note(next, isAcknowledged: true)
        case 10:
            guard let first = node.snapshots.first else { return }
            try node.deleteSnapshot(identifier: first.identifier)
            return note(next, isAcknowledged: true)
        case 11:
            guard let last = node.snapshots.last else { return }
            let view = try node.openSnapshot(identifier: last.identifier)
            next = try view.readBytes(at: 0, count: Int(view.length))
            announce(next)
            try node.applySnapshot(identifier: last.identifier)
            return note(next, isAcknowledged: true)
        case 12 where node.snapshots.isEmpty:
            next = [UInt8](repeating: 0, count: size)
            announce(next)
            try node.makeEmpty()
            return note(next, isAcknowledged: true)
        case 13 where node.snapshots.isEmpty:
            let length = Int.random(in: 200...1200, using: &random) * 512
            next = Array(next.prefix(length)) + [UInt8](repeating: 0, count: max(0, length - next.count))
            announce(next)
            try node.resize(to: Int64(length), preallocation: .off, exact: true)
            return note(next, isAcknowledged: true)
        default:
            try node.flush()
            return note(next, isAcknowledged: true)
        }
        note(next)
    }

    /// A version that becomes possible from here on.
    private mutating func announce(_ content: [UInt8]) { note(content) }

    // MARK: Looking at crashes

    /// Checks `samples` states for each stretch between two flushes.
    mutating func verify(samples: Int) throws {
        var durable = FileImage()
        var pending: [RecordingNode.Event] = []
        var version = -1
        var lastMark = -1
        for event in recording.log {
            switch event {
            case .mark(let number):
                lastMark = number
                if acknowledged[number] != nil { version = number }
                pending.append(event)
            case .flush:
                try verify(durable, pending, from: version, to: lastMark, samples: samples)
                for event in pending { durable.apply(event) }
                pending = []
            default: pending.append(event)
            }
        }
        try verify(durable, pending, from: version, to: lastMark, samples: samples)
    }

    private mutating func verify(
        _ durable: FileImage, _ pending: [RecordingNode.Event], from: Int, to: Int, samples: Int
    ) throws {
        guard from >= 0 else { return }
        for sample in 0..<min(samples, pending.count + 1) {
            var image = durable
            var generator = random
            let cut = Int.random(in: 0...pending.count, using: &generator)
            for (index, event) in pending.enumerated() {
                switch sample % 3 {
                case 0:
                    // A prefix.
                    if index < cut { image.apply(event) }
                case 1:
                    // Any choice of whole writes.
                    if Bool.random(using: &generator) { image.apply(event) }
                default:
                    // Any choice of sectors.
                    let seed = UInt64.random(in: 0...UInt64.max, using: &generator)
                    image.apply(event, sectors: { sector in (seed >> UInt64(sector % 61)) & 1 == 1 })
                }
            }
            _ = random.next()
            try inspect(image, from: from, to: to, isSampled: sample == 1 && cut % 16 == 0)
        }
    }

    private func inspect(_ image: FileImage, from: Int, to: Int, isSampled: Bool) throws {
        let file = MemoryNode(image.bytes)
        let node = try Self.open(file, writable: false, checking: true)
        var lines: [String] = []
        let result = try node.check(repair: [], report: { lines.append($0) })
        #expect(result.corruptions == 0 && result.checkErrors == 0, "\(options): \(lines.prefix(5))")
        let content = try node.readBytes(at: 0, count: Int(node.length))
        let allowed = versions[from...max(from, min(to + 1, versions.count - 1))]
        #expect(allowed.contains { $0.count == content.count }, "\(options): the size is none that was set")
        for start in stride(from: 0, to: content.count, by: 512) {
            let sector = content[start..<min(start + 512, content.count)]
            let isKnown = allowed.contains { version in
                version.count >= start + sector.count && version[start..<start + sector.count].elementsEqual(sector)
            }
            if !isKnown {
                Issue.record(
                    "\(options): bytes at \(start) are none of those written since the last flush (\(sector.first ?? 0))"
                )
                return
            }
        }
        if isSampled, hasQEMU {
            let folder = Folder()
            let path = folder.file("crash.qcow2")
            try image.bytes.save(path)
            let outcome = run("qemu-img check -f qcow2 \(path)")
            #expect(outcome.status == 0 || outcome.status == 3, "\(options): \(outcome.output)")
        }
    }
}

extension Array<UInt8> {
    func save(_ path: String) throws {
        guard let file = unsafe fopen(path, "w") else { throw BlockError(.notFound, path) }
        _ = unsafe fwrite(self, 1, count, file)
        unsafe fclose(file)
    }
}

@Suite struct CrashTests {
    @Test(
        arguments: [
            "cluster_size=4k", "cluster_size=512", "compat=0.10,cluster_size=4k", "cluster_size=16k,extended_l2=on",
            "cluster_size=4k,refcount_bits=64", "cluster_size=64k",
        ], [1, 2] as [UInt64])
    func everyCrashLeavesAnImage(options: String, seed: UInt64) throws {
        var run = try CrashRun(options, size: 400 * 512, seed: seed)
        for _ in 0..<60 { try run.step() }
        try run.node.close()
        try run.verify(samples: 12)
    }
}
