// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import StorageTestKit
import Testing

/// Disks that fail, and jobs that were told what to do then.
@Suite struct JobErrorTests {
    private func options(_ policy: JobErrorPolicy) -> JobOptions {
        var options = JobOptions("j0")
        (options.onSourceError, options.onTargetError) = (policy, policy)
        return options
    }

    private func disks() throws -> (Disks, BlockBackend, FailingNode) {
        let disks = try Disks()
        let backend = try disks.addDrive()
        for place in 0..<8 { try backend.fill(UInt8(place + 1), at: Int64(place) << 20, count: 1 << 20) }
        let target = FailingNode([UInt8](repeating: 0, count: 8 << 20))
        try disks.devices.graph.register(target, as: "bad")
        return (disks, backend, target)
    }

    private func failures(_ disks: Disks) -> [JobErrorAction] {
        disks.events.compactMap { if case .failed(_, _, let action) = $0 { action } else { nil } }
    }

    private func problem(_ disks: Disks) -> String? {
        disks.events.lazy.compactMap { if case .completed(let report) = $0 { report.problem } else { nil } }.first
    }

    @Test func policiesDecideByTheError() {
        let full = BlockError(.noSpace, "full"), bad = BlockError(.inputOutput, "bad")
        #expect(JobErrorPolicy.allCases.map { $0.action(on: bad) } == [.report, .ignore, .report, .stop, .report])
        #expect(JobErrorPolicy.allCases.map { $0.action(on: full) } == [.report, .ignore, .stop, .stop, .stop])
    }

    @Test(arguments: [JobErrorPolicy.stop, .enospc, .auto]) func aFullTargetStopsAMirror(policy: JobErrorPolicy) throws
    {
        let (disks, backend, target) = try disks()
        target.arm(.write(2))
        try disks.devices.mirror(
            "d0", to: target, scope: .full, isBlank: false, ownsTarget: false, options: options(policy))
        try disks.wait(for: "j0", .paused)
        let report = try #require(disks.devices.jobs.reports.first)
        #expect(report.ioStatus == .noSpace && report.isPaused && failures(disks) == [.stop])
        #expect(throws: JobRefusal.self) { try disks.devices.jobs.pause("j0", block: true, true) }
        try disks.devices.jobs.pause("j0", block: true, false)
        try disks.wait(for: "j0", .ready)
        #expect(disks.devices.jobs.reports.first?.ioStatus == .ok)
        try disks.devices.jobs.complete("j0", block: true)
        try disks.wait(for: "j0", nil)
        #expect(problem(disks) == nil && backend.filtered === target)
        #expect((0..<8).allSatisfy { target.content[$0 << 20 + 5] == UInt8($0 + 1) })
    }

    @Test func aStoppedJobCanBeCancelled() throws {
        let (disks, _, target) = try disks()
        target.arm(.write(0))
        try disks.devices.mirror(
            "d0", to: target, scope: .full, isBlank: false, ownsTarget: false, options: options(.stop))
        try disks.wait(for: "j0", .paused)
        try disks.devices.jobs.cancel("j0", block: true, force: false)
        try disks.wait(for: "j0", nil)
        #expect(disks.events.contains { if case .cancelled = $0 { true } else { false } })
    }

    @Test func anIgnoredErrorOfAMirrorIsMadeUpFor() throws {
        let (disks, _, target) = try disks()
        target.arm(.write(1))
        try disks.devices.mirror(
            "d0", to: target, scope: .full, isBlank: false, ownsTarget: false, options: options(.ignore))
        try disks.wait(for: "j0", .ready)
        try disks.devices.jobs.complete("j0", block: true)
        try disks.wait(for: "j0", nil)
        #expect(failures(disks) == [.ignore] && problem(disks) == nil)
        #expect((0..<8).allSatisfy { target.content[$0 << 20 + 5] == UInt8($0 + 1) })
    }

    @Test func aReportedErrorEndsAMirror() throws {
        let (disks, backend, target) = try disks()
        target.arm(.write(1))
        try disks.devices.mirror(
            "d0", to: target, scope: .full, isBlank: false, ownsTarget: false, options: options(.report))
        try disks.wait(for: "j0", nil)
        #expect(failures(disks) == [.report] && problem(disks) != nil && backend.filtered !== target)
    }

    @Test(arguments: [JobErrorPolicy.stop, .ignore]) func aBackupGoesOnAfterAnError(policy: JobErrorPolicy) throws {
        let (disks, _, target) = try disks()
        target.arm(.write(3))
        let request = BlockDevices.BackupRequest("d0", options: options(policy))
        try disks.devices.perform([], snapshots: [], backups: [try disks.devices.prepare(request, to: target)])
        if policy == .stop {
            try disks.wait(for: "j0", .paused)
            try disks.devices.jobs.pause("j0", block: true, false)
        }
        try disks.wait(for: "j0", nil)
        #expect(problem(disks) == nil && failures(disks).count == 1)
        #expect((0..<8).allSatisfy { target.content[$0 << 20 + 5] == UInt8($0 + 1) })
    }

