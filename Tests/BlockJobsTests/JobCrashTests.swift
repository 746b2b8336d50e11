// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import Glibc
import QCOW2Image
import RandomKit
import RawImage
import StorageTestKit
import Testing

/// A guest that writes while its disk is snapshotted, committed, streamed or mirrored; then every instant (or many) at
/// which the process could have been killed or the host could have lost power. Each block of the disk holds a number that
/// is written nowhere else, so that a look at the disk says which write is in each sector.
private final class JobCrashRun {
    static let block = 4096, blockCount = 600, sector = 512
    private let driver = RecordingDriver()
    private let loop = TestLoop()
    private let devices: BlockDevices
    private var random: SeededGenerator
    /// What each block held after each operation; the index is the mark in the log.
    private var versions: [[UInt32]]
    /// The file that the guest writes to from each mark on.
    private var actives: [String] = []
    /// The newest version that a flush has made durable, from each mark on.
    private var durable: [Int] = []
    private var nextStamp: UInt32 = 1
    private(set) var states = 0

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        let loop = loop
        devices = BlockDevices(
            graph: BlockGraph(drivers: [RawDriver(), QCOW2Driver(), driver]), jobs: JobList { loop.post($0) })
        versions = [[UInt32](repeating: 0, count: Self.blockCount)]
        let qcow2 = QCOW2Driver()
        var options = CreateOptions(qcow2.createOptions)
        try options.set("size", String(Self.blockCount * Self.block))
        try qcow2.create(CreateRequest(filename: "/a.qcow2", options: options, graph: devices.graph))
        devices.addDrive(
            "d0", try devices.graph.open("/a.qcow2", format: "qcow2", flags: .writable), flags: .writable)
        try backend.flush()
        note(isDurable: true)
    }

    deinit { devices.closeAll { _, _ in } }

    private var backend: BlockBackend {
        get throws { try #require(devices.backend(of: "d0")) }
    }

    /// From here on the newest version is possible, in the file that the disk is now.
    private func note(isDurable: Bool) {
        durable.append(isDurable ? versions.count - 1 : durable.last ?? 0)
        actives.append((try? backend.filtered.location.filename) ?? "")
        driver.journal.mark(actives.count - 1)
    }

    // MARK: the guest

    func guest(_ steps: Int) throws {
        for _ in 0..<steps {
            try step()
            loop.runPending()
            // An exchange of images may have happened.
            repeatVersion()
        }
    }

    private func repeatVersion() {
        versions.append(versions[versions.count - 1])
        note(isDurable: false)
    }

    private func step() throws {
        let first = Int.random(in: 0..<Self.blockCount, using: &random)
        let count = min(Int.random(in: 1...24, using: &random), Self.blockCount - first)
        let offset = Int64(first * Self.block)
        var next = versions[versions.count - 1]
        switch Int.random(in: 0..<8, using: &random) {
        case 0..<5:
            var bytes: [UInt8] = []
            for place in first..<first + count {
                next[place] = nextStamp
                bytes += Self.bytes(of: nextStamp)
                nextStamp += 1
            }
            announce(next)
            try backend.write(bytes, at: offset)
        case 5:
            for place in first..<first + count { next[place] = 0 }
            announce(next)
            try backend.writeZeroes(at: offset, count: Int64(count * Self.block), flags: .mayUnmap)
        default:
            try backend.flush()
            versions.append(next)
            note(isDurable: true)
        }
    }

    private func announce(_ next: [UInt32]) {
        versions.append(next)
        note(isDurable: false)
    }

    private static func bytes(of stamp: UInt32) -> [UInt8] {
        (0..<block / 4).flatMap { _ in (0..<4).map { UInt8(truncatingIfNeeded: stamp >> UInt32($0 * 8)) } }
    }

    // MARK: the jobs

    func snapshot(_ name: String) throws {
        let node = try devices.node(device: "d0", name: nil)
        try devices.take([devices.prepare(BlockDevices.OverlayRequest(file: name), over: node)])
        repeatVersion()
    }

    private static func options() -> JobOptions {
        var options = JobOptions("job")
        // So that the guest writes meanwhile.
        options.speed = 24 << 20
        return options
    }

    func commit(top: String?) throws {
        try devices.commit(
            "d0", top: top.map { .file($0) }, base: nil, backingName: nil, options: Self.options())
    }

    func stream(base: String?) throws {
        try devices.stream("d0", base: base.map { .file($0) }, backingName: nil, options: Self.options())
    }

    func mirror(_ scope: BlockDevices.MirrorScope) throws {
        let target = try devices.mirrorTarget(
            "/m.qcow2", format: "qcow2", exists: false, nodeName: nil, like: "d0", scope: scope)
        try devices.mirror("d0", to: target, scope: scope, isBlank: true, ownsTarget: true, options: Self.options())
    }

    /// Lets the guest write until the job is ready or gone, completes it, and goes on for a while.
    func finish() throws {
        try guest(14)
        try loop.run { self.status == nil || self.status == .ready }
        try guest(6)
        if status == .ready { try devices.jobs.complete("job", block: true) }
        try guest(3)
        try loop.run { self.status == nil }
        repeatVersion()
        try guest(8)
        try backend.flush()
        versions.append(versions[versions.count - 1])
        note(isDurable: true)
    }

    private var status: JobStatus? { devices.jobs.reports.first { $0.identifier == "job" }?.status }

    // MARK: looking at crashes

    /// Looks at the disk as every `stride`th event leaves it: with all that was written (a killed process), and with
    /// what was flushed and any part of the rest (a host without power).
    func verify(stride: Int) throws {
        let count = driver.names.count
        var written = [FileImage](repeating: FileImage(), count: count), safe = written
        var pending = [[RecordingNode.Event]](repeating: [], count: count)
        var mark = -1
        for (index, entry) in driver.journal.entries.enumerated() {
            switch entry.event {
            case .mark(let number): mark = number
            case .flush:
                for event in pending[entry.file] { safe[entry.file].apply(event) }
                pending[entry.file] = []
            default:
                written[entry.file].apply(entry.event)
                pending[entry.file].append(entry.event)
            }
            guard mark >= 0, index % stride == 0 else { continue }
            try look(at: written, after: mark, "killed at event \(index)")
            var lost = safe
            for file in 0..<count {
                for event in pending[file] where Bool.random(using: &random) { lost[file].apply(event) }
            }
            try look(at: lost, after: mark, "without power at event \(index)")
        }
    }

    private func look(at images: [FileImage], after mark: Int, _ when: String) throws {
        states += 1
        let files = try RecordingDriver(zip(driver.names, images).map { ($0, $1.bytes) })
        let graph = BlockGraph(drivers: [RawDriver(), QCOW2Driver(), files])
        var flags = OpenFlags()
        flags.forChecking = true
        let disk: any BlockNode
        do { disk = try graph.open(actives[mark], format: "qcow2", flags: flags) } catch {
            Issue.record("\(when): \(actives[mark]) does not open: \(error)")
            return
        }
        let content = try disk.readBytes(at: 0, count: Self.blockCount * Self.block)
        let allowed = versions[durable[mark]...mark]
        for place in 0..<Self.blockCount {
            var first: UInt32 = 0
            for sector in Swift.stride(from: place * Self.block, to: (place + 1) * Self.block, by: Self.sector) {
                let stamp = Self.word(content, sector)
                if sector > place * Self.block, stamp == first { continue }
                first = stamp
                if !allowed.contains(where: { $0[place] == stamp }) {
                    let wanted = Set(allowed.map { $0[place] })
                    Issue.record("\(when): block \(place) of \(actives[mark]) holds \(stamp), not one of \(wanted)")
                    return
                }
            }
        }
        try disk.close()
    }

    private static func word(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        UInt32(bytes[place]) | UInt32(bytes[place + 1]) << 8 | UInt32(bytes[place + 2]) << 16
            | UInt32(bytes[place + 3]) << 24
    }
}

