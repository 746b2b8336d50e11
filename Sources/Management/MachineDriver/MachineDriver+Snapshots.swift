// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// How a snapshot is made, in libvirt's bits.
public struct SnapshotCreation: OptionSet, Sendable {
    /// libvirt's virDomainSnapshotCreateFlags.
    public let rawValue: UInt32
    /// Takes a client's flags as they are.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The document tells of a snapshot that exists; nothing is made but metadata.
    public static let redefine = SnapshotCreation(rawValue: 1)
    /// With `redefine`: it becomes the current snapshot.
    public static let makeCurrent = SnapshotCreation(rawValue: 2)
    /// The images get it, but nothing is remembered here.
    public static let noMetadata = SnapshotCreation(rawValue: 4)
    /// The machine is stopped when the snapshot is complete.
    public static let halt = SnapshotCreation(rawValue: 8)
    /// Of the disks alone, without the memory.
    public static let diskOnly = SnapshotCreation(rawValue: 16)
    /// The files for new layers exist and are not made.
    public static let reuseFiles = SnapshotCreation(rawValue: 32)
    /// The guest's agent freezes its file systems meanwhile.
    public static let quiesce = SnapshotCreation(rawValue: 64)
    /// All disks or none, which is always so: what was made before one fails is taken back.
    public static let atomic = SnapshotCreation(rawValue: 128)
    /// The guest runs while its memory is saved.
    public static let live = SnapshotCreation(rawValue: 256)
}

// Finding snapshots and making them.
extension MachineDriver {
    // MARK: Finding

    func snapshot(_ machine: Machine, _ name: String) throws -> Snapshot {
        guard let found = machine.snapshots[name] else {
            throw ManagementError(
                .noDomainSnapshot, "no domain snapshot with matching name '\(name)'", from: .machineDriver)
        }
        return found
    }

    /// Names of a machine's snapshots, or of those below one.
    public func snapshotNames(_ uuid: UniqueID, below name: String?, _ flags: UInt32) throws -> [String] {
        let machine = try machine(uuid)
        if let name { _ = try snapshot(machine, name) }
        return SnapshotFilter.list(machine.snapshots, below: name, flags).map(\.name)
    }

    /// Whether there is a snapshot of that name.
    public func findSnapshot(_ uuid: UniqueID, _ name: String) throws -> String {
        try snapshot(machine(uuid), name).name
    }

    /// The snapshot's document; `secure` shows passwords of displays as well.
    public func snapshotDocument(_ uuid: UniqueID, _ name: String, secure: Bool) throws -> String {
        try snapshot(machine(uuid), name).printed(secure: secure)
    }

    /// The one that the machine's state comes from; nil when there is none.
    public func currentSnapshot(_ uuid: UniqueID) throws -> String? { try machine(uuid).snapshots.current }

    /// The name of the one before it; throws `noDomainSnapshot` for one that has none.
    public func parentSnapshot(_ uuid: UniqueID, _ name: String) throws -> String {
        guard let parent = try snapshot(machine(uuid), name).parent else {
            throw ManagementError(.noDomainSnapshot, "snapshot '\(name)' does not have a parent")
        }
        return parent
    }

    // MARK: Files

    /// Writes those entries of a tree whose file says something else, and removes what is not in it any more.
    /// - Parameter marks: whether files say which entry is the current one.
    static func storeTree(
        _ tree: SnapshotTree, replacing old: SnapshotTree, in folder: String, marks: Bool
    ) throws(Errno) {
        try StateFiles.makeFolder(folder)
        for entry in tree.sorted {
            let name = entry.name
            let isCurrent = tree.current == name
            guard old[name]?.root != entry.root || marks && (old.current == name) != isCurrent else { continue }
            try StateFiles.write(folder + "/" + name + ".xml", entry.printed(isCurrent: marks ? isCurrent : nil))
        }
        for entry in old.sorted where tree[entry.name] == nil {
            try StateFiles.remove(folder + "/" + entry.name + ".xml")
        }
    }

    /// Reads a tree; entries that cannot be read are reported and left out.
    static func readTree(_ folder: String, _ kind: String) -> SnapshotTree {
        var tree = SnapshotTree()
        for name in StateFiles.names(in: folder, suffix: ".xml") {
            let path = folder + "/" + name + ".xml"
            do {
                guard let text = try StateFiles.read(path) else { continue }
                var root = try XMLDocument.parse(text, as: kind, called: path)
                if root[child: "active"]?.text == "1" { tree.current = name }
                root[child: "active"] = nil
                tree[name] = Snapshot(root: root)
            } catch { Console.shared.error("'\(path)' is left out: \(error)") }
        }
        return tree
    }

