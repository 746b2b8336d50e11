// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

// What is on disk: definitions, and machines that run since before this process did.
extension MachineDriver {
    /// Writes what is needed to find a running machine again.
    func saveStatus(_ machine: Machine) {
        guard let live = machine.live else { return }
        let facts = machine.facts
        var root = XMLElement(
            "domstatus",
            [
                "state": MachineState.names[Int(facts.state.state)], "reason": "\(facts.state.reason)",
                "pid": "\(live.process)", "persistent": facts.isPersistent ? "yes" : "no",
            ],
            [XMLElement("monitor", ["path": CommandLineBuilder.monitorPath(live.sockets), "type": "unix"])])
        if let backup = live.backup { root.append(backup.status) }
        var domain = live.definition.root
        domain["id"] = "\(facts.id)"
        root.append(domain)
        do throws(Errno) {
            try StateFiles.write(folders.status(facts.name), root.printed(.init(foreign: ["metadata"])))
        } catch {
            Console.shared.error("cannot write the state of '\(facts.name)': \(error); it will not be found again")
        }
    }

    /// Reads all definitions and finds all machines that run.
    public func recover() {
        for folder in [folders.definitions, folders.running, folders.saved] { StateFiles.sweep(folder) }
        for old in StateFiles.hiddenNames(in: folders.definitions, prefix: ".renaming-") { resumeRename(old) }
        for name in StateFiles.hiddenNames(in: folders.definitions, prefix: ".undefining-") { resumeUndefine(name) }
        StateFiles.sweepLinks(folders.autostart, suffix: ".xml")
        for name in StateFiles.names(in: folders.definitions, suffix: ".xml") { loadDefinition(name) }
        for name in StateFiles.names(in: folders.running, suffix: ".xml") { loadRunning(name) }
        for name in StateFiles.names(in: folders.running, suffix: ".pid") where !StateFiles.exists(folders.status(name))
        {
            do throws(Errno) { try StateFiles.remove(folders.processNumber(name)) } catch {
                Console.shared.warning("cannot remove '\(folders.processNumber(name))': \(error)")
            }
        }
    }

    /// Finishes a rename, or forgets one that had not begun.
    private func resumeRename(_ old: String) {
        do {
            let new = try StateFiles.read(folders.renaming(old)) ?? ""
            if !new.isEmpty, !new.contains("/"), StateFiles.exists(folders.definition(new)) {
                try finishRename(from: old, to: new)
            } else {
                try StateFiles.remove(folders.renaming(old))
            }
        } catch { Console.shared.error("the renaming of '\(old)' cannot be finished: \(error)") }
    }

    private func loadDefinition(_ name: String) {
        let path = folders.definition(name)
        do {
            guard let text = try StateFiles.read(path) else { return }
            let definition = DomainDefinition(complete: try XMLDocument.parse(text, as: "domain", called: path))
            guard definition.name == name else {
                throw ManagementError(.xmlError, "the name inside is '\(definition.name)'")
            }
            let (machine, _) = try claim(definition)
            machine.change { facts, _ in
                facts.takeSizes(definition)
                facts.isPersistent = true
                facts.startsWithService = StateFiles.exists(folders.autostartLink(name))
            }
            loadSnapshots(machine)
            loadCheckpoints(machine)
        } catch {
            Console.shared.error("the definition '\(path)' is left out: \(error)")
        }
    }

    private func loadRunning(_ name: String) {
        let path = folders.status(name)
        do {
            guard let text = try StateFiles.read(path) else { return }
            let root = try XMLDocument.parse(text, as: "domstatus", called: path)
            guard var domain = root[child: "domain"], let process = root["pid"].flatMap({ Int32($0) }),
                let id = domain["id"].flatMap({ Int32($0) }), let monitor = root.at("monitor")?["path"]
            else { throw ManagementError(.xmlError, "it is not whole") }
            domain["id"] = nil
            let definition = DomainDefinition(complete: domain)
            let (machine, _) = try claim(definition)
            try attach(
                machine, definition, process: process, id: id, monitor: monitor, persistent: root["persistent"] == "yes"
            )
            if let backup = root[child: "domainbackup"] { resumeBackup(machine, backup) }
        } catch {
            Console.shared.error("the machine of '\(path)' is not found again: \(error)")
        }
    }

    private func attach(
        _ machine: Machine, _ definition: DomainDefinition, process: Int32, id: Int32, monitor path: String,
        persistent: Bool
    ) throws {
        let sockets = path.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 }
        reserve(id: id)
        do {
            let client = try makeMonitor(machine, process, path)
            try client.start()
            let status = try client.execute("query-status")
            machine.change { facts, live in
                facts.takeSizes(definition)
                facts.id = id
                facts.state = Self.state(status["status"]?.string ?? "running")
                live = LiveMachine(
                    definition: definition, process: process, monitor: client, sockets: sockets, isChild: false)
            }
            try refreshChannels(machine, client)
            saveStatus(machine)
            taps.filterAgain(definition)
            do { try tellHooks("reconnect", "begin", definition) } catch { Console.shared.warning("\(error)") }
        } catch {
            // It ended while nobody looked.
            taps.disconnect(definition)
            release(definition)
            removeTraces(of: definition.name, sockets)
            machine.change { facts, _ in facts.state = .shutOffCrashed }
            if !machine.facts.isPersistent { forget(machine) }
            Console.shared.info("'\(definition.name)' has ended meanwhile: \(error)")
        }
    }

    private static func state(_ status: String) -> MachineState {
        switch status {
        case "running": .runningBooted
        case "suspended": .suspended
        case "shutdown": .shuttingDown
        case "guest-panicked": .crashed
        default: .pausedByUser
        }
    }

    /// Starts the machines that start with the service.
    public func autostart() {
        for facts in all where facts.startsWithService && !facts.isActive {
            do { _ = try start(facts.uuid, paused: false) } catch {
                Console.shared.error("cannot start '\(facts.name)': \(error)")
            }
        }
    }
}
