// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

/// Gives every device a place on its bus, where it has none yet.
struct DomainAddresses {
    let builder: DomainBuilder
    /// Taken places of the PCI buses: bus, slot, and a bit for each function.
    private var taken: [Int: [Int: UInt8]] = [:]
    var devices: [XMLElement] = []

    init(builder: DomainBuilder) { self.builder = builder }

    consuming func assign(to devices: inout [XMLElement]) {
        self.devices = devices
        assignDrives()
        assignSerialPorts()
        if builder.hasPCI { assignPCI() }
        assignSmartcards()
        USBPlaces.assign(&self.devices)
        devices = self.devices
    }

    // MARK: PCI

    private mutating func reserve(_ bus: Int, _ slot: Int, _ function: Int) {
        taken[bus, default: [:]][slot, default: 0] |= 1 << UInt8(function & 7)
    }

    private func isFree(_ bus: Int, _ slot: Int, _ function: Int? = nil) -> Bool {
        let bits = taken[bus]?[slot] ?? 0
        return function.map { bits & 1 << UInt8($0 & 7) == 0 } ?? (bits == 0)
    }

    private static func address(_ bus: Int, _ slot: Int, _ function: Int, multi: Bool = false) -> XMLElement {
        XMLElement(
            "address",
            [
                "type": "pci", "domain": "0x0000", "bus": Values.hex(bus, digits: 2),
                "slot": Values.hex(slot, digits: 2),
                "function": Values.hex(function, digits: 1), "multifunction": multi ? "on" : nil,
            ])
    }

    private mutating func set(_ place: Int, _ bus: Int, _ slot: Int, _ function: Int = 0, multi: Bool = false) {
        reserve(bus, slot, function)
        devices[place][child: "address"] = Self.address(bus, slot, function, multi: multi)
    }

    private mutating func assignPCI() {
        let hadBridges = devices.contains { $0.name == "controller" && $0["type"] == "pci" && $0["index"] != "0" }
        collect()
        if builder.isQ35 { assignQ35Chipset() } else { assignPIIX() }
        for place in order() where needsAddress(devices[place]) {
            if builder.isQ35 { assignQ35(place) } else { assignConventional(place) }
        }
        if builder.isQ35 {
            // A place stays free, for a device that is added while the machine runs.
            let hasPorts = devices.contains { $0.name == "controller" && $0["model"] == "pcie-root-port" }
            if !hadBridges && hasPorts { _ = freePort() }
            assignRootPorts()
            markSharedSlots()
        }
        setPortNumbers()
    }

    /// Takes what the document says, in canonical form.
    private mutating func collect() {
        for place in devices.indices {
            guard let address = devices[place][child: "address"], address["type"] == "pci" else { continue }
            guard address["slot"] != nil || address["bus"] != nil else {
                devices[place][child: "address"] = nil
                continue
            }
            let bus = address["bus"].flatMap(Values.integer) ?? 0
            let slot = address["slot"].flatMap(Values.integer) ?? 0
            let function = address["function"].flatMap(Values.integer) ?? 0
            var canonical = Self.address(bus, slot, function, multi: address["multifunction"] == "on")
            if address["multifunction"] == "off" { canonical["multifunction"] = "off" }
            if let domain = address["domain"].flatMap(Values.integer) {
                canonical["domain"] = Values.hex(domain, digits: 4)
            }
            canonical.elements = address.elements
            devices[place][child: "address"] = canonical
            reserve(bus, slot, function)
        }
    }

    private func first(_ name: String, _ matches: (XMLElement) -> Bool) -> Int? {
        devices.indices.first {
            devices[$0].name == name && devices[$0][child: "address"] == nil && matches(devices[$0])
        }
    }

