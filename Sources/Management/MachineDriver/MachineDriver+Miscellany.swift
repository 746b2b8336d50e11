// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostSystem
internal import JSONCoding
internal import LocalSockets
public import ManagementModel
internal import ManagementXML
internal import XMLTree

// What fits nowhere else: channels, errors of disks, actions, limits of migration.
extension MachineDriver {
    /// The host's end of a channel; the first one when none is named.
    public func openChannel(_ uuid: UniqueID, _ name: String?) throws -> FileDescriptor {
        let live = try machine(uuid).requireLive()
        let channel = live.definition.devices.first { device in
            device.name == "channel"
                && (name == nil || device[child: "target"]?["name"] == name || device[child: "alias"]?["name"] == name)
        }
        guard let channel else {
            throw ManagementError(.internalError, "cannot find channel \(name ?? "")")
        }
        guard channel["type"] == "unix" else {
            throw ManagementError(
                .internalError, "channel \(channel[child: "alias"]?["name"] ?? "") is not using a UNIX socket")
        }
        let path = channel[child: "source"]?["path"] ?? live.sockets + "/" + (channel[child: "target"]?["name"] ?? "")
        do throws(Errno) { return try LocalSocket.connect(path: path) } catch {
            throw ManagementError(.systemError, "unable to connect to '\(path)': \(error)")
        }
    }

    /// Disks on which the machine stopped: 1 something went wrong, 2 there was no space.
    public func diskErrors(_ uuid: UniqueID) throws -> [(target: String, code: Int32)] {
        try onMonitor(uuid) { _, live in
            let block = try live.monitor.execute("query-block").array ?? []
            return live.definition.devices.filter { $0.name == "disk" }.compactMap { disk in
                let alias = disk[child: "alias"]?["name"] ?? ""
                let status = block.first { Self.isOf(alias, $0["qdev"]?.string) }?["io-status"]?.string
                let codes: [String: Int32] = ["failed": 1, "nospace": 2]
                return status.flatMap { codes[$0] }.map { (disk[child: "target"]?["dev"] ?? "", $0) }
            }
        }
    }

    private static let lifecycleEvents = ["on_poweroff", "on_reboot", "on_crash"]
    private static let lifecycleActions = [
        "destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart",
    ]

    /// What happens when a guest powers off (0), reboots (1) or crashes (2).
    public func setLifecycleAction(_ uuid: UniqueID, event: UInt32, action: UInt32, _ scope: ProcessorScope) throws {
        guard event < Self.lifecycleEvents.count, action < Self.lifecycleActions.count else {
            throw ManagementError(.invalidArg, "Unsupported lifecycle type or action", from: .none)
        }
        let name = Self.lifecycleEvents[Int(event)]
        let text = Self.lifecycleActions[Int(action)]
        guard event == 2 || !text.hasPrefix("coredump") else {
            throw ManagementError(
                .invalidArg, "Lifecycle event '\(name.dropFirst(3))' doesn't support '\(text)' action", from: .domain)
        }
        guard text != "rename-restart" else {
            throw ManagementError(
                .configUnsupported,
                "qemu driver doesn't support the 'rename-restart' action for 'on_reboot'/'on_poweroff'/'on_crash'",
                from: .machineDriver)
        }
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            if live {
                if event == 1 {
                    let keeps = text == "restart"
                    try onMonitorOf(machine) {
                        try $0.monitor.execute("set-action", ["reboot": keeps ? "reset" : "shutdown"])
                    }
                }
                machine.change { _, running in running?.definition.root[child: name] = XMLElement(name, text: text) }
                machine.change { _, running in running?.definition.order() }
                saveStatus(machine)
            }
            if configuration {
                try update(machine) { definition in
                    definition.root[child: name] = XMLElement(name, text: text)
                    definition.order()
                }
            }
        }
    }

    /// What a running machine's process has used; nil when it does not run.
    public func processTimes(_ uuid: UniqueID) throws -> (total: UInt64, user: UInt64, system: UInt64)? {
        guard let process = try machine(uuid).live?.process, let times = ProcessTimes(process) else { return nil }
        return (times.total, times.user, times.system)
    }

    // MARK: Limits of migration

    private static let mebibyte: UInt64 = 1 << 20
    /// What a machine that nobody limited sends at most, in MiB/s.
    private static let unlimitedSpeed: UInt64 = 8_796_093_022_207

    /// MiB/s.
    public func migrationSpeed(_ uuid: UniqueID) throws -> UInt64 {
        let machine = try machine(uuid)
        guard machine.live != nil else { return machine.migrationLimit ?? Self.unlimitedSpeed }
        return try onMonitor(uuid) { _, live in
            (try live.monitor.execute("query-migrate-parameters")["max-bandwidth"]?.unsigned ?? 0) / Self.mebibyte
        }
    }

    /// Limits what a migration sends, in MiB/s; throws `overflow` for more than fits in 63 bits of bytes.
    public func setMigrationSpeed(_ uuid: UniqueID, _ speed: UInt64) throws {
        guard speed <= Self.unlimitedSpeed else {
            throw ManagementError(.overflow, "bandwidth must be less than \(Self.unlimitedSpeed + 1)")
        }
        let machine = try machine(uuid)
        machine.migrationLimit = speed
        // One that does not run is told when it does.
        guard machine.live != nil else { return }
        try onMonitor(uuid) { _, live in
            try live.monitor.execute(
                "migrate-set-parameters",
                ["max-bandwidth": JSONValue(min(speed &* Self.mebibyte, UInt64(Int64.max)))])
        }
    }

    /// Milliseconds that a guest may stand still.
    public func migrationDowntime(_ uuid: UniqueID) throws -> UInt64 {
        try onMonitor(uuid) { _, live in
            try live.monitor.execute("query-migrate-parameters")["downtime-limit"]?.unsigned ?? 0
        }
    }

    /// Sets for how many milliseconds a migration may stop the guest at its end.
    public func setMigrationDowntime(_ uuid: UniqueID, _ milliseconds: UInt64) throws {
        try onMonitor(uuid) { _, live in
            try live.monitor.execute("migrate-set-parameters", ["downtime-limit": JSONValue(milliseconds)])
        }
    }
}