    /// A disk below an overlay that cannot be read in one place.
    private func badBase() throws -> (Disks, FailingNode, any BlockNode) {
        let disks = try Disks()
        let base = FailingNode([UInt8](repeating: 7, count: 8 << 20))
        try disks.devices.graph.register(base, as: "base")
        let top = try disks.addTarget("top", backing: "base")
        _ = disks.devices.attach("top")
        return (disks, base, top)
    }

    @Test func aStreamLeavesOutWhatItIsToIgnore() throws {
        let (disks, base, top) = try badBase()
        base.arm(.read(3 << 20..<3 << 20 + 512))
        try disks.devices.stream("top", base: nil, backingName: nil, options: options(.ignore))
        try disks.wait(for: "j0", nil)
        #expect(problem(disks) != nil && failures(disks) == [.ignore] && top.backingNode != nil)
        let own = try (0..<8).map { try top.status(at: Int64($0) << 20, count: 512, detail: .allocation).isAllocated }
        #expect(own == [true, true, true, false, true, true, true, true])
    }

    @Test func aStoppedStreamTriesAgain() throws {
        let (disks, base, top) = try badBase()
        base.arm(.read(3 << 20..<3 << 20 + 512))
        try disks.devices.stream("top", base: nil, backingName: nil, options: options(.stop))
        try disks.wait(for: "j0", .paused)
        #expect(disks.devices.jobs.reports.first?.ioStatus == .failed)
        base.arm(nil)
        try disks.devices.jobs.pause("j0", block: true, false)
        try disks.wait(for: "j0", nil)
        #expect(try problem(disks) == nil && top.backingNode == nil && top.byte(at: 3 << 20) == 7)
    }
}

/// Jobs that end together.
@Suite struct JobGroupTests {
    private func request(_ device: String, _ job: String, finalizes: Bool = true) -> BlockDevices.BackupRequest {
        var options = JobOptions(job)
        options.finalizesItself = finalizes
        return BlockDevices.BackupRequest(device, options: options)
    }

    private func start(_ disks: Disks, _ requests: [(BlockDevices.BackupRequest, any BlockNode)]) throws {
        let prepared = try requests.map { try disks.devices.prepare($0.0, to: $0.1) }
        try disks.devices.perform([], snapshots: [], backups: prepared, endsTogether: true)
    }

    private func disks() throws -> Disks {
        let disks = try Disks()
        for name in ["d0", "d1"] { try disks.addDrive("\(name).qcow2", name: name).fill(1, at: 0, count: 4 << 20) }
        return disks
    }

    @Test func whereOneFailsTheOthersAreGivenUp() throws {
        let disks = try disks()
        let bad = FailingNode([UInt8](repeating: 0, count: 8 << 20))
        bad.arm(.write(0))
        try disks.devices.graph.register(bad, as: "bad")
        var slow = request("d0", "j0")
        slow.options.speed = 1
        try start(disks, [(slow, try disks.addTarget("t0")), (request("d1", "j1"), bad)])
        try disks.loop.run { disks.devices.jobs.reports.isEmpty }
        let ends = disks.events.compactMap { event -> String? in
            switch event {
            case .completed(let report): "\(report.identifier) \(report.problem == nil ? "well" : "failed")"
            case .cancelled(let report): "\(report.identifier) cancelled"
            default: nil
            }
        }
        #expect(ends == ["j1 failed", "j0 cancelled"])
    }

    @Test func theyWaitForEachOther() throws {
        let disks = try disks()
        var slow = request("d0", "j0")
        slow.options.speed = 1
        try start(
            disks,
            [(slow, try disks.addTarget("t0")), (request("d1", "j1", finalizes: false), try disks.addTarget("t1"))])
        try disks.wait(for: "j1", .waiting)
        try disks.devices.jobs.setSpeed("j0", to: 0)
        try disks.wait(for: "j0", .pending)
        #expect(disks.status("j1") == .pending)
        try disks.devices.jobs.finalize("j0", block: true)
        #expect(disks.devices.jobs.reports.isEmpty)
        #expect(
            disks.events.count { if case .completed(let report) = $0 { report.problem == nil } else { false } } == 2)
    }

    @Test func cancellingOneCancelsAll() throws {
        let disks = try disks()
        try start(
            disks,
            [
                (request("d0", "j0", finalizes: false), try disks.addTarget("t0")),
                (request("d1", "j1"), try disks.addTarget("t1")),
            ])
        try disks.wait(for: "j0", .pending)
        try disks.devices.jobs.cancel("j1", block: true, force: false)
        #expect(disks.devices.jobs.reports.isEmpty)
        #expect(disks.events.count { if case .cancelled = $0 { true } else { false } } == 2)
    }
}
