// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import Diagnostics
internal import HostIO
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// How far work on a disk is.
public struct DiskJobFigures: Sendable {
    /// libvirt's number of the kind of job.
    public var kind: Int32
    /// Bytes each second; 0 for no limit.
    public var bandwidth: UInt64
    /// Bytes, as the emulator estimates them; they are equal when the job is ready.
    public var done: UInt64, total: UInt64
}

/// Flags of jobs on disks, in libvirt's bits.
public enum DiskJobFlags {
    static let commitDelete: UInt32 = 2, commitActive: UInt32 = 4, commitShallow: UInt32 = 1
    static let abortPivot: UInt32 = 2, abortAsync: UInt32 = 1
    static let rebaseShallow: UInt32 = 1, rebaseReuse: UInt32 = 2, rebaseRaw: UInt32 = 4, rebaseCopy: UInt32 = 8
    static let copyShallow: UInt32 = 1, copyReuse: UInt32 = 2
}

// Pulling, committing and copying disks of machines that run.
extension MachineDriver {
    /// The disk of a machine that runs, by its target or its image.
    func liveDisk(_ live: LiveMachine, _ name: String) throws -> XMLElement {
        guard let disk = live.definition.disk(name) else {
            throw ManagementError(.invalidArg, "invalid path or target: \(name)")
        }
        guard disk[child: "source"] != nil else {
            throw ManagementError(.operationInvalid, "disk '\(name)' does not currently have a source assigned")
        }
        return disk
    }

    private func freshDisk(_ live: LiveMachine, _ name: String) throws -> (disk: XMLElement, target: String) {
        let disk = try liveDisk(live, name)
        let target = disk[child: "target"]?["dev"] ?? ""
        guard !live.diskJobs.values.contains(where: { $0.target == target }) else {
            throw ManagementError(.blockCopyActive, "disk '\(target)' already in active block job")
        }
        return (disk, target)
    }

    /// The name of the node of an image, by its file.
    func node(_ live: LiveMachine, _ path: String) throws -> String {
        let nodes = try live.monitor.execute("query-named-block-nodes").array ?? []
        let found = nodes.first {
            $0["image"]?["filename"]?.string == path && !["file", "host_device"].contains($0["drv"]?.string ?? "")
        }
        guard let name = found?["node-name"]?.string else {
            throw ManagementError(.invalidArg, "could not find image '\(path)' in chain")
        }
        return name
    }

    func topNode(_ live: LiveMachine, _ disk: XMLElement) throws -> String {
        let alias = disk[child: "alias"]?["name"] ?? ""
        let block = try live.monitor.execute("query-block").array ?? []
        guard let entry = block.first(where: { Self.isOf(alias, $0["qdev"]?.string) }),
            let name = entry["inserted"]?["node-name"]?.string
        else { throw ManagementError(.operationFailed, "the emulator has no disk '\(alias)'") }
        return name
    }

    /// Whether the emulator's path of a device is that of the device of a name.
    static func isOf(_ alias: String, _ path: String?) -> Bool {
        path?.split(separator: "/").contains { $0 == alias } ?? false
    }

    private func start(
        _ machine: Machine, _ job: DiskJob, _ prefix: String, _ command: String, _ arguments: JSONObject
    ) throws {
        let id = "\(prefix)-\(job.target)-\(monotonicNanoseconds() / 1000)"
        var arguments = arguments
        arguments["job-id"] = .string(id)
        machine.change { _, live in live?.diskJobs[id] = job }
        do { try onMonitorOf(machine) { try $0.monitor.execute(command, arguments) } } catch {
            machine.change { _, live in live?.diskJobs[id] = nil }
            throw error
        }
    }

    /// Fills a disk's image with what is in the images behind it.
    public func pullDisk(_ uuid: UniqueID, _ name: String, base: String?, bandwidth: UInt64) throws {
        try onMonitor(uuid) { machine, live in
            let (disk, target) = try freshDisk(live, name)
            var arguments: JSONObject = ["device": .string(try topNode(live, disk))]
            if let base { arguments["base-node"] = .string(try node(live, base)) }
            if bandwidth > 0 { arguments["speed"] = JSONValue(bandwidth) }
            try start(
                machine, DiskJob(kind: .pull, target: target, path: Self.path(disk)), "pull", "block-stream", arguments)
        }
    }

    static func path(_ disk: XMLElement) -> String {
        disk[child: "source"]?["file"] ?? disk[child: "source"]?["dev"] ?? ""
    }