    /// Writes those snapshots of a machine whose file says something else.
    func storeSnapshots(_ machine: Machine, replacing old: SnapshotTree) throws {
        do throws(Errno) {
            let folder = folders.snapshotFolder(machine.facts.name)
            try Self.storeTree(machine.snapshots, replacing: old, in: folder, marks: true)
        } catch {
            throw ManagementError(.systemError, "cannot write the snapshots of '\(machine.facts.name)': \(error)")
        }
    }

    /// Changes the tree, in memory and on disk. The caller holds the machine's job.
    func changeSnapshots(_ machine: Machine, _ body: (inout SnapshotTree) -> Void) throws {
        let old = machine.snapshots
        var tree = old
        body(&tree)
        machine.snapshots = tree
        try storeSnapshots(machine, replacing: old)
    }

    /// Reads the snapshots of a machine.
    func loadSnapshots(_ machine: Machine) {
        let tree = Self.readTree(folders.snapshotFolder(machine.facts.name), "domainsnapshot")
        if tree.count > 0 { machine.snapshots = tree }
    }

    // MARK: Making

    /// Makes a snapshot.
    /// - Returns: its name.
    public func createSnapshot(_ uuid: UniqueID, _ text: String, _ options: SnapshotCreation) throws -> String {
        let machine = try machine(uuid)
        return try machine.job.withLock {
            var root = try XMLDocument.parse(text, as: "domainsnapshot", called: "domain_snapshot")
            if options.contains(.redefine) {
                guard !options.contains(.live) else {
                    throw ManagementError(
                        .invalidArg,
                        "Flags 'VIR_DOMAIN_SNAPSHOT_CREATE_LIVE' and 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' are mutually exclusive"
                    )
                }
                return try redefine(machine, root, options)
            }
            let name = try Self.name(&root, machine.snapshots)
            let definition = try machine.live?.definition ?? definition(of: machine)
            root[child: "creationTime"] = XMLElement("creationTime", text: "\(time(nil))")
            root[child: "domain"] = definition.root
            try checkOptions(machine, options)
            let isDiskOnly = options.contains(.diskOnly) || root[child: "memory"]?["snapshot"] == "no"
            try completeDisks(&root, definition, machine.live != nil, external: options.contains(.diskOnly), name)
            completeMemory(&root, isLive: machine.live != nil, isDiskOnly: isDiskOnly)
            let state = machine.facts.state
            root[child: "state"] = XMLElement(
                "state",
                text: machine.live == nil
                    ? "shutoff" : isDiskOnly ? "disk-snapshot" : state.isRunning ? "running" : "paused")
            var made = Snapshot(root: root)
            guard !options.contains(.live) || made.memory == "external" else {
                throw ManagementError(
                    .operationUnsupported, "live snapshot creation is supported only during full system snapshots")
            }
            made.parent = machine.snapshots.current
            try take(made, machine, definition, options)
            guard !options.contains(.noMetadata) else { return name }
            try changeSnapshots(machine) { tree in
                tree[name] = made
                tree.current = name
            }
            return name
        }
    }

    private func checkOptions(_ machine: Machine, _ options: SnapshotCreation) throws {
        guard !options.contains(.quiesce) || options.contains(.diskOnly) else {
            throw ManagementError(
                .invalidArg,
                "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY' is required by flag 'VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE'")
        }
        guard !options.contains(.halt) || machine.facts.isPersistent else {
            throw ManagementError(.operationInvalid, "cannot halt after transient domain snapshot")
        }
    }

