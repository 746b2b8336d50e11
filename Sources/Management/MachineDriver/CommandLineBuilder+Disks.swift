// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding
internal import XMLTree

// Drives and the nodes of their images.
extension CommandLineBuilder {
    /// A drive and its image.
    mutating func addDisk(_ device: XMLElement) throws {
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
        text += ",id=\(id)"
        // A diskette drive's place is the controller's to know.
        if bus != "fdc" {
            text += bootIndex(device)
        } else if let place = bootOrder.places[id] {
            let drive = device[child: "address"]?["unit"] == "1" ? "B" : "A"
            add("-global", "isa-fdc.bootindex\(drive)=\(place)")
        }
        if let cache = driver?["cache"] {
            text += ",write-cache=\(cache == "writethrough" || cache == "directsync" ? "off" : "on")"
        }
        if let serial = device[child: "serial"]?.text { text += ",serial=\(Self.escaped(serial))" }
        if let thread = driver?["iothread"], bus == "virtio" { text += ",iothread=iothread\(thread)" }
        if let queues = driver?["queues"], bus == "virtio" { text += ",num-queues=\(queues)" }
        add("-device", text)
    }

    func drivePlace(_ device: XMLElement, _ bus: String) -> String {
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
    mutating func addBlockNodes(_ device: XMLElement, _ number: String) throws -> String? {
        guard let nodes = try BlockNodes.arguments(of: device, named: number) else { return nil }
        for node in nodes.json { add("-blockdev", JSONValue.object(node).printed()) }
        return nodes.top
    }
}