    /// Writes what is in an image to one behind it.
    public func commitDisk(
        _ uuid: UniqueID, _ name: String, base: String?, top: String?, bandwidth: UInt64, flags: UInt32
    ) throws {
        try onMonitor(uuid) { machine, live in
            let (disk, target) = try freshDisk(live, name)
            let own = Self.path(disk)
            let chain = Self.chain(disk)
            let upper = top.map { chain.contains($0) || $0 != target ? $0 : own } ?? own
            let isActive = upper == own
            guard !isActive || flags & DiskJobFlags.commitActive != 0 else {
                throw ManagementError(
                    .invalidArg, "commit of '\(target)' active layer requires active flag")
            }
            guard let place = chain.firstIndex(of: upper) else {
                throw ManagementError(.invalidArg, "could not find image '\(upper)' in chain for '\(own)'")
            }
            let lower: String?
            if flags & DiskJobFlags.commitShallow != 0 {
                lower = place + 1 < chain.count ? chain[place + 1] : nil
            } else {
                lower = base ?? chain.last
            }
            guard let lower, lower != upper, chain.contains(lower) else {
                throw ManagementError(
                    .invalidArg, "top '\(upper)' in chain for '\(own)' has no backing file")
            }
            var arguments: JSONObject = [
                "device": .string(try topNode(live, disk)),
                "top-node": .string(isActive ? try topNode(live, disk) : try node(live, upper)),
                "base-node": .string(try node(live, lower)),
            ]
            if bandwidth > 0 { arguments["speed"] = JSONValue(bandwidth) }
            try start(
                machine, DiskJob(kind: isActive ? .activeCommit : .commit, target: target, path: own), "commit",
                "block-commit", arguments)
        }
    }

    /// The files of a disk's images, the top one first.
    static func chain(_ disk: XMLElement) -> [String] {
        var files = [path(disk)]
        var level = disk[child: "backingStore"]
        while let current = level, let source = current[child: "source"] {
            files.append(source["file"] ?? source["dev"] ?? "")
            level = current[child: "backingStore"]
        }
        return files
    }

    /// Copies a disk to another place, and keeps the copy as it is when the guest writes.
    /// - Parameter destination: a `<disk>` with the source and the format of the copy.
    public func copyDisk(_ uuid: UniqueID, _ name: String, to destination: String, bandwidth: UInt64, flags: UInt32)
        throws
    {
        let wanted = try DomainDefinition.device(parsing: destination)
        try onMonitor(uuid) { machine, live in
            let (disk, target) = try freshDisk(live, name)
            guard let file = wanted[child: "source"]?["file"] ?? wanted[child: "source"]?["dev"] else {
                throw ManagementError(.configUnsupported, "unable to copy to a destination without a file")
            }
            let format = wanted[child: "driver"]?["type"] ?? disk[child: "driver"]?["type"] ?? "raw"
            let number = DeviceAliases.lastSource(live.definition) + 1
            var copy = disk
            copy["type"] = wanted["type"] ?? "file"
            copy[child: "source"] = XMLElement(
                "source", [copy["type"] == "block" ? "dev" : "file": file, "index": "\(number)"])
            copy[child: "driver"]?["type"] = format
            copy[child: "readonly"] = nil
            if flags & DiskJobFlags.copyReuse == 0 && copy["type"] == "file" {
                try makeOverlay(file, format: format, size: try diskCapacity(live, disk), backing: nil)
            }
            guard let nodes = try BlockNodes.arguments(of: copy, named: "\(number)") else { return }
            try admit(copy, to: live.process)
            for node in nodes.json { try live.monitor.execute("blockdev-add", node) }
            var arguments: JSONObject = [
                "device": .string(try topNode(live, disk)), "target": .string(nodes.top),
                "sync": flags & DiskJobFlags.copyShallow == 0 ? "full" : "top",
            ]
            if bandwidth > 0 { arguments["speed"] = JSONValue(bandwidth) }
            try start(
                machine, DiskJob(kind: .copy, target: target, path: Self.path(disk)), "copy", "blockdev-mirror",
                arguments)
            var mirror = XMLElement("mirror", ["type": copy["type"], "file": file, "format": format, "job": "copy"])
            mirror.append(XMLElement("format", ["type": format]))
            if let source = copy[child: "source"] { mirror.append(source) }
            machine.change { _, live in live?.definition.changeDisk(target) { $0[child: "mirror"] = mirror } }
        }
    }

    func diskCapacity(_ live: LiveMachine, _ disk: XMLElement) throws -> UInt64 {
        let alias = disk[child: "alias"]?["name"] ?? ""
        let block = try live.monitor.execute("query-block").array ?? []
        let entry = block.first { Self.isOf(alias, $0["qdev"]?.string) }
        return entry?["inserted"]?["image"]?["virtual-size"]?.unsigned ?? 0
    }

