// SPDX-License-Identifier: Apache-2.0

internal import HostIO
internal import XMLTree
internal import ManagementXML
internal import ControlProtocol
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import ManagementModel
internal import StateStore

// What machines tell about themselves.
extension MachineDriver {
    /// Called on the monitors' thread: nothing here waits.
    func handle(_ event: QMPEvent, of machine: Machine) {
        let reference = machine.facts.reference
        let data = event.data
        events.emit(
            .machine(
                reference,
                .monitor(
                    name: event.name, seconds: event.microseconds / 1_000_000,
                    microseconds: UInt32(truncatingIfNeeded: event.microseconds % 1_000_000),
                    data: data.map { JSONValue.object($0).printed() })))
        switch event.name {
        case "SHUTDOWN": shutDownSeen(machine, byGuest: data?["guest"]?.bool ?? true)
        case "RESET": events.emit(.machine(reference, .reboot))
        case "STOP": stopSeen(machine)
        case "RTC_CHANGE": events.emit(.machine(reference, .clockChange(data?["offset"]?.integer ?? 0)))
        case "WATCHDOG": watchdogSeen(machine, data?["action"]?.string ?? "none")
        case "BALLOON_CHANGE": balloonSeen(machine, data?["actual"]?.unsigned ?? 0)
        case "BLOCK_IO_ERROR": inputOutputErrorSeen(machine, data)
        case "DEVICE_DELETED":
            if let alias = data?["device"]?.string { released(machine, alias) }
        case "DEVICE_UNPLUG_GUEST_ERROR", "MEM_UNPLUG_ERROR":
            if let alias = data?["device"]?.string {
                machine.change { _, live in live?.refused.insert(alias) }
                events.emit(.machine(reference, .deviceRemovalFailed(alias)))
            }
        case "BLOCK_JOB_READY", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED", "BLOCK_JOB_ERROR":
            diskJobSeen(machine, event.name, data)
        case "DEVICE_TRAY_MOVED":
            if let alias = data?["id"]?.string {
                events.emit(
                    .machine(reference, .trayChange(alias: alias, reason: data?["tray-open"]?.bool ?? false ? 0 : 1)))
            }
        case "VSERPORT_CHANGE": channelSeen(machine, data)
        case "BLOCK_WRITE_THRESHOLD": thresholdSeen(machine, data)
        case "MEMORY_DEVICE_SIZE_CHANGE":
            if let alias = data?["id"]?.string {
                events.emit(
                    .machine(reference, .memorySizeChange(alias: alias, size: (data?["size"]?.unsigned ?? 0) / 1024)))
            }
        case "GUEST_PANICKED": panicSeen(machine)
        case "SUSPEND":
            machine.change { facts, _ in facts.state = .suspended }
            events.emit(.machine(reference, .suspendedToMemory))
        case "SUSPEND_DISK": events.emit(.machine(reference, .suspendedToDisk))
        case "WAKEUP":
            machine.change { facts, _ in facts.state = .runningWokenUp }
            events.emit(.machine(reference, .wokenUp))
        default: break
        }
    }

    private func shutDownSeen(_ machine: Machine, byGuest: Bool) {
        guard let live = machine.live, live.ending == nil else { return }
        if live.restartsOnShutdown || live.definition.root[child: "on_poweroff"]?.text == "restart" {
            machine.change { _, running in running?.restartsOnShutdown = false }
            workers.submit { [self] in restart(machine) }
            return
        }
        machine.change { facts, running in
            facts.state = .shuttingDown
            running?.ending = .shutOffByGuest
        }
        emit(machine, byGuest ? Lifecycle.shutdownByGuest : Lifecycle.shutdownByHost)
        // The emulator waits with its machine off; it is ended from here.
        workers.submit {
            if machine.live?.process == live.process { kill(live.process, SIGTERM) }
        }
    }

    /// The guest is off: on again.
    private func restart(_ machine: Machine) {
        machine.job.withLock {
            guard let live = machine.live else { return }
            do {
                try live.monitor.execute("system_reset")
                try live.monitor.execute("cont")
                machine.change { facts, _ in facts.state = .runningBooted }
                saveStatus(machine)
            } catch { Console.shared.warning("cannot restart '\(machine.facts.name)': \(error)") }
        }
    }

    private func stopSeen(_ machine: Machine) {
        // One that the service asked for is reported by the operation.
        machine.change { facts, _ in if facts.state.isRunning { facts.state = .pausedByUser } }
    }

    private func watchdogSeen(_ machine: Machine, _ action: String) {
        let actions = ["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi"]
        let number = Int32(actions.firstIndex(of: action) ?? 0)
        events.emit(.machine(machine.facts.reference, .watchdog(number)))
        if action == "pause" {
            machine.change { facts, _ in facts.state = .pausedByWatchdog }
            emit(machine, Lifecycle.suspendedByWatchdog)
        }
    }

    private func balloonSeen(_ machine: Machine, _ bytes: UInt64) {
        machine.change { facts, running in
            facts.memory = bytes / 1024
            running?.definition.root[child: "currentMemory"]?.text = "\(bytes / 1024)"
        }
        events.emit(.machine(machine.facts.reference, .balloonChange(bytes / 1024)))
    }

    private func inputOutputErrorSeen(_ machine: Machine, _ data: JSONObject?) {
        guard let live = machine.live else { return }
        let alias =
            data?["qom-path"]?.string?.split(separator: "/").last.map(String.init) ?? data?["device"]?.string ?? ""
        let disk = live.definition.devices.first { $0.name == "disk" && $0[child: "alias"]?["name"] == alias }
        let path = disk?[child: "source"]?["file"] ?? disk?[child: "source"]?["dev"] ?? ""
        let action = data?["action"]?.string ?? "report"
        let actions = ["none": Int32(0), "stop": 1, "report": 2]
        let reason = data?["nospace"]?.bool ?? false ? "enospc" : ""
        events.emit(
            .machine(
                machine.facts.reference,
                .inputOutputError(path: path, alias: alias, action: actions[action] ?? 0, reason: reason)))
        if action == "stop" {
            machine.change { facts, _ in facts.state = .pausedByIOError }
            emit(machine, Lifecycle.suspendedByIOError)
        }
    }

    private func thresholdSeen(_ machine: Machine, _ data: JSONObject?) {
        let node = data?["node-name"]?.string ?? ""
        let disk = machine.live?.definition.devices.first { $0.name == "disk" && Self.nodes(of: $0).contains(node) }
        guard let disk else { return }
        events.emit(
            .machine(
                machine.facts.reference,
                .blockThreshold(
                    target: disk[child: "target"]?["dev"] ?? "", path: Self.path(disk),
                    threshold: data?["write-threshold"]?.unsigned ?? 0,
                    excess: data?["amount-exceeded"]?.unsigned ?? 0)))
    }

    private func panicSeen(_ machine: Machine) {
        machine.change { facts, _ in facts.state = .crashed }
        emit(machine, Lifecycle.crashedPanicked)
        let action = machine.live?.definition.root[child: "on_crash"]?.text ?? "destroy"
        switch action {
        case "restart", "coredump-restart": workers.submit { [self] in restart(machine) }
        case "preserve": break
        default:
            machine.change { _, running in running?.ending = .shutOffCrashed }
            if let live = machine.live { workers.submit { kill(live.process, SIGTERM) } }
        }
    }
}
