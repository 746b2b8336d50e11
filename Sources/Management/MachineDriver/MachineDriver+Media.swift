// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import ManagementModel
internal import ManagementXML
internal import XMLTree

// What is in the drives of a machine that runs.
extension MachineDriver {
    /// Changes the medium of a drive; of other disks nothing can be changed while they are used.
    func updateDisk(_ machine: Machine, _ old: XMLElement, _ new: XMLElement, _ place: Int, force: Bool) throws {
        guard ["cdrom", "floppy"].contains(old["device"] ?? "disk") else {
            guard Self.path(of: new) == Self.path(of: old) else {
                throw ManagementError(.operationUnsupported, "cannot modify field 'source' of the disk")
            }
            return
        }
        var changed = old
        changed["type"] = new["type"] ?? old["type"]
        changed[child: "source"] = new[child: "source"].flatMap { $0.isEmpty ? nil : $0 }
        changed[child: "backingStore"] = nil
        if let driver = new[child: "driver"]?["type"] { changed[child: "driver"]?["type"] = driver }
        let alias = old[child: "alias"]?["name"] ?? ""
        try onMonitorOf(machine) { live in
            if changed[child: "source"] != nil {
                let number = max(DeviceAliases.lastSource(live.definition), try Self.lastNode(live.monitor)) + 1
                changed[child: "source"]?["index"] = "\(number)"
            }
            try exchange(old, changed, alias, live, force: force)
        }
        machine.change { _, running in
            running?.definition.devices[place] = changed
            running?.definition.order()
        }
        events.emit(
            .machine(
                machine.facts.reference,
                .diskChange(old: Self.path(of: old), new: Self.path(of: changed), alias: alias, reason: 0)))
    }

    private static func path(of disk: XMLElement) -> String? {
        disk[child: "source"]?["file"] ?? disk[child: "source"]?["dev"]
    }

    /// Opens the new medium, puts it in the drive and closes the old one. When any of it fails the old one stays.
    private func exchange(
        _ old: XMLElement, _ new: XMLElement, _ alias: String, _ live: LiveMachine, force: Bool
    ) throws {
        // The same image again has one owner for both.
        let isAnother = Self.path(of: old) != Self.path(of: new)
        var added: [HotPlug.Step] = []
        do {
            try requireFile(of: new)
            if isAnother { try admit(new, to: live.process) }
            let nodes = try BlockNodes.arguments(of: new, named: new[child: "source"]?["index"] ?? alias)
            let steps = (nodes?.json ?? []).map { node in
                HotPlug.Step(
                    command: "blockdev-add", arguments: node,
                    undo: node["node-name"].map { ("blockdev-del", ["node-name": $0]) })
            }
            try Self.run(steps, live.monitor)
            added = steps
            try exchangeMedium(
                live.monitor, alias, from: Self.nodes(of: old).last, to: nodes?.top, force: force)
        } catch {
            for step in added.reversed() {
                guard let undo = step.undo else { continue }
                do { try live.monitor.execute(undo.command, undo.arguments) } catch {
                    Console.shared.warning("cannot undo \(step.command): \(error)")
                }
            }
            if isAnother { giveBack(new) }
            throw error
        }
        for node in Self.nodes(of: old).reversed() {
            do { try live.monitor.execute("blockdev-del", ["node-name": .string(node)]) } catch {
                Console.shared.warning("the old medium of '\(alias)' stays open: \(error)")
            }
        }
        if isAnother { giveBack(old) }
    }

    /// An image that is not there is said so before the emulator is asked to open it.
    func requireFile(of disk: XMLElement) throws {
        guard disk.name == "disk", disk["type"] == "file", let path = disk[child: "source"]?["file"] else { return }
        // access copies the path.
        guard unsafe access(path, F_OK) != 0 else { return }
        throw ManagementError(.systemError, "Cannot access storage file '\(path)': \(Errno.current)", from: .storage)
    }

    /// Opens a tray, changes what is in it, and closes it. When the new medium does not go in, the old one goes back.
    private func exchangeMedium(
        _ monitor: MonitorClient, _ alias: String, from old: String?, to new: String?, force: Bool
    ) throws {
        func insert(_ node: String) throws {
            try monitor.execute("blockdev-insert-medium", ["id": .string(alias), "node-name": .string(node)])
        }
        func closeTray() throws { try monitor.execute("blockdev-close-tray", ["id": .string(alias)]) }
        try monitor.execute("blockdev-open-tray", ["id": .string(alias), "force": .bool(force)])
        do {
            try removeMedium(monitor, alias)
            do { if let new { try insert(new) } } catch {
                if let old { try insert(old) }
                throw error
            }
        } catch {
            do { try closeTray() } catch { Console.shared.warning("the tray of '\(alias)' stays open: \(error)") }
            throw error
        }
        try closeTray()
    }

    /// A guest that holds the tray says so first; it opens it a moment later.
    private func removeMedium(_ monitor: MonitorClient, _ alias: String) throws {
        var tries = 0
        while true {
            do {
                try monitor.execute("blockdev-remove-medium", ["id": .string(alias)])
                return
            } catch MonitorClient.Failure.refused where tries < Self.trayTries {
                tries += 1
                sleepMilliseconds(Self.trayPause)
            }
        }
    }

    /// The highest number in the names of the emulator's nodes.
    static func lastNode(_ monitor: MonitorClient) throws -> Int {
        let nodes = try monitor.execute("query-named-block-nodes").array ?? []
        return nodes.compactMap { node -> Int? in
            guard let name = node["node-name"]?.string, name.hasPrefix("libvirt-") else { return nil }
            let parts = name.split(separator: "-")
            return parts.count > 1 ? Int(parts[1]) : nil
        }.max() ?? 0
    }

    /// Looks whether a tray is open, two seconds in all.
    private static let trayTries = 20
    /// Milliseconds between two looks.
    private static let trayPause: UInt32 = 100
}
