// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics
internal import JSONCoding

/// Collects what the flags say, in any order; `resolved` puts it together and fills in the defaults.
struct ArgumentReader {
    /// Options that may be spread over several flags: the last value of a key counts.
    struct Merged {
        var entries: [OptionList.Entry] = []
        var place = ""
        var list: OptionList { OptionList(entries) }
    }
    /// An option with where it stood.
    struct Placed<Value> {
        var value: Value
        var place: String
    }

    var spec = MachineSpec()
    var machine = Merged(), memory = Merged(), topology = Merged(), bootOrder = Merged(), clock = Merged()
    var name = Merged(), actions = Merged(), messages = Merged()
    var accelerators: [Placed<OptionList>] = []
    var processor: Placed<String>?
    var drives: [Placed<OptionList>] = []
    var networks: [Placed<OptionList>] = []
    var networkCards: [Placed<OptionList>] = []
    var devices: [Placed<OptionList>] = []
    var globals: [Placed<(driver: String, property: String, value: String)>] = []
    var characterDevices: [Placed<OptionList>] = []
    var serials: [Placed<String>] = []
    var debugConsoles: [Placed<String>] = []
    var monitors: [Placed<(text: String, mode: MonitorSpec.Mode, isPretty: Bool)>] = []
    var namedMonitors: [Placed<OptionList>] = []
    var hasMonitorFlag = false
    var debuggers: [Placed<String>] = []
    var isNographic = false
    var hasDefaults = true
    var hasNoNetwork = false
    var hasDisplayFlag = false
    /// Cards and back ends of -net, which QEMU joins in a hub.
    var hubMembers: [Placed<OptionList>] = []
    /// The drivers of -usbdevice.
    var usbDevices: [Placed<String>] = []
    /// The word of -vga.
    var videoCard: String?
    private var depth = 0
    private static let deepestConfiguration = 8

    mutating func read(
        _ use: FlagUse, _ readFile: (String) throws(UserError) -> String
    ) throws(UserError) {
        do throws(UserError) {
            if try readMachine(use) { return }
            if try readBoot(use) { return }
            if try readBackend(use) { return }
            if try readCharacter(use) { return }
            if try readProcess(use) { return }
            switch use.name {
            case "readconfig": try readConfiguration(use, readFile)
            case "": drives.append(placed(try diskImage(use.value, index: 0), use))
            default: throw UserError("not supported")
            }
        } catch { throw error.at(use.place) }
    }

    /// A file as the IDE drive with this index.
    private func diskImage(_ path: String, index: Int, isCDROM: Bool = false) throws(UserError) -> OptionList {
        OptionList([
            OptionList.Entry(key: "file", value: path), OptionList.Entry(key: "index", value: String(index)),
            OptionList.Entry(key: "if", value: "ide"),
            OptionList.Entry(key: "media", value: isCDROM ? "cdrom" : "disk"),
        ])
    }

    private func list(_ text: String, implied: String? = nil) throws(UserError) -> OptionList {
        guard text.hasPrefix("{") else { return try OptionList(parsing: text, implied: implied) }
        return try OptionList(try object(text))
    }

    private func object(_ text: String) throws(UserError) -> JSONObject {
        let value: JSONValue
        do { value = try JSONValue(parsing: text) } catch { throw UserError(error.message) }
        guard let object = value.object else { throw UserError("JSON object expected") }
        return object
    }

    private mutating func merge(
        _ use: FlagUse, _ implied: String?, into merged: WritableKeyPath<ArgumentReader, Merged>
    ) throws(UserError) {
        self[keyPath: merged].entries += try list(use.value, implied: implied).entries
        self[keyPath: merged].place = use.place
    }

    private func placed<Value>(_ value: Value, _ use: FlagUse) -> Placed<Value> {
        Placed(value: value, place: use.place)
    }

    // MARK: groups of flags; each says whether the flag was one of its own

