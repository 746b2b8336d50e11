// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// What goes with a definition, in libvirt's bits.
public struct UndefineOptions: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Memory that was saved when the machine was stopped.
    public static let savedMemory = UndefineOptions(rawValue: 1)
    /// What is known of snapshots.
    public static let snapshots = UndefineOptions(rawValue: 2)
    /// The firmware's variables.
    public static let variables = UndefineOptions(rawValue: 4)
    /// The firmware's variables stay where they are.
    public static let keepsVariables = UndefineOptions(rawValue: 8)
    /// What is known of checkpoints.
    public static let checkpoints = UndefineOptions(rawValue: 16)
    /// All that there are.
    public static let known: UInt32 = 0x1f
}

extension MachineDriver {
    /// Removes a machine's definition; one that runs goes on without it.
    public func undefine(_ uuid: UniqueID, _ options: UndefineOptions) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let facts = machine.facts
            guard facts.isPersistent else {
                throw ManagementError(.operationInvalid, "cannot undefine transient domain")
            }
            try remove(try doomed(machine, facts, options), with: facts.name)
            if !facts.isActive {
                machine.snapshots = SnapshotTree()
                machine.checkpoints = SnapshotTree()
            }
            machine.change { facts, _ in
                facts.isPersistent = false
                facts.startsWithService = false
            }
            emit(machine, Lifecycle.undefined)
            if !facts.isActive { forget(machine) }
        }
    }

    /// Files and folders (with a slash at their end) that go with a definition.
    /// - Throws: libvirt's errors for what must be named to go.
    private func doomed(_ machine: Machine, _ facts: MachineFacts, _ options: UndefineOptions) throws -> [String] {
        var paths: [String] = []
        if StateFiles.exists(folders.savedMemory(facts.name)) {
            guard options.contains(.savedMemory) else {
                throw ManagementError(
                    .operationInvalid, "Refusing to undefine while domain managed save image exists")
            }
            paths.append(folders.savedMemory(facts.name))
        }
        let trees = [
            ("snapshots", machine.snapshots.count, UndefineOptions.snapshots, folders.snapshotFolder(facts.name)),
            ("checkpoints", machine.checkpoints.count, .checkpoints, folders.checkpointFolder(facts.name)),
        ]
        for (what, count, option, folder) in trees where !facts.isActive && count > 0 {
            guard options.contains(option) else {
                throw ManagementError(.operationInvalid, "cannot delete inactive domain with \(count) \(what)")
            }
            paths.append(folder + "/")
        }
        let variables = try variableStore(of: definition(of: machine))
        if let variables, StateFiles.exists(variables), !options.contains(.keepsVariables) {
            guard options.contains(.variables) else {
                throw ManagementError(.operationInvalid, "cannot undefine domain with nvram")
            }
            paths.append(variables)
        }
        return paths + [folders.definition(facts.name), folders.autostartLink(facts.name)]
    }

    /// Removes all of it, or, when the service is killed meanwhile, has the next start do so.
    private func remove(_ paths: [String], with name: String) throws {
        let journal = folders.undefining(name)
        do throws(Errno) { try StateFiles.write(journal, paths.joined(separator: "\n")) } catch {
            // On a full disk removing is what helps.
            guard error == .noSpace else {
                throw ManagementError(.systemError, "cannot write '\(journal)': \(error)")
            }
        }
        do { try finishUndefine(paths) } catch {
            // What stays is reported, and not removed later behind the client's back.
            try? StateFiles.remove(journal)
            throw error
        }
        try removing(journal)
    }

    /// Removes files and folders of documents; what has gone already is no error.
    func finishUndefine(_ paths: [String]) throws {
        for path in paths where !path.isEmpty {
            guard path.hasSuffix("/") else {
                try removing(path)
                continue
            }
            for name in StateFiles.names(in: path, suffix: ".xml") { try removing(path + name + ".xml") }
            StateFiles.removeFolder(path)
        }
    }

    /// Goes on with what a service that was killed had begun to remove.
    func resumeUndefine(_ name: String) {
        do {
            let text = try StateFiles.read(folders.undefining(name)) ?? ""
            try finishUndefine(text.split(separator: "\n").map(String.init))
            try removing(folders.undefining(name))
        } catch { Console.shared.error("the definition of '\(name)' is not removed: \(error)") }
    }

    /// Where the variables of a machine's firmware are; nil for one that has none.
    private func variableStore(of definition: DomainDefinition) -> String? {
        guard let system = definition.root[child: "os"] else { return nil }
        if let path = system[child: "nvram"]?.text, !path.isEmpty { return path }
        return system["firmware"] == "efi" ? folders.variableStore(definition.name) : nil
    }
}
