// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import ManagementXML
internal import XMLTree

// Displays, sound and input.
extension CommandLineBuilder {
    /// A graphics card.
    mutating func addVideo(_ device: XMLElement) throws {
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

    /// What shows the screen to viewers.
    mutating func addGraphics(_ device: XMLElement) throws {
        switch device["type"] {
        case "vnc":
            let password = device["passwd"] == nil ? "" : ",password=on"
            if let socket = device[child: "listen"]?["socket"] {
                add("-vnc", "unix:\(Self.escaped(socket))" + password)
            } else {
                // VNC's displays are counted from port 5900.
                let port = (device["port"].flatMap { Int($0) } ?? 5900) - 5900
                add("-vnc", "\(device[child: "listen"]?["address"] ?? "127.0.0.1"):\(port)" + password)
            }
        case "spice" where emulator.hasSpice: addSpice(device)
        default: throw unsupported("graphics of type '\(device["type"] ?? "")'")
        }
    }

    private mutating func addSpice(_ device: XMLElement) {
        var parts: [String] = []
        if let socket = device[child: "listen"]?["socket"] {
            parts += ["unix=on", "addr=" + Self.escaped(socket)]
        } else {
            if let port = device["port"].flatMap({ Int($0) }), port > 0 { parts.append("port=\(port)") }
            parts.append("addr=" + (device[child: "listen"]?["address"] ?? device["listen"] ?? "127.0.0.1"))
        }
        // A password is told to the monitor, for what is said here everybody can read.
        if device["passwd"] == nil { parts.append("disable-ticketing=on") }
        let settings = [
            ("image", "image-compression"), ("jpeg", "jpeg-wan-compression"), ("zlib", "zlib-glz-wan-compression"),
        ]
        for (name, option) in settings {
            if let value = device[child: name]?["compression"] { parts.append("\(option)=\(value)") }
        }
        if device[child: "clipboard"]?["copypaste"] == "no" { parts.append("disable-copy-paste=on") }
        if device[child: "filetransfer"]?["enable"] == "no" { parts.append("disable-agent-file-xfer=on") }
        add("-spice", (parts + ["seamless-migration=on"]).joined(separator: ","))
    }

    /// A USB device of a viewer.
    mutating func addRedirection(_ device: XMLElement) throws {
        guard device["type"] == "spicevmc", emulator.hasSpice else {
            throw unsupported("redirected devices of type '\(device["type"] ?? "")'")
        }
        try require("usb-redir")
        let id = alias(device)
        add("-chardev", "spicevmc,id=char\(id),name=usbredir")
        add("-device", "usb-redir,chardev=char\(id),id=\(id)\(place(device))\(bootIndex(device))")
    }

    /// A keyboard, mouse or tablet beside those that every PC has.
    mutating func addInput(_ device: XMLElement) throws {
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

    /// Sound cards and what plays their sound: nothing does, when the document does not say more.
    mutating func addSound(_ device: XMLElement) throws {
        let model = device["model"] ?? ""
        let names = [
            "ich6": "intel-hda", "ich9": "ich9-intel-hda", "ac97": "AC97", "es1370": "ES1370", "sb16": "sb16",
            "usb": "usb-audio",
        ]
        guard let name = names[model] else { throw unsupported("sound card '\(model)'") }
        try require(name)
        let id = alias(device)
        let audio = ",audiodev=audio" + (device[child: "audio"]?["id"] ?? "1")
        guard model.hasPrefix("ich") else { return add("-device", "\(name),id=\(id)\(audio)\(place(device))") }
        add("-device", "\(name),id=\(id)\(place(device))")
        let codecs = device.all("codec").map { "hda-\($0["type"] ?? "duplex")" }
        for (number, codec) in (codecs.isEmpty ? ["hda-duplex"] : codecs).enumerated() {
            add("-device", "\(codec),id=\(id)-codec\(number),bus=\(id).0,cad=\(number)\(audio)")
        }
    }

    /// What plays sound, where there is a sound card.
    mutating func addAudio() throws {
        guard definition.devices.contains(where: { $0.name == "sound" }) else { return }
        let given = definition.devices.filter { $0.name == "audio" }
        for audio in given.isEmpty ? [XMLElement("audio", ["id": "1", "type": "none"])] : given {
            let type = audio["type"] ?? ""
            guard type == "none" || type == "spice" && emulator.hasSpice else {
                throw unsupported("audio of type '\(type)'")
            }
            add("-audiodev", "\(type),id=audio\(audio["id"] ?? "1")")
        }
    }

    /// No window, whatever the emulator would do by itself.
    mutating func addHeadless() {
        let graphics = definition.devices.first { $0.name == "graphics" }
        if graphics?["type"] != "vnc" && graphics?["type"] != "spice" { add("-display", "none") }
        add("-msg", "timestamp=on")
    }
}