    private mutating func readMachine(_ use: FlagUse) throws(UserError) -> Bool {
        switch use.name {
        case "machine": try merge(use, "type", into: \.machine)
        case "accel": accelerators.append(placed(try list(use.value, implied: "accel"), use))
        case "enable-kvm": accelerators.append(placed(try list("kvm", implied: "accel"), use))
        case "cpu": processor = placed(use.value, use)
        case "smp": try merge(use, "cpus", into: \.topology)
        case "m": try merge(use, "size", into: \.memory)
        case "mem-path": spec.memory.path = use.value
        case "mem-prealloc": spec.memory.preallocates = true
        case "no-hpet": machine.entries.append(OptionList.Entry(key: "hpet", value: "off"))
        case "no-acpi": machine.entries.append(OptionList.Entry(key: "acpi", value: "off"))
        case "device": devices.append(placed(try list(use.value, implied: "driver"), use))
        case "global": globals.append(placed(try global(use.value), use))
        case "name": try merge(use, "guest", into: \.name)
        case "uuid":
            guard let uuid = GuestUUID(use.value) else {
                throw UserError("failed to parse UUID string: wrong format", remedy: "write 8-4-4-4-12 digits")
            }
            spec.identity.uuid = uuid
        case "nodefaults": hasDefaults = false
        case "usb": machine.entries.append(OptionList.Entry(key: "usb", value: "on"))
        case "usbdevice":
            guard let driver = USBReader.shortNames[use.value] else {
                throw UserError(
                    "could not add USB device '\(use.value)'",
                    remedy: Suggestion.sentence(for: use.value, among: USBReader.shortNames.keys.sorted()))
            }
            machine.entries.append(OptionList.Entry(key: "usb", value: "on"))
            usbDevices.append(placed(driver, use))
        case "nographic": isNographic = true
        case "vga":
            guard ["std", "none"].contains(use.value) else {
                throw UserError("'\(use.value)' is not available", remedy: "use -vga std or none")
            }
            videoCard = use.value
        case "display":
            hasDisplayFlag = true
            let server = try DisplayReader.display(use.value, number: spec.display.vncServers.count)
            if let server { spec.display.vncServers.append(server) }
        case "vnc":
            hasDisplayFlag = true
            spec.display.vncServers.append(
                try DisplayReader.server(use.value, number: spec.display.vncServers.count))
        case "parallel":
            guard ["none", "null"].contains(use.value) else {
                throw UserError(
                    "'\(use.value)' is not available", because: "there is no parallel port", remedy: "use none")
            }
        case "overcommit":
            var list = try list(use.value)
            if let isLocked = try list.takeBool("mem-lock") { spec.memory.isLocked = isLocked }
            try list.refuse("cpu-pm", except: ["off"], because: "the guest cannot reach the host's power management")
            try list.finish()
        default: return false
        }
        return true
    }

    private func global(_ text: String) throws(UserError) -> (driver: String, property: String, value: String) {
        if let dot = text.firstIndex(of: "."), let equals = text.firstIndex(of: "="), dot < equals {
            let property = text[text.index(after: dot)..<equals]
            return (String(text[..<dot]), String(property), String(text[text.index(after: equals)...]))
        }
        var list = try list(text)
        let found = (try list.require("driver"), try list.require("property"), try list.require("value"))
        try list.finish()
        return found
    }

    private mutating func readBoot(_ use: FlagUse) throws(UserError) -> Bool {
        switch use.name {
        case "kernel": spec.boot.kernel = use.value
        case "initrd": spec.boot.initrd = use.value
        case "append": spec.boot.commandLine = use.value
        case "bios": spec.boot.bios = use.value
        case "dtb":
            throw UserError("device trees are not supported", because: "x86 machines describe themselves by ACPI")
        case "boot": try merge(use, "order", into: \.bootOrder)
        case "fw_cfg": spec.firmware.entries.append(try FirmwareReader.entry(try list(use.value, implied: "name")))
        case "smbios": try FirmwareReader.smbios(try list(use.value), into: &spec.firmware)
        case "rtc": try merge(use, nil, into: \.clock)
        case "incoming": spec.lifecycle.incoming = try FirmwareReader.incoming(use.value)
        case "loadvm": spec.lifecycle.snapshot = use.value
        case "S": spec.lifecycle.startsPaused = true
        case "no-reboot": spec.lifecycle.resetShutsDown = true
        case "no-shutdown": spec.lifecycle.shutdownPauses = true
        case "action": try merge(use, nil, into: \.actions)
        default: return false
        }
        return true
    }

