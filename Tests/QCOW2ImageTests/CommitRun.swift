// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RandomKit
import StorageTestKit
import Testing

/// Commits an overlay into its base over two recording files, and then looks at both as they would be after a crash at
/// any instant.
struct CommitRun {
    private let journal = RecordingJournal()
    private let options: String
    private let content: [UInt8]
    /// Where in the journal the commit begins.
    private let start: Int
    private let random: SeededGenerator
    private static let size = 300 * 512

    init(_ options: String, seed: UInt64) throws {
        self.options = options
        var random = SeededGenerator(seed: seed)
        let files = [RecordingNode(journal: journal, file: 0), RecordingNode(journal: journal, file: 1)]
        let nodes = try files.map { try Self.make($0, options) }
        let (base, top) = (nodes[0], nodes[1])
        for _ in 0..<6 { try Self.scribble(base, &random) }
        try top.replaceBacking(base)
        for _ in 0..<8 { try Self.scribble(top, &random) }
        try top.writeZeroes(at: 20 * 512, count: 40 * 512, flags: .mayUnmap)
        content = try top.readBytes(at: 0, count: Self.size)
        try base.flush()
        try top.flush()
        start = journal.entries.count
        let job = CommitJob(top: top, base: base)
        try job.copy()
        #expect(try job.emptyTop())
        try top.close()
        try base.close()
        self.random = random
    }

    private static func make(_ file: RecordingNode, _ options: String) throws -> QCOW2Node {
        var values = CreateOptions(QCOW2Driver().createOptions)
        try values.parse(options)
        try QCOW2Driver.formatForTests(file, values)
        let node = try CrashRun.open(file, writable: true)
        try node.resize(to: Int64(size), preallocation: .off, exact: true)
        return node
    }

    private static func scribble(_ node: QCOW2Node, _ random: inout SeededGenerator) throws {
        let first = Int.random(in: 0..<size / 512, using: &random)
        let count = min(Int.random(in: 1...60, using: &random), size / 512 - first)
        let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random), count: count * 512)
        try node.write(bytes, at: Int64(first) * 512)
    }

    /// Each instant with everything, nothing and any part of what is not durable in either file.
    func verify(samples: Int) throws {
        var random = random
        var durable = [FileImage(), FileImage()]
        var pending: [[RecordingNode.Event]] = [[], []]
        var states = 0
        for (index, entry) in journal.entries.enumerated() {
            if case .flush = entry.event {
                for event in pending[entry.file] { durable[entry.file].apply(event) }
                pending[entry.file] = []
            } else {
                pending[entry.file].append(entry.event)
            }
            guard index + 1 >= start else { continue }
            for sample in 0..<max(samples / 2, 3) {
                let images = (0..<2).map { file in
                    var image = durable[file]
                    for event in pending[file] {
                        switch sample {
                        case 0: image.apply(event)
                        case 1: break
                        case 2: if Bool.random(using: &random) { image.apply(event) }
                        default:
                            let seed = random.next()
                            image.apply(event, sectors: { sector in (seed >> UInt64(sector % 61)) & 1 == 1 })
                        }
                    }
                    return image
                }
                states += 1
                try inspect(images, isSampled: states % CrashDepth.peerInterval == 1)
            }
        }
        #expect(states > 10)
    }

    private func inspect(_ images: [FileImage], isSampled: Bool) throws {
        let nodes = try images.map { try CrashRun.open(MemoryNode($0.bytes), writable: false, checking: true) }
        for node in nodes {
            var lines: [String] = []
            let result = try node.check(repair: [], report: { lines.append($0) })
            #expect(result.corruptions == 0 && result.checkErrors == 0, "\(options): \(lines.prefix(5))")
        }
        if isSampled, hasQEMU {
            let bottom = try nodes[0].readBytes(at: 0, count: Self.size)
            try PeerCheck.expect(images[0].bytes, content: bottom, options)
        }
        try nodes[1].replaceBacking(nodes[0])
        #expect(
            try nodes[1].readBytes(at: 0, count: Self.size) == content, "\(options): the overlay shows something else")
    }
}