    private mutating func assignPIIX() {
        if let ide = first("controller", { $0["type"] == "ide" && $0["index"] == "0" }) { set(ide, 0, 1, 1) }
        if let usb = first("controller", { $0["type"] == "usb" && $0["index"] == "0" && $0["model"] == "piix3-uhci" }) {
            set(usb, 0, 1, 2)
        }
        for function in 0..<4 { reserve(0, 1, function) }
        reserve(0, 0, 0)
        reserveVideo(slot: 2)
    }

    /// The first display's place is kept for it where there is none.
    private mutating func reserveVideo(slot: Int) {
        if let video = first("video", { !["none", "virtio", "ramfb"].contains($0[child: "model"]?["type"] ?? "") }),
            devices.firstIndex(where: { $0.name == "video" }) == video, isFree(0, slot)
        {
            set(video, 0, slot)
        } else if let video = devices.firstIndex(where: { $0.name == "video" }),
            devices[video][child: "address"] == nil,
            devices[video][child: "model"]?["type"] == "virtio", isFree(0, slot)
        {
            set(video, 0, slot)
        }
    }

    private mutating func assignQ35Chipset() {
        reserve(0, 0, 0)
        if let sata = first("controller", { $0["type"] == "sata" && $0["index"] == "0" }) { set(sata, 0, 31, 2) }
        for function in [0, 2, 3] { reserve(0, 31, function) }
        reserveVideo(slot: 1)
    }

    /// The order in which places are given.
    private func order() -> [Int] {
        func places(_ name: String, _ matches: (XMLElement) -> Bool = { _ in true }) -> [Int] {
            devices.indices.filter { devices[$0].name == name && matches(devices[$0]) }
        }
        let bridges = places("controller") { $0["type"] == "pci" && $0["model"] != "pcie-root-port" }
        let kinds: [[Int]] = [
            bridges, places("filesystem"), places("interface"), places("sound"),
            places("controller") { $0["type"] != "pci" }, places("disk"), places("hostdev"), places("memballoon"),
            places("rng"), places("watchdog"), places("video"), places("shmem"), places("input"), places("serial"),
            places("panic"), places("memory"), places("iommu"), places("vsock"), places("nvram"),
        ]
        return kinds.flatMap { $0 }
    }

    private func needsAddress(_ device: XMLElement) -> Bool {
        if device[child: "address"] != nil { return false }
        switch device.name {
        case "filesystem": return true
        case "interface": return device["type"] != "hostdev" || true
        case "sound": return !["sb16", "pcspk", "usb"].contains(device["model"] ?? "")
        case "controller":
            let model = device["model"] ?? ""
            switch device["type"] {
            case "pci": return !["pci-root", "pcie-root"].contains(model)
            case "fdc", "ccid", "isa", "ide": return false
            case "usb": return model != "none"
            case "scsi", "sata", "virtio-serial": return true
            default: return false
            }
        case "disk": return device[child: "target"]?["bus"] == "virtio"
        case "hostdev": return device["type"] == "pci" || device["type"] == "mdev" || device["type"] == "scsi_host"
        case "memballoon": return device["model"]?.hasPrefix("virtio") ?? false
        case "rng": return device["model"]?.hasPrefix("virtio") ?? false
        case "watchdog": return device["model"] == "i6300esb"
        case "video": return !["none", "ramfb"].contains(device[child: "model"]?["type"] ?? "")
        case "shmem": return true
        case "input": return device["bus"] == "virtio"
        case "serial": return device[child: "target"]?["type"] == "pci-serial"
        case "panic": return device["model"] == "pvpanic"
        case "memory": return ["virtio-mem", "virtio-pmem"].contains(device["model"] ?? "")
        case "iommu": return device["model"] == "virtio"
        case "vsock": return true
        default: return false
        }
    }

    private static let slots = 32

    private mutating func assignConventional(_ place: Int) {
        let buses =
            [0]
            + devices.filter { $0.name == "controller" && $0["model"] == "pci-bridge" }.compactMap {
                $0["index"].flatMap { Int($0) }
            }.sorted()
        if assignCompanion(place) { return }
        for bus in buses {
            if let slot = (1..<Self.slots).first(where: { isFree(bus, $0) }) { return set(place, bus, slot) }
        }
    }

