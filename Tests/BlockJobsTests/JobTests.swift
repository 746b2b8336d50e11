// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import DiskImages
import HostSystem
import StorageTestKit
import Testing

@Suite struct CopyJobTests {
    private static let piece = 1 << 20

    /// A chain a <- b <- c in which each has something of its own, and c something in every place.
    private func chain() throws -> Disks {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try backend.fill(1, at: 0, count: 3 * Self.piece)
        try disks.snapshot("b.qcow2")
        try backend.fill(2, at: 1 << 20, count: Self.piece)
        try disks.snapshot("c.qcow2")
        try backend.fill(3, at: 2 << 20, count: Self.piece)
        return disks
    }

    private func check(_ node: any BlockNode, _ expected: [UInt8]) throws {
        for (place, byte) in expected.enumerated() {
            let bytes = try node.readBytes(at: Int64(place) << 20, count: Self.piece)
            #expect(bytes.allSatisfy { $0 == byte }, "MiB \(place)")
        }
    }

    @Test func snapshotsKeepWhatWas() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        try check(backend, [1, 2, 3, 0, 0])
        #expect(
            backend.filtered.chain.map(\.location.filename) == ["c", "b", "a"].map { disks.folder.file("\($0).qcow2") })
        try check(backend.filtered.chain[1], [1, 2, 1, 0])
        try check(backend.filtered.chain[2], [1, 1, 1, 0])
    }

    @Test func activeCommitFollowsTheGuest() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        try disks.devices.commit("d0", top: nil, base: nil, backingName: nil, options: JobOptions("c0"))
        try disks.wait(for: "c0", .ready)
        try backend.fill(7, at: 4 << 20, count: Self.piece)
        try disks.devices.jobs.complete("c0", block: true)
        try disks.wait(for: "c0", nil)
        try check(backend, [1, 2, 3, 0, 7, 0])
        #expect(backend.filtered.chain.map(\.location.filename) == [disks.folder.file("a.qcow2")])
        try backend.fill(8, at: 5 << 20, count: 1)
        let names = disks.events.map { event -> String in
            switch event {
            case .statusChanged(_, let status): status.rawValue
            case .ready: "READY"
            case .pending: "PENDING"
            case .completed(let report): "COMPLETED\(report.problem ?? "")"
            case .cancelled: "CANCELLED"
            case .failed: "FAILED"
            }
        }
        #expect(
            names == [
                "created", "running", "ready", "READY", "waiting", "pending", "COMPLETED", "concluded", "null",
            ])
        try backend.flush()
        #expect(run("qemu-img check \(disks.folder.file("a.qcow2")) -U").status == 0 || !isInstalled("qemu-img"))
    }

    @Test func aReadyCommitCanBeLeft() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        try disks.devices.commit("d0", top: nil, base: nil, backingName: nil, options: JobOptions("c0"))
        try disks.wait(for: "c0", .ready)
        try disks.devices.jobs.cancel("c0", block: true, force: false)
        try disks.wait(for: "c0", nil)
        #expect(backend.filtered.chain.count == 3)
        #expect(disks.events.contains { if case .completed(let report) = $0 { report.problem == nil } else { false } })
        try check(backend, [1, 2, 3, 0])
        try disks.devices.commit("d0", top: nil, base: nil, backingName: nil, options: JobOptions("c0"))
        try disks.wait(for: "c0", .ready)
    }

    /// Images that the machine found there are opened for reading below the first, and for writing only for a job.
    @Test func aBaseIsWritableForItsJobOnly() throws {
        let disks = try chain()
        disks.devices.closeAll { _, _ in }
        let again = BlockDevices(graph: DiskImages.graph(), jobs: JobList { [loop = disks.loop] in loop.post($0) })
        let path = disks.folder.file("c.qcow2")
        again.addDrive("d0", try again.graph.open(path, format: "qcow2", flags: .writable), flags: .writable)
        let backend = try #require(again.backend(of: "d0"))
        #expect(backend.filtered.chain.map(\.isReadOnly) == [false, true, true])
        try again.commit("d0", top: nil, base: nil, backingName: nil, options: JobOptions("c0"))
        #expect(backend.filtered.chain.map(\.isReadOnly) == [false, true, false])
        try disks.loop.run { again.jobs.reports.first?.status == .ready }
        try again.jobs.cancel("c0", block: true, force: true)
        try disks.loop.run { again.jobs.reports.isEmpty }
        #expect(backend.filtered.chain.map(\.isReadOnly) == [false, true, true])
        try again.commit(
            "d0", top: .file(disks.folder.file("b.qcow2")), base: nil, backingName: nil, options: JobOptions("c1"))
        try disks.loop.run { again.jobs.reports.isEmpty }
        #expect(backend.filtered.chain.map(\.isReadOnly) == [false, true])
        try check(backend, [1, 2, 3, 0])
        again.closeAll { _, _ in }
    }

    @Test func commitOfTheMiddle() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        try disks.devices.commit(
            "d0", top: .file(disks.folder.file("b.qcow2")), base: nil, backingName: nil, options: JobOptions("c0"))
        try disks.wait(for: "c0", nil)
        try check(backend, [1, 2, 3, 0])
        #expect(backend.filtered.chain.count == 2)
        #expect((backend.filtered as? any BackedNode)?.backingName == disks.folder.file("a.qcow2"))
        try check(backend.filtered.chain[1], [1, 2, 1])
    }

    @Test func streamMakesTheImageWhole() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        try disks.devices.stream("d0", base: nil, backingName: nil, options: JobOptions("s0"))
        // The guest writes while the job runs.
        for round in 0..<50 { try backend.fill(UInt8(round), at: 3 << 20 + Int64(round) * 4096, count: 4096) }
        try disks.wait(for: "s0", nil)
        try check(backend, [1, 2, 3])
        for round in 0..<50 { #expect(try backend.byte(at: 3 << 20 + Int64(round) * 4096) == UInt8(round)) }
        #expect(backend.filtered.chain.count == 1)
        #expect((backend.filtered as? any BackedNode)?.backingName == nil)
    }

    @Test func streamDownToABase() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        try disks.devices.stream(
            "d0", base: .file(disks.folder.file("a.qcow2")), backingName: nil, options: JobOptions("s0"))
        try disks.wait(for: "s0", nil)
        try check(backend, [1, 2, 3])
        #expect(backend.filtered.chain.count == 2)
    }

    @Test(arguments: [BlockDevices.MirrorScope.full, .top, .none]) func mirrorMovesTheDisk(
        scope: BlockDevices.MirrorScope
    ) throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        let target = try disks.devices.mirrorTarget(
            disks.folder.file("m.qcow2"), format: "qcow2", exists: false, nodeName: "new", like: "d0", scope: scope)
        try disks.devices.mirror(
            "d0", to: target, scope: scope, isBlank: true, ownsTarget: true, options: JobOptions("m0"))
        try disks.wait(for: "m0", .ready)
        try backend.fill(5, at: 4 << 20, count: Self.piece)
        try disks.devices.jobs.complete("m0", block: true)
        try disks.wait(for: "m0", nil)
        #expect(backend.filtered === target && disks.devices.backend(of: "new") === backend)
        if scope != .none { try check(backend, [1, 2, 3, 0, 5]) }
        #expect(backend.filtered.chain.count == [.full: 1, .top: 3, .none: 4][scope])
    }

    @Test func cancelledJobsLeaveEverything() throws {
        let disks = try chain()
        let backend = try #require(disks.devices.backend(of: "d0"))
        var options = JobOptions("s0")
        options.speed = 1
        options.dismissesItself = false
        try disks.devices.stream("d0", base: nil, backingName: nil, options: options)
        #expect(throws: BlockError.self) { try disks.snapshot("x.qcow2") }
        #expect(throws: BlockError.self) {
            try disks.devices.commit("d0", top: nil, base: nil, backingName: nil, options: JobOptions("c1"))
        }
        try disks.devices.jobs.cancel("s0", block: true, force: false)
        try disks.wait(for: "s0", .concluded)
        #expect(disks.devices.jobs.reports.first?.problem == "Operation canceled")
        try disks.devices.jobs.dismiss("s0", block: false)
        #expect(disks.devices.jobs.reports.isEmpty)
        #expect(backend.filtered.chain.count == 3)
        try check(backend, [1, 2, 3, 0])
        try disks.snapshot("x.qcow2")
        #expect(backend.filtered.chain.count == 4)
    }

    @Test func pausedAndFinalizedByHand() throws {
        let disks = try chain()
        var options = JobOptions("s0")
        options.finalizesItself = false
        options.dismissesItself = false
        options.speed = 1 << 20
        try disks.devices.stream("d0", base: nil, backingName: nil, options: options)
        try disks.devices.jobs.pause("s0", block: true, true)
        #expect(disks.status("s0") == .paused)
        #expect(throws: JobRefusal.self) { try disks.devices.jobs.pause("s0", block: true, true) }
        #expect(throws: JobRefusal.self) { try disks.devices.jobs.complete("s0", block: true) }
        try disks.devices.jobs.pause("s0", block: true, false)
        try disks.devices.jobs.setSpeed("s0", to: 0)
        try disks.wait(for: "s0", .pending)
        #expect(disks.events.contains { if case .pending = $0 { true } else { false } })
        try disks.devices.jobs.finalize("s0", block: true)
        #expect(disks.status("s0") == .concluded)
    }

    @Test func mistakes() throws {
        let disks = try chain()
        let devices = disks.devices
        for body in [
            { try devices.commit("nope", top: nil, base: nil, backingName: nil, options: JobOptions("x")) },
            { try devices.commit("d0", top: .node("zz"), base: nil, backingName: nil, options: JobOptions("x")) },
            { try devices.commit("d0", top: .file("zz"), base: nil, backingName: nil, options: JobOptions("x")) },
            { try devices.commit("d0", top: nil, base: nil, backingName: "y", options: JobOptions("x")) },
            { try devices.commit("d0", top: nil, base: nil, backingName: nil, options: JobOptions("9 x")) },
            { try devices.stream("nope", base: nil, backingName: nil, options: JobOptions("x")) },
            { try devices.remove("zz") },
        ] as [() throws -> Void] {
            #expect(throws: BlockError.self) { try body() }
        }
        #expect(throws: JobRefusal.self) { try devices.jobs.cancel("x", block: true, force: true) }
        #expect(throws: BlockError.self) { try disks.snapshot("d.qcow2", nodeName: "-x") }
        #expect(devices.backend(of: "d0")?.filtered.chain.count == 3)
    }
}

