// SPDX-License-Identifier: Apache-2.0

public import HostInventory
internal import JSONCoding
internal import ManagementModel
public import ManagementXML
internal import XMLTree

/// Turns a machine's complete document into the arguments of its emulator, in QEMU's dialect.
public struct CommandLineBuilder {
    private let definition: DomainDefinition
    private let emulator: EmulatorFacts
    private let socketFolder: String
    private var arguments: [String] = []
    /// The same device is named alike in the document and on the command line.
    private(set) var aliases: [Int: String] = [:]

    /// - Parameters:
    ///   - definition: with the aliases of devices set (`DeviceAliases`).
    ///   - socketFolder: where the monitor's socket and those of channels go.
    public init(_ definition: DomainDefinition, emulator: EmulatorFacts, socketFolder: String) {
        self.definition = definition
        self.emulator = emulator
        self.socketFolder = socketFolder
    }

    private var isQ35: Bool { definition.machine.contains("q35") }

    /// The monitor's socket.
    public static func monitorPath(_ folder: String) -> String { folder + "/monitor.sock" }

    private mutating func add(_ parts: String...) { arguments += parts }

    /// The arguments.
    /// - Throws: a line that names the device that the emulator does not have.
    public mutating func build() throws -> [String] {
        addMachine()
        addMonitor()
        addBoot()
        // A bus is there before what sits on it.
        let devices = definition.devices
        let isBridge = { (device: XMLElement) in device.name == "controller" && device["type"] == "pci" }
        for device in devices.filter(isBridge) { try add(device) }
        for device in devices where device.name == "controller" && !isBridge(device) { try add(device) }
        for device in devices where device.name != "controller" { try add(device) }
        addHeadless()
        // A guest that takes over the emulator becomes nobody else with its help.
        if emulator.hasSandbox { add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,resourcecontrol=deny") }
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

    private mutating func addMachine() {
        add("-name", "guest=\(Self.escaped(definition.name)),debug-threads=on", "-S")
        var machine = definition.machine + ",usb=off,dump-guest-core=off"
        if let state = definition.root.at("features", "vmport")?["state"] { machine += ",vmport=" + state }
        if let state = definition.root.at("features", "smm")?["state"] { machine += ",smm=" + state }
        add("-machine", machine, "-accel", definition.type == "kvm" ? "kvm" : "tcg", "-cpu", processor)
        add("-m", "\(max(1, (definition.maximumMemory + 1023) / 1024))", "-smp", topology)
        add("-uuid", definition.uuid.description, "-no-user-config", "-nodefaults")
        if definition.root.at("features", "acpi") == nil { add("-no-acpi") }
    }

    private var processor: String {
        guard let cpu = definition.root[child: "cpu"] else { return "qemu64" }
        var text: String
        switch cpu["mode"] {
        case "host-passthrough", "host-model": text = definition.type == "kvm" ? "host" : "max"
        case "maximum": text = "max"
        default: text = cpu[child: "model"]?.text ?? "qemu64"
        }
        for feature in cpu.all("feature") {
            guard let name = feature["name"] else { continue }
            let isOff = feature["policy"] == "disable" || feature["policy"] == "forbid"
            text += ",\(name)=\(isOff ? "off" : "on")"
        }
        return text
    }

    private var topology: String {
        // Those that were added while it ran are added again.
        let added = (definition.root[child: "vcpus"]?.all("vcpu") ?? []).count {
            $0["enabled"] == "yes" && $0["hotpluggable"] == "yes"
        }
        let current = max(1, definition.processors - added)
        let maximum = definition.maximumProcessors
        var text = "\(current)"
        if maximum != current { text += ",maxcpus=\(maximum)" }
        if let topology = definition.root.at("cpu", "topology") {
            for name in ["sockets", "dies", "cores", "threads"] {
                if let value = topology[name] { text += ",\(name)=\(value)" }
            }
        } else {
            text += ",sockets=\(maximum),cores=1,threads=1"
        }
        return text
    }

    private mutating func addMonitor() {
        add("-chardev", "socket,id=charmonitor,path=\(Self.escaped(Self.monitorPath(socketFolder))),server=on,wait=off")
        add("-mon", "chardev=charmonitor,id=monitor,mode=control")
        let base = definition.root[child: "clock"]?["offset"] == "localtime" ? "localtime" : "utc"
        add("-rtc", "base=\(base)", "-no-shutdown")
        let restarts = definition.root[child: "on_reboot"]?.text ?? "restart"
        if restarts == "destroy" || restarts == "preserve" { add("-no-reboot") }
    }

    private mutating func addBoot() {
        guard let system = definition.root[child: "os"] else { return }
        var boot = ["strict=on"]
        if let menu = system[child: "bootmenu"], menu["enable"] == "yes" {
            boot.insert("menu=on" + (menu["timeout"].map { ",splash-time=\($0)" } ?? ""), at: 0)
        }
        add("-boot", boot.joined(separator: ","))
        if let loader = system[child: "loader"], loader["type"] != "pflash", !loader.text.isEmpty {
            add("-bios", loader.text)
        }
        if let kernel = system[child: "kernel"]?.text { add("-kernel", kernel) }
        if let initrd = system[child: "initrd"]?.text { add("-initrd", initrd) }
        if let command = system[child: "cmdline"]?.text { add("-append", command) }
    }

    private mutating func addHeadless() {
        let graphics = definition.devices.first { $0.name == "graphics" }
        if graphics?["type"] != "vnc" { add("-display", "none") }
        add("-msg", "timestamp=on")
    }

    /// A value inside a list of options: commas are doubled.
    static func escaped(_ text: String) -> String {
        text.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    }

    // MARK: Devices

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
        case "watchdog": try addSimple(device, "i6300esb", when: device["model"] == "i6300esb", required: true)
        case "panic": try addSimple(device, "pvpanic", when: device["model"] ?? "isa" == "isa", required: true)
        case "vsock": throw unsupported("vsock")
        case "sound": throw unsupported("sound card '\(device["model"] ?? "")'")
        case "hostdev": throw unsupported("hostdev")
        case "filesystem": throw unsupported("filesystem")
        case "tpm": throw unsupported("tpm")
        case "shmem", "smartcard", "redirdev", "memory", "iommu", "parallel", "nvram", "hub", "lease":
            throw unsupported(device.name)
        // These have no part of the emulator.
        case "emulator", "audio", "redirfilter": break
        default: throw unsupported(device.name)
        }
    }

