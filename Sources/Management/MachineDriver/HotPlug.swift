// SPDX-License-Identifier: Apache-2.0

package import JSONCoding
internal import ManagementModel

/// Turns the arguments of a device into the commands that add it to a machine that runs, each with the one that takes
/// it away again.
package struct HotPlug {
    /// A command and the one that undoes it.
    package struct Step: Equatable {
        /// Name of the monitor's command that adds the part.
        package var command: String
        /// What goes with the command.
        package var arguments: JSONObject
        /// What takes the part away again; nil for a part that has no id to name it by.
        package var undo: (command: String, arguments: JSONObject)?

        /// Written out, as a pair in an optional is not equatable by itself.
        package static func == (left: Step, right: Step) -> Bool {
            left.command == right.command && left.arguments == right.arguments
                && left.undo?.command == right.undo?.command && left.undo?.arguments == right.undo?.arguments
        }
    }

    /// - Parameter arguments: pairs of an option and its value, as `CommandLineBuilder` makes them.
    /// - Throws: an error for an option that only a start takes.
    package static func steps(_ arguments: [String]) throws -> [Step] {
        try stride(from: 0, to: arguments.count - arguments.count % 2, by: 2).map { place in
            try step(arguments[place], arguments[place + 1])
        }
    }

    private static func step(_ option: String, _ value: String) throws -> Step {
        switch option {
        case "-blockdev":
            guard let node = (try? JSONValue(parsing: value))?.object, let name = node["node-name"] else { break }
            return Step(
                command: "blockdev-add", arguments: node, undo: ("blockdev-del", ["node-name": name]))
        case "-device":
            let properties = options(value, first: "driver")
            return Step(
                command: "device_add", arguments: properties,
                undo: properties["id"].map { ("device_del", ["id": $0]) })
        case "-netdev":
            let properties = options(value, first: "type")
            return Step(
                command: "netdev_add", arguments: properties, undo: properties["id"].map { ("netdev_del", ["id": $0]) })
        case "-object":
            let properties = options(value, first: "qom-type")
            return Step(
                command: "object-add", arguments: properties, undo: properties["id"].map { ("object-del", ["id": $0]) })
        case "-action":
            let properties = options(value, first: "what")
            guard let action = properties["watchdog"] else { break }
            return Step(command: "watchdog-set-action", arguments: ["action": action])
        case "-chardev": return try chardev(options(value, first: "backend"))
        default: break
        }
        throw ManagementError(.operationUnsupported, "a device with '\(option)' can only be there from the start on")
    }

    private static let numbers: Set<String> = ["bootindex", "nr", "lun", "channel", "scsi-id", "num-queues", "index"]

    /// `name=value,...`: doubled commas stand for one.
    package static func options(_ text: String, first: String) -> JSONObject {
        var parts: [String] = [""]
        var rest = text[...]
        while let unit = rest.popFirst() {
            if unit != "," {
                parts[parts.count - 1].append(unit)
            } else if rest.first == "," {
                parts[parts.count - 1].append(",")
                rest.removeFirst()
            } else {
                parts.append("")
            }
        }
        var object: JSONObject = [:]
        for (place, part) in parts.enumerated() {
            guard let equals = part.firstIndex(of: "=") else {
                if place == 0 { object[first] = .string(part) }
                continue
            }
            let name = String(part[..<equals])
            let value = String(part[part.index(after: equals)...])
            if value == "on" || value == "off", name != "write-cache" {
                object[name] = .bool(value == "on")
            } else if numbers.contains(name), let number = Int(value) {
                object[name] = JSONValue(number)
            } else {
                object[name] = .string(value)
            }
        }
        return object
    }

    private static func chardev(_ options: JSONObject) throws -> Step {
        let type = options["backend"]?.string ?? ""
        let path = options["path"] ?? ""
        var data: JSONObject = [:]
        switch type {
        case "pty", "null", "stdio": break
        case "file": data = ["out": path, "append": options["append"] ?? false]
        case "pipe", "serial": data["device"] = path
        case "socket":
            let address: JSONObject =
                options["path"] != nil
                ? ["type": "unix", "data": ["path": path]]
                : ["type": "inet", "data": ["host": options["host"] ?? "", "port": options["port"] ?? ""]]
            data = ["addr": .object(address), "server": options["server"] ?? false]
            if options["server"]?.bool == true { data["wait"] = false }
        default: throw ManagementError(.operationUnsupported, "a character device of type '\(type)' cannot be added")
        }
        let id = options["id"] ?? ""
        return Step(
            command: "chardev-add",
            arguments: ["id": id, "backend": ["type": .string(type), "data": .object(data)]],
            undo: ("chardev-remove", ["id": id]))
    }
}
