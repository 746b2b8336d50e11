// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// How a checkpoint is made, in libvirt's bits.
public struct CheckpointCreation: OptionSet, Sendable {
    /// libvirt's virDomainCheckpointCreateFlags.
    public let rawValue: UInt32
    /// Takes a client's flags as they are.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The document tells of a checkpoint that exists; nothing is made but metadata.
    public static let redefine = CheckpointCreation(rawValue: 1)
    /// The guest's agent freezes its file systems meanwhile.
    public static let quiesce = CheckpointCreation(rawValue: 2)
    /// With `redefine`: each disk must have the bitmap that the document names.
    public static let validatesBitmaps = CheckpointCreation(rawValue: 4)
}

/// What a checkpoint's document shows, in libvirt's bits.
public struct CheckpointDocumentOptions: OptionSet, Sendable {
    /// libvirt's virDomainCheckpointXMLFlags.
    public let rawValue: UInt32
    /// Takes a client's flags as they are.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// With passwords of displays.
    public static let secure = CheckpointDocumentOptions(rawValue: 1)
    /// Without the machine's document.
    public static let withoutDomain = CheckpointDocumentOptions(rawValue: 2)
    /// With how many bytes each disk has changed since.
    public static let sizes = CheckpointDocumentOptions(rawValue: 4)
}

// Checkpoints: from each on, a bitmap in every disk's image says what was written.
extension MachineDriver {
    // MARK: Finding

    func checkpoint(_ machine: Machine, _ name: String) throws -> Snapshot {
        guard let found = machine.checkpoints[name] else {
            throw ManagementError(
                .noDomainCheckpoint, "no domain checkpoint with matching name '\(name)'", from: .machineDriver)
        }
        return found
    }

    /// Whether a machine has checkpoints; one that is gone has none.
    public func hasCheckpoints(_ uuid: UniqueID) -> Bool { ((try? machine(uuid))?.checkpoints.count ?? 0) > 0 }

    /// The name of a checkpoint that there is; throws `noDomainCheckpoint`.
    public func findCheckpoint(_ uuid: UniqueID, _ name: String) throws -> String {
        try checkpoint(machine(uuid), name).name
    }

    /// Names of a machine's checkpoints, or of those below one; `flags` are libvirt's virDomainCheckpointListFlags.
    public func checkpointNames(_ uuid: UniqueID, below name: String?, _ flags: UInt32) throws -> [String] {
        let machine = try machine(uuid)
        if let name { _ = try checkpoint(machine, name) }
        // The bits for roots, leaves and inner ones are those of snapshots; the order always is parents first.
        let (recursion, leaves, inner): (UInt32, UInt32, UInt32) = (1, 4, 8)
        return SnapshotFilter.list(machine.checkpoints, below: name, flags & (recursion | leaves | inner)).map(\.name)
    }

    /// The name of the one before it; throws `noDomainCheckpoint` for one that has none.
    public func parentCheckpoint(_ uuid: UniqueID, _ name: String) throws -> String {
        guard let parent = try checkpoint(machine(uuid), name).parent else {
            throw ManagementError(.noDomainCheckpoint, "checkpoint '\(name)' does not have a parent")
        }
        return parent
    }

    /// A checkpoint's document.
    public func checkpointDocument(_ uuid: UniqueID, _ name: String, _ options: CheckpointDocumentOptions) throws
        -> String
    {
        let machine = try machine(uuid)
        var found = try checkpoint(machine, name)
        if options.contains(.sizes) {
            guard machine.live != nil else {
                throw ManagementError(.operationInvalid, "domain is not running")
            }
            try onMonitorOf(machine) { live in
                var disks = found.disks
                for place in disks.indices {
                    guard let bitmap = disks[place]["bitmap"],
                        let disk = live.definition.disk(disks[place]["name"] ?? "")
                    else { continue }
                    let nodes = try Self.chainNodes(live, try topNode(live, disk))
                    disks[place]["size"] = "\(nodes.reduce(UInt64(0)) { $0 &+ ($1.bitmaps[bitmap] ?? 0) })"
                }
                found.root[child: "disks"] = XMLElement("disks", [:], disks)
            }
        }
        return found.printed(secure: options.contains(.secure), withDomain: !options.contains(.withoutDomain))
    }

    // MARK: Files

