// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

// What each kind of device has when the document does not say.
extension DomainBuilder {
    mutating func completeDevices() throws {
        devices = (root[child: "devices"]?.elements ?? []).filter { $0.name != "emulator" }
        // Names that are given while a machine runs mean nothing afterwards.
        for place in devices.indices where !(devices[place][child: "alias"]?["name"]?.hasPrefix("ua-") ?? false) {
            devices[place][child: "alias"] = nil
        }
        let facts = self
        try change("disk") { try facts.completeDisk(&$0) }
        try change("interface") { try facts.completeInterface(&$0) }
        completeCharacterDevices()
        change("input") { facts.completeInput(&$0) }
        change("graphics") { Self.completeGraphics(&$0) }
        change("filesystem") { Self.completeFilesystem(&$0) }
        change("watchdog") { element in
            if element["action"] == nil { element["action"] = "reset" }
        }
        change("rng") { element in
            if element["model"] == nil { element["model"] = "virtio" }
        }
        change("hostdev") { element in
            if element["managed"] == nil, element["type"] == "pci" || element["type"] == "usb" {
                element["managed"] = "no"
            }
        }
        change("redirdev") { element in
            if element["bus"] == nil { element["bus"] = "usb" }
        }
        change("redirfilter") { Self.normalizeRedirection(&$0) }
        change("panic") { if $0["model"] == nil { $0["model"] = "isa" } }
        change("vsock") { if $0["model"] == nil { $0["model"] = "virtio" } }
        change("controller") { controller in
            guard let hole = controller[child: "pcihole64"], let size = try? Values.kibibytes(hole) else { return }
            controller[child: "pcihole64"] = XMLElement("pcihole64", text: "\(size)")
            controller[child: "pcihole64"]?["unit"] = "KiB"
        }
        completeRarities()
        normalizeAddresses()
        numberMemory()
        addImplicitDevices()
        completeVideos()
        try completeControllers()
        devices = devices.withDisksInOrder
        DomainAddresses(builder: self).assign(to: &devices)
    }

    // MARK: Disks

    /// The bus that a target's name stands for.
    private func bus(ofTarget target: String, device: String) -> String {
        if device == "floppy" || target.hasPrefix("fd") { return "fdc" }
        if target.hasPrefix("sd") { return "scsi" }
        if target.hasPrefix("vd") { return "virtio" }
        if target.hasPrefix("xvd") { return "xen" }
        return isQ35 ? "sata" : "ide"
    }

    private func completeDisk(_ disk: inout XMLElement) throws {
        if disk["type"] == nil { disk["type"] = "file" }
        if disk["device"] == nil { disk["device"] = "disk" }
        let device = disk["device"] ?? "disk"
        // What is only read is never in a snapshot; what another process has, neither.
        if disk["snapshot"] == "no" && (disk[child: "readonly"] != nil || device == "cdrom") { disk["snapshot"] = nil }
        if disk["type"] == "vhostuser" && disk["snapshot"] == nil { disk["snapshot"] = "no" }
        disk.elements = disk.elements.map { element in
            var element = element
            if element.name == "driver" || element.name == "backingStore" || element.name == "mirror" {
                Self.normalizeCache(&element)
            }
            if element.name == "source" {
                Self.normalizeServer(&element)
                element.elements.removeAll { $0.name == "seclabel" && $0["labelskip"] == "yes" }
            }
            return element
        }
        guard var target = disk[child: "target"], let name = target["dev"], !name.isEmpty else {
            throw ManagementError(.noTarget, disk[child: "source"]?["file"] ?? "", from: .domain)
        }
        if target["bus"] == nil { target["bus"] = bus(ofTarget: name, device: device) }
        if target["tray"] == "closed" { target["tray"] = nil }
        disk[child: "target"] = target
        guard Values.driveIndex(name) != nil else {
            throw ManagementError(.internalError, "Unknown disk name '\(name)' and no address specified", from: .none)
        }
        var driver = disk[child: "driver"] ?? XMLElement("driver")
        if driver["name"] == nil { driver["name"] = "qemu" }
        // What a volume is its pool says.
        if driver["type"] == nil, disk["type"] != "volume" { driver["type"] = "raw" }
        if driver["type"] == "aio" { driver["type"] = "raw" }
        disk[child: "driver"] = driver
        if device == "cdrom" { disk[child: "readonly"] = XMLElement("readonly") }
        if disk[child: "source"]?.isEmpty ?? false { disk[child: "source"] = nil }
        disk[child: "backingStore"] = disk[child: "backingStore"].flatMap(Self.trimmedChain)
        disk[child: "mirror"] = nil
        disk[child: "source"]?["index"] = nil
        if disk[child: "encryption"]?["format"] == "luks", disk[child: "encryption"]?["engine"] == nil {
            disk[child: "encryption"]?["engine"] = "qemu"
        }
        if disk.at("source", "encryption")?["format"] == "luks", disk.at("source", "encryption")?["engine"] == nil {
            disk[child: "source"]?[child: "encryption"]?["engine"] = "qemu"
        }
        if disk[child: "source"] == nil && ["network", "volume"].contains(disk["type"] ?? "") && device == "cdrom" {
            disk["type"] = "file"
        }
    }

