// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import ControlProtocol
internal import Diagnostics
internal import JSONCoding

extension QMPCommandTable {
    /// Devices and networks that come and go while the machine runs.
    static let hotPlugCommands = [
        QMPCommandDefinition(
            "device_add",
            [
                QMPParameter("driver", .string), QMPParameter("id", .string, optional: true),
                QMPParameter("bus", .string, optional: true),
            ], takesOthers: true
        ) { (context, arguments) throws(QMPError) in
            return try HotPlugActions.perform(context.machine) { (machine) throws(UserError) in
                try machine.addDevice(arguments.object)
            }
        },
        QMPCommandDefinition("device_del", [QMPParameter("id", .string)]) { (context, arguments) throws(QMPError) in
            let machine = try HotPlugActions.machine(context.machine)
            let name = arguments.string("id")
            guard machine.hasDevice(name) else {
                throw QMPError("Device '\(name)' not found", class: .deviceNotFound)
            }
            return try HotPlugActions.perform(machine) { (machine) throws(UserError) in
                try machine.removeDevice(name)
            }
        },
        QMPCommandDefinition(
            "object-add", [QMPParameter("qom-type", .string), QMPParameter("id", .string)], takesOthers: true
        ) { (context, arguments) throws(QMPError) in
            try HotPlugActions.keep(context.machine) { (machine) throws(UserError) in
                try machine.addObject(arguments.object)
            }
        },
        QMPCommandDefinition("object-del", [QMPParameter("id", .string)]) { (context, arguments) throws(QMPError) in
            try HotPlugActions.keep(context.machine) { (machine) throws(UserError) in
                try machine.removeObject(arguments.string("id"))
            }
        },
        QMPCommandDefinition(
            "netdev_add", [QMPParameter("type", .string), QMPParameter("id", .string)], takesOthers: true
        ) { (context, arguments) throws(QMPError) in
            try HotPlugActions.perform(context.machine) { (machine) throws(UserError) in
                try machine.addNetwork(arguments.object)
            }
        },
        QMPCommandDefinition("netdev_del", [QMPParameter("id", .string)]) { (context, arguments) throws(QMPError) in
            let name = arguments.string("id")
            guard try HotPlugActions.machine(context.machine).removeNetwork(name) else {
                throw QMPError("Device '\(name)' not found", class: .deviceNotFound)
            }
            return [:]
        },
    ]
}

/// What QMP and the human monitor do with devices.
enum HotPlugActions {
    static func machine(_ machine: any ControlledMachine) throws(QMPError) -> any HotPlugging {
        guard let machine = machine as? any HotPlugging else { throw QMPError("this machine takes no devices") }
        return machine
    }

    static func perform(
        _ machine: any ControlledMachine, _ body: (any HotPlugging) throws(UserError) -> Void
    ) throws(QMPError) -> JSONValue {
        let machine = try self.machine(machine)
        do throws(UserError) { try body(machine) } catch {
            // The command names the device already.
            var error = error
            error.place = ""
            throw QMPError(error.description)
        }
        return [:]
    }

    static func keep(
        _ machine: any ControlledMachine, _ body: (any ObjectKeeping) throws(UserError) -> Void
    ) throws(QMPError) -> JSONValue {
        guard let machine = machine as? any ObjectKeeping else { throw QMPError("this machine keeps no objects") }
        do throws(UserError) { try body(machine) } catch { throw QMPError(error.description) }
        return [:]
    }

    /// `driver,key=value` as the human monitor has it.
    static func object(_ text: String, implied: String) throws(UserError) -> JSONObject {
        var object = JSONObject()
        var list = try OptionList(parsing: text, implied: implied)
        for entry in list.takeRest() { object[entry.key] = .string(entry.value) }
        return object
    }
}

extension HumanCommandTable {
    private static func perform(
        _ call: HumanCall, _ body: (any HotPlugging) throws(UserError) -> Void
    ) throws(HumanFailure) {
        do throws(QMPError) { _ = try HotPlugActions.perform(call.machine, body) } catch {
            throw .failed(error.description)
        }
    }

    /// device_add and its relatives.
    static let hotPlug = [
        HumanCommand("device_add", "driver[,prop=value][,...]", "add device, like -device on the command line") {
            (call) throws(HumanFailure) in
            guard let text = try call.word() else { throw .usage("device_add: driver expected") }
            try perform(call) { (machine) throws(UserError) in
                try machine.addDevice(try HotPlugActions.object(text, implied: "driver"))
            }
        },
        HumanCommand("device_del", "device", "remove device") { (call) throws(HumanFailure) in
            guard let name = try call.word() else { throw .usage("device_del: device expected") }
            try perform(call) { (machine) throws(UserError) in
                guard machine.hasDevice(name) else { throw UserError("Device '\(name)' not found") }
                try machine.removeDevice(name)
            }
        },
        HumanCommand("netdev_add", "[user|tap|socket][,id=str][,prop=value][,...]", "add host network device") {
            (call) throws(HumanFailure) in
            guard let text = try call.word() else { throw .usage("netdev_add: type expected") }
            try perform(call) { (machine) throws(UserError) in
                try machine.addNetwork(try HotPlugActions.object(text, implied: "type"))
            }
        },
        HumanCommand("netdev_del", "id", "remove host network device") { (call) throws(HumanFailure) in
            guard let name = try call.word() else { throw .usage("netdev_del: id expected") }
            try perform(call) { (machine) throws(UserError) in
                guard machine.removeNetwork(name) else { throw UserError("Device '\(name)' not found") }
            }
        },
    ]
}
