// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
public import XMLTree

// Adding devices to a document that is complete, and finding those that a client means.
extension DomainDefinition {
    /// Marks the device that is being completed; never printed.
    private static let mark = "roost-new"

    /// A device's document.
    /// - Throws: libvirt's error for one that is not well-formed.
    public static func device(parsing text: String) throws -> XMLElement {
        let device = try XMLDocument.parseAny(text, called: "device_definition")
        try DomainChoices.checkKind(device.name)
        return device
    }

    /// Completes a device as one of this machine: its defaults, its place, and the controllers that it needs and that
    /// are not there yet.
    public func completing(
        _ device: XMLElement, _ context: DomainContext
    ) throws -> (device: XMLElement, controllers: [XMLElement]) {
        var marked = device
        marked[Self.mark] = "yes"
        var copy = self
        copy.devices.append(marked)
        let complete = try DomainDefinition(copy.root, context)
        guard var found = complete.devices.first(where: { $0[Self.mark] != nil }) else {
            throw ManagementError(.internalError, "the device <\(device.name)> cannot be added", from: .device)
        }
        found[Self.mark] = nil
        let known = Set(devices.map(Self.controllerKey))
        let controllers = complete.devices.filter {
            $0.name == "controller" && $0[Self.mark] == nil && !known.contains(Self.controllerKey($0))
        }
        return (found, controllers)
    }

    private static func controllerKey(_ device: XMLElement) -> String {
        [device.name, device["type"] ?? "", device["index"] ?? "", device["model"] ?? ""].joined(separator: "/")
    }

    /// Adds a device to a document that stays, and completes it.
    public mutating func add(_ device: XMLElement, _ context: DomainContext) throws {
        try checkUnused(device, isRunning: false)
        devices.append(device)
        self = try DomainDefinition(root, context)
    }

    /// Brings disks in the order in which they are printed.
    public mutating func sortDisks() { devices = devices.withDisksInOrder }

    /// Refuses what is there already.
    /// - Parameter isRunning: whether the machine runs; a definition's refusals have another code.
    public func checkUnused(_ device: XMLElement, isRunning: Bool = true) throws {
        if device.name == "disk", let target = device[child: "target"]?["dev"],
            let known = devices.first(where: { $0.name == "disk" && $0[child: "target"]?["dev"] == target })
        {
            guard isRunning else {
                throw ManagementError(.operationInvalid, "target \(target) already exists", from: .machineDriver)
            }
            let sources = [device, known].map { disk in
                disk[child: "source"].flatMap { $0["file"] ?? $0["dev"] ?? $0["name"] } ?? "<null>"
            }
            throw ManagementError(
                .xmlError, "target '\(target)' duplicated for disk sources '\(sources[0])' and '\(sources[1])'",
                from: .machineDriver)
        }
        if device.name == "interface", let mac = device[child: "mac"]?["address"],
            devices.contains(where: { $0.name == "interface" && $0[child: "mac"]?["address"] == mac.lowercased() })
        {
            throw ManagementError(.operationFailed, "mac address \(mac) already exists", from: .machineDriver)
        }
        let single = ["memballoon", "watchdog", "tpm", "vsock", "iommu", "nvram"]
        if single.contains(device.name), devices.contains(where: { $0.name == device.name && $0["model"] != "none" }) {
            throw ManagementError(
                .operationInvalid, "domain already has a \(device.name)", from: .machineDriver)
        }
    }

    /// The place of the device that a client's document means.
    /// - Throws: libvirt's error when there is none.
    public func place(of wanted: XMLElement) throws -> Int {
        let all = devices
        let found = all.indices.filter { all[$0].name == wanted.name && Self.matches(all[$0], wanted) }
        if let first = found.first {
            // A MAC address alone may be that of several interfaces.
            guard found.count == 1 || wanted.name != "interface" else {
                throw ManagementError(
                    .operationFailed,
                    "multiple devices matching MAC address \(wanted[child: "mac"]?["address"] ?? "") found",
                    from: .machineDriver)
            }
            return first
        }
        let detail: String
        switch wanted.name {
        case "disk": detail = "disk \(wanted[child: "target"]?["dev"] ?? "") not found"
        case "interface":
            detail =
                wanted[child: "mac"].map { "no device matching MAC address \($0["address"] ?? "") found" }
                ?? "no matching network device was found"
        case "controller": detail = "controller \(wanted["type"] ?? ""):\(wanted["index"] ?? "") not found"
        default: detail = "matching \(wanted.name) device not found"
        }
        throw ManagementError(.deviceMissing, detail, from: .machineDriver)
    }

