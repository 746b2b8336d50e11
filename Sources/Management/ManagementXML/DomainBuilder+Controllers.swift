// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

// Controllers that devices need and that every machine has.
extension DomainBuilder {
    mutating func completeControllers() throws {
        try numberControllers()
        sortControllers()
        if hasPCI { addImplicitControllers() }
        addControllersOfDevices()
        let facts = self
        change("controller") { facts.completeController(&$0) }
    }

    private func controllers(_ type: String) -> [XMLElement] {
        devices.filter { $0.name == "controller" && $0["type"] == type }
    }

    private func has(_ type: String, index: Int) -> Bool { controllers(type).contains { $0["index"] == "\(index)" } }

    private mutating func add(_ type: String, index: Int, model: String? = nil) {
        guard !has(type, index: index) else { return }
        devices.append(XMLElement("controller", ["type": type, "index": "\(index)", "model": model]))
    }

    private mutating func numberControllers() throws {
        for place in devices.indices where devices[place].name == "controller" {
            guard let type = devices[place]["type"] else {
                throw ManagementError(
                    .xmlError, "Missing required attribute 'type' in element 'controller'", from: .none)
            }
            guard devices[place]["index"] == nil else { continue }
            // A companion of the same USB controller has its number.
            if type == "usb", devices[place]["model"]?.hasPrefix("ich9-") ?? false {
                let group = controllers("usb").first { $0["model"]?.hasPrefix("ich9-") ?? false && $0["index"] != nil }
                if let index = group?["index"] {
                    devices[place]["index"] = index
                    continue
                }
            }
            let used = Set(controllers(type).compactMap { $0["index"].flatMap { Int($0) } })
            devices[place]["index"] = "\((0...).first { !used.contains($0) } ?? 0)"
        }
    }

    private mutating func addImplicitControllers() {
        if controllers("usb").isEmpty { add("usb", index: 0, model: isQ35 ? "qemu-xhci" : "piix3-uhci") }
        if isQ35 { add("sata", index: 0) }
        add("pci", index: 0, model: isQ35 ? "pcie-root" : "pci-root")
    }

    /// Devices of a controller of each kind.
    private static let unitsPerSCSI = 15
    private static let unitsPerIDE = 4
    private static let unitsPerSATA = 6
    private static let unitsPerFDC = 2

    private mutating func addControllersOfDevices() {
        for disk in devices where disk.name == "disk" {
            let number = Values.driveIndex(disk[child: "target"]?["dev"] ?? "") ?? 0
            let address = disk[child: "address"]
            let explicit = address?["controller"].flatMap { Int($0) }
            switch disk[child: "target"]?["bus"] {
            case "scsi": fill("scsi", to: explicit ?? number / Self.unitsPerSCSI)
            case "ide": fill("ide", to: explicit ?? number / Self.unitsPerIDE)
            case "sata": fill("sata", to: explicit ?? number / Self.unitsPerSATA)
            case "fdc": fill("fdc", to: explicit ?? number / Self.unitsPerFDC)
            default: break
            }
        }
        for device in devices
        where device.name == "hostdev" && device["type"]?.hasPrefix("scsi") ?? false && device["type"] != "scsi_host" {
            fill("scsi", to: device[child: "address"]?["controller"].flatMap { Int($0) } ?? 0)
        }
        let usesSerialBus = devices.contains { device in
            (device.name == "channel" || device.name == "console") && device[child: "target"]?["type"] == "virtio"
                && device[child: "address"] == nil
        }
        if usesSerialBus { add("virtio-serial", index: 0) }
        for device in devices where device[child: "address"]?["type"] == "virtio-serial" {
            add("virtio-serial", index: device[child: "address"]?["controller"].flatMap { Int($0) } ?? 0)
        }
        if devices.contains(where: { $0.name == "smartcard" }) && controllers("ccid").isEmpty { add("ccid", index: 0) }
        addBridgesOfAddresses()
    }

    /// The most controllers of one kind that a document can make appear by naming the last.
    private static let limit = 256

    private mutating func fill(_ type: String, to last: Int) {
        guard last >= 0, last < Self.limit else { return }
        for index in 0...last { add(type, index: index) }
    }

    private mutating func addBridgesOfAddresses() {
        let buses = devices.compactMap { device -> Int? in
            guard device[child: "address"]?["type"] == "pci" else { return nil }
            return device[child: "address"]?["bus"].flatMap(Values.integer)
        }
        guard let last = buses.max(), last > 0, last < Self.limit else { return }
        for index in 1...last where !has("pci", index: index) {
            add("pci", index: index, model: isQ35 ? "pcie-root-port" : "pci-bridge")
        }
    }

    private func completeController(_ controller: inout XMLElement) {
        let model = controller["model"]
        switch controller["type"] {
        case "scsi":
            if model == nil || model == "auto" { controller["model"] = isQ35 ? "virtio-scsi" : "lsilogic" }
        case "usb":
            if model == nil { controller["model"] = "piix3-uhci" }
        case "pci": completeBridge(&controller)
        default: break
        }
        if controller[child: "driver"]?.isEmpty ?? false { controller[child: "driver"] = nil }
    }

    private func completeBridge(_ controller: inout XMLElement) {
        let names = [
            "pci-bridge": "pci-bridge", "dmi-to-pci-bridge": "i82801b11-bridge", "pcie-root-port": "pcie-root-port",
            "pcie-switch-upstream-port": "x3130-upstream", "pcie-switch-downstream-port": "xio3130-downstream",
            "pcie-to-pci-bridge": "pcie-pci-bridge", "pci-expander-bus": "pxb", "pcie-expander-bus": "pxb-pcie",
        ]
        guard let model = controller["model"], let name = names[model] else { return }
        if controller[child: "model"] == nil { controller[child: "model"] = XMLElement("model", ["name": name]) }
        var target = controller[child: "target"] ?? XMLElement("target")
        let index = controller["index"] ?? "0"
        switch model {
        case "pci-bridge": if target["chassisNr"] == nil { target["chassisNr"] = index }
        case "pcie-root-port", "pcie-switch-downstream-port": if target["chassis"] == nil { target["chassis"] = index }
        default: break
        }
        if !target.isEmpty { controller[child: "target"] = target }
    }

    /// What the document names: a controller goes in front of the first of its type with a larger number, else behind the
    /// last of its type. Those that are added go to the end.
    private mutating func sortControllers() {
        var sorted: [XMLElement] = []
        func index(_ controller: XMLElement) -> Int { controller["index"].flatMap { Int($0) } ?? 0 }
        for controller in devices where controller.name == "controller" {
            var place: Int?
            for existing in sorted.indices.reversed() where sorted[existing]["type"] == controller["type"] {
                let isMain =
                    index(sorted[existing]) == index(controller) && controller[child: "master"] == nil
                    && sorted[existing][child: "master"] != nil
                if index(sorted[existing]) > index(controller) || isMain {
                    place = existing
                } else if place == nil {
                    place = existing + 1
                }
            }
            sorted.insert(controller, at: place ?? sorted.count)
        }
        devices = devices.filter { $0.name != "controller" } + sorted
    }
}