/// `make crash-jobs` (ROOST_CRASH_SEEDS=n) looks at every event of n runs each.
@Suite struct JobCrashTests {
    private static var seeds: UInt64 {
        // The environment does not change while tests run.
        guard let text = unsafe getenv("ROOST_CRASH_SEEDS") else { return 1 }
        return UInt64(unsafe String(cString: text)) ?? 1
    }
    private static var stride: Int { seeds > 1 ? 1 : 9 }

    enum Scenario: String, CaseIterable {
        case snapshots, activeCommit, commitOfTheMiddle, stream, streamToBase, mirror, mirrorOfTheTop
    }

    @Test(arguments: Scenario.allCases, 1...seeds)
    func everyFlushedWriteIsThere(scenario: Scenario, seed: UInt64) throws {
        let run = try JobCrashRun(seed: seed)
        try run.guest(8)
        try run.snapshot("/b.qcow2")
        try run.guest(8)
        try run.snapshot("/c.qcow2")
        try run.guest(8)
        switch scenario {
        case .snapshots: try run.snapshot("/d.qcow2")
        case .activeCommit: try run.commit(top: nil)
        case .commitOfTheMiddle: try run.commit(top: "/b.qcow2")
        case .stream: try run.stream(base: nil)
        case .streamToBase: try run.stream(base: "/a.qcow2")
        case .mirror: try run.mirror(.full)
        case .mirrorOfTheTop: try run.mirror(.top)
        }
        try run.finish()
        try run.verify(stride: Self.stride)
        #expect(run.states > 50)
    }
}