    private mutating func readBackend(_ use: FlagUse) throws(UserError) -> Bool {
        switch use.name {
        case "drive": drives.append(placed(try list(use.value, implied: "file"), use))
        case "blockdev":
            let options =
                use.value.hasPrefix("{")
                ? try object(use.value) : try OptionList(parsing: use.value, implied: "driver").nested()
            let node = try DriveReader.node(options)
            guard !spec.blockNodes.contains(where: { $0.name == node.name }) else {
                throw UserError("Duplicate nodes with node-name='\(node.name)'")
            }
            spec.blockNodes.append(node)
        case "snapshot": spec.isSnapshot = true
        case "hda", "hdb", "hdc", "hdd":
            let letters = ["hda", "hdb", "hdc", "hdd"]
            drives.append(placed(try diskImage(use.value, index: letters.firstIndex(of: use.name) ?? 0), use))
        case "cdrom": drives.append(placed(try diskImage(use.value, index: 2, isCDROM: true), use))
        case "pflash":
            drives.append(
                placed(
                    OptionList([
                        OptionList.Entry(key: "file", value: use.value), OptionList.Entry(key: "if", value: "pflash"),
                    ]), use))
        case "netdev": networks.append(placed(try list(use.value, implied: "type"), use))
        case "nic": networkCards.append(placed(try list(use.value, implied: "type"), use))
        case "net":
            if use.value == "none" {
                hasNoNetwork = true
            } else {
                hubMembers.append(placed(try list(use.value, implied: "type"), use))
            }
        case "object":
            let object = try ObjectReader.read(try list(use.value, implied: "qom-type"))
            guard !spec.objects.contains(where: { $0.identifier == object.identifier }) else {
                throw UserError("attempt to add duplicate property '\(object.identifier)' to object (type 'container')")
            }
            spec.objects.append(object)
        case "audiodev":
            var list = try list(use.value, implied: "driver")
            try list.refuse("driver", except: ["none"], because: "sound is not available")
            _ = list.take("id")
            try list.finish()
        case "add-fd":
            var list = try list(use.value)
            let number = try OptionValue.integer(try list.require("fd"), for: "fd", in: 3...Int(Int32.max))
            let set = try OptionValue.integer(try list.require("set"), for: "set", in: 0...Int(Int32.max))
            spec.process.descriptorSets.append(
                DescriptorSetEntry(descriptor: Int32(number), set: set, opaque: list.take("opaque")))
            try list.finish()
        default: return false
        }
        return true
    }

    private mutating func readCharacter(_ use: FlagUse) throws(UserError) -> Bool {
        switch use.name {
        case "chardev": characterDevices.append(placed(try list(use.value, implied: "backend"), use))
        case "serial": serials.append(placed(use.value, use))
        case "debugcon": debugConsoles.append(placed(use.value, use))
        case "monitor":
            hasMonitorFlag = true
            if use.value != "none" { monitors.append(placed((use.value, .readline, false), use)) }
        case "qmp", "qmp-pretty":
            monitors.append(placed((use.value, .control, use.name == "qmp-pretty"), use))
            hasMonitorFlag = true
        case "mon":
            namedMonitors.append(placed(try list(use.value, implied: "chardev"), use))
            hasMonitorFlag = true
        case "gdb": debuggers.append(placed(use.value, use))
        case "s": debuggers.append(placed("tcp::1234", use))
        case "echr":
            guard let code = OptionValue.parseInteger(use.value), (0...255).contains(code) else {
                throw UserError("Parameter 'echr' expects a character code", because: "not '\(use.value)'")
            }
            spec.process.terminalEscape = UInt8(code)
        default: return false
        }
        return true
    }

    private mutating func readProcess(_ use: FlagUse) throws(UserError) -> Bool {
        switch use.name {
        case "pidfile": spec.process.pidFile = use.value
        case "daemonize": spec.process.daemonizes = true
        case "d": spec.process.logItems = use.value
        case "D": spec.process.logFile = use.value
        case "perfmap": spec.process.writesPerfMap = true
        case "L": spec.process.dataDirectories.append(use.value)
        case "trace":
            var list = try list(use.value, implied: "enable")
            spec.process.tracePatterns += list.takeAll("enable")
            spec.process.traceEventFiles += list.takeAll("events")
            if let file = list.take("file") { spec.process.logFile = file }
            try list.finish()
        case "msg": try merge(use, nil, into: \.messages)
        case "sandbox":
            spec.process.sandbox = try FirmwareReader.sandbox(try list(use.value, implied: "enable"))
        case "no-user-config": break
        default: return false
        }
        return true
    }

    private static let groups = ["memory": "m", "smp-opts": "smp", "boot-opts": "boot"]

    private mutating func readConfiguration(
        _ use: FlagUse, _ readFile: (String) throws(UserError) -> String
    ) throws(UserError) {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.deepestConfiguration else { throw UserError("configuration files are nested too deeply") }
        let file = try ConfigurationFile(parsing: try readFile(use.value), path: use.value)
        for group in file.groups {
            let name = Self.groups[group.name] ?? group.name
            guard let flag = VMMFlags.table.flags.first(where: { $0.name == name }), flag.argument != nil else {
                throw UserError(
                    "There is no option group '\(group.name)'",
                    remedy: Suggestion.sentence(for: group.name, among: VMMFlags.table.names),
                    place: "\(use.value):\(group.line)")
            }
            var entries = group.entries
            if let identifier = group.identifier { entries.append(OptionList.Entry(key: "id", value: identifier)) }
            let text = entries.map { entry in
                entry.key + "="
                    + entry.value.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
            }
            try read(
                FlagUse(name: name, value: text.joined(separator: ","), place: "\(use.value):\(group.line)"), readFile)
        }
    }
}
