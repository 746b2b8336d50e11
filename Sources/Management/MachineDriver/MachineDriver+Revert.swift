// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

// Going back to snapshots and removing them.
extension MachineDriver {
    /// Makes a machine what it was when a snapshot was made.
    public func revert(_ uuid: UniqueID, to name: String, wake: WakeState) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let snapshot = try snapshot(machine, name)
            guard let old = snapshot.domain else {
                throw ManagementError(
                    .snapshotRevertRisky, "snapshot '\(name)' lacks domain '\(machine.facts.name)' rollback info")
            }
            // What a run gave its devices means nothing to the next one.
            var definition = try DomainDefinition(old.root, context)
            // It may have had another name then.
            definition.name = machine.facts.name
            let isTransient = !machine.facts.isPersistent
            if let live = machine.live {
                machine.change { _, running in running?.ending = .shutOffFromSnapshot }
                endProcess(live)
                finish(machine, .shutOffFromSnapshot, Lifecycle.stoppedFromSnapshot)
            }
            try restoreDisks(&definition, snapshot)
            let target = isTransient ? try reclaim(machine, definition) : machine
            if !isTransient { try store(definition) }
            target.change { facts, _ in facts.takeSizes(definition) }
            let runs = wake == .running || wake == .paused || snapshot.isActive
            if runs {
                let paused = wake == .asSaved ? snapshot.state == "paused" : wake == .paused
                try launch(target, definition, from: snapshot, paused: paused)
            } else {
                target.change { facts, _ in facts.state = .shutOffFromSnapshot }
            }
            try changeSnapshots(target) { $0.current = name }
        }
    }

    /// A machine without a definition is forgotten when it stops; it comes back with its snapshots.
    private func reclaim(_ machine: Machine, _ definition: DomainDefinition) throws -> Machine {
        let tree = machine.snapshots
        let (fresh, _) = try claim(definition)
        fresh.snapshots = tree
        return fresh
    }

    private func launch(
        _ machine: Machine, _ definition: DomainDefinition, from snapshot: Snapshot, paused: Bool
    ) throws {
        guard snapshot.memory != "no" else {
            return try launch(machine, definition, LaunchOptions(paused: paused, origin: .snapshot))
        }
        guard let file = snapshot.memoryFile, snapshot.memory == "external" else {
            return try launch(
                machine, definition, LaunchOptions(paused: paused, snapshot: snapshot.name, origin: .snapshot))
        }
        let memory: FileDescriptor
        do throws(Errno) { memory = try FileDescriptor.open(file) } catch {
            throw ManagementError(.systemError, "Failed to open file '\(file)': \(error)")
        }
        _ = try SaveImage(reading: memory, called: file)
        try launch(
            machine, definition, LaunchOptions(paused: paused, memory: memory.number, origin: .snapshot))
    }

    /// Puts disks back. Disks that were frozen get a new image in front, so that the snapshot can be gone back to again.
    private func restoreDisks(_ definition: inout DomainDefinition, _ snapshot: Snapshot) throws {
        for entry in snapshot.disks where entry["snapshot"] == "internal" && snapshot.memory != "internal" {
            guard let disk = definition.disk(entry["name"] ?? "") else { continue }
            try imageTool(
                ["snapshot", "-a", snapshot.name, Self.path(disk)],
                "go back to '\(snapshot.name)' in '\(Self.path(disk))'")
        }
        var fresh: [XMLElement] = []
        do {
            for entry in snapshot.disks where entry["snapshot"] == "external" {
                guard let disk = definition.disk(entry["name"] ?? "") else { continue }
                let base = Self.path(disk)
                let stem = Self.sibling(base, "\(time(nil))")
                let file = (0...).lazy.map { $0 == 0 ? stem : "\(stem)-\($0)" }.first { !StateFiles.exists($0) } ?? stem
                try makeOverlay(file, format: "qcow2", size: nil, backing: (base, Self.format(disk)))
                fresh.append(
                    XMLElement(
                        "disk", ["name": entry["name"]],
                        [XMLElement("driver", ["type": "qcow2"]), XMLElement("source", ["file": file])]))
            }
            try Self.switchDisks(&definition, fresh)
        } catch {
            for entry in fresh { if let file = entry[child: "source"]?["file"] { try? StateFiles.remove(file) } }
            throw error
        }
    }

    // MARK: Removing

    /// Which part of the tree goes, in libvirt's bits.
    public struct SnapshotRemoval: OptionSet, Sendable {
        /// libvirt's virDomainSnapshotDeleteFlags.
        public let rawValue: UInt32
        /// Takes a client's flags as they are.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// The snapshot and all below it.
        public static let children = SnapshotRemoval(rawValue: 1)
        /// What is known here goes; the images keep theirs.
        public static let metadataOnly = SnapshotRemoval(rawValue: 2)
        /// All below the snapshot, but not the snapshot.
        public static let childrenOnly = SnapshotRemoval(rawValue: 4)
    }

    /// Removes a snapshot, those below it, or both.
    public func deleteSnapshot(_ uuid: UniqueID, _ name: String, _ options: SnapshotRemoval) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            _ = try snapshot(machine, name)
            var doomed: [String] = []
            if options.contains(.children) || options.contains(.childrenOnly) {
                doomed = machine.snapshots.descendants(name).reversed().map(\.name)
            }
            if !options.contains(.childrenOnly) { doomed.append(name) }
            for entry in doomed {
                guard let snapshot = machine.snapshots[entry] else { continue }
                if !options.contains(.metadataOnly) { try removeData(machine, snapshot) }
                try changeSnapshots(machine) { $0.remove(entry) }
            }
        }
    }

    private func removeData(_ machine: Machine, _ snapshot: Snapshot) throws {
        let inside = snapshot.disks.filter { $0["snapshot"] == "internal" }
        if !inside.isEmpty {
            if let live = machine.live {
                try onMonitorOf(machine) { _ in try human(live, "delvm \"\(snapshot.name)\"") }
            } else {
                let definition = try definition(of: machine)
                for entry in inside {
                    guard let disk = definition.disk(entry["name"] ?? "") else { continue }
                    try imageTool(
                        ["snapshot", "-d", snapshot.name, Self.path(disk)],
                        "remove '\(snapshot.name)' from '\(Self.path(disk))'")
                }
            }
        }
        for entry in snapshot.disks where entry["snapshot"] == "external" {
            try removeOverlay(machine, snapshot, entry)
        }
        if snapshot.memory == "external", let file = snapshot.memoryFile { try removing(file) }
    }

    /// What is known of the image that a snapshot put in front of a disk's.
    private struct Overlay {
        let target: String
        let file: String
        let base: String
        let baseFormat: String
        /// Images of later snapshots right in front of it.
        let followers: [(snapshot: String, file: String)]
        /// Whether something else stands on the same base.
        let isShared: Bool
        /// Whether the machine writes to it.
        let isTop: Bool
        /// Whether the machine reads it.
        let isUsed: Bool
    }

    private func overlay(_ machine: Machine, _ snapshot: Snapshot, _ entry: XMLElement) throws -> Overlay? {
        let target = entry["name"] ?? ""
        guard let file = entry[child: "source"]?["file"], let disk = snapshot.domain?.disk(target) else { return nil }
        let base = Self.path(disk)
        let others = machine.snapshots.sorted.filter { $0.name != snapshot.name }
        func behind(_ other: Snapshot) -> String? { other.domain?.disk(target).map(Self.path) }
        func front(_ other: Snapshot) -> String? {
            other.disks.first { $0["name"] == target && $0["snapshot"] == "external" }?[child: "source"]?["file"]
        }
        let definition = try machine.live?.definition ?? definition(of: machine)
        let top = definition.disk(target)
        let chain = top.map { machine.live == nil ? imageChain(Self.path($0)) : Self.chain($0) } ?? []
        let place = chain.firstIndex(of: base)
        let standsElsewhere = place.map { $0 > 0 && chain[$0 - 1] != file } ?? false
        return Overlay(
            target: target, file: file, base: base, baseFormat: Self.format(disk),
            followers: others.compactMap { other in
                behind(other) == file ? front(other).map { (other.name, $0) } : nil
            },
            isShared: standsElsewhere
                || others.contains { behind($0) == base && (front($0) ?? file) != file },
            isTop: chain.first == file, isUsed: chain.contains(file))
    }

    /// The files of an image that no machine has open, the top one first.
    private func imageChain(_ path: String) -> [String] {
        var chain = [path]
        // No chain is longer; one that goes round ends, too.
        while chain.count < 256, let next = imageBacking(chain[chain.count - 1]), !chain.contains(next) {
            chain.append(next)
        }
        return chain
    }

    private func removeOverlay(_ machine: Machine, _ snapshot: Snapshot, _ entry: XMLElement) throws {
        guard let overlay = try overlay(machine, snapshot, entry) else { return }
        if overlay.isShared || (!overlay.isUsed && !overlay.followers.isEmpty) {
            guard !overlay.isTop else {
                throw ManagementError(
                    .operationUnsupported,
                    "snapshot '\(snapshot.name)' cannot be removed: other snapshots need the image '\(overlay.base)' as it is"
                )
            }
            try pullFollowers(machine, overlay)
        } else if overlay.isUsed {
            try merge(machine, overlay)
        }
        try changeSnapshots(machine) { tree in
            for follower in overlay.followers {
                var domain = tree[follower.snapshot]?.domain
                domain?.changeDisk(overlay.target) { disk in
                    disk[child: "source"] = XMLElement("source", ["file": overlay.base])
                    disk[child: "driver"]?["type"] = overlay.baseFormat
                    disk[child: "backingStore"] = nil
                }
                tree[follower.snapshot]?.domain = domain
            }
        }
        try removing(overlay.file)
    }

    /// What stands on the image takes what it needs of it.
    private func pullFollowers(_ machine: Machine, _ overlay: Overlay) throws {
        for follower in overlay.followers {
            if machine.live != nil, overlay.isUsed {
                try onMonitorOf(machine) { live in
                    try runToEnd(
                        machine, live, "block-stream",
                        [
                            "device": .string(try node(live, follower.file)),
                            "base-node": .string(try node(live, overlay.base)),
                        ], completes: false)
                }
            } else {
                try imageTool(
                    ["rebase", "-f", "qcow2", "-b", overlay.base, "-F", overlay.baseFormat, follower.file],
                    "make '\(follower.file)' independent of '\(overlay.file)'")
            }
        }
    }

    /// Writes the image to what is behind it.
    private func merge(_ machine: Machine, _ overlay: Overlay) throws {
        let back = [
            XMLElement(
                "disk", ["name": overlay.target],
                [
                    XMLElement("driver", ["type": overlay.baseFormat]), XMLElement("source", ["file": overlay.base]),
                ])
        ]
        if machine.live != nil {
            try onMonitorOf(machine) { live in
                let disk = try liveDisk(live, overlay.target)
                let top = try topNode(live, disk)
                try runToEnd(
                    machine, live, "block-commit",
                    [
                        "device": .string(top),
                        "top-node": .string(overlay.isTop ? top : try node(live, overlay.file)),
                        "base-node": .string(try node(live, overlay.base)),
                    ], completes: overlay.isTop)
            }
            refreshChains(machine)
            dropUnusedNodes(machine)
            saveStatus(machine)
        } else {
            try imageTool(
                ["commit", "-q", "-f", "qcow2", overlay.file], "write '\(overlay.file)' to '\(overlay.base)'")
            for follower in overlay.followers {
                try imageTool(
                    ["rebase", "-u", "-f", "qcow2", "-b", overlay.base, "-F", overlay.baseFormat, follower.file],
                    "put '\(follower.file)' in front of '\(overlay.base)'")
            }
        }
        if overlay.isTop, machine.facts.isPersistent { try update(machine) { try Self.switchDisks(&$0, back) } }
    }

    private static let jobPause: UInt32 = 20

    /// Runs a job on images and waits for its end.
    private func runToEnd(
        _ machine: Machine, _ live: LiveMachine, _ command: String, _ arguments: JSONObject, completes: Bool
    ) throws {
        let id = "snapshot-\(monotonicNanoseconds() / 1000)"
        var arguments = arguments
        arguments["job-id"] = .string(id)
        // The end is looked for, not told: an event may come before this thread waits for it.
        arguments["auto-dismiss"] = false
        try live.monitor.execute(command, arguments)
        var hasCompleted = false
        while true {
            let jobs = try live.monitor.execute("query-jobs").array ?? []
            guard let job = jobs.first(where: { $0["id"]?.string == id }) else { return }
            switch job["status"]?.string {
            case "ready" where completes && !hasCompleted:
                try live.monitor.execute("block-job-complete", ["device": .string(id)])
                hasCompleted = true
            case "concluded":
                _ = try live.monitor.execute("job-dismiss", ["id": .string(id)])
                if let problem = job["error"]?.string {
                    throw ManagementError(.operationFailed, "block job failed: \(problem)")
                }
                return
            default: break
            }
            sleepMilliseconds(Self.jobPause)
        }
    }
}
