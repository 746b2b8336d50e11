// SPDX-License-Identifier: Apache-2.0

public import CommandLineKit
public import Diagnostics

/// What the command line of roost-vmm asks for.
public enum MachineRequest: Equatable, Sendable {
    /// Make this machine and run it.
    case run(MachineSpec)
    /// Print this text and exit with status 0.
    case print(String)
    /// `-cpu help`: list the models and features that the engines know.
    case listProcessors
}

/// The parser of roost-vmm's command line.
public enum MachineArguments {
    /// What `-version` prints first; scripts look for the number.
    public static let versionLine = "QEMU emulator version 7.2.22 (Roost)"

    /// Where firmware and option ROMs are looked for after the directories of -L: those of Debian's packages.
    public static let dataDirectories = [
        "/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu", "/usr/share/ovmf", "/usr/share/OVMF",
    ]

    /// Reads the arguments without the program's name.
    /// - Parameter readFile: the text of a file, for `@FILE`, -readconfig and `-trace events=`.
    /// - Throws: one line that names the argument, says what is wrong with it, and offers the nearest that exists.
    public static func parse(
        _ arguments: [String], readFile: (String) throws(UserError) -> String
    ) throws(UserError) -> MachineRequest {
        let uses = try VMMFlags.table.scan(arguments, refused: VMMFlags.refused, readFile: readFile)
        if let text = try help(uses) { return .print(text) }
        if uses.contains(where: { $0.name == "cpu" && ($0.value == "help" || $0.value == "?") }) {
            return .listProcessors
        }
        var reader = ArgumentReader()
        for use in uses { try reader.read(use, readFile) }
        return .run(try reader.resolved())
    }

    /// The properties of -machine, for `query-command-line-options` and QOM: name, QEMU's type, what it does.
    public static var machineOptions: [(name: String, type: String, summary: String)] {
        BoardReader.machineKeys.map { key, type, summary in
            (key, type == "bool" ? "boolean" : type == "size" ? "size" : "string", summary)
        }
    }

    /// Properties of the boards' own chips that -global takes, for `device-list-properties`.
    public static var chipProperties: [String: [(name: String, type: String)]] {
        var chips: [String: [(name: String, type: String)]] = [:]
        for key in ArgumentReader.fixedGlobals.keys.sorted() {
            let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            chips[parts[0], default: []].append((parts[1], parts[1] == "lost_tick_policy" ? "LostTickPolicy" : "uint8"))
        }
        return chips
    }

    /// One -chardev, for `chardev-add` while a machine runs.
    public static func characterDevice(_ options: OptionList) throws(UserError) -> CharacterDeviceSpec {
        try CharacterReader.read(options)
    }

    /// One -object, for `object-add` while a machine runs.
    public static func object(_ options: OptionList) throws(UserError) -> ObjectSpec { try ObjectReader.read(options) }

    /// One -netdev, for `netdev_add` while a machine runs.
    public static func network(_ options: OptionList) throws(UserError) -> NetworkSpec {
        var list = options
        let backend = try NetworkReader.backend(&list)
        let identifier = try OptionValue.identifier(try list.require("id"))
        try list.finish()
        return NetworkSpec(identifier: identifier, backend: backend)
    }

    /// A machine with one more -device, which is checked against it and comes last of `devices`, or of
    /// `topology.plugged` if it is a processor.
    /// - Parameter nodes: what `drive=` may name beside the description's own.
    public static func adding(
        device options: OptionList, to machine: MachineSpec, nodes: [String]
    ) throws(UserError) -> MachineSpec {
        var wanted = machine
        if ProcessorReader.isProcessor(options.peek("driver") ?? "") {
            wanted.topology.plugged.append(try ProcessorReader.read(options, for: machine))
        } else {
            wanted.devices.append(try ArgumentReader().device(options))
        }
        var check = ReferenceCheck(spec: wanted, nodes: nodes)
        try check.run()
        return wanted
    }

    /// The short form behind -serial and -gdb; nil for "none".
    public static func characterDevice(short text: String, label: String) throws(UserError) -> CharacterDeviceSpec? {
        try CharacterReader.readShort(text, label: label)?.spec
    }

    /// The text for the first flag that only asks for one.
    private static func help(_ uses: [FlagUse]) throws(UserError) -> String? {
        for use in uses {
            let asksForHelp = use.value == "help" || use.value == "?"
            switch use.name {
            case "help": return versionLine + "\nusage: roost-vmm [options]\n\n" + VMMFlags.table.help
            case "version": return versionLine + "\n"
            case "machine":
                if asksForHelp { return BoardReader.help }
                let parts = use.value.split(separator: ",").map(String.init)
                if parts.count > 1, parts.dropFirst().contains("help") {
                    return try BoardReader.machineHelp(String(parts[0].split(separator: "=").last ?? ""))
                }
            case "accel" where asksForHelp: return "Accelerators supported by roost-vmm:\ntcg\nkvm\n"
            case "device":
                if asksForHelp { return DeviceType.help }
                if let text = deviceHelp(use.value) { return text }
            case "netdev" where asksForHelp:
                return "Available netdev backend types:\n" + NetworkReader.types.map { $0 + "\n" }.joined()
            case "L" where asksForHelp: return dataDirectories.map { $0 + "\n" }.joined()
            case "nic" where asksForHelp || asksForModels(use.value), "net" where asksForModels(use.value):
                return "Available NIC models:\ne1000\ne1000-82544gc\ne1000-82545em\ne1000e\nvirtio-net-pci\n"
            case "chardev" where asksForHelp:
                return "Available chardev backend types: \n" + CharacterReader.backends.map { "  \($0)\n" }.joined()
            case "object" where asksForHelp:
                return "List of user creatable objects:\n" + ObjectReader.types.map { "  \($0)\n" }.joined()
            case "display" where asksForHelp: return "Available display backend types:\nnone\nvnc\n"
            case "vga" where asksForHelp:
                return "std                  standard VGA (default)\nnone                 no graphic card\n"
            case "d" where asksForHelp: return Log.help
            case "d" where use.value == "trace:help": return Trace.help
            case "trace" where asksForHelp: return Trace.help
            default: break
            }
        }
        return nil
    }

    private static func asksForModels(_ value: String) -> Bool {
        value.split(separator: ",").contains { $0 == "model=help" || $0 == "model=?" }
    }

    private static func deviceHelp(_ value: String) -> String? {
        let parts = value.split(separator: ",").map(String.init)
        guard parts.count > 1, parts.dropFirst().contains(where: { $0 == "help" || $0 == "?" }) else { return nil }
        let name = parts[0].hasPrefix("driver=") ? String(parts[0].dropFirst("driver=".utf8.count)) : parts[0]
        return DeviceType.named(name)?.help
    }
}

extension FlagTable {
    /// As `scan`, with flags of QEMU that are refused with a reason of their own.
    func scan(
        _ arguments: [String], refused: [String: String], readFile: (String) throws(UserError) -> String
    ) throws(UserError) -> [FlagUse] {
        do { return try scan(arguments, readFile: readFile) } catch {
            let name = String(error.place.drop { $0 == "-" })
            guard error.what == "invalid option", let reason = refused[name] else { throw error }
            throw UserError("not supported", because: reason, place: error.place)
        }
    }
}
