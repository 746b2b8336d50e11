// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import ManagementXML
internal import XMLTree

// The board, processors, clock, monitor and what it boots from.
extension CommandLineBuilder {
    /// The board, its memory and its processors.
    mutating func addMachine() {
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

    /// The monitor, the clock and what happens when the guest ends.
    mutating func addMonitor() {
        add("-chardev", "socket,id=charmonitor,path=\(Self.escaped(Self.monitorPath(socketFolder))),server=on,wait=off")
        add("-mon", "chardev=charmonitor,id=monitor,mode=control")
        addClock()
        add("-no-shutdown")
        let restarts = definition.root[child: "on_reboot"]?.text ?? "restart"
        if restarts == "destroy" || restarts == "preserve" { add("-no-reboot") }
        for (element, property) in [("suspend-to-mem", "disable_s3"), ("suspend-to-disk", "disable_s4")] {
            guard let enabled = definition.root.at("pm", element)?["enabled"] else { continue }
            add("-global", "\(isQ35 ? "ICH9-LPC" : "PIIX4_PM").\(property)=\(enabled == "no" ? 1 : 0)")
        }
    }

    private mutating func addClock() {
        let clock = definition.root[child: "clock"]
        let timers = clock?.all("timer") ?? []
        var base = clock?["offset"] == "localtime" ? "base=localtime" : "base=utc"
        if timers.contains(where: { $0["name"] == "rtc" && $0["tickpolicy"] == "catchup" }) { base += ",driftfix=slew" }
        add("-rtc", base)
        for timer in timers {
            switch (timer["name"], timer["present"], timer["tickpolicy"]) {
            case ("hpet", "no", _): add("-no-hpet")
            // The software engine's timer is never late by more than a tick.
            case ("pit", _, "delay"?) where definition.type == "kvm": add("-global", "kvm-pit.lost_tick_policy=delay")
            case ("pit", _, "discard"?) where definition.type == "kvm":
                add("-global", "kvm-pit.lost_tick_policy=discard")
            default: break
            }
        }
    }

    /// The firmware, the order in which it tries devices, and a kernel that is started without them.
    mutating func addBoot() {
        guard let system = definition.root[child: "os"] else { return }
        var boot: [String] = []
        if let menu = system[child: "bootmenu"] {
            boot.append("menu=" + (menu["enable"] == "yes" ? "on" : "off"))
            if let timeout = menu["timeout"] { boot.append("splash-time=" + timeout) }
        }
        if let timeout = system[child: "bios"]?["rebootTimeout"] { boot.append("reboot-timeout=" + timeout) }
        add("-boot", (boot + ["strict=on"]).joined(separator: ","))
        addFirmware(system)
        if let kernel = system[child: "kernel"]?.text { add("-kernel", kernel) }
        if let initrd = system[child: "initrd"]?.text { add("-initrd", initrd) }
        if let command = system[child: "cmdline"]?.text { add("-append", command) }
        if system[child: "smbios"]?["mode"] == "sysinfo" { addSystemInformation() }
        for entry in definition.root.all("sysinfo").filter({ $0["type"] == "fwcfg" }).flatMap({ $0.all("entry") }) {
            let name = "name=" + Self.escaped(entry["name"] ?? "")
            add(
                "-fw_cfg",
                name + (entry["file"].map { ",file=" + Self.escaped($0) } ?? ",string=" + Self.escaped(entry.text)))
        }
    }

    private mutating func addFirmware(_ system: XMLElement) {
        guard let loader = system[child: "loader"], !loader.text.isEmpty else { return }
        guard loader["type"] == "pflash" else { return add("-bios", loader.text) }
        if loader["secure"] == "yes" { add("-global", "driver=cfi.pflash01,property=secure,value=on") }
        let readOnly = loader["readonly"] == "no" ? "off" : "on"
        add("-drive", "if=pflash,format=raw,unit=0,readonly=\(readOnly),file=" + Self.escaped(loader.text))
        guard let variables = system[child: "nvram"]?.text, !variables.isEmpty else { return }
        add("-drive", "if=pflash,format=raw,unit=1,file=" + Self.escaped(variables))
    }

    /// Tables of SMBIOS, by their parts in the document, with the names of their values in the order of the command line.
    private static let systemTables: [(part: String, type: Int, names: [String])] = [
        ("bios", 0, ["vendor", "version", "date", "release"]),
        ("system", 1, ["manufacturer", "product", "version", "serial", "uuid", "sku", "family"]),
        ("baseBoard", 2, ["manufacturer", "product", "version", "serial", "asset", "location"]),
        ("chassis", 3, ["manufacturer", "version", "serial", "asset", "sku"]),
    ]

    private mutating func addSystemInformation() {
        for information in definition.root.all("sysinfo") where information["type"] == "smbios" {
            for table in Self.systemTables {
                for part in information.all(table.part) {
                    var text = "type=\(table.type)"
                    for name in table.names {
                        guard let entry = part.all("entry").first(where: { $0["name"] == name }) else { continue }
                        text += ",\(name)=" + Self.escaped(entry.text)
                    }
                    add("-smbios", text)
                }
            }
            let strings = information[child: "oemStrings"]?.all("entry") ?? []
            if !strings.isEmpty {
                add("-smbios", "type=11" + strings.map { ",value=" + Self.escaped($0.text) }.joined())
            }
        }
    }
}
