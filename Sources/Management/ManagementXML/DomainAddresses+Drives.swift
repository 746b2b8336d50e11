// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

// Places of drives, of channels and of card readers.
extension DomainAddresses {
    mutating func assignDrives() {
        for place in devices.indices where devices[place].name == "disk" && devices[place][child: "address"] == nil {
            let number = Values.driveIndex(devices[place][child: "target"]?["dev"] ?? "") ?? 0
            let drive: (controller: Int, bus: Int, unit: Int)
            switch devices[place][child: "target"]?["bus"] {
            case "ide": drive = (number / 4, number % 4 / 2, number % 2)
            case "sata": drive = (number / 6, 0, number % 6)
            case "fdc": drive = (number / 2, 0, number % 2)
            case "scsi":
                // Unit 7 is the controller's own.
                let unit = number % 15
                drive = (number / 15, 0, unit >= 7 ? unit + 1 : unit)
            default: continue
            }
            devices[place][child: "address"] = XMLElement(
                "address",
                [
                    "type": "drive", "controller": "\(drive.controller)", "bus": "\(drive.bus)", "target": "0",
                    "unit": "\(drive.unit)",
                ])
        }
    }

    /// Ports of a virtio-serial controller that does not say how many it has.
    private static let serialPorts = 31

    /// Gives channels ports, on the controller that they name or on the first with a free one; one is added where all
    /// are taken. The first port of a controller is kept for a console.
    mutating func assignSerialPorts() {
        var taken: [Int: Set<Int>] = [:]
        func controllers() -> [Int] {
            devices.filter { $0.name == "controller" && $0["type"] == "virtio-serial" }
                .compactMap { $0["index"].flatMap(Values.integer) }.sorted()
        }
        func free(on controller: Int) -> Int? {
            let element = devices.first {
                $0.name == "controller" && $0["type"] == "virtio-serial" && $0["index"] == "\(controller)"
            }
            let count = min(511, element?["ports"].flatMap { Int($0) } ?? Self.serialPorts)
            return (1..<max(2, count)).first { !(taken[controller]?.contains($0) ?? false) && $0 < count }
        }
        for device in devices where device[child: "address"]?["type"] == "virtio-serial" {
            let address = device[child: "address"]
            if let port = address?["port"].flatMap(Values.integer), port > 0 {
                taken[address?["controller"].flatMap(Values.integer) ?? 0, default: []].insert(port)
            }
        }
        for place in devices.indices {
            let device = devices[place]
            guard device.name == "channel", device[child: "target"]?["type"] == "virtio" else { continue }
            let address = device[child: "address"]
            if let address {
                guard address["type"] == "virtio-serial" else { continue }
                if let port = address["port"].flatMap(Values.integer), port > 0 { continue }
            }
            let wanted = address?["controller"].flatMap(Values.integer)
            var controller = wanted ?? controllers().first { free(on: $0) != nil }
            if controller == nil {
                let next = (controllers().last ?? -1) + 1
                devices.append(XMLElement("controller", ["type": "virtio-serial", "index": "\(next)"]))
                controller = next
            }
            guard let controller, let port = free(on: controller) else { continue }
            taken[controller, default: []].insert(port)
            devices[place][child: "address"] = XMLElement(
                "address",
                ["type": "virtio-serial", "controller": "\(controller)", "bus": "0", "port": "\(port)"])
        }
    }

    /// Readers have one slot each.
    mutating func assignSmartcards() {
        var slot = 0
        for place in devices.indices where devices[place].name == "smartcard" {
            if devices[place][child: "address"] == nil {
                devices[place][child: "address"] = XMLElement(
                    "address", ["type": "ccid", "controller": "0", "slot": "\(slot)"])
            }
            slot += 1
        }
    }
}
