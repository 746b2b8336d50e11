// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import CPUInterface
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import JSONCoding
internal import MachineRuntime
internal import MachineSpec

extension QMPCommandTable {
    static let machineCommands = [
        QMPCommandDefinition("query-status") { context, _ in
            let state = context.machine.runner.state
            return [
                "status": .string(state.rawValue), "singlestep": false, "running": .bool(state == .running),
            ]
        },
        QMPCommandDefinition("query-kvm") { context, _ in
            let facts = context.machine.facts
            return ["enabled": .bool(facts.accelerator == "kvm"), "present": .bool(facts.isKVMPresent)]
        },
        QMPCommandDefinition("query-name") { context, _ in
            context.machine.facts.name.map { ["name": .string($0)] } ?? [:]
        },
        QMPCommandDefinition("query-uuid") { context, _ in ["UUID": .string(context.machine.facts.uuid)] },
        QMPCommandDefinition("query-target") { _, _ in ["arch": "x86_64"] },
        QMPCommandDefinition("query-current-machine") { _, _ in ["wakeup-suspend-support": false] },
        QMPCommandDefinition("query-machines") { _, _ in machines },
        QMPCommandDefinition("query-memory-size-summary") { context, _ in
            ["base-memory": JSONValue(context.machine.facts.memoryBytes), "plugged-memory": 0]
        },
        QMPCommandDefinition("stop") { context, _ in
            RunControl.stop(context.machine)
            return [:]
        },
        QMPCommandDefinition("cont") { (context, _) throws(QMPError) in
            if let problem = RunControl.resume(context.machine) { throw QMPError(problem) }
            return [:]
        },
        QMPCommandDefinition("system_reset") { context, _ in
            context.machine.runner.performReset(.hostQMPSystemReset)
            return [:]
        },
        QMPCommandDefinition("system_powerdown") { context, _ in
            context.machine.runner.performPowerdown()
            return [:]
        },
        QMPCommandDefinition("system_wakeup") { (_, _) throws(QMPError) in
            throw QMPError("Unable to wake up: guest is not in suspended state")
        },
        QMPCommandDefinition("quit") { context, _ in
            context.machine.runner.performShutdown(.hostQMPQuit)
            return [:]
        },
        QMPCommandDefinition("inject-nmi") { context, _ in
            context.machine.injectNonMaskableInterrupt()
            return [:]
        },
        QMPCommandDefinition(
            "memsave",
            [
                QMPParameter("val", .integer), QMPParameter("size", .integer), QMPParameter("filename", .string),
                QMPParameter("cpu-index", .integer, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            let index = Int(clamping: arguments.integer("cpu-index") ?? 0)
            guard let processor = context.machine.runner.processor(at: index) else {
                throw QMPError("Parameter 'cpu-index' expects a CPU number")
            }
            try context.machine.runner.whileParked { () throws(QMPError) in
                try MemorySaving.save(context.machine, arguments, through: processor)
            }
            return [:]
        },
        QMPCommandDefinition(
            "pmemsave",
            [QMPParameter("val", .integer), QMPParameter("size", .integer), QMPParameter("filename", .string)]
        ) { (context, arguments) throws(QMPError) in
            try MemorySaving.save(context.machine, arguments, through: nil)
            return [:]
        },
        QMPCommandDefinition("query-balloon") { (context, _) throws(QMPError) in
            guard let bytes = (context.machine as? any BalloonControlling)?.balloonActualBytes else {
                throw QMPError("No balloon device has been activated", class: .deviceNotActive)
            }
            return ["actual": JSONValue(bytes)]
        },
        QMPCommandDefinition("balloon", [QMPParameter("value", .integer)]) { (context, arguments) throws(QMPError) in
            guard let machine = context.machine as? any BalloonControlling, machine.balloonActualBytes != nil else {
                throw QMPError("No balloon device has been activated", class: .deviceNotActive)
            }
            guard let value = arguments["value"]?.unsigned, value > 0 else {
                throw QMPError("Parameter 'target' expects a size")
            }
            machine.setBalloon(target: value)
            return [:]
        },
        QMPCommandDefinition("set_link", [QMPParameter("name", .string), QMPParameter("up", .boolean)]) {
            (context, arguments) throws(QMPError) in
            let name = arguments.string("name")
            let isKnown = (context.machine as? any NetworkReporting)?.setLink(name, isUp: arguments.bool("up") ?? true)
            guard isKnown == true else { throw QMPError("Device '\(name)' not found", class: .deviceNotFound) }
            return [:]
        },
        QMPCommandDefinition(
            "announce-self",
            [
                QMPParameter("initial", .integer), QMPParameter("max", .integer), QMPParameter("rounds", .integer),
                QMPParameter("step", .integer), QMPParameter("interfaces", .array, optional: true),
                QMPParameter("id", .string, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            guard let machine = context.machine as? any SelfAnnouncing else { return [:] }
            var settings = AnnouncementSettings()
            settings.initial = arguments.integer("initial") ?? settings.initial
            settings.maximum = arguments.integer("max") ?? settings.maximum
            settings.rounds = arguments.integer("rounds") ?? settings.rounds
            settings.step = arguments.integer("step") ?? settings.step
            settings.cards = arguments["interfaces"]?.array?.compactMap(\.string)
            settings.identifier = arguments["id"]?.string ?? ""
            machine.announce(settings)
            return [:]
        },
    ]

    private static var machines: JSONValue {
        func entry(_ name: String, alias: String?, _ maximum: Int64, isDefault: Bool = false) -> JSONValue {
            var object: JSONObject = [
                "hotpluggable-cpus": .bool(name.hasPrefix("pc-")), "name": .string(name), "numa-mem-supported": false,
            ]
            if name != "none" { object["default-cpu-type"] = "qemu64-x86_64-cpu" }
            object["cpu-max"] = .integer(maximum)
            object["deprecated"] = false
            if isDefault { object["is-default"] = true }
            if let alias { object["alias"] = .string(alias) }
            object["default-ram-id"] = .string(name == "none" ? "ram" : name == "microvm" ? "microvm.ram" : "pc.ram")
            return .object(object)
        }
        return [
            entry("microvm", alias: nil, 288), entry("pc-i440fx-7.2", alias: "pc", 255, isDefault: true),
            entry("pc-q35-7.2", alias: "q35", 288), entry("none", alias: nil, 1),
        ]
    }
}

/// Rules about stopping and going on that both monitors share.
enum RunControl {
    /// Stops the machine; one that waits for its state will not start when it has it.
    static func stop(_ machine: any ControlledMachine) {
        if machine.runner.state == .inMigrate { (machine as? any MigrationControlling)?.startsOnceFilled = false }
        machine.runner.pause(.paused)
    }

    /// Lets the machine go on; one that waits for its state starts when it has it.
    /// - Returns: why it cannot.
    static func resume(_ machine: any ControlledMachine) -> String? {
        switch machine.runner.state {
        case .internalError, .shutdown: return "Resetting the Virtual Machine is required"
        case .guestPanicked: return "Resetting the Virtual Machine is required"
        case .running: return nil
        case .inMigrate:
            guard let waiting = machine as? any MigrationControlling else { return "the machine waits for its state" }
            waiting.startsOnceFilled = true
            return nil
        case .saveVM, .restoreVM: return "the machine is being saved or loaded"
        case .prelaunch, .paused, .debug, .ioError, .finishMigrate, .postMigrate:
            // A machine that was sent away has given its disks to the other side.
            if let disks = (machine as? any BlockControlling)?.blockDevices {
                do throws(BlockError) { try disks.activate() } catch { return error.description }
            }
            machine.runner.resume()
            return nil
        }
    }
}

/// `memsave` and `pmemsave`.
enum MemorySaving {
    private static let chunk: UInt64 = 1 << 20

    static func save(
        _ machine: any ControlledMachine, _ arguments: QMPArguments, through processor: (any VirtualCPU)?
    ) throws(QMPError) {
        let start = UInt64(bitPattern: arguments.integer("val") ?? 0)
        let count = arguments["size"]?.unsigned ?? 0
        let path = arguments.string("filename")
        try save(machine, start, count, path, through: processor)
    }

    static func save(
        _ machine: any ControlledMachine, _ start: UInt64, _ count: UInt64, _ path: String,
        through processor: (any VirtualCPU)?
    ) throws(QMPError) {
        let file: FileDescriptor
        do throws(Errno) { file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC) } catch {
            throw QMPError("Could not open '\(path)': \(error)")
        }
        let inspector = MemoryInspector(machine)
        var done: UInt64 = 0
        while done < count {
            let place = start &+ done
            let wanted = Int(min(chunk, count - done))
            let bytes =
                processor.map { inspector.readLinear(place, count: wanted, on: $0) }
                ?? inspector.readPhysical(place, count: wanted)
            guard let bytes else {
                throw QMPError("Invalid addr 0x\(hex(start, 16))/size \(count) specified")
            }
            do throws(Errno) { try file.writeAll(bytes) } catch {
                throw QMPError("writing memory to '\(path)' failed: \(error)")
            }
            done += UInt64(wanted)
        }
    }
}
