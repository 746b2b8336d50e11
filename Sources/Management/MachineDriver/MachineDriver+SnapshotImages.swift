// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import JSONCoding
internal import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

// What a snapshot does to memory and images.
extension MachineDriver {
    /// Makes what a snapshot's document says. The caller holds the machine's job.
    func take(
        _ snapshot: Snapshot, _ machine: Machine, _ definition: DomainDefinition, _ options: SnapshotCreation
    ) throws {
        let external = snapshot.disks.filter { $0["snapshot"] == "external" }
        let inside = snapshot.disks.filter { $0["snapshot"] == "internal" }
        guard external.isEmpty || inside.isEmpty else {
            throw ManagementError(
                .configUnsupported, "mixing internal and external targets for a snapshot is not yet supported")
        }
        guard machine.live != nil else {
            try takeInside(inside, snapshot.name, definition)
            return try takeOffline(external, machine, definition, options)
        }
        if options.contains(.quiesce) { _ = try agentCommand(machine, "guest-fsfreeze-freeze") }
        defer { if options.contains(.quiesce) { _ = try? agentCommand(machine, "guest-fsfreeze-thaw") } }
        try onMonitorOf(machine) { live in
            let wasRunning = machine.facts.state.isRunning
            let stops = wasRunning && snapshot.memory != "no"
            // The guest of a live one runs until the emulator has all of its memory, and stops by itself then.
            if stops && !options.contains(.live) {
                try live.monitor.execute("stop")
                machine.change { facts, _ in facts.state = .pausedForSnapshot }
            }
            begin(machine, RunningOperation.snapshot)
            defer { end(machine) }
            do {
                if snapshot.memory == "internal" {
                    try human(live, "savevm \"\(snapshot.name)\"")
                } else {
                    if snapshot.memory == "external", let file = snapshot.memoryFile {
                        try writeMemory(
                            machine, live, to: file,
                            SaveImage(document: definition.printed(), wasRunning: wasRunning))
                    }
                    try takeLive(external, machine, live, options)
                }
            } catch {
                if stops && !machine.facts.state.isRunning { try goOn(machine, live) }
                throw error
            }
            if options.contains(.halt) {
                machine.change { _, running in running?.ending = .shutOffFromSnapshot }
                endProcess(live)
                finish(machine, .shutOffFromSnapshot, Lifecycle.stoppedFromSnapshot)
            } else if stops {
                try goOn(machine, live)
            }
        }
    }

    /// Makes a snapshot in every image, or in none.
    private func takeInside(_ entries: [XMLElement], _ name: String, _ definition: DomainDefinition) throws {
        var done: [String] = []
        do {
            for entry in entries {
                guard let path = definition.disk(entry["name"] ?? "").map(Self.path) else { continue }
                try imageTool(["snapshot", "-c", name, path], "make a snapshot in '\(path)'")
                done.append(path)
            }
        } catch {
            for path in done {
                do { try imageTool(["snapshot", "-d", name, path], "take it back") } catch {
                    Console.shared.warning("the snapshot '\(name)' stays in '\(path)': \(error)")
                }
            }
            throw error
        }
    }

    private func goOn(_ machine: Machine, _ live: LiveMachine) throws {
        try live.monitor.execute("cont")
        machine.change { facts, _ in facts.state = .runningUnpaused }
        emit(machine, Lifecycle.resumedUnpaused)
    }

    /// A command of the monitor for people, which says something only when it fails.
    func human(_ live: LiveMachine, _ command: String) throws {
        let answer = try live.monitor.execute(
            "human-monitor-command", ["command-line": .string(command)], patience: MonitorClient.longPatience)
        let text = answer.string ?? ""
        guard text.isEmpty else {
            throw ManagementError(.operationFailed, "\(command): \(text.filter { $0 != "\r\n" && $0 != "\n" })")
        }
    }

