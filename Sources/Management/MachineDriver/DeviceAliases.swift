// SPDX-License-Identifier: Apache-2.0

package import ManagementXML
internal import XMLTree

/// Names of a running machine's devices.
package enum DeviceAliases {
    /// Gives every device the name that libvirt gives it.
    package static func assign(to definition: inout DomainDefinition) {
        var used = Set(definition.devices.compactMap { $0[child: "alias"]?["name"] })
        func next(_ kind: String) -> String {
            let name = (0...).lazy.map { kind + "\($0)" }.first { !used.contains($0) } ?? kind
            used.insert(name)
            return name
        }
        definition.devices = definition.devices.map { device in
            var device = device
            guard device.name != "emulator", device.name != "redirfilter" else { return device }
            if let name = device[child: "alias"]?["name"], !name.isEmpty { return device }
            let name: String?
            switch device.name {
            case "disk": name = disk(device)
            case "controller": name = controller(device, definition.machine.contains("q35"))
            case "interface": name = next("net")
            case "memballoon": name = "balloon0"
            case "console" where device[child: "target"]?["type"] == "serial": name = "serial0"
            case "graphics": name = nil
            case "filesystem": name = next("fs")
            case "audio": name = nil
            case "redirdev": name = next("redir")
            default: name = next(device.name)
            }
            if let name { insert(XMLElement("alias", ["name": name]), into: &device) }
            return device
        }
        numberSources(&definition)
    }

    /// Numbers the images of disks that have no number yet; the nodes of an image are named by it.
    static func numberSources(_ definition: inout DomainDefinition) {
        var next = lastSource(definition) + 1
        var devices = definition.devices
        // The last disk comes first.
        for place in devices.indices.reversed() where devices[place].name == "disk" {
            guard let source = devices[place][child: "source"], source["index"] == nil else { continue }
            devices[place][child: "source"]?["index"] = "\(next)"
            next += 1
        }
        definition.devices = devices
    }

    /// The highest number that is in use.
    static func lastSource(_ definition: DomainDefinition) -> Int {
        definition.devices.filter { $0.name == "disk" }.flatMap { disk in
            [disk[child: "source"]?["index"], disk.at("mirror", "source")?["index"]]
        }.compactMap { $0.flatMap { Int($0) } }.max() ?? 0
    }

    /// In front of the address, where it is printed.
    private static func insert(_ alias: XMLElement, into device: inout XMLElement) {
        let last: Set<String> = ["address", "rom", "acpi", "master"]
        let place =
            device.children.firstIndex { $0.element.map { last.contains($0.name) } ?? false } ?? device.children.count
        device.children.insert(.element(alias), at: place)
    }

    private static func disk(_ device: XMLElement) -> String {
        let bus = device[child: "target"]?["bus"] ?? ""
        let address = device[child: "address"]
        if address?["type"] == "drive" {
            let parts = [
                address?["controller"], address?["bus"], bus == "scsi" ? address?["target"] : nil, address?["unit"],
            ]
            return bus + parts.compactMap { $0 }.joined(separator: "-")
        }
        let number = device[child: "target"]?["dev"].flatMap(driveIndex) ?? 0
        return "\(bus)-disk\(number)"
    }

    private static func driveIndex(_ target: String) -> Int? {
        let letters = target.drop { $0 != "d" }.dropFirst().prefix { $0.isLetter }.prefix(6)
        var number = 0
        for letter in letters.utf8 { number = number * 26 + Int(letter) - Int(UInt8(ascii: "a")) + 1 }
        return number - 1
    }

    private static func controller(_ device: XMLElement, _ isQ35: Bool) -> String {
        let index = device["index"] ?? "0"
        switch device["type"] {
        case "pci": return index == "0" ? (isQ35 ? "pcie.0" : "pci.0") : "pci.\(index)"
        case "usb": return index == "0" ? "usb" : "usb\(index)"
        case "ide", "sata":
            return index == "0" && (device["type"] == "ide" || isQ35) ? "ide" : "\(device["type"] ?? "")\(index)"
        default: return (device["type"] ?? "controller") + index
        }
    }
}
