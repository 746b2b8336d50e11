// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlServer
internal import Diagnostics
internal import DiskImages
internal import HostSystem
internal import MachineRuntime
internal import MachineSpec
internal import Migration
internal import StateCoding

/// Machine state in the place that an image has for it, read or written from the beginning on.
private final class StateArea {
    private let store: any VMStateStore
    private let buffer = AlignedBuffer(count: capacity)
    private var filled = 0, taken = 0
    private static let capacity = 4 << 20
    /// Bytes that have passed.
    private(set) var position: Int64 = 0
    private let end: Int64

    init(_ store: any VMStateStore, count: Int64 = .max) {
        self.store = store
        end = count
    }

    func write(_ bytes: [UInt8]) throws(UserError) {
        var done = 0
        while done < bytes.count {
            if filled == Self.capacity { try flush() }
            let part = min(bytes.count - done, Self.capacity - filled)
            buffer.region.slice(filled, part).copy(from: Array(bytes[done..<done + part]))
            filled += part
            done += part
        }
    }

    func flush() throws(UserError) {
        do throws(BlockError) { try store.writeVMState(buffer.region.slice(0, filled), at: position) } catch {
            throw UserError("Error while writing VM state: \(error)")
        }
        position += Int64(filled)
        filled = 0
    }

    func read(_ count: Int) throws(UserError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            if taken == filled { try refill() }
            let part = min(count - bytes.count, filled - taken)
            bytes += buffer.region.slice(taken, part).bytes
            taken += part
        }
        return bytes
    }

    private func refill() throws(UserError) {
        let count = Int(min(Int64(Self.capacity), end - position))
        guard count > 0 else { throw UserError("the saved state ends too early") }
        do throws(BlockError) { try store.readVMState(buffer.region.slice(0, count), at: position) } catch {
            throw UserError("Error while reading VM state: \(error)")
        }
        position += Int64(count)
        filled = count
        taken = 0
    }
}

extension AssembledMachine: SnapshotControlling {
    private typealias Disk = (name: String, store: any SnapshotStore)

    /// The images that a snapshot is of.
    private func snapshotDisks(_ names: [String]?) throws(UserError) -> [Disk] {
        let devices = storage.devices
        var nodes: [any BlockNode] = []
        if let names {
            for name in names {
                guard let node = devices.graph.node(named: name) else {
                    throw UserError("No block device node '\(name)'")
                }
                nodes.append(node)
            }
        } else {
            nodes = devices.roots.map(\.backend.filtered).filter { !$0.isReadOnly }
        }
        var disks: [Disk] = []
        for node in nodes {
            let root = devices.roots.first { $0.backend.filtered === node }
            let name = root.map(\.drive).flatMap { $0.isEmpty ? nil : $0 } ?? devices.name(of: node)
            guard let store = node as? any SnapshotStore, !node.isReadOnly else {
                throw UserError("Device '\(name)' is writable but does not support snapshots")
            }
            disks.append((name, store))
        }
        guard !disks.isEmpty else { throw UserError("no block device can store vmstate for snapshot") }
        return disks
    }

    private func stateDisk(_ name: String?, among disks: [Disk]) throws(UserError) -> any SnapshotStore & VMStateStore {
        if let name {
            guard let node = storage.devices.graph.node(named: name) else {
                throw UserError("vmstate block device '\(name)' does not exist")
            }
            guard let store = node as? any SnapshotStore & VMStateStore else {
                throw UserError("vmstate block device '\(name)' does not support snapshots")
            }
            return store
        }
        for disk in disks { if let store = disk.store as? any SnapshotStore & VMStateStore { return store } }
        throw UserError("no block device can store vmstate for snapshot")
    }

    private func find(_ tag: String, in store: any SnapshotStore) -> SnapshotInformation? {
        store.snapshots.first { $0.name == tag } ?? store.snapshots.first { $0.identifier == tag }
    }