    private func takeOffline(
        _ entries: [XMLElement], _ machine: Machine, _ definition: DomainDefinition, _ options: SnapshotCreation
    ) throws {
        guard !entries.isEmpty else { return }
        var made: [String] = []
        do {
            for entry in entries {
                guard let disk = definition.disk(entry["name"] ?? ""), let file = entry[child: "source"]?["file"] else {
                    continue
                }
                if !options.contains(.reuseFiles) {
                    try refuseExisting(file)
                    try makeOverlay(
                        file, format: entry[child: "driver"]?["type"] ?? "qcow2", size: nil,
                        backing: (Self.path(disk), Self.format(disk)))
                    made.append(file)
                }
            }
            try update(machine) { definition in try Self.switchDisks(&definition, entries) }
        } catch {
            for file in made { try? StateFiles.remove(file) }
            throw error
        }
    }

    private func refuseExisting(_ file: String) throws {
        guard !StateFiles.exists(file) else {
            throw ManagementError(
                .configUnsupported, "external snapshot file for disk already exists and is not a block device: \(file)")
        }
    }

    /// Makes overlays the disks of a document.
    static func switchDisks(_ definition: inout DomainDefinition, _ entries: [XMLElement]) throws {
        for entry in entries {
            definition.changeDisk(entry["name"] ?? "") { disk in
                disk["type"] = "file"
                disk[child: "source"] = XMLElement("source", ["file": entry[child: "source"]?["file"]])
                disk[child: "driver"]?["type"] = entry[child: "driver"]?["type"] ?? "qcow2"
                disk[child: "backingStore"] = nil
            }
        }
        definition.order()
    }

    private func takeLive(
        _ entries: [XMLElement], _ machine: Machine, _ live: LiveMachine, _ options: SnapshotCreation
    ) throws {
        guard !entries.isEmpty else { return }
        var made: [String] = []
        var nodes: [String] = []
        var actions: [JSONValue] = []
        var number = DeviceAliases.lastSource(live.definition)
        do {
            for entry in entries {
                guard let disk = live.definition.disk(entry["name"] ?? ""), let file = entry[child: "source"]?["file"]
                else { continue }
                let format = entry[child: "driver"]?["type"] ?? "qcow2"
                if !options.contains(.reuseFiles) {
                    try refuseExisting(file)
                    try makeOverlay(
                        file, format: format, size: nil, backing: (Self.path(disk), Self.format(disk)))
                    made.append(file)
                }
                number += 1
                var overlay = disk
                overlay["type"] = "file"
                overlay[child: "source"] = XMLElement("source", ["file": file, "index": "\(number)"])
                overlay[child: "driver"]?["type"] = format
                guard var chain = try BlockNodes.arguments(of: overlay, named: "\(number)") else { continue }
                // What is behind it is what the machine has open.
                chain.json[chain.json.count - 1]["backing"] = .null
                try admit(file, isReadOnly: false, format: "raw", to: live.process)
                for node in chain.json {
                    try live.monitor.execute("blockdev-add", node)
                    nodes.append(node["node-name"]?.string ?? "")
                }
                // What checkpoints follow goes on in the new image.
                for bitmap in try Self.bitmaps(live, try topNode(live, disk)) where machine.checkpoints[bitmap] != nil {
                    actions.append(Self.addBitmap(bitmap, to: chain.top, isPersistent: format == "qcow2"))
                }
                actions.append([
                    "type": "blockdev-snapshot",
                    "data": ["node": .string(try topNode(live, disk)), "overlay": .string(chain.top)],
                ])
            }
            try live.monitor.execute("transaction", ["actions": .array(actions)])
        } catch {
            for node in nodes.reversed() {
                _ = try? live.monitor.execute("blockdev-del", ["node-name": .string(node)])
            }
            for file in made { try? StateFiles.remove(file) }
            throw error
        }
        refreshChains(machine)
        if machine.facts.isPersistent { try update(machine) { try Self.switchDisks(&$0, entries) } }
        saveStatus(machine)
    }
}