@Suite struct NamedNodeTests {
    @Test func nodesComeAndGo() throws {
        let disks = try Disks()
        let path = disks.folder.file("n.raw")
        #expect(run("truncate -s 1M \(path)").status == 0)
        let options = BlockOptions([
            ("driver", .string("raw")), ("node-name", .string("n1")), ("file.driver", .string("file")),
            ("file.filename", .string(path)),
        ])
        try disks.devices.add(options, flags: .writable)
        #expect(throws: BlockError.self) { try disks.devices.add(options, flags: .writable) }
        let backend = try #require(disks.devices.attach("n1"))
        #expect(throws: BlockError.self) { try disks.devices.remove("n1") }
        disks.devices.detach(backend)
        try disks.devices.remove("n1")
        #expect(disks.devices.graph.node(named: "n1") == nil)
        try disks.devices.add(options, flags: .writable)
    }

    /// A snapshot into an image that was added before, as libvirt makes them.
    @Test func overlaysThatWereAdded() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try backend.fill(4, at: 0, count: 512)
        let path = disks.folder.file("o.qcow2")
        #expect(run("\(Self.imageTool) create -f qcow2 -u -b a.qcow2 -F qcow2 \(path) 8M").status == 0 || !Self.hasTool)
        guard Self.hasTool else { return print("skipped: needs qemu-img") }
        try disks.devices.add(
            BlockOptions([
                ("driver", .string("qcow2")), ("node-name", .string("o")), ("backing", .null),
                ("file.driver", .string("file")), ("file.filename", .string(path)),
            ]), flags: .writable)
        let node = try disks.devices.node(device: "d0", name: nil)
        try disks.devices.take([disks.devices.prepare(overlay: "o", over: node)])
        #expect(try backend.byte(at: 0) == 4)
        #expect(disks.devices.backend(of: "o") === backend)
        #expect(throws: BlockError.self) { try disks.devices.prepare(overlay: "o", over: backend.filtered) }
    }

    private static let imageTool = "qemu-img"
    private static var hasTool: Bool { isInstalled(imageTool) }

    /// One process writes, the other has looked before: after the change of hands it sees all of it.
    @Test func imagesAreHandedOver() throws {
        let source = try Disks()
        let old = try source.addDrive()
        try source.snapshot("b.qcow2", nodeName: "top")
        let graph = DiskImages.graph()
        let target = BlockDevices(graph: graph, jobs: JobList { _ in })
        var look = OpenFlags()
        look.forceShare = true
        target.addInactive(
            "d0", try graph.open(source.folder.file("b.qcow2"), format: "qcow2", flags: look), flags: .writable)
        let new = try #require(target.backend(of: "d0"))
        #expect(!new.isReadOnly && new.length == old.length)
        try old.fill(6, at: 3 << 20, count: 100_000)
        #expect(throws: BlockError.self) { try target.activate() }
        try source.devices.deactivate()
        try target.activate()
        #expect(try new.byte(at: 3 << 20 + 99_999) == 6)
        try new.fill(7, at: 0, count: 5)
        // Back again, as after a move that failed.
        #expect(throws: BlockError.self) { try source.devices.activate() }
        try target.deactivate()
        try source.devices.activate()
        #expect(try old.byte(at: 4) == 7 && source.devices.backend(of: "top") === old)
        target.closeAll { _, _ in }
    }
}