    /// Changes the tree, in memory and on disk. The caller holds the machine's job.
    func changeCheckpoints(_ machine: Machine, _ body: (inout SnapshotTree) -> Void) throws {
        let old = machine.checkpoints
        var tree = old
        body(&tree)
        let folder = folders.checkpointFolder(machine.facts.name)
        do throws(Errno) { try Self.storeTree(tree, replacing: old, in: folder, marks: false) } catch {
            throw ManagementError(.systemError, "cannot write the checkpoints of '\(machine.facts.name)': \(error)")
        }
        machine.checkpoints = tree
    }

    /// Reads the checkpoints of a machine.
    func loadCheckpoints(_ machine: Machine) {
        var tree = Self.readTree(folders.checkpointFolder(machine.facts.name), "domaincheckpoint")
        guard tree.count > 0 else { return }
        // The newest one that nothing follows is the one that the next one follows.
        tree.current = tree.sorted.last { tree.children($0.name).isEmpty }?.name
        machine.checkpoints = tree
    }

    // MARK: Making

    /// Makes a checkpoint of a machine that runs.
    /// - Returns: its name.
    public func createCheckpoint(_ uuid: UniqueID, _ text: String, _ options: CheckpointCreation) throws -> String {
        let machine = try machine(uuid)
        return try machine.job.withLock {
            let redefines = options.contains(.redefine)
            guard redefines || machine.live != nil else {
                throw ManagementError(.operationUnsupported, "cannot create checkpoint for inactive domain")
            }
            let root = try XMLDocument.parse(text, as: "domaincheckpoint", called: "domain_checkpoint")
            if redefines { return try redefineCheckpoint(machine, root, options) }
            return try onMonitorOf(machine) { live in
                let made = try prepareCheckpoint(machine, live, root)
                if options.contains(.quiesce) { _ = try agentCommand(machine, "guest-fsfreeze-freeze") }
                defer { if options.contains(.quiesce) { _ = try? agentCommand(machine, "guest-fsfreeze-thaw") } }
                try keepCheckpoint(machine, made) {
                    try live.monitor.execute("transaction", ["actions": .array(try bitmapActions(made, live))])
                }
                return made.name
            }
        }
    }

