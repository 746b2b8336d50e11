// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostInventory
internal import HostIO
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import ProcessConfinement
internal import XMLTree

// Adding, removing and changing devices, of the machine that runs and of its definition.
extension MachineDriver {
    /// Adds a device.
    public func attachDevice(_ uuid: UniqueID, _ text: String, _ scope: ProcessorScope) throws {
        let machine = try machine(uuid)
        var device = try DomainDefinition.device(parsing: text)
        if device.name == "interface", device[child: "mac"] == nil {
            // Both documents get the same address.
            device =
                try machine.facts.isActive
                ? machine.requireLive().definition.completing(device, context).device
                : definition(of: machine).completing(device, context).device
            device[child: "address"] = nil
        }
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            var changed: DomainDefinition?
            if configuration {
                changed = try definition(of: machine)
                try changed?.add(device, context)
            }
            if live { try attachLive(machine, device) }
            if let changed { try keep(changed, of: machine) }
        }
    }

    /// Removes a device.
    public func detachDevice(_ uuid: UniqueID, _ text: String, _ scope: ProcessorScope) throws {
        let wanted = try DomainDefinition.device(parsing: text)
        try detach(uuid, scope) { try $0.place(of: wanted) }
    }

    /// Removes the device of a name.
    public func detachDevice(_ uuid: UniqueID, alias: String, _ scope: ProcessorScope) throws {
        try detach(uuid, scope) { try $0.place(alias: alias) }
    }

    private func detach(
        _ uuid: UniqueID, _ scope: ProcessorScope, _ find: (DomainDefinition) throws -> Int
    ) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            var changed: DomainDefinition?
            if configuration {
                var definition = try definition(of: machine)
                var devices = definition.devices
                devices.remove(at: try find(definition))
                definition.devices = devices
                changed = try DomainDefinition(definition.root, context)
            }
            if live {
                let running = try machine.requireLive()
                try detachLive(machine, running, running.definition.devices[try find(running.definition)])
            }
            if let changed { try keep(changed, of: machine) }
        }
    }

    /// Writes a definition that was changed.
    func keep(_ definition: DomainDefinition, of machine: Machine) throws {
        try store(definition)
        machine.change { facts, _ in if !facts.isActive { facts.takeSizes(definition) } }
    }

    // MARK: Machines that run

    /// Kinds of devices that a machine that runs can be given.
    private static let pluggable: Set<String> = [
        "disk", "interface", "controller", "rng", "serial", "console", "channel", "input", "watchdog", "memballoon",
        "hostdev", "redirdev", "memory", "shmem", "vsock", "video", "sound",
    ]

    private func attachLive(_ machine: Machine, _ device: XMLElement) throws {
        let running = try machine.requireLive()
        guard Self.pluggable.contains(device.name) else {
            throw ManagementError(
                .operationUnsupported, "live attach of device '\(device.name)' is not supported")
        }
        // A drive that is there gets another medium.
        if device.name == "disk", ["cdrom", "floppy"].contains(device["device"] ?? ""),
            let place = try? running.definition.place(of: device)
        {
            try updateDisk(machine, running.definition.devices[place], device, place, force: false)
            return saveStatus(machine)
        }
        try requireFile(of: device)
        if device.name == "disk" {
            let bus = device[child: "target"]?["bus"] ?? ""
            guard !["ide", "sata", "fdc", "sd"].contains(bus) || ["cdrom", "floppy"].contains(device["device"]) else {
                throw ManagementError(.operationUnsupported, "disk bus '\(bus)' cannot be hotplugged.")
            }
        }
        try running.definition.checkUnused(device)
        var (complete, controllers) = try running.definition.completing(device, context)
        guard !controllers.contains(where: { $0["type"] == "pci" }) else {
            throw ManagementError(.internalError, "No more available PCI slots")
        }
        var taps: [String] = []
        try self.taps.connect(
            &complete, &taps, machine.facts.reference, user: confinement?.identity(of: machine.facts.id)?.user)
        var definition = running.definition
        definition.devices += controllers + [complete]
        DeviceAliases.assign(to: &definition)
        CommandLineBuilder.nameChannels(&definition, socketFolder: running.sockets)
        let added = definition.devices.suffix(controllers.count + 1)
        do {
            try onMonitorOf(machine) { live in
                let emulator = try facts(ofEmulator: definition.emulator)
                for element in added {
                    try admit(element, to: live.process)
                    var builder = CommandLineBuilder(definition, emulator: emulator, socketFolder: running.sockets)
                    try Self.run(HotPlug.steps(try builder.arguments(of: element)), live.monitor)
                }
                try takeTerminals(&definition, live.monitor)
            }
        } catch {
            self.taps.disconnect(complete)
            giveBack(complete)
            throw error
        }
        for element in added {
            if let alias = element[child: "alias"]?["name"] {
                events.emit(.machine(machine.facts.reference, .deviceAdded(alias)))
            }
        }
        definition.sortDisks()
        definition.order()
        machine.change { _, running in running?.definition = definition }
        saveStatus(machine)
    }

    /// Runs commands in turn; when one fails, those before it are undone.
    static func run(_ steps: [HotPlug.Step], _ monitor: MonitorClient) throws {
        var done: [HotPlug.Step] = []
        do {
            for step in steps {
                try monitor.execute(step.command, step.arguments)
                done.append(step)
            }
        } catch {
            for step in done.reversed() {
                guard let undo = step.undo else { continue }
                do { try monitor.execute(undo.command, undo.arguments) } catch {
                    Console.shared.warning("cannot undo \(step.command): \(error)")
                }
            }
            throw error
        }
    }

    /// What the monitor refuses becomes an error of the service. The caller holds the machine's job.
    @discardableResult
    func onMonitorOf<Result>(_ machine: Machine, _ body: (LiveMachine) throws -> Result) throws -> Result {
        let live = try machine.requireLive()
        do { return try body(live) } catch let failure as MonitorClient.Failure { throw Self.error(of: failure) }
    }

    /// Nanoseconds that a guest has to let go of a device before the call returns; it may still do so later.
    private static let releasePatience: UInt64 = 5_000_000_000

    private func detachLive(_ machine: Machine, _ running: LiveMachine, _ device: XMLElement) throws {
        guard let alias = device[child: "alias"]?["name"], Self.pluggable.contains(device.name) else {
            throw ManagementError(
                .operationUnsupported, "live detach of device '\(device.name)' is not supported")
        }
        if device.name == "controller" {
            let users = running.definition.devices.contains {
                $0.name == "disk" && $0[child: "target"]?["bus"] == device["type"]
                    && $0[child: "address"]?["controller"] == device["index"]
            }
            guard !users else {
                throw ManagementError(.operationFailed, "device cannot be detached: device is busy")
            }
        }
        machine.change { _, live in
            live?.released.remove(alias)
            live?.refused.remove(alias)
        }
        try onMonitorOf(machine) { try $0.monitor.execute("device_del", ["id": .string(alias)]) }
        let deadline = monotonicNanoseconds() &+ Self.releasePatience
        _ = machine.wait(until: deadline) { _, live in
            live?.released.contains(alias) ?? true || live?.refused.contains(alias) ?? true
        }
        if machine.live?.refused.contains(alias) ?? false {
            throw ManagementError(.operationFailed, "unplug of device was rejected by the guest")
        }
        if machine.live?.released.contains(alias) ?? false { clearAway(machine, alias) }
    }

    /// The guest let go of a device: called on the monitors' thread.
    func released(_ machine: Machine, _ alias: String) {
        machine.change { _, live in live?.released.insert(alias) }
        workers.submit { [self] in machine.job.withLock { clearAway(machine, alias) } }
    }

    /// Takes away what stood behind a device that is gone. The caller holds the machine's job.
    private func clearAway(_ machine: Machine, _ alias: String) {
        guard let live = machine.live, let place = try? live.definition.place(alias: alias) else { return }
        let device = live.definition.devices[place]
        do {
            let emulator = try facts(ofEmulator: live.definition.emulator)
            var builder = CommandLineBuilder(live.definition, emulator: emulator, socketFolder: live.sockets)
            for step in try HotPlug.steps(try builder.arguments(of: device)).reversed() {
                guard let undo = step.undo, undo.command != "device_del", undo.command != "blockdev-del" else {
                    continue
                }
                _ = try live.monitor.execute(undo.command, undo.arguments)
            }
            // Its images are others by now where it was copied or committed.
            if device.name == "disk" { dropUnusedNodes(machine) }
        } catch { Console.shared.warning("cannot clear away what was behind '\(alias)': \(error)") }
        taps.disconnect(device)
        giveBack(device)
        machine.change { _, running in
            running?.definition.devices.remove(at: place)
            running?.released.remove(alias)
        }
        saveStatus(machine)
        events.emit(.machine(machine.facts.reference, .deviceRemoved(alias)))
    }

    // MARK: Changing devices

    /// Changes a device: the medium of a drive, the link of an interface, the password of a display; anything in a
    /// definition.
    public func updateDevice(_ uuid: UniqueID, _ text: String, _ scope: ProcessorScope, force: Bool) throws {
        let machine = try machine(uuid)
        let device = try DomainDefinition.device(parsing: text)
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            var changed: DomainDefinition?
            if configuration {
                var definition = try definition(of: machine)
                let place = try Self.updated(device, in: definition)
                var replacement = device
                if replacement[child: "address"] == nil {
                    replacement[child: "address"] = definition.devices[place][child: "address"]
                }
                var devices = definition.devices
                devices[place] = replacement
                definition.devices = devices
                changed = try DomainDefinition(definition.root, context)
            }
            if live { try updateLive(machine, device, force: force) }
            if let changed { try keep(changed, of: machine) }
        }
    }

    /// The place of what an update is about.
    private static func updated(_ device: XMLElement, in definition: DomainDefinition) throws -> Int {
        do { return try definition.place(of: identity(device)) } catch let error as ManagementError {
            guard device.name == "disk", error.code == .deviceMissing else { throw error }
            throw ManagementError(
                .invalidArg, "target \(device[child: "target"]?["dev"] ?? "") doesn't exist.", from: .machineDriver)
        }
    }

    /// What a device is found by.
    private static func identity(_ device: XMLElement) -> XMLElement {
        var identity = XMLElement(device.name)
        switch device.name {
        case "graphics", "video", "watchdog", "memballoon": identity["type"] = device["type"]
        default: return device
        }
        return identity
    }

    private func updateLive(_ machine: Machine, _ device: XMLElement, force: Bool) throws {
        let running = try machine.requireLive()
        let place = try running.definition.place(of: Self.identity(device))
        let old = running.definition.devices[place]
        switch device.name {
        case "disk": try updateDisk(machine, old, device, place, force: force)
        case "interface": try updateInterface(machine, old, device, place)
        case "graphics": try updateGraphics(machine, old, device, place)
        default:
            throw ManagementError(
                .operationUnsupported, "live update of device '\(device.name)' is not supported")
        }
        saveStatus(machine)
    }

    /// The nodes of a disk's image, the lowest first.
    static func nodes(of disk: XMLElement) -> [String] {
        guard let source = disk[child: "source"] else { return [] }
        let number = source["index"] ?? disk[child: "alias"]?["name"] ?? ""
        return ["libvirt-\(number)-storage", "libvirt-\(number)-format"]
    }

    private func updateInterface(_ machine: Machine, _ old: XMLElement, _ new: XMLElement, _ place: Int) throws {
        let alias = old[child: "alias"]?["name"] ?? ""
        let state = new[child: "link"]?["state"]
        if state != old[child: "link"]?["state"] {
            try onMonitorOf(machine) {
                try $0.monitor.execute("set_link", ["name": .string(alias), "up": .bool(state != "down")])
            }
        }
        machine.change { _, running in
            running?.definition.devices[place][child: "link"] = new[child: "link"]
            running?.definition.order()
        }
    }

    private func updateGraphics(_ machine: Machine, _ old: XMLElement, _ new: XMLElement, _ place: Int) throws {
        guard old["type"] == "vnc" else {
            throw ManagementError(.operationUnsupported, "the display '\(old["type"] ?? "")' cannot be changed")
        }
        if let password = new["passwd"], password != old["passwd"] {
            try onMonitorOf(machine) {
                try $0.monitor.execute("set_password", ["protocol": "vnc", "password": .string(password)])
            }
        }
        machine.change { _, running in running?.definition.devices[place]["passwd"] = new["passwd"] }
    }
}