    private func job(_ live: LiveMachine, _ name: String) throws -> (id: String, job: DiskJob)? {
        let target = try liveDisk(live, name)[child: "target"]?["dev"] ?? ""
        return live.diskJobs.first { $0.value.target == target }.map { ($0.key, $0.value) }
    }

    /// How far the job on a disk is; nil when there is none.
    public func diskJobFigures(_ uuid: UniqueID, _ name: String) throws -> DiskJobFigures? {
        let live = try machine(uuid).requireLive()
        guard let (id, job) = try job(live, name) else { return nil }
        let answer: [JSONValue]
        do { answer = try live.monitor.execute("query-block-jobs").array ?? [] } catch let failure
            as MonitorClient.Failure
        {
            throw Self.error(of: failure)
        }
        guard let entry = answer.first(where: { $0["device"]?.string == id }) else { return nil }
        let total = entry["len"]?.unsigned ?? 0
        var figures = DiskJobFigures(
            kind: job.kind.rawValue, bandwidth: entry["speed"]?.unsigned ?? 0, done: entry["offset"]?.unsigned ?? 0,
            total: total)
        // Only a job that is ready, or has ended, is as far as it can be.
        if !(entry["ready"]?.bool ?? false) && figures.done == figures.total {
            if figures.done > 0 { figures.done -= 1 } else { figures.total = 1 }
        }
        return figures
    }

    /// Limits a job on a disk; bytes each second.
    public func setDiskJobSpeed(_ uuid: UniqueID, _ name: String, _ bandwidth: UInt64) throws {
        try onMonitor(uuid) { _, live in
            guard let (id, _) = try job(live, name) else {
                throw ManagementError(.operationInvalid, "No active block job '\(name)'")
            }
            try live.monitor.execute("block-job-set-speed", ["device": .string(id), "speed": JSONValue(bandwidth)])
        }
    }

    /// Nanoseconds to wait for a job that was told to end.
    private static let endPatience: UInt64 = 30_000_000_000

    /// Ends a job on a disk; a copy that is ready may take the place of the disk's image.
    public func abortDiskJob(_ uuid: UniqueID, _ name: String, flags: UInt32) throws {
        let machine = try machine(uuid)
        var ended: String?
        try onMonitor(uuid) { _, live in
            guard let (id, job) = try job(live, name) else {
                throw ManagementError(.invalidArg, "disk \(name) does not have an active block job")
            }
            let pivots = flags & DiskJobFlags.abortPivot != 0
            if pivots {
                guard job.kind == .copy || job.kind == .activeCommit else {
                    throw ManagementError(
                        .operationInvalid, "pivot of disk '\(job.target)' requires an active copy job")
                }
                guard job.isReady else {
                    throw ManagementError(
                        .blockCopyActive, "block copy of disk '\(job.target)' not ready for pivot yet")
                }
            }
            try live.monitor.execute(
                pivots ? "block-job-complete" : "block-job-cancel", ["device": .string(id)])
            ended = id
        }
        guard let ended, flags & DiskJobFlags.abortAsync == 0 else { return }
        let deadline = monotonicNanoseconds() &+ Self.endPatience
        _ = machine.wait(until: deadline) { _, live in live?.endedJobs[ended] != nil || live == nil }
        if case .some(.some(let problem)) = machine.live?.endedJobs[ended] {
            throw ManagementError(.operationFailed, "block job failed: \(problem)")
        }
    }

    // MARK: What the emulator tells

    /// Called on the monitors' thread.
    func diskJobSeen(_ machine: Machine, _ event: String, _ data: JSONObject?) {
        guard let id = data?["device"]?.string else { return }
        if machine.live?.backup?.jobs.contains(where: { $0.id == id }) ?? false {
            return backupSeen(machine, event, id, data)
        }
        guard let job = machine.live?.diskJobs[id] else { return }
        let problem = data?["error"]?.string
        if event == "BLOCK_JOB_READY" {
            machine.change { _, live in
                live?.diskJobs[id]?.isReady = true
                live?.definition.changeDisk(job.target) { $0[child: "mirror"]?["ready"] = "yes" }
            }
            return tell(machine, job, DiskJob.Ending.ready)
        }
        guard event != "BLOCK_JOB_ERROR" else { return }
        let isCancelled = event == "BLOCK_JOB_CANCELLED"
        workers.submit { [self] in
            machine.change { _, live in live?.definition.changeDisk(job.target) { $0[child: "mirror"] = nil } }
            refreshChains(machine)
            dropUnusedNodes(machine)
            saveStatus(machine)
            if !isCancelled && problem == nil { keepPivot(machine, job) }
            machine.change { _, live in
                live?.diskJobs[id] = nil
                live?.endedJobs[id] = .some(isCancelled ? nil : problem)
            }
            tell(
                machine, job,
                isCancelled
                    ? DiskJob.Ending.cancelled : problem == nil ? DiskJob.Ending.completed : DiskJob.Ending.failed)
        }
    }