    /// A chain of images as it is kept while the machine does not run: without what was found out.
    private static func trimmedChain(_ chain: XMLElement) -> XMLElement? {
        var element = chain
        element["index"] = nil
        if let inner = element[child: "backingStore"] { element[child: "backingStore"] = trimmedChain(inner) }
        return element
    }

    // MARK: Interfaces

    private func completeInterface(_ interface: inout XMLElement) throws {
        if interface["type"] == nil { interface["type"] = "user" }
        if let mac = interface[child: "mac"]?["address"] {
            guard let canonical = Self.canonicalMAC(mac) else {
                throw ManagementError(.xmlError, "unable to parse mac address '\(mac)'", from: .domain)
            }
            interface[child: "mac"]?["address"] = canonical
        } else {
            interface[child: "mac"] = XMLElement("mac", ["address": Self.randomMAC()])
        }
        let kind = interface["type"] ?? ""
        if interface[child: "model"]?["type"] == nil && kind != "hostdev" {
            interface[child: "model"] = XMLElement("model", ["type": kind == "vdpa" ? "virtio" : defaultCard])
        }
        if let model = interface[child: "model"]?["type"], Self.cardModels.contains(model.lowercased()) {
            interface[child: "model"]?["type"] = model.lowercased()
        }
        // Filters stand in front of tap devices alone.
        if !["ethernet", "network", "bridge"].contains(kind) { interface[child: "filterref"] = nil }
        if let name = interface[child: "target"]?["dev"], interface[child: "target"]?["managed"] != "no",
            ["vnet", "macvtap", "macvlan"].contains(where: {
                name.hasPrefix($0) && !name.dropFirst($0.count).contains { !$0.isNumber }
            })
        {
            // Such names are given anew at each start.
            interface[child: "target"] = nil
        }
        if interface[child: "source"]?["portid"] != nil { interface[child: "source"]?["portid"] = nil }
        if interface[child: "source"]?.isEmpty ?? false { interface[child: "source"] = nil }
        // No frames to wait for is what there is anyway.
        if let frames = interface.at("coalesce", "rx", "frames")?["max"], frames != "0" {
        } else {
            interface[child: "coalesce"] = nil
        }
    }

    /// Models that may be written in any case.
    private static let cardModels: Set<String> = [
        "virtio", "virtio-transitional", "virtio-non-transitional", "rtl8139", "e1000", "e1000e", "igb", "ne2k_pci",
        "ne2k_isa", "pcnet", "i82551", "i82557b", "i82559er", "vmxnet3", "usb-net", "smc91c111", "lan9118",
        "spapr-vlan", "virtio-net-pci", "netfront",
    ]

