// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import GuestMemory
internal import HostIO
internal import HostSystem
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import Migration
internal import PCChipset
internal import PCIBus
internal import StateCoding

/// The machine's own time, which all deadlines of its devices count in.
private final class ClockPart: Stateful {
    struct State: SavedState {
        var now: UInt64
    }
    private let clock: RuntimeClock
    init(_ clock: RuntimeClock) { self.clock = clock }

    func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, State(now: clock.now))
    }

    func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: State(now: 0))
        return { [clock] in clock.setStopped(at: state.now) }
    }
}

extension AssembledMachine: MigratableMachine {
    func onLoop(_ work: @escaping @Sendable () -> Void) { loop.post(work) }

    var stateHeader: StateHeader {
        StateHeader(
            machine: spec.board.name, accelerator: acceleratorName, processorModel: spec.processor.model,
            processorCount: spec.topology.present.count,
            memory: guestMemory.regions.map {
                StateHeader.Region(name: $0.name, count: $0.count)
            })
    }

    func setDirtyLogging(_ isOn: Bool) throws(UserError) {
        try runner.whileParked { () throws(UserError) in try engine?.setDirtyLogging(isOn) }
    }

    func collectDirty(into pages: inout PageSet) throws(UserError) {
        pages = try runner.whileParked { () throws(UserError) in
            var result = pages
            try engine?.collectDirtyPages()
            result.takeDirty(of: guestMemory)
            return result
        }
    }

    var isRunning: Bool { runner.state == .running }
    func stopForMove() { runner.pause(.finishMigrate) }
    func moveEnded() {
        runner.settle(isIncoming ? .paused : .postMigrate)
        isIncoming = false
    }

    func goOn() {
        runner.settle(.paused)
        if !isIncoming || startsOnceFilled { runner.resume() }
        isIncoming = false
    }

    /// What is done for the first time takes much longer than later: here while nobody waits for it.
    func prepareForMove() {
        // The check looks at the processors as well, which KVM answers only while they stand still. What is found wrong is
        // found again when it matters.
        runner.whileParked {
            guard let sections = try? saveSections() else { return }
            _ = try? checkSections(sections)
        }
    }

    func saveSections() throws(StateError) -> [StateRecord] {
        lock.lock()
        defer { lock.unlock() }
        var records: [StateRecord] = []
        for (name, part) in try savedParts() { records.append(try part.saveState(as: name)) }
        return records
    }

    func checkSections(_ records: [StateRecord]) throws(StateError) -> () -> Void {
        lock.lock()
        defer { lock.unlock() }
        var waiting: [String: StateRecord] = [:]
        for record in records where waiting.updateValue(record, forKey: record.name) != nil {
            throw StateError("the saved state has two sections '\(record.name)'")
        }
        var restores: [() -> Void] = []
        for (name, part) in try savedParts() {
            guard let record = waiting.removeValue(forKey: name) else {
                throw StateError("the saved state lacks the device '\(name)' of this machine")
            }
            restores.append(try part.checkState(record))
        }
        if let extra = waiting.keys.sorted().first {
            throw StateError("the saved state has a device '\(extra)' that this machine lacks")
        }
        return { [lock] in lock.withLock { for restore in restores { restore() } } }
    }

    /// Everything that has state, in the order in which it is put back: time, devices, processors and their interrupt
    /// controllers, which the devices' wires have moved by then. The machine lock is held.
    private func savedParts() throws(StateError) -> [(name: String, part: any Stateful)] {
        guard let board, let engine else { throw StateError("this machine has nothing to save") }
        var parts: [(name: String, part: any Stateful)] = [("clock", ClockPart(clock))]
        var names: [String: Int] = [:]
        func add(_ base: String, _ part: AnyObject) throws(StateError) {
            let number = names[base, default: 0]
            names[base] = number + 1
            guard let part = part as? any Stateful else {
                throw StateError("the state of device '\(base)' cannot be saved")
            }
            parts.append((number == 0 ? base : "\(base).\(number)", part))
        }
        for (name, part) in board.savedDevices { try add(name, part) }
        for port in serialPorts { try add(port.name, port) }
        // A port comes before what is behind it, whose pins it passes on.
        for function in board.bus.devices {
            try add("pci \(function.address) \(function.name)", function)
            guard let port = function as? PCIExpressRootPort else { continue }
            for inner in port.secondaryBus.devices {
                try add("pci \(function.address)/\(inner.address) \(inner.name)", inner)
            }
        }
        for (name, device) in usbParts { try add(name, device) }
        return parts + engine.savedParts
    }
}