    private static func name(_ root: inout XMLElement, _ tree: SnapshotTree) throws -> String {
        let name = root[child: "name"]?.text ?? "\(time(nil))"
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/"), name.utf8.count < 200 else {
            throw ManagementError(
                .xmlDetail, "invalid snapshot name '\(name)': name can't contain '/' or start with '.'",
                from: .snapshot)
        }
        guard tree[name] == nil else {
            throw ManagementError(
                .operationFailed, "domain snapshot \(name) already exists", from: .machineDriver)
        }
        root[child: "name"] = XMLElement("name", text: name)
        return name
    }

    private func redefine(_ machine: Machine, _ root: XMLElement, _ options: SnapshotCreation) throws -> String {
        var root = root
        root[child: "active"] = nil
        guard let name = root[child: "name"]?.text, !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
            throw ManagementError(.xmlError, "a redefined snapshot must have a name", from: .snapshot)
        }
        guard root[child: "creationTime"] != nil, root[child: "state"] != nil else {
            throw ManagementError(.xmlError, "missing creationTime from existing snapshot", from: .snapshot)
        }
        let made = Snapshot(root: root)
        if let parent = made.parent {
            guard parent != name, machine.snapshots[parent] != nil else {
                throw ManagementError(.invalidArg, "parent \(parent) for snapshot \(name) not found", from: .snapshot)
            }
            guard !machine.snapshots.descendants(name).contains(where: { $0.name == parent }) else {
                throw ManagementError(
                    .invalidArg, "parent \(parent) would create cycle to \(name)", from: .snapshot)
            }
        }
        try changeSnapshots(machine) { tree in
            tree[name] = made
            if options.contains(.makeCurrent) { tree.current = name }
        }
        return name
    }

    /// Which disks take part and how.
    private func completeDisks(
        _ root: inout XMLElement, _ definition: DomainDefinition, _ isLive: Bool, external: Bool, _ name: String
    ) throws {
        var asked = root[child: "disks"]?.all("disk") ?? []
        var complete: [XMLElement] = []
        let hasExternal = external || root[child: "memory"]?["snapshot"] == "external"
        for disk in definition.devices where disk.name == "disk" {
            let target = disk[child: "target"]?["dev"] ?? ""
            var entry = XMLElement("disk", ["name": target])
            if let place = asked.firstIndex(where: { $0["name"] == target || $0["name"] == Self.path(disk) }) {
                entry = asked.remove(at: place)
                entry["name"] = target
            }
            let isIdle =
                disk[child: "source"] == nil || disk["device"] == "cdrom" || disk["device"] == "floppy"
                || disk[child: "readonly"] != nil
            if entry["snapshot"] == nil {
                entry["snapshot"] =
                    isIdle || disk["snapshot"] == "no"
                    ? "no" : disk["snapshot"] ?? (hasExternal ? "external" : "internal")
            }
            if entry["snapshot"] == "external" { try completeExternal(&entry, disk, name) }
            if entry["snapshot"] == "internal", Self.format(disk) != "qcow2" {
                throw ManagementError(
                    .configUnsupported,
                    "internal snapshot for disk \(target) unsupported for storage type \(Self.format(disk))")
            }
            complete.append(entry)
        }
        if let left = asked.first {
            throw ManagementError(
                .configUnsupported, "no disk named '\(left["name"] ?? "")'", from: .snapshot)
        }
        guard complete.contains(where: { $0["snapshot"] != "no" }) || isLive && !external else {
            throw ManagementError(
                .configUnsupported, "nothing selected for snapshot", from: .machineDriver)
        }
        root[child: "disks"] = complete.isEmpty ? nil : XMLElement("disks", [:], complete)
    }

    private func completeExternal(_ entry: inout XMLElement, _ disk: XMLElement, _ name: String) throws {
        guard let path = disk[child: "source"]?["file"] else {
            guard entry[child: "source"] != nil else {
                throw ManagementError(
                    .configUnsupported,
                    "cannot generate external snapshot name for disk '\(entry["name"] ?? "")' without a file")
            }
            return
        }
        if entry["type"] == nil { entry["type"] = "file" }
        if entry[child: "driver"] == nil { entry.append(XMLElement("driver", ["type": "qcow2"])) }
        if entry[child: "source"] == nil {
            entry.append(XMLElement("source", ["file": Self.sibling(path, name)]))
        }
        entry.elements.sort { left, _ in left.name == "driver" }
        guard entry[child: "source"]?["file"] != path else {
            throw ManagementError(
                .configUnsupported, "the source for disk '\(entry["name"] ?? "")' is the one that it has already")
        }
    }

    /// The file of an overlay: the name of the image with the snapshot's instead of what is behind its last dot.
    static func sibling(_ path: String, _ name: String) -> String {
        guard let slash = path.lastIndex(of: "/"), let dot = path.lastIndex(of: "."), dot > slash else {
            return path + "." + name
        }
        return path[..<dot] + "." + name
    }

    private func completeMemory(_ root: inout XMLElement, isLive: Bool, isDiskOnly: Bool) {
        guard isLive && !isDiskOnly else {
            root[child: "memory"] = XMLElement("memory", ["snapshot": "no"])
            return
        }
        var memory = root[child: "memory"] ?? XMLElement("memory")
        if memory["snapshot"] == nil { memory["snapshot"] = memory["file"] == nil ? "internal" : "external" }
        root[child: "memory"] = memory
    }
}