    private func blocking<Result>(_ body: () throws(BlockError) -> Result, _ what: String) throws(UserError) -> Result {
        do throws(BlockError) { return try body() } catch { throw UserError("\(what): \(error)") }
    }

    /// Keeps the guest still during `body`; it goes on afterwards if it ran.
    private func standingStill(_ reason: RunState, _ body: (Bool) throws(UserError) -> Void) throws(UserError) {
        let wasRunning = runner.state == .running
        let before = runner.state
        if wasRunning { runner.pause(reason) }
        defer {
            if wasRunning {
                runner.settle(.paused)
                runner.resume()
            } else if runner.state == reason {
                runner.settle(before)
            }
        }
        try body(wasRunning)
    }

    func saveSnapshot(
        _ tag: String, vmState: String?, devices: [String]?, replaces: Bool
    ) throws(UserError) {
        guard !storage.devices.jobs.isCopying else { throw UserError("a block job is under way; wait for its end") }
        let disks = try snapshotDisks(devices)
        let area = try stateDisk(vmState, among: disks)
        if replaces {
            try deleteSnapshot(tag, of: disks)
        } else if disks.contains(where: { find(tag, in: $0.store) != nil }) {
            throw UserError("Snapshot '\(tag)' already exists in one or more devices")
        }
        try standingStill(.saveVM) { (wasRunning) throws(UserError) in
            let state = StateArea(area)
            try MachineSnapshot.write(self, wasRunning: wasRunning) { (bytes) throws(UserError) in
                try state.write(bytes)
            }
            try state.flush()
            let now = ControlServer.wallClock(), million: Int64 = 1_000_000
            var made: [(any SnapshotStore, String)] = []
            for disk in disks {
                let size = disk.store === area ? state.position : 0
                let information = SnapshotInformation(
                    identifier: "", name: tag, vmStateSize: size, dateSeconds: now / million,
                    dateNanoseconds: now % million * 1000, vmClock: lock.withLock { clock.now })
                do throws(BlockError) { try disk.store.createSnapshot(information) } catch {
                    // All disks or none.
                    for (store, name) in made { try? store.deleteSnapshot(identifier: name) }
                    throw UserError("Error while creating snapshot on '\(disk.name)': \(error)")
                }
                if let found = disk.store.snapshots.last(where: { $0.name == tag }) {
                    made.append((disk.store, found.identifier))
                }
            }
        }
    }

    func loadSnapshot(_ tag: String, vmState: String?, devices: [String]?) throws(UserError) {
        guard !storage.devices.jobs.isCopying else { throw UserError("a block job is under way; wait for its end") }
        let (parts, area, saved) = try findSnapshot(tag, vmState: vmState, devices: devices)
        try standingStill(.restoreVM) { (_) throws(UserError) in
            let restore = try checkSaved(saved, in: area)
            for (disk, snapshot) in parts {
                try blocking(
                    { () throws(BlockError) in try disk.store.applySnapshot(identifier: snapshot.identifier) },
                    "Error while activating snapshot '\(tag)' on '\(disk.name)'")
            }
            runner.resetForState()
            let state = StateArea(area, count: saved.vmStateSize)
            try MachineSnapshot.loadMemory(self) { (count) throws(UserError) in try state.read(count) }
            restore()
        }
    }

    /// The snapshot of each disk, and the one that holds the machine's state.
    private func findSnapshot(
        _ tag: String, vmState: String?, devices: [String]?
    ) throws(UserError) -> (
        parts: [(disk: Disk, snapshot: SnapshotInformation)], area: any SnapshotStore & VMStateStore,
        saved: SnapshotInformation
    ) {
        let disks = try snapshotDisks(devices)
        let area = try stateDisk(vmState, among: disks)
        var parts: [(disk: Disk, snapshot: SnapshotInformation)] = []
        for disk in disks {
            guard let snapshot = find(tag, in: disk.store) else {
                throw UserError("Snapshot '\(tag)' does not exist in one or more devices")
            }
            parts.append((disk, snapshot))
        }
        guard let saved = find(tag, in: area), saved.vmStateSize > 0 else {
            throw UserError("This is a disk-only snapshot. Revert to it  offline using qemu-img")
        }
        return (parts, area, saved)
    }

