// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

// Controllers, and the places on their buses.
extension CommandLineBuilder {
    /// A controller, where it is not part of the board.
    mutating func addController(_ device: XMLElement) throws {
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
                "ich9-uhci3": "ich9-usb-uhci3", "nec-xhci": "nec-usb-xhci",
            ]
            let model = device["model"] ?? "none"
            var name = names[model] ?? model
            // What hangs on an EHCI controller and its companions hangs on one that has all speeds, where there are none;
            // it is alone in its slot then.
            var device = device
            if model == "ich9-ehci1", !has(name), has("qemu-xhci") {
                name = "qemu-xhci"
                device[child: "address"]?["function"] = "0x0"
            }
            // Every machine is given a USB controller; one that nothing sits on is left out where there is none.
            guard model != "none", has(name) else { return }
            // A companion is part of the controller whose ports it shares, and has no name of its own.
            let identity =
                device[child: "master"].map { ",masterbus=\(id).0,firstport=\($0["startport"] ?? "0")" } ?? ",id=\(id)"
            let ports = name.hasSuffix("xhci") ? device["ports"].map { ",p2=\($0),p3=\($0)" } ?? "" : ""
            add("-device", name + ports + identity + place(device))
        case "sata" where device["index"] != "0" || !isQ35:
            try require("ahci")
            add("-device", "ahci,id=\(id)\(place(device))")
        // Part of the chipset.
        default: break
        }
    }

    /// `,bus=...,addr=...` of a device's place.
    func place(_ device: XMLElement) -> String {
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
        case "usb":
            // The first controller's name has no number.
            let bus = Self.number(address["bus"])
            return ",bus=usb\(bus == 0 ? "" : "\(bus)").0,port=\(address["port"] ?? "1")"
        default: return ""
        }
    }

    static func number(_ text: String?) -> Int {
        guard let text else { return 0 }
        return (text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)) ?? 0
    }
}