    /// USB controllers of one number share a slot.
    private mutating func assignCompanion(_ place: Int) -> Bool {
        let functions = ["ich9-uhci1": 0, "ich9-uhci2": 1, "ich9-uhci3": 2, "ich9-ehci1": 7]
        let device = devices[place]
        guard device.name == "controller", device["type"] == "usb",
            let function = device["model"].flatMap({ functions[$0] })
        else { return false }
        let partner = devices.first { other in
            other.name == "controller" && other["type"] == "usb" && other["index"] == device["index"]
                && other[child: "address"]?["type"] == "pci"
                && other["model"]?.hasPrefix("ich9-") ?? false
        }?[child: "address"]
        let bus = partner?["bus"].flatMap(Values.integer) ?? 0
        // On Q35 the chipset's own place, 1d.
        let own = builder.isQ35 && isFree(0, 0x1d) ? 0x1d : (1..<Self.slots).first { isFree(0, $0) }
        guard let slot = partner?["slot"].flatMap(Values.integer) ?? own else { return false }
        set(place, bus, slot, function, multi: function == 0)
        return true
    }

    /// Whether a device is PCI Express by nature and goes behind a root port.
    private static func isExpress(_ device: XMLElement) -> Bool {
        switch device.name {
        case "controller":
            switch device["type"] {
            case "usb": return ["qemu-xhci", "nec-xhci"].contains(device["model"] ?? "")
            case "scsi": return device["model"]?.hasPrefix("virtio") ?? false
            case "virtio-serial": return true
            case "pci": return device["model"] == "pcie-switch-upstream-port" || device["model"] == "pcie-to-pci-bridge"
            default: return false
            }
        case "interface":
            return (device[child: "model"]?["type"]).map { $0.hasPrefix("virtio") || $0 == "e1000e" } ?? false
        case "disk", "memballoon", "rng", "input", "filesystem", "vsock", "hostdev", "memory": return true
        case "video": return device[child: "model"]?["type"] == "virtio"
        default: return false
        }
    }

    private mutating func assignQ35(_ place: Int) {
        let device = devices[place]
        if assignCompanion(place) { return }
        if device.name == "sound", device["model"] == "ich9", isFree(0, 0x1b) { return set(place, 0, 0x1b) }
        if device.name == "controller", let bus = busAbove(device["model"] ?? ""),
            let slot = (0..<Self.slots).first(where: { isFree(bus, $0) })
        {
            return set(place, bus, slot)
        }
        if device.name == "controller", device["model"] == "dmi-to-pci-bridge" {
            return set(place, 0, isFree(0, 0x1e) ? 0x1e : freeRootSlot())
        }
        if device.name == "iommu"
            || (device.name == "controller" && device["model"]?.hasPrefix("pcie-expander") ?? false)
        {
            return set(place, 0, freeRootSlot())
        }
        let isLegacy =
            device["model"] == "virtio-transitional" || device[child: "model"]?["type"] == "virtio-transitional"
        if Self.isExpress(device) && !isLegacy {
            set(place, freePort(), 0)
        } else if let bus = conventionalBus() {
            set(place, bus, (1..<Self.slots).first { isFree(bus, $0) } ?? 1)
        } else {
            set(place, 0, freeRootSlot())
        }
    }

    /// The bus that a bridge of a kind sits on, where there is one made for it.
    private func busAbove(_ model: String) -> Int? {
        let above = ["pci-bridge": "dmi-to-pci-bridge", "pcie-switch-downstream-port": "pcie-switch-upstream-port"]
        guard let wanted = above[model] else { return nil }
        return devices.first { $0.name == "controller" && $0["model"] == wanted }?["index"].flatMap(Values.integer)
    }

    private func freeRootSlot() -> Int { (1..<Self.slots).first { isFree(0, $0) } ?? 1 }