    private func unsupported(_ what: String) -> ManagementError {
        ManagementError(.configUnsupported, "the emulator \(emulator.path) has no \(what)")
    }

    private func require(_ name: String) throws {
        guard emulator.devices.isEmpty || emulator.devices.contains(name) else { throw unsupported("device '\(name)'") }
    }

    private func has(_ name: String) -> Bool { emulator.devices.isEmpty || emulator.devices.contains(name) }

    /// `,bus=...,addr=...` of a device's place.
    private func place(_ device: XMLElement) -> String {
        guard let address = device[child: "address"] else { return "" }
        switch address["type"] {
        case "pci":
            let bus = Self.number(address["bus"])
            let name = bus == 0 ? (isQ35 ? "pcie.0" : "pci.0") : "pci.\(bus)"
            let function = Self.number(address["function"])
            let slot = "0x" + String(Self.number(address["slot"]), radix: 16)
            let multi = address["multifunction"] == "on" ? ",multifunction=on" : ""
            return ",bus=\(name)\(multi),addr=\(slot)" + (function == 0 ? "" : ".0x" + String(function, radix: 16))
        case "virtio-serial":
            return ",bus=virtio-serial\(address["controller"] ?? "0").0,nr=\(address["port"] ?? "1")"
        case "usb": return ",bus=usb.\(address["bus"] ?? "0"),port=\(address["port"] ?? "1")"
        default: return ""
        }
    }

