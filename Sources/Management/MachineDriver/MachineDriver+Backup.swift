// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostIO
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

// Backups of machines that run: copied to files by the emulator, or read by a client from its NBD server.
extension MachineDriver {
    /// Starts a backup; its end is told by the event of a completed job.
    /// - Parameters:
    ///   - text: a `<domainbackup>`.
    ///   - checkpoint: a `<domaincheckpoint>` that begins at the same moment.
    ///   - reusesFiles: whether the files for copies exist.
    public func beginBackup(_ uuid: UniqueID, _ text: String, checkpoint: String?, reusesFiles: Bool) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            guard machine.live != nil else {
                throw ManagementError(.operationUnsupported, "cannot perform disk backup for inactive domain")
            }
            let given = try XMLDocument.parse(text, as: "domainbackup", called: "domain_backup")
            let point = try checkpoint.map {
                try XMLDocument.parse($0, as: "domaincheckpoint", called: "domain_checkpoint")
            }
            try onMonitorOf(machine) { live in
                guard live.operation == nil else {
                    throw ManagementError(.operationInvalid, "another job is active on the domain")
                }
                let root = try completeBackup(machine, given, live.definition)
                let made = try point.map { try prepareCheckpoint(machine, live, $0) }
                begin(machine, RunningOperation.backup)
                do {
                    if let made {
                        try keepCheckpoint(machine, made) {
                            try start(machine, live, root, made, reusesFiles: reusesFiles)
                        }
                    } else {
                        try start(machine, live, root, nil, reusesFiles: reusesFiles)
                    }
                } catch {
                    end(machine)
                    throw error
                }
                saveStatus(machine)
            }
        }
    }

    /// The document of the backup that is being made; throws `noDomainBackup` when there is none.
    public func backupDocument(_ uuid: UniqueID) throws -> String {
        guard let backup = try machine(uuid).live?.backup else {
            throw ManagementError(.noDomainBackup, "no domain backup job present")
        }
        return backup.root.printed()
    }

    // MARK: The document

    private func completeBackup(_ machine: Machine, _ given: XMLElement, _ definition: DomainDefinition) throws
        -> XMLElement
    {
        var root = given
        let mode = given["mode"] ?? "push"
        guard ["push", "pull"].contains(mode) else {
            throw ManagementError(.xmlError, "Invalid value for attribute 'mode' in element 'domainbackup': '\(mode)'.")
        }
        root["mode"] = mode
        root["id"] = "1"
        if mode == "pull" {
            var server = root[child: "server"] ?? XMLElement("server", ["transport": "tcp", "name": "localhost"])
            server["transport"] = server["transport"] ?? "tcp"
            guard server["transport"] != "tcp" || server["port"] != nil else {
                throw ManagementError(.operationUnsupported, "<domainbackup> must specify TCP port for now")
            }
            root[child: "server"] = server
        }
        let since = given[child: "incremental"]?.text
        var asked = given[child: "disks"]?.all("disk") ?? []
        let takesAll = asked.isEmpty
        var complete: [XMLElement] = []
        for disk in definition.devices where disk.name == "disk" {
            let target = disk[child: "target"]?["dev"] ?? ""
            let isIdle = disk[child: "source"] == nil || disk[child: "readonly"] != nil
            guard let place = asked.firstIndex(where: { $0["name"] == target }) else {
                let entry = XMLElement("disk", ["name": target, "backup": takesAll && !isIdle ? "yes" : "no"])
                complete.append(try completeBackupDisk(machine, entry, disk, mode, since))
                continue
            }
            complete.append(try completeBackupDisk(machine, asked.remove(at: place), disk, mode, since))
        }
        if let left = asked.first {
            throw ManagementError(.configUnsupported, "no disk named '\(left["name"] ?? "")'")
        }
        guard complete.contains(where: { $0["backup"] == "yes" }) else {
            throw ManagementError(.invalidArg, "no disk selected for backup")
        }
        root[child: "disks"] = XMLElement("disks", [:], complete)
        return root
    }

    private func completeBackupDisk(
        _ machine: Machine, _ given: XMLElement, _ disk: XMLElement, _ mode: String, _ since: String?
    ) throws -> XMLElement {
        var entry = given
        entry["backup"] = entry["backup"] ?? "yes"
        guard entry["backup"] == "yes" else { return entry }
        let target = entry["name"] ?? ""
        guard disk[child: "source"] != nil else {
            throw ManagementError(.configUnsupported, "disk '\(target)' has no media")
        }
        entry["type"] = entry["type"] ?? "file"
        guard entry["type"] == "file" else {
            throw ManagementError(.configUnsupported, "unsupported disk backup type '\(entry["type"] ?? "")'")
        }
        let part = mode == "pull" ? "scratch" : "target"
        if entry[child: part]?["file"] == nil {
            let suffix = since ?? "\(time(nil))"
            entry[child: part] = XMLElement(part, ["file": Self.path(disk) + "." + suffix])
        }
        if entry[child: "driver"]?["type"] == nil { entry[child: "driver"] = XMLElement("driver", ["type": "qcow2"]) }
        guard mode == "push" || entry[child: "driver"]?["type"] == "qcow2" else {
            throw ManagementError(
                .configUnsupported, "pull mode backup for disk '\(target)' requires qcow2 driver")
        }
        if entry["backupmode"] != "full", entry["incremental"] == nil, let since { entry["incremental"] = since }
        entry["backupmode"] = entry["incremental"] == nil ? "full" : "incremental"
        if let name = entry["incremental"], machine.checkpoints[name] == nil {
            throw ManagementError(
                .noDomainCheckpoint, "Checkpoint '\(name)' for incremental backup of disk '\(target)' not found")
        }
        if mode == "pull" {
            entry["exportname"] = entry["exportname"] ?? target
            if entry["incremental"] != nil { entry["exportbitmap"] = entry["exportbitmap"] ?? "backup-" + target }
        }
        return entry
    }

    // MARK: Starting

    private func start(
        _ machine: Machine, _ live: LiveMachine, _ root: XMLElement, _ checkpoint: Snapshot?, reusesFiles: Bool
    ) throws {
        var backup = Backup(root: root, jobs: [], reusesFiles: reusesFiles)
        var actions: [JSONValue] = []
        var serves = false
        do {
            for entry in root[child: "disks"]?.all("disk") ?? [] where entry["backup"] == "yes" {
                try prepare(entry, machine, live, &backup, &actions)
            }
            if let checkpoint { actions += try bitmapActions(checkpoint, live) }
            if backup.isPull {
                try live.monitor.execute("nbd-server-start", ["addr": try Self.address(root[child: "server"])])
                serves = true
            }
            let planned = backup
            // Events of jobs may come before the command's answer.
            machine.change { _, running in running?.backup = planned }
            try live.monitor.execute("transaction", ["actions": .array(actions)])
        } catch {
            machine.change { _, running in running?.backup = nil }
            if serves { _ = try? live.monitor.execute("nbd-server-stop") }
            clear(backup, live, keepsFiles: false)
            throw error
        }
        guard backup.isPull else { return }
        do {
            for job in backup.jobs { try export(job, live) }
        } catch {
            try? cancel(backup, live)
            throw error
        }
    }

    /// Makes the file for a disk, opens it, and says what the transaction does about it.
    private func prepare(
        _ entry: XMLElement, _ machine: Machine, _ live: LiveMachine, _ backup: inout Backup,
        _ actions: inout [JSONValue]
    ) throws {
        let target = entry["name"] ?? ""
        guard let disk = live.definition.disk(target),
            let path = entry[child: backup.isPull ? "scratch" : "target"]?["file"]
        else { return }
        let top = try topNode(live, disk)
        let since = entry["incremental"]
        let format = entry[child: "driver"]?["type"] ?? "qcow2"
        let chain = try Self.chainNodes(live, top)
        if let since, !chain.contains(where: { $0.bitmaps[since] != nil }) {
            throw ManagementError(
                .checkpointInconsistent, "missing or broken bitmap '\(since)' for disk '\(target)'")
        }
        let showsOld = backup.isPull || since != nil && format == "qcow2"
        if !backup.reusesFiles {
            guard !StateFiles.exists(path) else {
                throw ManagementError(.invalidArg, "store '\(path)' for backup of '\(target)' exists")
            }
            var words = ["create", "-q", "-f", format]
            if showsOld { words += ["-u", "-b", Self.path(disk), "-F", Self.format(disk)] }
            try imageTool(words + [path, "\(try diskCapacity(live, disk))"], "make the image '\(path)'")
        }
        let number = max(DeviceAliases.lastSource(live.definition), try Self.lastNode(live.monitor)) + 1
        var job = Backup.Job(id: "backup-\(target)-libvirt-\(number)-format", target: target, path: path, nodes: [])
        var store = XMLElement("disk", ["type": "file"])
        store.append(XMLElement("driver", ["type": format]))
        store.append(XMLElement("source", ["file": path]))
        guard var nodes = try BlockNodes.arguments(of: store, named: "\(number)") else { return }
        if format == "qcow2" {
            nodes.json[nodes.json.count - 1]["backing"] = showsOld ? .string(top) : .null
        }
        // From here on `clear` knows of it.
        backup.jobs.append(job)
        let place = backup.jobs.count - 1
        try admit(path, isReadOnly: false, format: "raw", to: live.process)
        for node in nodes.json {
            try live.monitor.execute("blockdev-add", node)
            job.nodes.append(node["node-name"]?.string ?? "")
            backup.jobs[place] = job
        }
        if let since {
            let name = entry["exportbitmap"] ?? "backup-" + target
            let holder = backup.isPull ? nodes.top : top
            job.bitmap = Backup.BitmapPlace(node: holder, name: name)
            actions.append(Self.addBitmap(name, to: holder, isPersistent: false, isDisabled: true))
            let parts = chain.filter { $0.bitmaps[since] != nil }.map { node -> JSONValue in
                ["node": .string(node.name), "name": .string(since)]
            }
            actions.append([
                "type": "block-dirty-bitmap-merge",
                "data": ["node": .string(holder), "target": .string(name), "bitmaps": .array(parts)],
            ])
        }
        var work: JSONObject = [
            "device": .string(top), "job-id": .string(job.id), "target": .string(nodes.top),
            "sync": backup.isPull ? "none" : since == nil ? "full" : "incremental", "auto-dismiss": false,
        ]
        if !backup.isPull, let bitmap = job.bitmap { work["bitmap"] = .string(bitmap.name) }
        actions.append(["type": "blockdev-backup", "data": .object(work)])
        if backup.isPull { job.export = entry["exportname"] }
        backup.jobs[place] = job
    }

    private static func address(_ server: XMLElement?) throws -> JSONValue {
        guard let server else { return .null }
        if server["transport"] == "unix" {
            guard let path = server["socket"] else {
                throw ManagementError(.xmlError, "missing socket for unix transport")
            }
            return ["type": "unix", "data": ["path": .string(path)]]
        }
        return [
            "type": "inet",
            "data": ["host": .string(server["name"] ?? "localhost"), "port": .string(server["port"] ?? "")],
        ]
    }

    private func export(_ job: Backup.Job, _ live: LiveMachine) throws {
        guard let node = job.nodes.last, let name = job.export else { return }
        var arguments: JSONObject = [
            "type": "nbd", "id": .string(Self.exportName(job)), "node-name": .string(node), "name": .string(name),
            "writable": false,
        ]
        if let bitmap = job.bitmap { arguments["bitmaps"] = [.string(bitmap.name)] }
        try live.monitor.execute("block-export-add", arguments)
    }

    private static func exportName(_ job: Backup.Job) -> String { "libvirt-nbd-" + job.target }

    // MARK: Ending

    /// Gives a backup up; for one that a client pulls that is its end.
    func abortBackup(_ machine: Machine) throws {
        try onMonitorOf(machine) { live in
            guard let backup = live.backup else { return }
            try cancel(backup, live)
        }
    }

    private func cancel(_ backup: Backup, _ live: LiveMachine) throws {
        if backup.isPull {
            for job in backup.jobs {
                _ = try? live.monitor.execute(
                    "block-export-del", ["id": .string(Self.exportName(job)), "mode": "hard"])
            }
            _ = try? live.monitor.execute("nbd-server-stop")
        }
        for job in backup.jobs where job.ending == nil {
            try live.monitor.execute("job-cancel", ["id": .string(job.id)])
        }
    }

    /// Called on the monitors' thread.
    func backupSeen(_ machine: Machine, _ event: String, _ id: String, _ data: JSONObject?) {
        let ending: Backup.Ending
        switch event {
        case "BLOCK_JOB_COMPLETED": ending = data?["error"]?.string == nil ? .completed : .failed
        case "BLOCK_JOB_CANCELLED": ending = .cancelled
        default: return
        }
        workers.submit { [self] in
            machine.job.withLock { backupEnded(machine, id, ending, data?["error"]?.string) }
        }
    }

    /// A disk's job is over. The caller holds the machine's job.
    private func backupEnded(_ machine: Machine, _ id: String, _ ending: Backup.Ending, _ problem: String?) {
        guard let live = machine.live, var backup = live.backup,
            let place = backup.jobs.firstIndex(where: { $0.id == id && $0.ending == nil })
        else { return }
        backup.jobs[place].ending = ending
        backup.problem = backup.problem ?? problem
        let now = backup
        machine.change { _, running in running?.backup = now }
        do { try live.monitor.execute("job-dismiss", ["id": .string(id)]) } catch {
            Console.shared.warning("the job '\(id)' is not forgotten: \(error)")
        }
        // One that failed takes the others with it.
        if ending != .completed {
            for job in now.jobs where job.ending == nil {
                _ = try? live.monitor.execute("job-cancel", ["id": .string(job.id)])
            }
        }
        guard now.isOver else { return saveStatus(machine) }
        if now.isPull { _ = try? live.monitor.execute("nbd-server-stop") }
        clear(now, live, keepsFiles: !now.isPull && now.isSuccess)
        finishBackup(machine, live, now)
        saveStatus(machine)
    }

    private func finishBackup(_ machine: Machine, _ live: LiveMachine, _ backup: Backup) {
        let isAborted = live.operation?.isAborted ?? false
        var parameters = [
            TypedParameter("operation", .int(RunningOperation.backup)),
            TypedParameter(
                "time_elapsed",
                .ulong((monotonicNanoseconds() &- (live.operation?.started ?? monotonicNanoseconds())) / 1_000_000)),
            TypedParameter("success", .bool(backup.isSuccess)),
        ]
        if let problem = backup.problem, !isAborted { parameters.append(TypedParameter("errmsg", .text(problem))) }
        machine.finishedOperation = parameters
        machine.change { _, running in running?.backup = nil }
        end(machine)
        events.emit(.machine(machine.facts.reference, .jobCompleted(parameters)))
    }

    /// Closes what a backup opened, and removes files that are of no use any more.
    private func clear(_ backup: Backup, _ live: LiveMachine, keepsFiles: Bool) {
        for job in backup.jobs {
            // Those of a file that is closed are gone with it.
            if let bitmap = job.bitmap, !job.nodes.contains(bitmap.node) {
                _ = try? live.monitor.execute(
                    "block-dirty-bitmap-remove", ["node": .string(bitmap.node), "name": .string(bitmap.name)])
            }
            for node in job.nodes.reversed() {
                do { try live.monitor.execute("blockdev-del", ["node-name": .string(node)]) } catch {
                    Console.shared.warning("'\(job.path)' stays open: \(error)")
                }
            }
            var store = XMLElement("disk")
            store.append(XMLElement("source", ["file": job.path]))
            giveBack(store)
            if !keepsFiles && !backup.reusesFiles {
                do throws(Errno) { try StateFiles.remove(job.path) } catch {
                    Console.shared.warning("cannot remove '\(job.path)': \(error)")
                }
            }
        }
    }

    /// Goes on with a backup that the service before this one started.
    func resumeBackup(_ machine: Machine, _ status: XMLElement) {
        guard let backup = Backup(status: status), machine.live != nil else { return }
        machine.change { _, live in live?.backup = backup }
        begin(machine, RunningOperation.backup)
        saveStatus(machine)
        workers.submit { [self] in
            machine.job.withLock {
                let jobs = (try? machine.live?.monitor.execute("query-jobs").array) ?? []
                for job in backup.jobs where job.ending == nil {
                    let entry = jobs.first { $0["id"]?.string == job.id }
                    // What nobody knows of any more was not ended by this service.
                    guard entry == nil || entry?["status"]?.string == "concluded" else { continue }
                    let problem = entry == nil ? "the job is gone" : entry?["error"]?.string
                    backupEnded(machine, job.id, problem == nil ? .completed : .failed, problem)
                }
            }
        }
    }
}
