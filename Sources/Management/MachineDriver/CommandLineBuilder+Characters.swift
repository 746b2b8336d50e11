// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import ManagementXML
internal import XMLTree

// Serial ports, consoles and channels.
extension CommandLineBuilder {
    /// The back end of a character device.
    func backend(_ device: XMLElement, _ id: String) throws -> String {
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
            let path = source?["path"] ?? socketFolder + "/" + alias(device)
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

    /// Gives channels that the document has no path for a socket of the run, and says that nobody listens inside yet.
    static func nameChannels(_ definition: inout DomainDefinition, socketFolder: String) {
        definition.devices = definition.devices.map { device in
            guard device.name == "channel", device["type"] == "unix" || device["type"] == "spicevmc",
                var target = device[child: "target"], target["type"] == "virtio"
            else { return device }
            var device = device
            if target["state"] == nil { target["state"] = "disconnected" }
            device[child: "target"] = target
            if device["type"] == "unix", device[child: "source"]?["path"] == nil {
                let name = target["name"] ?? device[child: "alias"]?["name"] ?? "channel"
                device[child: "source"] = nil
                device.children.insert(
                    .element(XMLElement("source", ["mode": "bind", "path": socketFolder + "/" + name])), at: 0)
            }
            return device
        }
    }

    /// A serial port.
    mutating func addSerial(_ device: XMLElement) throws {
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

    /// A console of virtio; others are the first serial port, which has been added.
    mutating func addConsole(_ device: XMLElement) throws {
        // A console of type serial is the first serial port, which has been added.
        guard device[child: "target"]?["type"] == "virtio" else { return }
        let id = alias(device)
        add("-chardev", try backend(device, "char" + id))
        add("-device", "virtconsole,chardev=char\(id),id=\(id)\(place(device))")
    }

    /// A channel between the guest and the host.
    mutating func addChannel(_ device: XMLElement) throws {
        guard device[child: "target"]?["type"] == "virtio" else {
            throw unsupported("channel of type '\(device[child: "target"]?["type"] ?? "")'")
        }
        // Channels of SPICE have nobody to talk to without it.
        guard device["type"] != "spicevmc" || emulator.hasSpice else { return }
        let id = alias(device)
        if device["type"] == "spicevmc" {
            add("-chardev", "spicevmc,id=char\(id),name=vdagent")
        } else {
            add("-chardev", try backend(device, "char" + id))
        }
        let name = device[child: "target"]?["name"].map { ",name=\(Self.escaped($0))" } ?? ""
        add("-device", "virtserialport,chardev=char\(id),id=\(id)\(place(device))\(name)")
    }

    /// A parallel port.
    mutating func addParallel(_ device: XMLElement) throws {
        let id = alias(device)
        try require("isa-parallel")
        add("-chardev", try backend(device, "char" + id))
        add("-device", "isa-parallel,chardev=char\(id),id=\(id),index=\(device[child: "target"]?["port"] ?? "0")")
    }
}