    /// The bus of a bridge for devices that are not PCI Express; one is added where there is none.
    private mutating func conventionalBus() -> Int? {
        let bridge = devices.first {
            $0.name == "controller" && ["pci-bridge", "pcie-to-pci-bridge"].contains($0["model"] ?? "")
        }
        if let index = bridge?["index"].flatMap({ Int($0) }) { return index }
        let port = freePort()
        let index = nextBridgeIndex()
        var controller = XMLElement(
            "controller", ["type": "pci", "index": "\(index)", "model": "pcie-to-pci-bridge"],
            [XMLElement("model", ["name": "pcie-pci-bridge"])])
        reserve(port, 0, 0)
        controller[child: "address"] = Self.address(port, 0, 0)
        insertBridge(controller)
        return index
    }

    private func nextBridgeIndex() -> Int {
        (devices.filter { $0.name == "controller" && $0["type"] == "pci" }.compactMap {
            $0["index"].flatMap { Int($0) }
        }.max() ?? 0) + 1
    }

    /// Appended, so that places in the list stay what they are.
    private mutating func insertBridge(_ controller: XMLElement) { devices.append(controller) }

    /// The bus of a root port with nothing behind it; a port is added where there is none.
    private mutating func freePort() -> Int {
        let ports = devices.filter {
            $0.name == "controller" && ["pcie-root-port", "pcie-switch-downstream-port"].contains($0["model"] ?? "")
        }
        .compactMap { $0["index"].flatMap { Int($0) } }.sorted()
        if let free = ports.first(where: { isFree($0, 0) }) { return free }
        let index = nextBridgeIndex()
        insertBridge(
            XMLElement(
                "controller", ["type": "pci", "index": "\(index)", "model": "pcie-root-port"],
                [XMLElement("model", ["name": "pcie-root-port"]), XMLElement("target", ["chassis": "\(index)"])]))
        return index
    }

    /// Root ports share slots, eight to each.
    private mutating func assignRootPorts() {
        var group: (slot: Int, function: Int)?
        for place in devices.indices
        where devices[place].name == "controller" && devices[place]["model"] == "pcie-root-port"
            && devices[place][child: "address"] == nil
        {
            if let current = group, let function = (current.function..<8).first(where: { isFree(0, current.slot, $0) })
            {
                set(place, 0, current.slot, function)
                group = (current.slot, function + 1)
            } else {
                let slot = freeRootSlot()
                set(place, 0, slot, 0)
                group = (slot, 1)
            }
        }
    }

    /// The first function of a slot says that there are others.
    private mutating func markSharedSlots() {
        for place in devices.indices {
            guard let address = devices[place][child: "address"], address["type"] == "pci",
                address["function"] == "0x0", address["multifunction"] == nil,
                devices[place]["model"] == "pcie-root-port",
                let slot = address["slot"].flatMap(Values.integer), let bus = address["bus"].flatMap(Values.integer),
                let bits = taken[bus]?[slot], bits.nonzeroBitCount > 1
            else { continue }
            devices[place][child: "address"] = Self.address(bus, slot, 0, multi: true)
        }
    }

    private mutating func setPortNumbers() {
        for place in devices.indices
        where ["pcie-root-port", "pcie-switch-downstream-port"].contains(devices[place]["model"] ?? "") {
            guard let address = devices[place][child: "address"], devices[place][child: "target"]?["port"] == nil else {
                continue
            }
            let slot = address["slot"].flatMap(Values.integer) ?? 0
            let function = address["function"].flatMap(Values.integer) ?? 0
            if devices[place][child: "target"] == nil {
                devices[place][child: "target"] = XMLElement("target", ["chassis": devices[place]["index"]])
            }
            let isRoot = devices[place]["model"] == "pcie-root-port"
            devices[place][child: "target"]?["port"] = Values.hex(isRoot ? slot << 3 | function : slot, digits: 1)
        }
    }
}
