// SPDX-License-Identifier: Apache-2.0

public import HostInventory
internal import ManagementModel
public import ManagementXML
internal import XMLTree

/// Turns a machine's complete document into the arguments of its emulator, in QEMU's dialect. Each kind of device is in a
/// file of its own (`CommandLineBuilder+....swift`).
public struct CommandLineBuilder {
    /// The complete document, with aliases.
    let definition: DomainDefinition
    /// What the emulator can do.
    let emulator: EmulatorFacts
    /// Where sockets go that the document gives no path for.
    let socketFolder: String
    /// What the firmware tries in turn.
    let bootOrder: BootOrder
    private var arguments: [String] = []

    /// - Parameters:
    ///   - definition: with the aliases of devices set (`DeviceAliases`).
    ///   - socketFolder: where the monitor's socket and those of channels go.
    public init(_ definition: DomainDefinition, emulator: EmulatorFacts, socketFolder: String) {
        self.definition = definition
        self.emulator = emulator
        self.socketFolder = socketFolder
        bootOrder = BootOrder(definition)
    }

    /// Whether the board has PCI Express.
    var isQ35: Bool { definition.machine.contains("q35") }

    /// The monitor's socket.
    public static func monitorPath(_ folder: String) -> String { folder + "/monitor.sock" }

    /// Appends arguments.
    mutating func add(_ parts: String...) { arguments += parts }

    /// The arguments.
    /// - Throws: a line that names the device that the emulator does not have.
    public mutating func build() throws -> [String] {
        addMachine()
        addMonitor()
        addBoot()
        // A bus is there before what sits on it.
        for number in definition.threadNumbers { add("-object", "iothread,id=" + MachineDriver.threadName(number)) }
        try addAudio()
        let devices = definition.devices
        let isBridge = { (device: XMLElement) in device.name == "controller" && device["type"] == "pci" }
        for device in devices.filter(isBridge) { try add(device) }
        for device in devices where device.name == "controller" && !isBridge(device) { try add(device) }
        for device in devices where device.name != "controller" { try add(device) }
        addHeadless()
        // A guest that takes over the emulator becomes nobody else with its help.
        if emulator.hasSandbox {
            add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
        }
        for argument in definition.root[child: "qemu:commandline"]?.all("qemu:arg") ?? [] {
            if let value = argument["value"] { add(value) }
        }
        return arguments
    }

    /// The arguments of one device alone, for one that is added to a machine that runs.
    mutating func arguments(of device: XMLElement) throws -> [String] {
        arguments = []
        try add(device)
        return arguments
    }

    private mutating func add(_ device: XMLElement) throws {
        switch device.name {
        case "controller": try addController(device)
        case "disk": try addDisk(device)
        case "interface": try addInterface(device)
        case "serial": try addSerial(device)
        case "console": try addConsole(device)
        case "channel": try addChannel(device)
        case "memballoon": try addSimple(device, "virtio-balloon-pci", when: device["model"] != "none", required: false)
        case "rng": try addRandom(device)
        case "video": try addVideo(device)
        case "graphics": try addGraphics(device)
        case "input": try addInput(device)
        case "watchdog": try addWatchdog(device)
        case "panic": try addSimple(device, "pvpanic", when: device["model"] ?? "isa" == "isa", required: true)
        case "sound": try addSound(device)
        case "parallel": try addParallel(device)
        case "redirdev": try addRedirection(device)
        // These have no part of the emulator.
        case "emulator", "audio", "redirfilter": break
        default: throw unsupported(device.name)
        }
    }

    /// The error for what the emulator does not have.
    func unsupported(_ what: String) -> ManagementError {
        ManagementError(.configUnsupported, "the emulator \(emulator.path) has no \(what)")
    }

    /// - Throws: an error when the emulator has no device of that name.
    func require(_ name: String) throws { if !has(name) { throw unsupported("device '\(name)'") } }

    /// Whether the emulator has a device, as far as it said.
    func has(_ name: String) -> Bool { emulator.devices.isEmpty || emulator.devices.contains(name) }

    /// A value inside a list of options: commas are doubled.
    static func escaped(_ text: String) -> String {
        text.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    }

    /// The name of a device.
    func alias(_ device: XMLElement) -> String { device[child: "alias"]?["name"] ?? device.name }

    /// `,bootindex=...` of a device that the firmware tries.
    func bootIndex(_ device: XMLElement) -> String {
        bootOrder.places[alias(device)].map { ",bootindex=\($0)" } ?? ""
    }
}
