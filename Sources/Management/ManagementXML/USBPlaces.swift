// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

/// Ports of USB controllers and of the hubs behind them; gives every USB device a port.
struct USBPlaces {
    /// A controller's root hub or a hub; its ports are counted from 1.
    private final class Hub {
        let portCount: Int
        var taken: Set<Int> = []
        var hubs: [Int: Hub] = [:]

        init(ports: Int) { portCount = ports }

        /// The way to a free port: here, or behind the first hub that has one.
        func freePath(_ level: Int = 1) -> [Int]? {
            if let port = (1...max(1, portCount)).first(where: { !taken.contains($0) && $0 <= portCount }) {
                return [port]
            }
            guard level < USBPlaces.depth else { return nil }
            for (port, hub) in hubs.sorted(by: { $0.key < $1.key }) {
                if let rest = hub.freePath(level + 1) { return [port] + rest }
            }
            return nil
        }
    }

    /// Hubs behind each other, the controller's own included.
    private static let depth = 4
    private static let hubPorts = 8
    /// Ports of a controller; those of a companion are the main controller's.
    private static let modelPorts = [
        "piix3-uhci": 2, "piix4-uhci": 2, "vt82c686b-uhci": 2, "ehci": 6, "ich9-ehci1": 6, "pci-ohci": 3,
        "nec-xhci": 4, "qemu-xhci": 4, "qusb1": 8, "qusb2": 8,
    ]

    private var buses: [Int: Hub] = [:]

    /// Gives ports to all devices that have none; a hub is added where ports are too few.
    static func assign(_ devices: inout [XMLElement]) {
        var places = USBPlaces()
        places.addHubs(&devices)
        places.addControllers(devices)
        for place in order(devices, hubs: true) { places.reserve(devices[place]) }
        for place in devices.indices where devices[place].name == "hub" && !hasPort(devices[place]) {
            places.give(&devices[place])
        }
        for place in order(devices, hubs: false) where !hasPort(devices[place]) { places.give(&devices[place]) }
    }

    /// The order in which ports are given.
    private static func order(_ devices: [XMLElement], hubs: Bool) -> [Int] {
        let kinds: [(XMLElement) -> Bool] = [
            { hubs && $0.name == "hub" }, { $0.name == "hostdev" && $0["type"] == "usb" },
            { $0.name == "disk" && $0[child: "target"]?["bus"] == "usb" },
            { $0.name == "controller" && $0["type"] == "ccid" },
            { $0.name == "input" && $0["bus"] == "usb" },
            { $0.name == "serial" && $0[child: "target"]?["type"] == "usb-serial" },
            { $0.name == "sound" && $0["model"] == "usb" },
            { $0.name == "redirdev" && $0["bus"] == "usb" },
        ]
        return kinds.flatMap { isKind in devices.indices.filter { isKind(devices[$0]) } }
    }

    private static func hasPort(_ device: XMLElement) -> Bool {
        device[child: "address"]?["type"] == "usb" && device[child: "address"]?["port"] != nil
    }

    private static func ports(_ controller: XMLElement) -> Int {
        let model = controller["model"] ?? "piix3-uhci"
        let asked = model.hasSuffix("xhci") || model.hasPrefix("qusb") ? controller["ports"].flatMap { Int($0) } : nil
        return min(255, asked ?? modelPorts[model] ?? 0)
    }

    private static func isRoot(_ device: XMLElement) -> Bool {
        device.name == "controller" && device["type"] == "usb" && device[child: "master"] == nil
            && device["model"] != "none"
    }

    private mutating func addHubs(_ devices: inout [XMLElement]) {
        let needed = Self.order(devices, hubs: false).count
        let hubs = devices.count { $0.name == "hub" }
        let available = devices.filter(Self.isRoot).map(Self.ports).reduce(0, +) + hubs * (Self.hubPorts - 1)
        guard needed > available, devices.contains(where: Self.isRoot) else { return }
        let more = (needed - available + Self.hubPorts - 2) / (Self.hubPorts - 1)
        for _ in 0..<more { devices.append(XMLElement("hub", ["type": "usb"])) }
    }

    private mutating func addControllers(_ devices: [XMLElement]) {
        for device in devices where Self.isRoot(device) {
            guard let bus = device["index"].flatMap(Values.integer) else { continue }
            buses[bus] = Hub(ports: Self.ports(device))
        }
    }

    private mutating func reserve(_ device: XMLElement) {
        guard Self.hasPort(device), let address = device[child: "address"] else { return }
        let path = (address["port"] ?? "").split(separator: ".").compactMap { Int($0) }
        take(address["bus"].flatMap(Values.integer) ?? 0, path, isHub: device.name == "hub")
    }

    private func take(_ bus: Int, _ path: [Int], isHub: Bool) {
        guard var hub = buses[bus], let last = path.last else { return }
        for port in path.dropLast() {
            guard let next = hub.hubs[port] else { return }
            hub = next
        }
        hub.taken.insert(last)
        if isHub && hub.hubs[last] == nil { hub.hubs[last] = Hub(ports: Self.hubPorts) }
    }

    private func give(_ device: inout XMLElement) {
        let wanted = device[child: "address"]?["bus"].flatMap(Values.integer)
        let candidates = wanted.map { [$0] } ?? buses.keys.sorted()
        for bus in candidates {
            guard let path = buses[bus]?.freePath() else { continue }
            take(bus, path, isHub: device.name == "hub")
            let port = path.map { "\($0)" }.joined(separator: ".")
            device[child: "address"] = XMLElement("address", ["type": "usb", "bus": "\(bus)", "port": port])
            return
        }
    }
}
