// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import Diagnostics
internal import Glibc

extension HumanCommandTable {
    private static func machine(_ call: HumanCall) throws(HumanFailure) -> any SnapshotControlling {
        guard let machine = call.machine as? any SnapshotControlling else {
            throw .failed("this machine cannot be saved")
        }
        return machine
    }

    /// "vm-20260131120000", in the host's time zone, as QEMU names a snapshot that nobody named.
    private static var automaticName: String {
        var now = time(nil)
        var parts = unsafe tm()
        // localtime_r fills the struct on this frame, whose numbers are copied.
        unsafe localtime_r(&now, &parts)
        let numbers = unsafe [
            parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
        ]
        return "vm-" + numbers.map { $0 < 10 ? "0\($0)" : "\($0)" }.joined()
    }

    private static func perform(_ body: () throws(UserError) -> Void) throws(HumanFailure) {
        do throws(UserError) { try body() } catch { throw .failed(error.description) }
    }

    /// savevm, loadvm and delvm.
    static let snapshots = [
        HumanCommand("savevm", "tag", "save a VM snapshot. If no tag is provided, a new snapshot is created") {
            (call) throws(HumanFailure) in
            let tag = try call.word() ?? automaticName
            let machine = try machine(call)
            try perform { () throws(UserError) in
                try machine.saveSnapshot(tag, vmState: nil, devices: nil, replaces: true)
            }
        },
        HumanCommand("loadvm", "tag", "restore a VM snapshot from its tag") { (call) throws(HumanFailure) in
            let tag = try call.requiredWord("string"), machine = try machine(call)
            try perform { () throws(UserError) in try machine.loadSnapshot(tag, vmState: nil, devices: nil) }
        },
        HumanCommand("delvm", "tag", "delete a VM snapshot from its tag") { (call) throws(HumanFailure) in
            let tag = try call.requiredWord("string"), machine = try machine(call)
            try perform { () throws(UserError) in try machine.deleteSnapshot(tag, devices: nil) }
        },
    ]

    private static func disks(_ call: HumanCall) throws(HumanFailure) -> any BlockControlling {
        guard let machine = call.machine as? any BlockControlling else {
            throw .failed("this machine has no disks that can be changed")
        }
        return machine
    }

    private static func change(_ body: () throws(BlockError) -> Void) throws(HumanFailure) {
        do throws(BlockError) { try body() } catch { throw .failed(error.description) }
    }

    private static func wish(_ body: () throws(JobRefusal) -> Void) throws(HumanFailure) {
        do throws(JobRefusal) { try body() } catch { throw .failed(error.description) }
    }

    /// Jobs and lengths of disks.
    static let blockJobs = [
        HumanCommand("block_resize", "device size", "resize a block image (in MB)") { (call) throws(HumanFailure) in
            let device = try call.requiredWord("block device name"), machine = try disks(call)
            let megabytes = try call.expression()
            let limit: Int64 = 1 << 42
            guard (0...limit).contains(megabytes) else { throw .failed("Parameter 'size' expects a >0 size") }
            try change { () throws(BlockError) in
                try BlockChanges.resize(machine, device: device, name: nil, size: megabytes << 20)
            }
        },
        HumanCommand("snapshot_blkdev", "[-n] device [new-image-file] [format]", "initiates a live snapshot of device")
        {
            (call) throws(HumanFailure) in
            let exists = call.takeFlag("n")
            let device = try call.requiredWord("block device name"), machine = try disks(call).blockDevices
            guard let file = try call.word() else { throw .failed("Parameter 'snapshot-file' is missing") }
            var request = BlockDevices.OverlayRequest(file: file)
            if let format = try call.word() { request.format = format }
            request.exists = exists
            try change { () throws(BlockError) in
                try machine.take([machine.prepare(request, over: machine.node(device))])
            }
        },
        HumanCommand(
            "commit", "device|all", "commit changes to the disk images (if -snapshot is used) or backing files"
        ) { (call) throws(HumanFailure) in
            let device = try call.requiredWord("string"), machine = try disks(call).blockDevices
            try change { () throws(BlockError) in try machine.commitNow(device == "all" ? nil : device) }
        },
        HumanCommand("block_stream", "device [speed [base]]", "copy data from a backing file into a block device") {
            (call) throws(HumanFailure) in
            let device = try call.requiredWord("block device name"), machine = try disks(call).blockDevices
            var options = JobOptions(device)
            if call.hasMore { options.speed = max(try call.expression(), 0) }
            let base = try call.word().map { BlockDevices.ImageChoice.file($0) }
            try change { () throws(BlockError) in
                try machine.stream(device, base: base, backingName: nil, options: options)
            }
        },
        HumanCommand("block_job_set_speed", "device speed", "set maximum speed for a background block operation") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("block device name"), jobs = try disks(call).blockDevices.jobs
            let speed = try call.expression()
            try wish { () throws(JobRefusal) in try jobs.setSpeed(name, to: speed) }
        },
        HumanCommand("block_job_cancel", "[-f] device", "stop an active background block operation") {
            (call) throws(HumanFailure) in
            let force = call.takeFlag("f")
            let name = try call.requiredWord("block device name"), jobs = try disks(call).blockDevices.jobs
            try wish { () throws(JobRefusal) in try jobs.cancel(name, block: true, force: force) }
        },
        HumanCommand("block_job_complete", "device", "stop an active background block operation") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("block device name"), jobs = try disks(call).blockDevices.jobs
            try wish { () throws(JobRefusal) in try jobs.complete(name, block: true) }
        },
        HumanCommand("block_job_pause", "device", "pause an active background block operation") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("block device name"), jobs = try disks(call).blockDevices.jobs
            try wish { () throws(JobRefusal) in try jobs.pause(name, block: true, true) }
        },
        HumanCommand("block_job_resume", "device", "resume a paused background block operation") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("block device name"), jobs = try disks(call).blockDevices.jobs
            try wish { () throws(JobRefusal) in try jobs.pause(name, block: true, false) }
        },
    ]
}

extension InfoTable {
    /// Snapshots and jobs.
    static let saved = [
        HumanCommand("snapshots", "", "show the currently saved VM snapshots") { (call) throws(HumanFailure) in
            guard let machine = call.machine as? any SnapshotControlling else {
                throw .failed("this machine cannot be saved")
            }
            do throws(UserError) { call.print(try machine.snapshotList()) } catch { throw .failed(error.description) }
        },
        HumanCommand("block-jobs", "", "show progress of ongoing block device operations") { call in
            let jobs = (call.machine as? any BlockControlling)?.blockDevices.jobs.reports.filter { $0.kind.isBlockJob }
            guard let jobs, !jobs.isEmpty else { return call.print("No active jobs\n") }
            for job in jobs {
                let kind = job.kind == .stream ? "Streaming device" : "Type \(job.kind.rawValue), device"
                call.print(
                    "\(kind) \(job.identifier): Completed \(job.offset) of \(job.length) bytes, speed limit "
                        + "\(job.speed) bytes/s\n")
            }
        },
    ]
}