    /// A definition whose disk was the one that ran has what took its place, too.
    private func keepPivot(_ machine: Machine, _ job: DiskJob) {
        guard machine.facts.isPersistent, let now = machine.live?.definition.disk(job.target),
            Self.path(now) != job.path
        else { return }
        do {
            try update(machine) { definition in
                guard definition.disk(job.target).map(Self.path) == job.path else { return }
                definition.changeDisk(job.target) { disk in
                    disk["type"] = now["type"]
                    disk[child: "source"] = now[child: "source"]
                    disk[child: "source"]?["index"] = nil
                    disk[child: "driver"]?["type"] = Self.format(now)
                    disk[child: "backingStore"] = nil
                }
                definition.order()
            }
        } catch { Console.shared.error("cannot keep the new image of '\(job.target)': \(error)") }
    }

    private func tell(_ machine: Machine, _ job: DiskJob, _ status: Int32) {
        events.emit(
            .machine(
                machine.facts.reference,
                .blockJob(path: job.path, target: job.target, type: job.kind.rawValue, status: status)))
    }

    // MARK: Chains of images

    /// Brings the live document in line with the images that the emulator has open.
    func refreshChains(_ machine: Machine) {
        guard let live = machine.live, live.definition.devices.contains(where: { $0.name == "disk" }) else { return }
        let block: [JSONValue]
        do { block = try live.monitor.execute("query-block").array ?? [] } catch {
            return Console.shared.warning("cannot ask for the disks of '\(machine.facts.name)': \(error)")
        }
        var numbers: [String: String] = [:]
        for node in (try? live.monitor.execute("query-named-block-nodes").array) ?? [] {
            guard let name = node["node-name"]?.string, name.hasPrefix("libvirt-"), name.hasSuffix("-format"),
                let file = node["image"]?["filename"]?.string
            else { continue }
            numbers[file] = String(name.dropFirst(8).dropLast(7))
        }
        machine.change { _, running in
            guard var definition = running?.definition else { return }
            definition.devices = definition.devices.map { device in
                guard device.name == "disk", let alias = device[child: "alias"]?["name"],
                    let image = block.first(where: { Self.isOf(alias, $0["qdev"]?.string) })?["inserted"]?["image"]
                else { return device }
                return Self.updated(device, image, numbers)
            }
            definition.order()
            running?.definition = definition
        }
    }

    private static func updated(_ disk: XMLElement, _ image: JSONValue, _ numbers: [String: String]) -> XMLElement {
        guard disk["type"] == "file" || disk["type"] == "block", let file = image["filename"]?.string,
            file.hasPrefix("/")
        else { return disk }
        var disk = disk
        let attribute = disk["type"] == "block" ? "dev" : "file"
        disk[child: "source"]?[attribute] = file
        if let number = numbers[file] { disk[child: "source"]?["index"] = number }
        if let format = image["format"]?.string { disk[child: "driver"]?["type"] = format }
        disk[child: "backingStore"] =
            disk["device"] == "cdrom" || disk["device"] == "floppy" ? nil : store(image["backing-image"], numbers)
        return disk
    }

    private static func store(_ image: JSONValue?, _ numbers: [String: String]) -> XMLElement {
        guard let image, let file = image["filename"]?.string else { return XMLElement("backingStore") }
        var element = XMLElement("backingStore", ["type": "file", "index": numbers[file]])
        element.append(XMLElement("format", ["type": image["format"]?.string ?? "raw"]))
        element.append(XMLElement("source", ["file": file]))
        element.append(store(image["backing-image"], numbers))
        return element
    }

    /// Closes images that no disk uses any more; one that is in use refuses to be closed.
    func dropUnusedNodes(_ machine: Machine) {
        guard let live = machine.live else { return }
        for suffix in ["-format", "-storage"] {
            let nodes = (try? live.monitor.execute("query-named-block-nodes").array) ?? []
            for name in nodes.compactMap({ $0["node-name"]?.string })
            where name.hasPrefix("libvirt-") && name.hasSuffix(suffix) {
                _ = try? live.monitor.execute("blockdev-del", ["node-name": .string(name)])
            }
        }
    }
}
