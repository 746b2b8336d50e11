// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import HostSystem
internal import JSONCoding
public import ManagementModel

// Asking a guest, and its monitor.
extension MachineDriver {
    /// Presses the power button.
    public func shutDown(_ uuid: UniqueID, called name: String? = nil) throws {
        try onMonitor(uuid, called: name) { machine, live in
            machine.change { _, running in running?.restartsOnShutdown = false }
            try live.monitor.execute("system_powerdown")
        }
    }

    /// Presses the power button, and starts the guest again when it is off.
    public func reboot(_ uuid: UniqueID, called name: String? = nil) throws {
        try onMonitor(uuid, called: name) { machine, live in
            machine.change { _, running in running?.restartsOnShutdown = true }
            try live.monitor.execute("system_powerdown")
        }
    }

    /// Presses the reset button.
    public func reset(_ uuid: UniqueID, called name: String? = nil) throws {
        try onMonitor(uuid, called: name) { _, live in _ = try live.monitor.execute("system_reset") }
    }

    /// Stops the processors.
    public func suspend(_ uuid: UniqueID, called name: String? = nil) throws {
        try onMonitor(uuid, called: name) { machine, live in
            guard machine.facts.state.state != MachineState.suspended.state else {
                throw ManagementError(.operationInvalid, "domain is pmsuspended")
            }
            guard !machine.facts.state.isPaused else { return }
            try live.monitor.execute("stop")
            machine.change { facts, _ in facts.state = .pausedByUser }
            saveStatus(machine)
            emit(machine, Lifecycle.suspendedPaused)
        }
    }

    /// Lets them run again.
    public func resume(_ uuid: UniqueID, called name: String? = nil) throws {
        try onMonitor(uuid, called: name) { machine, live in
            if machine.facts.state.state == MachineState.suspended.state {
                throw ManagementError(.operationInvalid, "domain is pmsuspended")
            }
            guard machine.facts.state.isPaused else {
                throw ManagementError(.operationInvalid, "domain is already running")
            }
            try live.monitor.execute("cont")
            machine.change { facts, _ in facts.state = .runningUnpaused }
            saveStatus(machine)
            emit(machine, Lifecycle.resumedUnpaused)
        }
    }

    /// Runs `body` with the running part of a machine, one operation at a time; what the monitor refuses becomes an
    /// error of the service.
    @discardableResult
    func onMonitor<Result>(
        _ uuid: UniqueID, called name: String? = nil, _ body: (Machine, LiveMachine) throws -> Result
    ) throws -> Result {
        let machine = try machine(uuid, called: name)
        return try machine.job.withLock {
            let live = try machine.requireLive()
            do { return try body(machine, live) } catch let failure as MonitorClient.Failure {
                throw Self.error(of: failure)
            }
        }
    }

    static func error(of failure: MonitorClient.Failure) -> ManagementError {
        switch failure {
        case .refused(let error): ManagementError(.internalError, "unable to execute QEMU command: \(error.text)")
        case .closed: ManagementError(.operationFailed, "domain is not running")
        case .timeout: ManagementError(.operationTimeout, "cannot acquire state change lock: \(failure)")
        }
    }

    /// Sends any command to a machine's monitor.
    public func monitorCommand(_ uuid: UniqueID, called name: String? = nil, _ command: String, isHuman: Bool) throws
        -> String
    {
        try onMonitor(uuid, called: name) { _, live in
            if isHuman {
                return try live.monitor.execute("human-monitor-command", ["command-line": .string(command)]).string
                    ?? ""
            }
            let message: JSONValue
            do throws(JSONError) { message = try JSONValue(parsing: command) } catch {
                throw ManagementError(.internalError, "cannot parse json \(command): \(error)")
            }
            guard let name = message["execute"]?.string else {
                throw ManagementError(.internalError, "the command has no 'execute'")
            }
            var reply: JSONObject = [:]
            do {
                reply["return"] = try live.monitor.execute(name, message["arguments"]?.object ?? [:])
            } catch MonitorClient.Failure.refused(let error) {
                reply["error"] = error.json
            }
            if let identifier = message["id"] { reply["id"] = identifier }
            return JSONValue.object(reply).printed()
        }
    }
}