    static func canonicalMAC(_ text: String) -> String? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        let numbers = parts.compactMap { $0.count <= 2 ? UInt8($0, radix: 16) : nil }
        guard numbers.count == 6 else { return nil }
        return numbers.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }

    static func randomMAC() -> String {
        "52:54:00"
            + (0..<3).map { _ in UInt8.random(in: 0...255) }.map { ":" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            .joined()
    }

    // MARK: Serial ports, consoles, channels

    private mutating func completeCharacterDevices() {
        numberPorts("serial")
        numberPorts("parallel")
        mirrorFirstConsole()
        change("serial") { serial in
            var target = serial[child: "target"] ?? XMLElement("target")
            if target["type"] == nil { target["type"] = "isa-serial" }
            if target[child: "model"] == nil {
                let models = [
                    "isa-serial": "isa-serial", "usb-serial": "usb-serial", "pci-serial": "pci-serial",
                    "isa-debug": "isa-debugcon",
                ]
                if let model = target["type"].flatMap({ models[$0] }) {
                    target.elements = [XMLElement("model", ["name": model])]
                }
            }
            serial[child: "target"] = target
        }
        for name in ["serial", "parallel", "console", "channel"] { change(name) { Self.dropTerminal(&$0) } }
        change("channel") { channel in
            // The service chooses these paths at each start.
            let path = channel[child: "source"]?["path"]
            if channel["type"] == "unix" && (path.map(DomainDefinition.isChosenChannelPath) ?? true) {
                channel[child: "source"] = nil
            }
            channel[child: "target"]?["state"] = nil
        }
    }

    /// The name of the terminal that a running machine got.
    private static func dropTerminal(_ device: inout XMLElement) {
        guard device["type"] == "pty" else { return }
        device["tty"] = nil
        if var source = device[child: "source"] {
            source["path"] = nil
            device[child: "source"] = source.isEmpty ? nil : source
        }
    }

    private mutating func numberPorts(_ name: String) {
        var used = Set(
            devices.filter { $0.name == name }.compactMap { $0[child: "target"]?["port"] }.compactMap { Int($0) })
        change(name) { device in
            var target = device[child: "target"] ?? XMLElement("target")
            if target["port"] == nil {
                let free = (0...).first { !used.contains($0) } ?? 0
                used.insert(free)
                target["port"] = "\(free)"
            }
            device[child: "target"] = target
        }
    }

    /// The first console of type serial and the first serial port are one device, shown twice.
    private mutating func mirrorFirstConsole() {
        let consoles = devices.indices.filter { devices[$0].name == "console" }
        for (number, place) in consoles.enumerated() {
            var target = devices[place][child: "target"] ?? XMLElement("target")
            if target["type"] == nil { target["type"] = "serial" }
            target["port"] = "\(number)"
            devices[place][child: "target"] = target
        }
        // The console shows the port's number.
        let port = devices.first { $0.name == "serial" }?[child: "target"]?["port"] ?? "0"
        if let first = consoles.first {
            let isSerial = devices[first][child: "target"]?["type"] == "serial"
            guard isSerial else {
                // The first port is shown as the first console, whatever other consoles there are.
                guard var console = devices.first(where: { $0.name == "serial" }) else { return }
                console.name = "console"
                console["tty"] = nil
                console[child: "target"] = XMLElement("target", ["type": "serial", "port": port])
                devices.insert(console, at: first)
                return
            }
            if count("serial") == 0 {
                var serial = devices[first]
                serial.name = "serial"
                serial[child: "target"] = XMLElement("target", ["port": "0"])
                devices.append(serial)
            }
            guard let serial = devices.first(where: { $0.name == "serial" }) else { return }
            var console = serial
            console.name = "console"
            console["tty"] = nil
            console[child: "target"] = XMLElement("target", ["type": "serial", "port": port])
            devices[first] = console
        } else if let serial = devices.first(where: { $0.name == "serial" }),
            serial[child: "target"]?["type"] != "isa-debug"
        {
            var console = serial
            console.name = "console"
            console[child: "target"] = XMLElement("target", ["type": "serial", "port": port])
            devices.append(console)
        }
    }

    // MARK: What every machine has

    private mutating func addImplicitDevices() {
        for type in ["mouse", "keyboard"]
        where count("input", where: { $0["type"] == type && $0["bus"] == "ps2" }) == 0 && hasPCI {
            devices.append(XMLElement("input", ["type": type, "bus": "ps2"]))
        }
        let kinds = devices.filter { $0.name == "graphics" }.map { $0["type"] }
        let graphics = kinds.contains("spice") ? "spice" : kinds.first ?? nil
        if count("audio") == 0 && !["sdl", "dbus", "egl-headless"].contains(graphics ?? "") {
            devices.append(
                XMLElement("audio", ["id": "1", "type": graphics == "spice" || graphics == "sdl" ? graphics : "none"]))
        }
        if count("memballoon") == 0 { devices.append(XMLElement("memballoon", ["model": hasPCI ? "virtio" : "none"])) }
        if isQ35 && count("watchdog") == 0 && hasImplicitWatchdog {
            devices.append(XMLElement("watchdog", ["model": "itco", "action": "reset"]))
        }
    }

    /// Whether the chipset's watchdog is shown; later releases do.
    private var hasImplicitWatchdog: Bool { false }
}