    private static func number(_ text: String?) -> Int {
        guard let text else { return 0 }
        return (text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)) ?? 0
    }

    private func alias(_ device: XMLElement) -> String { device[child: "alias"]?["name"] ?? device.name }

    private func bootIndex(_ device: XMLElement) -> String {
        device[child: "boot"]?["order"].map { ",bootindex=\($0)" } ?? ""
    }

    private mutating func addSimple(_ device: XMLElement, _ name: String, when wanted: Bool, required: Bool) throws {
        guard wanted else { return }
        if required { try require(name) } else if !has(name) { return }
        add("-device", "\(name),id=\(alias(device))\(place(device))")
    }

    private mutating func addController(_ device: XMLElement) throws {
        let id = alias(device)
        switch device["type"] {
        case "pci":
            let target = device[child: "target"]
            switch device["model"] {
            case "pcie-root-port":
                try require("pcie-root-port")
                add(
                    "-device",
                    "pcie-root-port,port=\(target?["port"] ?? "0x0"),chassis=\(target?["chassis"] ?? "1"),id=\(id)\(place(device))"
                )
            case "pci-bridge":
                try require("pci-bridge")
                add("-device", "pci-bridge,chassis_nr=\(target?["chassisNr"] ?? "1"),id=\(id)\(place(device))")
            case "pcie-to-pci-bridge":
                try require("pcie-pci-bridge")
                add("-device", "pcie-pci-bridge,id=\(id)\(place(device))")
            case "pci-root", "pcie-root": break
            default: throw unsupported("PCI controller '\(device["model"] ?? "")'")
            }
        case "virtio-serial": add("-device", "virtio-serial-pci,id=\(id)\(place(device))")
        case "scsi":
            let names = ["virtio-scsi": "virtio-scsi-pci", "lsilogic": "lsi"]
            let name = names[device["model"] ?? ""] ?? device["model"] ?? "virtio-scsi-pci"
            try require(name)
            add("-device", "\(name),id=\(id)\(place(device))")
        case "usb":
            let names = [
                "piix3-uhci": "piix3-usb-uhci", "piix4-uhci": "piix4-usb-uhci", "ehci": "usb-ehci",
                "ich9-ehci1": "ich9-usb-ehci1", "ich9-uhci1": "ich9-usb-uhci1", "ich9-uhci2": "ich9-usb-uhci2",
                "ich9-uhci3": "ich9-usb-uhci3",
            ]
            let model = device["model"] ?? "none"
            let name = names[model] ?? model
            // Every machine is given a USB controller; one that nothing sits on is left out where there is none.
            guard model != "none", has(name) else { return }
            // A companion is part of the controller whose ports it shares, and has no name of its own.
            let identity =
                device[child: "master"].map { ",masterbus=\(id).0,firstport=\($0["startport"] ?? "0")" } ?? ",id=\(id)"
            add("-device", name + identity + place(device))
        case "sata" where device["index"] != "0" || !isQ35:
            try require("ahci")
            add("-device", "ahci,id=\(id)\(place(device))")
        // Part of the chipset.
        default: break
        }
    }

    // MARK: Disks

    private mutating func addDisk(_ device: XMLElement) throws {
        let bus = device[child: "target"]?["bus"] ?? ""
        let id = alias(device)
        let number = device[child: "source"]?["index"] ?? id
        let isCD = device["device"] == "cdrom"
        let driver = device[child: "driver"]
        let name: String
        switch bus {
        case "virtio": name = "virtio-blk-pci"
        case "ide", "sata": name = isCD ? "ide-cd" : "ide-hd"
        case "scsi": name = isCD ? "scsi-cd" : "scsi-hd"
        case "usb": name = "usb-storage"
        case "fdc": name = "floppy"
        default: throw unsupported("disk bus '\(bus)'")
        }
        // A drive without a medium on a bus that the emulator does not have is left out: nothing can be read from it.
        if !has(name) && isCD && device[child: "source"] == nil { return }
        try require(name)
        var text = name
        if let drive = try addBlockNodes(device, number) { text += ",drive=\(drive)" }
        text += bus == "virtio" ? place(device) : drivePlace(device, bus)
        text += ",id=\(id)\(bootIndex(device))"
        if let cache = driver?["cache"] {
            text += ",write-cache=\(cache == "writethrough" || cache == "directsync" ? "off" : "on")"
        }
        if let serial = device[child: "serial"]?.text { text += ",serial=\(Self.escaped(serial))" }
        if let queues = driver?["queues"], bus == "virtio" { text += ",num-queues=\(queues)" }
        add("-device", text)
    }

    private func drivePlace(_ device: XMLElement, _ bus: String) -> String {
        guard let address = device[child: "address"], address["type"] == "drive" else { return place(device) }
        let controller = address["controller"] ?? "0"
        let unit = address["unit"] ?? "0"
        switch bus {
        case "ide": return ",bus=ide.\(address["bus"] ?? "0"),unit=\(unit)"
        case "sata": return isQ35 && controller == "0" ? ",bus=ide.\(unit)" : ",bus=sata\(controller).\(unit)"
        case "scsi": return ",bus=scsi\(controller).0,channel=0,scsi-id=\(address["target"] ?? "0"),lun=\(unit)"
        default: return ",unit=\(unit)"
        }
    }

    /// The nodes of a disk's image; nil when there is no medium.
    private mutating func addBlockNodes(_ device: XMLElement, _ number: String) throws -> String? {
        guard let nodes = try BlockNodes.arguments(of: device, named: number) else { return nil }
        for node in nodes.json { add("-blockdev", JSONValue.object(node).printed()) }
        return nodes.top
    }

    // MARK: Network

    private mutating func addInterface(_ device: XMLElement) throws {
        let id = alias(device)
        let host = "host" + id
        switch device["type"] {
        case "user": add("-netdev", "user,id=\(host)" + (try userOptions(device)))
        case "ethernet", "bridge", "network":
            guard let tap = device[child: "target"]?["dev"] else {
                throw ManagementError(.configUnsupported, "interface \(id) has no tap device", from: .machineDriver)
            }
            add("-netdev", "tap,id=\(host),ifname=\(Self.escaped(tap)),script=no,downscript=no")
        default: throw unsupported("interface type '\(device["type"] ?? "")'")
        }
        let model = device[child: "model"]?["type"] ?? "virtio"
        let name = model == "virtio" ? "virtio-net-pci" : model
        try require(name)
        add(
            "-device",
            "\(name),netdev=\(host),id=\(id),mac=\(device[child: "mac"]?["address"] ?? "")\(place(device))\(bootIndex(device))"
        )
    }

    /// Addresses and forwarded ports of a network that needs no privileges.
    private func userOptions(_ device: XMLElement) throws -> String {
        var text = ""
        for address in device.all("ip") {
            let value = address["address"] ?? ""
            let prefix = address["prefix"] ?? (address["family"] == "ipv6" ? "64" : "24")
            text +=
                address["family"] == "ipv6"
                ? ",ipv6-prefix=\(value),ipv6-prefixlen=\(prefix)" : ",net=\(value)/\(prefix)"
        }
        for forward in device.all("portForward") {
            let (kind, address) = (forward["proto"] ?? "tcp", forward["address"] ?? "")
            for range in forward.all("range") where range["exclude"] != "yes" {
                guard let start = range["start"].flatMap({ UInt16($0) }) else { continue }
                let end = range["end"].flatMap { UInt16($0) } ?? start
                let target = range["to"].flatMap { UInt16($0) } ?? start
                guard end >= start, UInt32(target) + UInt32(end - start) <= UInt32(UInt16.max) else {
                    throw ManagementError(.configUnsupported, "the ports \(start)-\(end) cannot be forwarded")
                }
                for port in start...end {
                    text += ",hostfwd=\(kind):\(address):\(port)-:\(target + (port - start))"
                }
            }
        }
        return text
    }

    // MARK: Serial ports, consoles and channels

    /// The back end of a character device.
    private func backend(_ device: XMLElement, _ id: String) throws -> String {
        let source = device[child: "source"]
        switch device["type"] {
        case "pty": return "pty,id=\(id)"
        case "null": return "null,id=\(id)"
        case "stdio": return "stdio,id=\(id)"
        case "file":
            let append = source?["append"] == "on" ? "on" : "off"
            return "file,id=\(id),path=\(Self.escaped(source?["path"] ?? "")),append=\(append)"
        case "pipe": return "pipe,id=\(id),path=\(Self.escaped(source?["path"] ?? ""))"
        case "dev": return "serial,id=\(id),path=\(Self.escaped(source?["path"] ?? ""))"
        case "unix":
            let path = source?["path"] ?? channelPath(device)
            // Channels of the service itself are listened on.
            let listens = source?["mode"] == "bind" || source?["mode"] == nil
            return "socket,id=\(id),path=\(Self.escaped(path))" + (listens ? ",server=on,wait=off" : "")
        case "tcp":
            let connect = device.all("source").first { $0["mode"] == "connect" }
            let bind = device.all("source").first { $0["mode"] == "bind" }
            let end = connect ?? bind
            let telnet = device[child: "protocol"]?["type"] == "telnet" ? ",telnet=on" : ""
            return "socket,id=\(id),host=\(end?["host"] ?? "127.0.0.1"),port=\(end?["service"] ?? "0")\(telnet)"
                + (connect == nil ? ",server=on,wait=off" : "")
        default: throw unsupported("character device of type '\(device["type"] ?? "")'")
        }
    }

    /// The socket of a channel that the document gives no path for.
    private func channelPath(_ device: XMLElement) -> String {
        socketFolder + "/" + (device[child: "target"]?["name"] ?? alias(device))
    }

    private mutating func addSerial(_ device: XMLElement) throws {
        let id = alias(device)
        let log = device[child: "log"].flatMap { $0["file"] }.map { ",logfile=\(Self.escaped($0))" } ?? ""
        add("-chardev", try backend(device, "char" + id) + log)
        let target = device[child: "target"]
        let name = target?[child: "model"]?["name"] ?? "isa-serial"
        try require(name)
        add(
            "-device",
            "\(name),chardev=char\(id),id=\(id)"
                + (name == "isa-serial" ? ",index=\(target?["port"] ?? "0")" : place(device)))
    }

    private mutating func addConsole(_ device: XMLElement) throws {
        // A console of type serial is the first serial port, which has been added.
        guard device[child: "target"]?["type"] == "virtio" else { return }
        let id = alias(device)
        add("-chardev", try backend(device, "char" + id))
        add("-device", "virtconsole,chardev=char\(id),id=\(id)\(place(device))")
    }

    private mutating func addChannel(_ device: XMLElement) throws {
        guard device[child: "target"]?["type"] == "virtio" else {
            throw unsupported("channel of type '\(device[child: "target"]?["type"] ?? "")'")
        }
        // Channels of SPICE have nobody to talk to without it.
        guard device["type"] != "spicevmc" else { return }
        let id = alias(device)
        add("-chardev", try backend(device, "char" + id))
        let name = device[child: "target"]?["name"].map { ",name=\(Self.escaped($0))" } ?? ""
        add("-device", "virtserialport,chardev=char\(id),id=\(id)\(place(device))\(name)")
    }

    private mutating func addRandom(_ device: XMLElement) throws {
        let id = alias(device)
        let backend = device[child: "backend"]
        switch backend?["model"] {
        case "random":
            add("-object", "rng-random,id=obj\(id),filename=\(Self.escaped(backend?.text ?? "/dev/urandom"))")
        case "builtin": add("-object", "rng-builtin,id=obj\(id)")
        default: throw unsupported("random source '\(backend?["model"] ?? "")'")
        }
        var text = "virtio-rng-pci,rng=obj\(id),id=\(id)"
        if let rate = device[child: "rate"] {
            text += ",max-bytes=\(rate["bytes"] ?? "1024"),period=\(rate["period"] ?? "1000")"
        }
        add("-device", text + place(device))
    }

    // MARK: Displays and input

    private mutating func addVideo(_ device: XMLElement) throws {
        let model = device[child: "model"]?["type"] ?? "none"
        let names = [
            "vga": "VGA", "cirrus": "cirrus-vga", "bochs": "bochs-display", "virtio": "virtio-vga", "qxl": "qxl-vga",
            "vmvga": "vmware-svga",
        ]
        guard model != "none" else { return }
        let name = names[model] ?? model
        try require(name)
        var text = "\(name),id=\(alias(device))"
        if name == "VGA" || name == "cirrus-vga" || name == "bochs-display",
            let memory = device[child: "model"]?["vram"].flatMap({ Int($0) })
        {
            text +=
                ",\(name == "bochs-display" ? "vgamem" : "vgamem_mb")=\(name == "bochs-display" ? memory * 1024 : memory / 1024)"
        }
        add("-device", text + place(device))
    }

    private mutating func addGraphics(_ device: XMLElement) throws {
        switch device["type"] {
        case "vnc":
            if let socket = device[child: "listen"]?["socket"] {
                add("-vnc", "unix:\(Self.escaped(socket))")
            } else {
                // VNC's displays are counted from port 5900.
                let port = (device["port"].flatMap { Int($0) } ?? 5900) - 5900
                add("-vnc", "\(device[child: "listen"]?["address"] ?? "127.0.0.1"):\(port)")
            }
        default: throw unsupported("graphics of type '\(device["type"] ?? "")'")
        }
    }

    private mutating func addInput(_ device: XMLElement) throws {
        guard device["bus"] != "ps2" else { return }
        let type = device["type"] ?? ""
        let names =
            device["bus"] == "usb"
            ? ["tablet": "usb-tablet", "mouse": "usb-mouse", "keyboard": "usb-kbd"]
            : ["tablet": "virtio-tablet-pci", "mouse": "virtio-mouse-pci", "keyboard": "virtio-keyboard-pci"]
        guard let name = names[type] else { throw unsupported("input of type '\(type)'") }
        // Without such a device the guest has the keyboard and mouse that every PC has.
        guard has(name) else { return }
        add("-device", "\(name),id=\(alias(device))\(place(device))")
    }
}