    /// Whether a device is the one that `wanted` describes; what `wanted` does not say does not count.
    private static func matches(_ device: XMLElement, _ wanted: XMLElement) -> Bool {
        switch wanted.name {
        case "disk": return device[child: "target"]?["dev"] == wanted[child: "target"]?["dev"]
        case "controller": return device["type"] == wanted["type"] && device["index"] == wanted["index"] ?? "0"
        case "interface":
            if let mac = wanted[child: "mac"]?["address"], device[child: "mac"]?["address"] != mac.lowercased() {
                return false
            }
            return covers(device[child: "address"], wanted[child: "address"])
        case "filesystem": return device[child: "target"]?["dir"] == wanted[child: "target"]?["dir"]
        default: return covers(device, wanted)
        }
    }

    /// Whether all that `wanted` says is true of `device`; names and addresses may be left out.
    private static func covers(_ device: XMLElement?, _ wanted: XMLElement?) -> Bool {
        guard let wanted else { return true }
        guard let device, device.name == wanted.name else { return false }
        for attribute in wanted.attributes
        where device[attribute.name] != attribute.value && !sameNumber(device[attribute.name], attribute.value) {
            return false
        }
        if wanted.elements.isEmpty, !wanted.text.trimmed.isEmpty, wanted.text != device.text { return false }
        return wanted.elements.allSatisfy { child in
            child.name == "alias" && !(child["name"]?.hasPrefix("ua-") ?? false)
                || device.all(child.name).contains { covers($0, child) }
        }
    }

    private static func sameNumber(_ left: String?, _ right: String) -> Bool {
        guard let left, let one = Values.integer(left), let other = Values.integer(right) else { return false }
        return one == other
    }

    /// The place of the device of a name, either one that the service gave or one of the user.
    public func place(alias: String) throws -> Int {
        guard let place = devices.firstIndex(where: { $0[child: "alias"]?["name"] == alias }) else {
            throw ManagementError(.internalError, "no device found with alias \(alias)", from: .domain)
        }
        return place
    }

    /// The disk that a client names by its target or by the path of its image.
    public func disk(_ name: String) -> XMLElement? {
        devices.first { device in
            guard device.name == "disk" else { return false }
            let source = device[child: "source"]
            return [device[child: "target"]?["dev"], source?["file"], source?["dev"]].contains(name)
        }
    }

    /// Changes the disk of a target.
    public mutating func changeDisk(_ target: String, _ body: (inout XMLElement) throws -> Void) rethrows {
        var all = devices
        for place in all.indices where all[place].name == "disk" && all[place][child: "target"]?["dev"] == target {
            try body(&all[place])
        }
        devices = all
    }
}

extension [XMLElement] {
    /// Disks are printed by bus, and those of a bus by number.
    var withDisksInOrder: [XMLElement] {
        // A new disk goes behind the last one of its bus with a smaller number, or in front of the first of its bus;
        // where its bus has none yet, to the end.
        var sorted: [XMLElement] = []
        func key(_ disk: XMLElement) -> (String, Int) {
            (disk[child: "target"]?["bus"] ?? "", Values.driveIndex(disk[child: "target"]?["dev"] ?? "") ?? 0)
        }
        for disk in self where disk.name == "disk" {
            let (bus, number) = key(disk)
            var place: Int?
            for existing in sorted.indices.reversed() where key(sorted[existing]).0 == bus {
                if key(sorted[existing]).1 <= number {
                    place = existing + 1
                    break
                }
                place = existing
            }
            sorted.insert(disk, at: place ?? sorted.count)
        }
        return sorted + filter { $0.name != "disk" }
    }
}