    /// `-loadvm`, before the machine runs: there is such a snapshot.
    func checkSnapshot() throws(UserError) {
        guard let tag = spec.lifecycle.snapshot else { return }
        do throws(UserError) { _ = try findSnapshot(tag, vmState: nil, devices: nil) } catch {
            throw error.at("-loadvm \(tag)")
        }
    }

    /// `-loadvm`: on the loop's thread, before anything has run.
    func goOnFromSnapshot() {
        guard let tag = spec.lifecycle.snapshot else { return }
        do throws(UserError) { try loadSnapshot(tag, vmState: nil, devices: nil) } catch {
            messages.error("-loadvm \(tag): \(error)")
            return runner.requestExit(status: 1, cause: .hostError)
        }
        if !spec.lifecycle.startsPaused { runner.resume() }
    }

    /// Reads all of a saved machine before anything of this one is given up.
    private func checkSaved(
        _ saved: SnapshotInformation, in area: any SnapshotStore & VMStateStore
    ) throws(UserError) -> () -> Void {
        // What the guest has under way ends before the disks change below it.
        do throws(StateError) { _ = try saveSections() } catch { throw UserError(error.description) }
        let view = try blocking(
            { () throws(BlockError) in try area.openSnapshot(identifier: saved.identifier) },
            "cannot read snapshot '\(saved.name)'")
        guard let store = view as? any VMStateStore else { throw UserError("the image holds no machine state") }
        let state = StateArea(store, count: saved.vmStateSize)
        let result: Result<() -> Void, UserError>
        do throws(UserError) {
            result = .success(try MachineSnapshot.check(self) { (count) throws(UserError) in try state.read(count) })
        } catch { result = .failure(error) }
        try blocking({ () throws(BlockError) in try view.close() }, "cannot read snapshot '\(saved.name)'")
        return try result.get()
    }

    private func deleteSnapshot(_ tag: String, of disks: [Disk]) throws(UserError) {
        for disk in disks {
            guard let found = find(tag, in: disk.store) else { continue }
            try blocking(
                { () throws(BlockError) in try disk.store.deleteSnapshot(identifier: found.identifier) },
                "Error while deleting snapshot '\(tag)' on '\(disk.name)'")
        }
    }

    func deleteSnapshot(_ tag: String, devices: [String]?) throws(UserError) {
        if devices == nil, storage.devices.roots.allSatisfy({ $0.backend.isReadOnly }) { return }
        try deleteSnapshot(tag, of: try snapshotDisks(devices))
    }

    /// The snapshots that all disks have, and then those of single disks.
    func snapshotList() throws(UserError) -> String {
        let disks = try snapshotDisks(nil)
        let area = try stateDisk(nil, among: disks)
        let all = area.snapshots.filter { snapshot in
            disks.allSatisfy { disk in disk.store.snapshots.contains { $0.name == snapshot.name } }
        }
        let partial = disks.map { disk in
            (disk.name, disk.store.snapshots.filter { single in !all.contains { $0.name == single.name } })
        }.filter { !$0.1.isEmpty }
        guard !all.isEmpty || !partial.isEmpty else { return "There is no snapshot available.\n" }
        func table(_ list: [SnapshotInformation]) -> String {
            DiskImages.snapshotTable(list).map { $0 + "\n" }.joined()
        }
        var text = "List of snapshots present on all disks:\n"
        text +=
            all.isEmpty
            ? "None\n"
            : table(
                all.map { snapshot in
                    var shown = snapshot
                    // Numbers of different disks differ.
                    shown.identifier = "--"
                    return shown
                })
        for (name, list) in partial {
            text += "\nList of partial (non-loadable) snapshots on '\(name)':\n" + table(list)
        }
        return text
    }
}
