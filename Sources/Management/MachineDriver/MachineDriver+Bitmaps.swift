// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

// The bitmaps of checkpoints, and removing them.
extension MachineDriver {
    // MARK: Removing

    /// Removes a checkpoint, those below it, or both; the flags are those of snapshots.
    public func deleteCheckpoint(_ uuid: UniqueID, _ name: String, _ options: SnapshotRemoval) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let found = try checkpoint(machine, name)
            let below = machine.checkpoints.descendants(name)
            let deep = !options.isDisjoint(with: [.children, .childrenOnly])
            let doomed = (deep ? Array(below.reversed()) : []) + (options.contains(.childrenOnly) ? [] : [found])
            if !options.contains(.metadataOnly) {
                guard machine.live != nil else {
                    throw ManagementError(.operationUnsupported, "cannot delete checkpoint for inactive domain")
                }
                for checkpoint in doomed { try removeBitmaps(machine, checkpoint) }
            }
            try changeCheckpoints(machine) { tree in
                for checkpoint in doomed { tree.remove(checkpoint.name) }
                if options.contains(.childrenOnly) { tree.current = name }
            }
        }
    }

    private func removeBitmaps(_ machine: Machine, _ checkpoint: Snapshot) throws {
        try onMonitorOf(machine) { live in
            var actions: [JSONValue] = []
            var opened: [(node: BitmapNode, backing: String?)] = []
            // Images behind others can only be read, but for this.
            defer {
                for (node, backing) in opened {
                    do { try Self.reopen(live, node, backing: backing, isReadOnly: true) } catch {
                        Console.shared.warning("'\(node.name)' stays open for writing: \(error)")
                    }
                    giveBack(Self.store(node))
                }
            }
            for entry in checkpoint.disks {
                guard let bitmap = entry["bitmap"], let disk = live.definition.disk(entry["name"] ?? "") else {
                    continue
                }
                let chain = try Self.chainNodes(live, try topNode(live, disk))
                for (place, node) in chain.enumerated() where node.bitmaps[bitmap] != nil {
                    if node.isReadOnly {
                        let backing = place + 1 < chain.count ? chain[place + 1].name : nil
                        try admit(node.path, isReadOnly: false, format: "raw", to: live.process)
                        opened.append((node, backing))
                        try Self.reopen(live, node, backing: backing, isReadOnly: false)
                    }
                    actions.append([
                        "type": "block-dirty-bitmap-remove",
                        "data": ["node": .string(node.name), "name": .string(bitmap)],
                    ])
                }
            }
            if !actions.isEmpty { try live.monitor.execute("transaction", ["actions": .array(actions)]) }
        }
    }

    /// A disk of that image, to give it back to its owner.
    private static func store(_ node: BitmapNode) -> XMLElement {
        XMLElement("disk", [:], [XMLElement("source", ["file": node.path])])
    }

    private static func reopen(
        _ live: LiveMachine, _ node: BitmapNode, backing: String?, isReadOnly: Bool
    ) throws {
        guard let file = node.file else {
            throw ManagementError(.operationUnsupported, "the image '\(node.name)' cannot be opened for writing")
        }
        let options: JSONValue = [
            "driver": .string(node.driver), "node-name": .string(node.name), "read-only": .bool(isReadOnly),
            "file": .string(file), "backing": backing.map { .string($0) } ?? .null,
        ]
        try live.monitor.execute("blockdev-reopen", ["options": .array([options])])
    }

    // MARK: Bitmaps

    /// A format node of a disk's chain, and its bitmaps that can be used, with the bytes that they name.
    struct BitmapNode {
        var name: String
        var driver: String
        var isReadOnly: Bool
        /// The image's file.
        var path: String
        /// The node of its file, where this service named them both.
        var file: String? {
            name.hasPrefix("libvirt-") && name.hasSuffix("-format") ? name.dropLast(6) + "storage" : nil
        }
        var bitmaps: [String: UInt64]
    }

    /// The format nodes from the top one down.
    static func chainNodes(_ live: LiveMachine, _ top: String) throws -> [BitmapNode] {
        let all = try live.monitor.execute("query-named-block-nodes").array ?? []
        var found: [BitmapNode] = []
        // Nodes are matched by their images: what is behind one has its file's name.
        var next = all.first { $0["node-name"]?.string == top }
        while let node = next, found.count < all.count {
            var bitmaps: [String: UInt64] = [:]
            for bitmap in node["dirty-bitmaps"]?.array ?? [] {
                guard let name = bitmap["name"]?.string, bitmap["inconsistent"]?.bool != true else { continue }
                bitmaps[name] = bitmap["count"]?.unsigned ?? 0
            }
            found.append(
                BitmapNode(
                    name: node["node-name"]?.string ?? "", driver: node["drv"]?.string ?? "",
                    isReadOnly: node["ro"]?.bool ?? false, path: node["image"]?["filename"]?.string ?? "",
                    bitmaps: bitmaps))
            guard let behind = node["image"]?["backing-image"]?["filename"]?.string else { break }
            next = all.first { candidate in
                candidate["image"]?["filename"]?.string == behind
                    && !["file", "host_device"].contains(candidate["drv"]?.string ?? "")
                    && !found.contains { $0.name == candidate["node-name"]?.string }
            }
        }
        return found
    }

    /// Names of the bitmaps of a node that can be used.
    static func bitmaps(_ live: LiveMachine, _ node: String) throws -> [String] {
        try chainNodes(live, node).first?.bitmaps.keys.sorted() ?? []
    }
}
