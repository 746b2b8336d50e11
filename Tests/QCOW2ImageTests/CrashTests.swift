// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import QCOW2Image
import RandomKit
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
    /// How many images were looked at.
    private(set) var states = 0

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

    /// What takes part in a run.
    enum Kind: CaseIterable {
        case write, zero, discard, compressed, create, delete, apply, resize, flush
    }
    /// What has taken part.
    private(set) var seen: Set<Kind> = []

    /// Moves that make sure that every kind takes part: a resize needs an image without snapshots.
    static let opening = [0, 13, 6, 7, 8, 15, 12, 13, 0, 9, 0, 11, 0, 10]

    mutating func step(_ move: Int? = nil) throws {
        let size = current.count
        let start = Int.random(in: 0..<size / 512, using: &random) * 512
        let end = min(size, start + Int.random(in: 1...100, using: &random) * 512)
        var next = current
        switch move ?? Int.random(in: 0..<16, using: &random) {
        case 0..<6:
            seen.insert(.write)
            let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random), count: end - start)
            next.replaceSubrange(start..<end, with: bytes)
            announce(next)
            try node.write(bytes, at: Int64(start))
        case 6:
            seen.insert(.zero)
            next.replaceSubrange(start..<end, with: repeatElement(0, count: end - start))
            announce(next)
            try node.writeZeroes(at: Int64(start), count: Int64(end - start), flags: .mayUnmap)
        case 7:
            seen.insert(.discard)
            // Discarded data may stay or read as zeroes: both are allowed versions.
            next.replaceSubrange(start..<end, with: repeatElement(0, count: end - start))
            announce(next)
            try node.discard(at: Int64(start), count: Int64(end - start))
            next = try node.readBytes(at: 0, count: size)
        case 8:
            seen.insert(.compressed)
            let cluster = node.clusterSize ?? 65536
            let place = start / cluster * cluster
            let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random), count: min(cluster, size - place))
            next.replaceSubrange(place..<place + bytes.count, with: bytes)
            announce(next)
            try node.writeCompressing(AlignedBuffer.holding(bytes).region, at: Int64(place))
        case 9 where node.snapshots.count < 3:
            seen.insert(.create)
            try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 1))
            return note(next, isAcknowledged: true)
        case 10:
            guard let first = node.snapshots.first else { return }
            seen.insert(.delete)
            try node.deleteSnapshot(identifier: first.identifier)
            return note(next, isAcknowledged: true)
        case 11:
            guard let last = node.snapshots.last else { return }
            seen.insert(.apply)
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
            seen.insert(.resize)
            let length = Int.random(in: 200...1200, using: &random) * 512
            next = Array(next.prefix(length)) + [UInt8](repeating: 0, count: max(0, length - next.count))
            announce(next)
            try node.resize(to: Int64(length), preallocation: .off, exact: true)
            return note(next, isAcknowledged: true)
        default:
            seen.insert(.flush)
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
        let events = pending.filter { if case .mark = $0 { false } else { true } }
        // Every prefix.
        var image = durable
        for event in events {
            image.apply(event)
            try look(image, from, to)
        }
        // Every choice of whole writes where there are few, else some.
        let most = events.count <= CrashDepth.enumerated ? 1 << events.count : samples
        for choice in 0..<most {
            let bits = events.count <= CrashDepth.enumerated ? UInt64(choice) : random.next()
            var image = durable
            for (index, event) in events.enumerated() where bits >> UInt64(index % 64) & 1 == 1 { image.apply(event) }
            try look(image, from, to)
        }
        // Some choices of sectors.
        for _ in 0..<min(samples, events.count) {
            var image = durable
            for event in events {
                let seed = random.next()
                image.apply(event, sectors: { sector in (seed >> UInt64(sector % 61)) & 1 == 1 })
            }
            try look(image, from, to)
        }
    }

    /// Before the first acknowledgement the image is being created.
    private mutating func look(_ image: FileImage, _ from: Int, _ to: Int) throws {
        states += 1
        guard from >= 0 else { return try inspectUnfinished(image) }
        try inspect(image, from: from, to: to, isSampled: states % CrashDepth.peerInterval == 0)
    }

    /// A file that is still being made is no image yet, or an empty one.
    private func inspectUnfinished(_ image: FileImage) throws {
        guard image.bytes.starts(with: [0x51, 0x46, 0x49, 0xfb]) else { return }
        let node = try Self.open(MemoryNode(image.bytes), writable: false, checking: true)
        var lines: [String] = []
        let result = try node.check(repair: [], report: { lines.append($0) })
        #expect(result.corruptions == 0 && result.checkErrors == 0, "\(options): \(lines.prefix(5))")
        #expect(try node.readBytes(at: 0, count: Int(node.length)).allSatisfy { $0 == 0 })
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
        if isSampled, hasQEMU { try PeerCheck.expect(image.bytes, content: content, options) }
    }
}

/// The original's opinion of an image.
enum PeerCheck {
    /// It finds leaks at most, and reads the same content.
    static func expect(_ bytes: [UInt8], content: [UInt8], _ what: String) throws {
        let folder = Folder()
        let (path, raw) = (folder.file("crash.qcow2"), folder.file("crash.raw"))
        try bytes.save(path)
        try content.save(raw)
        let outcome = run("qemu-img check -f qcow2 \(path)")
        #expect(outcome.status == 0 || outcome.status == 3, "\(what): \(outcome.output)")
        let compared = run("qemu-img compare -f qcow2 -F raw \(path) \(raw)")
        #expect(compared.status == 0, "\(what): \(compared.output)")
    }
}

/// How much is looked at: little in `make test`, more with `make crash-images` (ROOST_CRASH_SEEDS=n).
enum CrashDepth {
    static let seeds = environment("ROOST_CRASH_SEEDS") ?? 0
    static let isLong = seeds > 0
    /// Between two flushes so many writes have all their subsets looked at.
    static let enumerated = isLong ? 8 : 3
    static let samples = isLong ? 24 : 4
    static let steps = isLong ? 90 : 60
    /// One image in so many is shown to qemu-img.
    static let peerInterval = isLong ? 40 : 400

    private static func environment(_ name: String) -> Int? {
        // The environment does not change while tests run.
        guard let text = unsafe getenv(name) else { return nil }
        return Int(unsafe String(cString: text))
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
        ], 1...UInt64(max(CrashDepth.seeds, 2)))
    func everyCrashLeavesAnImage(options: String, seed: UInt64) throws {
        var run = try CrashRun(options, size: 400 * 512, seed: seed)
        for move in CrashRun.opening { try run.step(move) }
        for _ in CrashRun.opening.count..<CrashDepth.steps { try run.step() }
        try run.node.close()
        try run.verify(samples: CrashDepth.samples)
        #expect(run.states > run.versions.count)
        // Creation, writing, snapshots, resizing and discarding all took part.
        #expect(
            run.seen.isSuperset(of: CrashRun.Kind.allCases),
            "\(CrashRun.Kind.allCases.filter { !run.seen.contains($0) })")
    }

    /// Two files: at every instant of a commit the overlay shows what it always showed.
    @Test(
        arguments: ["cluster_size=4k", "cluster_size=512", "cluster_size=64k", "cluster_size=16k,extended_l2=on"],
        1...UInt64(max(CrashDepth.seeds, 2)))
    func everyCrashOfACommitKeepsTheContent(options: String, seed: UInt64) throws {
        let run = try CommitRun(options, seed: seed)
        try run.verify(samples: CrashDepth.samples)
    }
}
