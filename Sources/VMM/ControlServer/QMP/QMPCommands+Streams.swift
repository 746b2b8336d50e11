// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CharacterStreams
internal import CommandLineKit
internal import ControlProtocol
internal import Diagnostics
internal import HostSystem
internal import JSONCoding
internal import MachineSpec

extension QMPCommandTable {
    static let characterCommands = [
        QMPCommandDefinition("query-chardev") { context, _ in
            .array(
                context.machine.characterDevices.all.map { stream in
                    [
                        "frontend-open": .bool(stream.frontend != nil), "filename": .string(stream.filename),
                        "label": .string(stream.label),
                    ]
                })
        },
        QMPCommandDefinition("query-chardev-backends") { _, _ in
            .array(["null", "stdio", "file", "pipe", "pty", "serial", "socket", "udp", "ringbuf"].map { ["name": $0] })
        },
        QMPCommandDefinition("chardev-add", [QMPParameter("id", .string), QMPParameter("backend", .object)]) {
            (context, arguments) throws(QMPError) in
            let label = arguments.string("id")
            guard let backend = arguments["backend"]?.object else { throw QMPError("Parameter 'backend' is missing") }
            let stream = try CharacterAnswers.add(label, backend, context)
            // Only a pseudo-terminal has something to tell.
            guard stream.filename.hasPrefix("pty:") else { return [:] }
            return ["pty": .string(String(stream.filename.dropFirst("pty:".utf8.count)))]
        },
        QMPCommandDefinition("chardev-remove", [QMPParameter("id", .string)]) { (context, arguments) throws(QMPError) in
            try CharacterAnswers.remove(arguments.string("id"), context.machine)
            return [:]
        },
        QMPCommandDefinition("chardev-send-break", [QMPParameter("id", .string)]) {
            (context, arguments) throws(QMPError) in
            let stream = try CharacterAnswers.find(arguments.string("id"), context.machine)
            stream.frontend?.handle(.breakReceived)
            return [:]
        },
        QMPCommandDefinition(
            "ringbuf-read",
            [
                QMPParameter("device", .string), QMPParameter("size", .integer),
                QMPParameter("format", .string, optional: true, words: ["utf8", "base64"]),
            ]
        ) { (context, arguments) throws(QMPError) in
            let name = arguments.string("device")
            guard let stream = context.machine.characterDevices[name] else {
                throw QMPError("Device '\(name)' not found")
            }
            guard let ring = stream as? RingStream else { throw QMPError("\(name) is not a ringbuf device") }
            guard let size = arguments.integer("size"), size > 0 else {
                throw QMPError("size must be greater than zero")
            }
            let bytes = ring.take(Int(min(size, 1 << 30)))
            if arguments["format"]?.string == "base64" { return .string(Base64.encode(bytes)) }
            return .string(String(decoding: bytes, as: UTF8.self))
        },
    ]

    // MARK: descriptors

