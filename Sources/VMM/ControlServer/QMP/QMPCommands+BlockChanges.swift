// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
public import BlockLayer
internal import ControlProtocol
internal import JSONCoding
public import MachineSpec

extension BlockOptions {
    /// The flat options of a node as a command line or QMP describes it.
    public init(_ spec: BlockNodeSpec) {
        self.init()
        for (key, value) in spec.flatOptions {
            switch value {
            case .string(let text): self[key] = .string(text)
            case .bool(let flag): self[key] = .boolean(flag)
            case .null: self[key] = .null
            default: self[key] = value.integer.map { .number($0) } ?? .string(value.printed())
            }
        }
    }
}

extension QMPCommandTable {
    /// Nodes that come and go, snapshots, and lengths.
    static let blockChangeCommands = [
        QMPCommandDefinition(
            "blockdev-add", [QMPParameter("driver", .string), QMPParameter("node-name", .string, optional: true)],
            takesOthers: true
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                let spec = BlockNodeSpec(name: arguments["node-name"]?.string ?? "", options: arguments.object)
                var flags = OpenFlags.writable
                flags.isExclusive = true
                try disks.add(BlockOptions(spec), flags: flags)
            }
        },
        QMPCommandDefinition("blockdev-reopen", [QMPParameter("options", .array)]) {
            (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                for entry in arguments["options"]?.array ?? [] {
                    let options = entry.object ?? [:]
                    guard let name = options["node-name"]?.string else {
                        throw BlockError(.invalidArgument, "node-name not specified")
                    }
                    try disks.reopen(name, BlockOptions(BlockNodeSpec(name: name, options: options)))
                }
            }
        },
        QMPCommandDefinition("blockdev-del", [QMPParameter("node-name", .string)]) {
            (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in try disks.remove(arguments.string("node-name")) }
        },
        QMPCommandDefinition(
            "block_resize",
            [
                QMPParameter("device", .string, optional: true), QMPParameter("node-name", .string, optional: true),
                QMPParameter("size", .integer),
            ]
        ) { (context, arguments) throws(QMPError) in
            let machine = try JobAnswers.machine(context)
            return try JobAnswers.perform { () throws(BlockError) in
                try BlockChanges.resize(
                    machine, device: arguments["device"]?.string, name: arguments["node-name"]?.string,
                    size: arguments.integer("size") ?? 0)
            }
        },
        action("blockdev-snapshot-sync", snapshotSync), action("blockdev-snapshot", snapshot),
        action("blockdev-snapshot-internal-sync", internalSnapshot),
        QMPCommandDefinition(
            "blockdev-snapshot-delete-internal-sync",
            [
                QMPParameter("device", .string), QMPParameter("id", .string, optional: true),
                QMPParameter("name", .string, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            do throws(BlockError) {
                return try BlockChanges.deleteInternal(
                    disks, arguments.string("device"), identifier: arguments["id"]?.string,
                    name: arguments["name"]?.string)
            } catch { throw JobAnswers.failure(error) }
        },
        QMPCommandDefinition(
            "transaction",
            [QMPParameter("actions", .array), QMPParameter("properties", .object, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            let mode = arguments["properties"]?["completion-mode"]?.string ?? "individual"
            guard ["individual", "grouped"].contains(mode) else {
                throw QMPError("Parameter 'completion-mode' does not accept value '\(mode)'")
            }
            let actions = arguments["actions"]?.array ?? []
            let isGrouped = mode == "grouped"
            // What has no end cannot end together with something.
            let loose = actions.lazy.compactMap { $0["type"]?.string }.first { isGrouped && $0.contains("snapshot") }
            if let loose {
                throw QMPError("Action '\(loose)' does not support Transaction property completion-mode = grouped")
            }
            try BlockChanges.transact(try JobAnswers.disks(context), actions, endsTogether: isGrouped)
            return [:]
        },
    ]

    private static let snapshotSync = [
        QMPParameter("device", .string, optional: true), QMPParameter("node-name", .string, optional: true),
        QMPParameter("snapshot-file", .string), QMPParameter("snapshot-node-name", .string, optional: true),
        QMPParameter("format", .string, optional: true),
        QMPParameter("mode", .string, optional: true, words: ["existing", "absolute-paths"]),
    ]
    private static let snapshot = [QMPParameter("node", .string), QMPParameter("overlay", .string)]
    private static let internalSnapshot = [QMPParameter("device", .string), QMPParameter("name", .string)]

    /// Commands that can stand in a transaction, with their parameters.
    static let transactionActions =
        [
            "blockdev-snapshot-sync": snapshotSync, "blockdev-snapshot": snapshot,
            "blockdev-snapshot-internal-sync": internalSnapshot, "abort": [],
        ].merging(bitmapActions) { first, _ in first }.merging(backupActions) { first, _ in first }

    /// A command that can also stand in a transaction.
    static func action(_ name: String, _ parameters: [QMPParameter]) -> QMPCommandDefinition {
        QMPCommandDefinition(name, parameters) { (context, arguments) throws(QMPError) in
            try BlockChanges.transact(
                try JobAnswers.disks(context), [["type": .string(name), "data": .object(arguments.object)]])
            return [:]
        }
    }
}

/// Changes of disks that are made at one moment.
enum BlockChanges {
    static func resize(
        _ machine: any BlockControlling, device: String?, name: String?, size: Int64
    ) throws(BlockError) {
        let disks = machine.blockDevices
        let node = try disks.node(device: device, name: name)
        guard size >= 0 else { throw BlockError(.invalidArgument, "Parameter 'size' expects a >0 size") }
        try disks.checkFree(node)
        guard let resizable = node as? any ResizableNode else {
            throw BlockError(.notSupported, "Image format driver does not support resize")
        }
        let sector: Int64 = 512
        let (rounded, tooLong) = size.addingReportingOverflow(sector - 1)
        guard !tooLong else { throw BlockError(.invalidArgument, "Required too big image size") }
        let backend = disks.roots.first { $0.backend.filtered === node }?.backend
        guard let backend else {
            return try resizable.resizeOverBacking(to: rounded / sector * sector)
        }
        try backend.hold(.all) { (_) throws(BlockError) in
            try resizable.resizeOverBacking(to: rounded / sector * sector)
        }
        disks.lengthChanged(of: node)
        machine.lengthChanged(of: backend)
    }

    /// What a transaction is going to do.
    private struct Plan {
        var snapshots: [BlockDevices.PreparedSnapshot] = []
        var inside: [(store: any SnapshotStore, information: SnapshotInformation)] = []
        var bitmaps: [BitmapChange] = []
        var backups: [BlockDevices.PreparedBackup] = []
    }

    /// Prepares all actions, then does all; with one that cannot be, none is done.
    /// - Parameter endsTogether: its jobs are well together or not at all.
    static func transact(
        _ disks: BlockDevices, _ actions: [JSONValue], endsTogether: Bool = false
    ) throws(QMPError) {
        var plan = Plan()
        do throws(QMPError) {
            for action in actions { try prepare(disks, action, &plan) }
        } catch {
            drop(disks, plan)
            throw error
        }
        do throws(BlockError) {
            var made: [(store: any SnapshotStore, name: String)] = []
            do throws(BlockError) {
                for entry in plan.inside {
                    try entry.store.createSnapshot(entry.information)
                    made.append((entry.store, entry.information.name))
                }
                try disks.perform(
                    plan.bitmaps, snapshots: plan.snapshots, backups: plan.backups, endsTogether: endsTogether)
            } catch {
                for entry in made {
                    if let found = entry.store.snapshots.last(where: { $0.name == entry.name }) {
                        try? entry.store.deleteSnapshot(identifier: found.identifier)
                    }
                }
                disks.drop(plan.snapshots)
                throw error
            }
        } catch { throw JobAnswers.failure(error) }
    }

    private static func drop(_ disks: BlockDevices, _ plan: Plan) {
        disks.drop(plan.snapshots)
        for backup in plan.backups { disks.drop(backup) }
    }

    private static func prepare(
        _ disks: BlockDevices, _ action: JSONValue, _ plan: inout Plan
    ) throws(QMPError) {
        let type = action["type"]?.string ?? ""
        guard let parameters = QMPCommandTable.transactionActions[type] else {
            throw QMPError("Parameter 'type' does not accept value '\(type)'")
        }
        let arguments = try QMPArguments(action["data"]?.object ?? [:], checkedBy: parameters)
        do throws(BlockError) {
            switch type {
            case "blockdev-snapshot-sync": plan.snapshots.append(try prepareSync(disks, arguments))
            case "blockdev-snapshot":
                plan.snapshots.append(
                    try disks.prepare(
                        overlay: arguments.string("overlay"), over: try disks.node(arguments.string("node"))))
            case "blockdev-backup", "drive-backup":
                plan.backups.append(
                    try QMPCommandTable.prepareBackup(disks, arguments, opens: type == "drive-backup"))
            case "blockdev-snapshot-internal-sync": plan.inside.append(try prepareInternal(disks, arguments))
            case "abort": throw BlockError(.cancelled, "Transaction aborted using Abort action")
            default: plan.bitmaps.append(try QMPCommandTable.bitmapChange(type, arguments))
            }
        } catch { throw JobAnswers.failure(error) }
    }

    private static func prepareSync(
        _ disks: BlockDevices, _ arguments: QMPArguments
    ) throws(BlockError) -> BlockDevices.PreparedSnapshot {
        let node = try disks.node(device: arguments["device"]?.string, name: arguments["node-name"]?.string)
        var request = BlockDevices.OverlayRequest(file: arguments.string("snapshot-file"))
        request.format = arguments["format"]?.string ?? "qcow2"
        request.nodeName = arguments["snapshot-node-name"]?.string
        request.exists = arguments["mode"]?.string == "existing"
        return try disks.prepare(request, over: node)
    }

    private static func store(_ disks: BlockDevices, _ device: String) throws(BlockError) -> any SnapshotStore {
        let node = try disks.node(device)
        guard let store = node as? any SnapshotStore, !node.isReadOnly else {
            throw BlockError(
                .notSupported,
                "Block format '\(node.driverName)' used by device '\(device)' does not support feature 'internal snapshots'"
            )
        }
        return store
    }

    private static func prepareInternal(
        _ disks: BlockDevices, _ arguments: QMPArguments
    ) throws(BlockError) -> (any SnapshotStore, SnapshotInformation) {
        let device = arguments.string("device"), name = arguments.string("name")
        let store = try store(disks, device)
        guard !name.isEmpty else { throw BlockError(.invalidArgument, "Name is empty") }
        guard !store.snapshots.contains(where: { $0.name == name }) else {
            throw BlockError(.exists, "Snapshot with name '\(name)' already exists on device '\(device)'")
        }
        let now = ControlServer.wallClock(), million: Int64 = 1_000_000
        return (
            store,
            SnapshotInformation(
                identifier: "", name: name, dateSeconds: now / million, dateNanoseconds: now % million * 1000)
        )
    }

    static func deleteInternal(
        _ disks: BlockDevices, _ device: String, identifier: String?, name: String?
    ) throws(BlockError) -> JSONValue {
        let store = try store(disks, device)
        guard identifier != nil || name != nil else {
            throw BlockError(.invalidArgument, "Name or id must be provided")
        }
        let found = store.snapshots.first {
            (identifier == nil || $0.identifier == identifier) && (name == nil || $0.name == name)
        }
        guard let found else {
            throw BlockError(
                .invalidArgument,
                "Snapshot with id '\(identifier ?? "")' and name '\(name ?? "")' does not exist on device '\(device)'")
        }
        try store.deleteSnapshot(identifier: found.identifier)
        let second: UInt64 = 1_000_000_000
        return [
            "vm-clock-nsec": JSONValue(found.vmClock % second), "name": .string(found.name),
            "date-sec": .integer(found.dateSeconds), "date-nsec": .integer(found.dateNanoseconds),
            "vm-clock-sec": JSONValue(found.vmClock / second), "id": .string(found.identifier),
            "vm-state-size": .integer(found.vmStateSize),
        ]
    }
}
