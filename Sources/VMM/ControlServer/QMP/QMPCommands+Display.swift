// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import DisplaySurfaces
internal import Glibc
internal import HostSystem
internal import JSONCoding

extension QMPCommandTable {
    static let displayCommands = [
        QMPCommandDefinition("query-mice") { context, _ in
            let pointers = (context.machine as? any DisplayControlling)?.inputRouter.pointerDescriptions ?? []
            return .array(
                pointers.enumerated().map { index, pointer in
                    [
                        "name": .string(pointer.name), "index": JSONValue(index),
                        "current": .bool(index == pointers.count - 1), "absolute": .bool(pointer.isAbsolute),
                    ]
                })
        },
        QMPCommandDefinition(
            "screendump",
            [
                QMPParameter("filename", .string), QMPParameter("device", .string, optional: true),
                QMPParameter("head", .integer, optional: true),
                QMPParameter("format", .string, optional: true, words: ["ppm", "png"]),
            ]
        ) { (context, arguments) throws(QMPError) in
            try ScreenActions.dump(
                context.machine, to: arguments.string("filename"), isPNG: arguments["format"]?.string == "png")
            return [:]
        },
        QMPCommandDefinition(
            "send-key", [QMPParameter("keys", .array), QMPParameter("hold-time", .integer, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            var keys: [KeyCode] = []
            for value in arguments["keys"]?.array ?? [] { keys.append(try ScreenActions.key(value)) }
            try ScreenActions.press(context.machine, keys, holdMilliseconds: arguments.integer("hold-time") ?? 100)
            return [:]
        },
        QMPCommandDefinition(
            "input-send-event",
            [
                QMPParameter("device", .string, optional: true), QMPParameter("head", .integer, optional: true),
                QMPParameter("events", .array),
            ]
        ) { (context, arguments) throws(QMPError) in
            let router = try ScreenActions.machine(context.machine).inputRouter
            for event in arguments["events"]?.array ?? [] { try ScreenActions.send(event, to: router) }
            router.synchronize()
            return [:]
        },
    ]
}

/// What QMP and the human monitor do with screens and input.
enum ScreenActions {
    static func machine(_ machine: any ControlledMachine) throws(QMPError) -> any DisplayControlling {
        guard let machine = machine as? any DisplayControlling else { throw QMPError("there is no display") }
        return machine
    }

    /// Writes a picture of the first screen.
    static func dump(_ target: any ControlledMachine, to path: String, isPNG: Bool) throws(QMPError) {
        guard let console = try machine(target).displays.first else {
            throw QMPError("There is no console to take a screendump from")
        }
        console.refresh()
        let bytes: [UInt8]
        if isPNG {
            guard let picture = try? PictureFile.portableNetworkGraphics(console.image) else {
                throw QMPError("failed to write png file '\(path)'")
            }
            bytes = picture
        } else {
            bytes = PictureFile.portablePixmap(console.image)
        }
        do throws(Errno) {
            let file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666)
            try file.writeAll(bytes)
        } catch { throw QMPError("failed to open file '\(path)': \(error)") }
    }

    /// A key of send-key: by name or by number.
    static func key(_ value: JSONValue) throws(QMPError) -> KeyCode {
        guard let object = value.object, let type = object["type"]?.string, let data = object["data"] else {
            throw QMPError("Parameter 'keys' expects objects with type and data")
        }
        if type == "number", let number = data.integer {
            guard let key = KeyCode.numbered(Int(clamping: number)) else {
                throw QMPError("there is no key with the number \(number)")
            }
            return key
        }
        guard type == "qcode", let name = data.string else {
            throw QMPError("Invalid parameter '\(type)'")
        }
        guard let key = KeyCode.named(name) else {
            throw QMPError("Invalid parameter '\(name)'")
        }
        return key
    }

    /// Presses keys in order, and lets go of them after a while in the opposite order.
    static func press(
        _ target: any ControlledMachine, _ keys: [KeyCode], holdMilliseconds: Int64
    ) throws(QMPError) {
        let target = try machine(target)
        let router = target.inputRouter
        for key in keys { router.send(key, isDown: true) }
        let longest: Int64 = 60_000
        target.later(milliseconds: UInt64(max(0, min(holdMilliseconds, longest)))) {
            for key in keys.reversed() { router.send(key, isDown: false) }
        }
    }

    static func send(_ event: JSONValue, to router: InputRouter) throws(QMPError) {
        guard let object = event.object, let type = object["type"]?.string, let data = object["data"]?.object else {
            throw QMPError("Parameter 'events' expects objects with type and data")
        }
        switch type {
        case "key":
            guard let key = data["key"] else { throw QMPError("Parameter 'key' is missing") }
            router.send(try self.key(key), isDown: data["down"]?.bool ?? false)
        case "btn":
            let name = data["button"]?.string ?? ""
            guard let button = PointerButton(rawValue: name) else {
                throw QMPError("Parameter 'button' does not accept value '\(name)'")
            }
            router.send(button, isDown: data["down"]?.bool ?? false)
        case "rel", "abs":
            guard let axis = data["axis"]?.string, ["x", "y"].contains(axis), let value = data["value"]?.integer else {
                throw QMPError("Parameter 'axis' expects x or y, with a value")
            }
            let step = Int(clamping: value)
            if type == "rel" {
                router.moveBy(x: axis == "x" ? step : 0, y: axis == "y" ? step : 0)
            } else {
                router.moveAxis(x: axis == "x" ? step : nil, y: axis == "y" ? step : nil)
            }
        default: throw QMPError("Parameter 'type' does not accept value '\(type)'")
        }
    }
}