    /// Completes the document of a new checkpoint.
    func prepareCheckpoint(_ machine: Machine, _ live: LiveMachine, _ given: XMLElement) throws -> Snapshot {
        var root = given
        let name = given[child: "name"]?.text ?? "\(time(nil))"
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/"), name.utf8.count < 200 else {
            throw ManagementError(
                .xmlDetail, "invalid checkpoint name '\(name)': name can't contain '/' or start with '.'",
                from: .checkpoint)
        }
        guard machine.checkpoints[name] == nil else {
            throw ManagementError(
                .operationFailed, "domain moment \(name) already exists", from: .machineDriver)
        }
        root[child: "name"] = XMLElement("name", text: name)
        root[child: "creationTime"] = XMLElement("creationTime", text: "\(time(nil))")
        root[child: "domain"] = live.definition.root
        root[child: "disks"] = XMLElement("disks", [:], try checkpointDisks(given, live.definition, name))
        var made = Snapshot(root: root)
        made.parent = machine.checkpoints.current
        return made
    }

    /// Which disks take part: all that can, or those that the document names.
    private func checkpointDisks(_ root: XMLElement, _ definition: DomainDefinition, _ name: String) throws
        -> [XMLElement]
    {
        var asked = root[child: "disks"]?.all("disk") ?? []
        let takesAll = asked.isEmpty
        var complete: [XMLElement] = []
        for disk in definition.devices where disk.name == "disk" {
            let target = disk[child: "target"]?["dev"] ?? ""
            let isIdle = disk[child: "source"] == nil || disk[child: "readonly"] != nil
            var entry = XMLElement("disk", ["name": target, "checkpoint": takesAll && !isIdle ? "bitmap" : "no"])
            if let place = asked.firstIndex(where: { $0["name"] == target || $0["name"] == Self.path(disk) }) {
                let given = asked.remove(at: place)
                entry["checkpoint"] = given["checkpoint"] ?? "bitmap"
                entry["bitmap"] = given["bitmap"]
            }
            if entry["checkpoint"] == "bitmap" {
                guard !isIdle else {
                    throw ManagementError(
                        .configUnsupported, "disk '\(target)' is empty or readonly", from: .checkpoint)
                }
                guard Self.format(disk) == "qcow2" else {
                    throw ManagementError(
                        .configUnsupported,
                        "checkpoint for disk \(target) unsupported for storage type \(Self.format(disk))",
                        from: .machineDriver)
                }
                if entry["bitmap"] == nil { entry["bitmap"] = name }
            }
            complete.append(entry)
        }
        if let left = asked.first {
            throw ManagementError(.configUnsupported, "no disk named '\(left["name"] ?? "")'", from: .checkpoint)
        }
        guard complete.contains(where: { $0["checkpoint"] == "bitmap" }) else {
            throw ManagementError(.configUnsupported, "no disks selected for checkpoint", from: .machineDriver)
        }
        return complete
    }

    /// The parts of a transaction that begin a checkpoint's bitmaps.
    func bitmapActions(_ checkpoint: Snapshot, _ live: LiveMachine) throws -> [JSONValue] {
        try checkpoint.disks.compactMap { entry in
            guard let bitmap = entry["bitmap"], entry["checkpoint"] == "bitmap",
                let disk = live.definition.disk(entry["name"] ?? "")
            else { return nil }
            return Self.addBitmap(bitmap, to: try topNode(live, disk), isPersistent: true)
        }
    }

    static func addBitmap(
        _ name: String, to node: String, isPersistent: Bool, isDisabled: Bool = false
    ) -> JSONValue {
        [
            "type": "block-dirty-bitmap-add",
            "data": [
                "node": .string(node), "name": .string(name), "persistent": .bool(isPersistent),
                "disabled": .bool(isDisabled),
            ],
        ]
    }

    /// Writes a checkpoint's document, and does what makes it; when that fails the document goes again. A document whose
    /// bitmaps were never made is found out when it is used.
    func keepCheckpoint(_ machine: Machine, _ made: Snapshot, _ body: () throws -> Void) throws {
        let before = machine.checkpoints.current
        try changeCheckpoints(machine) { tree in
            tree[made.name] = made
            tree.current = made.name
        }
        do { try body() } catch {
            try changeCheckpoints(machine) { tree in
                tree[made.name] = nil
                tree.current = before
            }
            throw error
        }
    }

    private func redefineCheckpoint(_ machine: Machine, _ given: XMLElement, _ options: CheckpointCreation) throws
        -> String
    {
        guard let name = given[child: "name"]?.text, !name.isEmpty, !name.hasPrefix("."), !name.contains("/") else {
            throw ManagementError(.xmlError, "a redefined checkpoint must have a name", from: .checkpoint)
        }
        guard given[child: "creationTime"] != nil else {
            throw ManagementError(.xmlError, "missing creationTime from existing checkpoint", from: .checkpoint)
        }
        guard given[child: "domain"] != nil else {
            throw ManagementError(.xmlError, "missing domain in checkpoint redefinition", from: .checkpoint)
        }
        let made = Snapshot(root: given)
        if let parent = made.parent {
            guard parent != name, machine.checkpoints[parent] != nil else {
                throw ManagementError(
                    .invalidArg, "parent \(parent) for moment \(name) not found", from: .checkpoint)
            }
            guard !machine.checkpoints.descendants(name).contains(where: { $0.name == parent }) else {
                throw ManagementError(.invalidArg, "parent \(parent) would create cycle to \(name)", from: .checkpoint)
            }
        }
        if options.contains(.validatesBitmaps) { try checkBitmaps(machine, made) }
        try changeCheckpoints(machine) { tree in
            tree[name] = made
            if tree.current == nil || tree.current == made.parent { tree.current = name }
        }
        return name
    }

    private func checkBitmaps(_ machine: Machine, _ checkpoint: Snapshot) throws {
        guard machine.live != nil else { throw ManagementError(.operationInvalid, "domain is not running") }
        try onMonitorOf(machine) { live in
            for entry in checkpoint.disks {
                guard let bitmap = entry["bitmap"] else { continue }
                let target = entry["name"] ?? ""
                guard let disk = live.definition.disk(target),
                    try Self.chainNodes(live, try topNode(live, disk)).contains(where: { $0.bitmaps[bitmap] != nil })
                else {
                    throw ManagementError(
                        .checkpointInconsistent, "missing or corrupted bitmap '\(bitmap)' for disk '\(target)'")
                }
            }
        }
    }
}