    static let descriptorCommands = [
        QMPCommandDefinition("getfd", [QMPParameter("fdname", .string)]) { (context, arguments) throws(QMPError) in
            let name = arguments.string("fdname")
            guard let number = (context.stream as? any DescriptorPassingBackend)?.takeReceivedDescriptor() else {
                throw QMPError("No file descriptor supplied via SCM_RIGHTS")
            }
            let box = FileDescriptorBox(number)
            guard name.first?.isNumber != true else {
                throw QMPError("Parameter 'fdname' expects a name not starting with a digit")
            }
            context.server.namedDescriptors[name] = box
            return [:]
        },
        QMPCommandDefinition("closefd", [QMPParameter("fdname", .string)]) { (context, arguments) throws(QMPError) in
            let name = arguments.string("fdname")
            guard context.server.namedDescriptors.removeValue(forKey: name) != nil else {
                throw QMPError("File descriptor named '\(name)' not found")
            }
            return [:]
        },
        QMPCommandDefinition(
            "add-fd",
            [QMPParameter("fdset-id", .integer, optional: true), QMPParameter("opaque", .string, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            guard let number = (context.stream as? any DescriptorPassingBackend)?.takeReceivedDescriptor() else {
                throw QMPError("No file descriptor supplied via SCM_RIGHTS")
            }
            let wanted = arguments.integer("fdset-id").map { Int(clamping: $0) }
            guard wanted ?? 0 >= 0 else {
                _ = FileDescriptorBox(number)
                throw QMPError("Parameter 'fdset-id' expects a non-negative value")
            }
            let set = context.server.descriptorSets.add(number, set: wanted, opaque: arguments["opaque"]?.string)
            return ["fd": .integer(Int64(number)), "fdset-id": .integer(Int64(set))]
        },
        QMPCommandDefinition(
            "remove-fd", [QMPParameter("fdset-id", .integer), QMPParameter("fd", .integer, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            let set = Int(clamping: arguments.integer("fdset-id") ?? 0)
            let number = arguments.integer("fd").map { Int32(clamping: $0) }
            guard context.server.descriptorSets.remove(set: set, descriptor: number) else {
                let name = number.map { "fdset-id:\(set), fd:\($0)" } ?? "fdset-id:\(set)"
                throw QMPError("File descriptor named '\(name)' not found")
            }
            return [:]
        },
        QMPCommandDefinition("query-fdsets") { context, _ in
            .array(
                context.server.descriptorSets.sets.sorted { $0.key < $1.key }.map { set, entries in
                    [
                        "fds": .array(
                            entries.map { entry in
                                var object: JSONObject = ["fd": .integer(Int64(entry.number))]
                                if let opaque = entry.opaque { object["opaque"] = .string(opaque) }
                                return .object(object)
                            }), "fdset-id": .integer(Int64(set)),
                    ]
                })
        },
    ]
}

/// Character devices by QMP's and HMP's commands.
enum CharacterAnswers {
    static func find(_ label: String, _ machine: any ControlledMachine) throws(QMPError) -> any CharacterBackend {
        guard let stream = machine.characterDevices[label] else { throw QMPError("Chardev '\(label)' not found") }
        return stream
    }

    static func remove(_ label: String, _ machine: any ControlledMachine) throws(QMPError) {
        let stream = try find(label, machine)
        guard stream.frontend == nil else { throw QMPError("Chardev '\(label)' is busy") }
        stream.close()
        machine.characterDevices.remove(label)
    }

    /// `chardev-add` in QMP's form: `{"type": "socket", "data": {"addr": {...}}}`.
    static func add(
        _ label: String, _ backend: JSONObject, _ context: QMPContext
    ) throws(QMPError) -> any CharacterBackend {
        guard let type = backend["type"]?.string else { throw QMPError("Parameter 'type' is missing") }
        let data = backend["data"]?.object ?? [:]
        var list = [OptionList.Entry(key: "backend", value: type), OptionList.Entry(key: "id", value: label)]
        for member in data.members {
            switch (member.name, member.value) {
            case ("addr", .object(let address)): list += try socketAddress(address)
            case ("remote", .object(let address)): list += try socketAddress(address)
            case ("device", let value): list.append(OptionList.Entry(key: "path", value: value.string ?? ""))
            case ("out", let value): list.append(OptionList.Entry(key: "path", value: value.string ?? ""))
            case ("in", let value): list.append(OptionList.Entry(key: "input-path", value: value.string ?? ""))
            case (let name, .bool(let on)): list.append(OptionList.Entry(key: name, value: on ? "on" : "off"))
            case (let name, .string(let text)): list.append(OptionList.Entry(key: name, value: text))
            case (let name, let value): list.append(OptionList.Entry(key: name, value: value.printed()))
            }
        }
        // QMP's default for sockets is a server, the command line's a client.
        if type == "socket", data["server"] == nil {
            list.append(OptionList.Entry(key: "server", value: "on"))
            if data["wait"] == nil { list.append(OptionList.Entry(key: "wait", value: "off")) }
        }
        return try add(OptionList(list), label, context.machine)
    }

    /// `chardev-add` in the command line's form.
    static func add(
        _ options: OptionList, _ label: String, _ machine: any ControlledMachine
    ) throws(QMPError) -> any CharacterBackend {
        guard machine.characterDevices[label] == nil else {
            throw QMPError("Chardev with id '\(label)' already exists")
        }
        guard let maker = machine as? any CharacterDeviceMaking else {
            throw QMPError("this machine cannot add character devices")
        }
        do throws(UserError) {
            try maker.makeCharacterDevice(try MachineArguments.characterDevice(options))
        } catch { throw QMPError("Failed to add chardev '\(label)': \(error)") }
        return try find(label, machine)
    }

    private static func socketAddress(_ address: JSONObject) throws(QMPError) -> [OptionList.Entry] {
        let data = address["data"]?.object ?? address
        var entries: [OptionList.Entry] = []
        for member in data.members where member.name != "type" {
            let key = member.name == "str" ? "fd" : member.name
            if let text = member.value.string { entries.append(OptionList.Entry(key: key, value: text)) }
            if let on = member.value.bool { entries.append(OptionList.Entry(key: key, value: on ? "on" : "off")) }
        }
        guard !entries.isEmpty else { throw QMPError("Parameter 'addr' is missing") }
        return entries
    }
}
