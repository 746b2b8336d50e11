// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// Completes a machine's document, step by step. The steps are in files of their own: `DomainBuilder+....swift`.
struct DomainBuilder {
    var root: XMLElement
    let context: DomainContext
    /// The devices while they are worked on, without the emulator.
    var devices: [XMLElement] = []
    /// `pc-q35-7.2`.
    var machine = ""
    /// Whether the document says where processors run.
    var hasGivenPlacement = false

    /// Whether the machine has PCI Express.
    var isQ35: Bool { machine == "q35" || machine.contains("-q35-") || machine.hasPrefix("pc-q35") }
    /// Whether the machine has the PIIX3.
    var isI440FX: Bool {
        machine == "pc" || machine.contains("i440fx") || machine.hasPrefix("pc-0") || machine.hasPrefix("pc-1")
            || machine.hasPrefix("rhel6")
    }
    var hasPCI: Bool { isQ35 || isI440FX }

    mutating func build() throws {
        // Blanks between elements mean nothing, but where text is kept as it is.
        root.dropBlankText(keeping: ["metadata", "description", "title", "cmdline"])
        normalizePrefix()
        try completeIdentity()
        try completeMemory()
        try completeProcessors()
        try completeSystem()
        completeProcessorModel()
        completeClockAndActions()
        try checkChoices()
        try normalizeForms()
        try completeDevices()
        var element = XMLElement("devices")
        if let emulator = root.at("devices", "emulator") { element.append(emulator) }
        element.elements += devices
        root[child: "devices"] = element
        Grammar.domain.order(&root)
    }

    /// Whether the emulator has a device, in its own words.
    func has(_ device: String) -> Bool { context.hasDevice(device, root.at("devices", "emulator")?.text) }

    /// The network card of an interface that names none: of those that the emulator has, what guests know best.
    var defaultCard: String {
        if has("rtl8139") { return "rtl8139" }
        // Where there is PCI Express alone, conventional cards have no place.
        if isQ35, !has("pcie-pci-bridge") { return has("e1000e") ? "e1000e" : "virtio" }
        return has("e1000") ? "e1000" : "virtio"
    }

    /// Sets a default for an element that only has text.
    mutating func setDefault(_ name: String, _ text: String) {
        if root[child: name] == nil { root[child: name] = XMLElement(name, text: text) }
    }

    /// The number of devices of a kind.
    func count(_ name: String, where matches: (XMLElement) -> Bool = { _ in true }) -> Int {
        devices.filter { $0.name == name && matches($0) }.count
    }

    /// Changes every device of a kind.
    mutating func change(_ name: String, _ body: (inout XMLElement) throws -> Void) rethrows {
        for place in devices.indices where devices[place].name == name { try body(&devices[place]) }
    }
}

extension DomainBuilder {
    private mutating func completeIdentity() throws {
        root["id"] = nil
        guard let name = root[child: "name"]?.text, !name.isEmpty else {
            throw ManagementError(.noName, "", from: .domain)
        }
        guard let type = root["type"] else {
            throw ManagementError(.xmlError, "Missing required attribute 'type' in element 'domain'", from: .none)
        }
        let known = ["kvm", "qemu", "hvf"]
        guard known.contains(type) else {
            throw ManagementError(.configUnsupported, "invalid domain type \(type)", from: .domain)
        }
        guard !name.contains("/") else {
            throw ManagementError(.xmlError, "name \(name) cannot contain '/'", from: .none)
        }
        guard !name.contains("\n") else {
            throw ManagementError(.xmlError, "name \(name) cannot contain '\n'", from: .none)
        }
        root[child: "name"] = XMLElement("name", text: name)
        if let text = root[child: "uuid"]?.text {
            guard let uuid = UniqueID(text.trimmed) else {
                throw ManagementError(.internalError, "malformed uuid element", from: .domain)
            }
            root[child: "uuid"] = XMLElement("uuid", text: uuid.description)
        } else {
            root[child: "uuid"] = XMLElement("uuid", text: UniqueID.random().description)
        }
        if let genid = root[child: "genid"] {
            root[child: "genid"] = XMLElement(
                "genid", text: UniqueID(genid.text)?.description ?? UniqueID.random().description)
        }
        if let title = root[child: "title"]?.text, title.contains("\n") {
            throw ManagementError(.xmlError, "Domain title can't contain newlines", from: .domain)
        }
        for name in ["title", "description"] where root[child: name]?.text.isEmpty == true { root[child: name] = nil }
    }

    private mutating func completeMemory() throws {
        guard let memory = root[child: "memory"] else {
            throw ManagementError(.xmlError, "missing memory element", from: .domain)
        }
        var total = try Values.kibibytes(memory)
        if let numa = root.at("cpu", "numa"), case let cells = numa.all("cell"), !cells.isEmpty {
            // The cells' sizes count when there are any.
            let sum = try cells.reduce(UInt64(0)) { sum, cell in
                guard let size = cell["memory"] else { return sum }
                var element = XMLElement("memory", text: size)
                element["unit"] = cell["unit"]
                return sum &+ (try Values.kibibytes(element))
            }
            let modules = try (root[child: "devices"]?.all("memory") ?? []).reduce(UInt64(0)) { sum, device in
                sum &+ (try device.at("target", "size").map(Values.kibibytes) ?? 0)
            }
            if sum > 0 { total = sum &+ modules }
        }
        guard total > 0 else {
            throw ManagementError(
                .xmlError, "Memory size must be specified via <memory> or in the <numa> configuration", from: .domain)
        }
        root[child: "memory"] = Self.kibibytes("memory", total, like: memory)
        var current = try root[child: "currentMemory"].map(Values.kibibytes) ?? 0
        if current == 0 || current > total { current = total }
        root[child: "currentMemory"] = Self.kibibytes("currentMemory", current, like: XMLElement("currentMemory"))
        if let maximum = root[child: "maxMemory"] {
            root[child: "maxMemory"] = Self.kibibytes("maxMemory", try Values.kibibytes(maximum), like: maximum)
        }
        if var tune = root[child: "memtune"] {
            tune.elements = try tune.elements.map { Self.kibibytes($0.name, try Values.kibibytes($0), like: $0) }
            root[child: "memtune"] = tune.elements.isEmpty ? nil : tune
        }
    }

    private static func kibibytes(_ name: String, _ size: UInt64, like old: XMLElement) -> XMLElement {
        var element = XMLElement(name, text: "\(size)")
        element.attributes = old.attributes
        element["unit"] = "KiB"
        return element
    }

    private mutating func completeProcessors() throws {
        var element = root[child: "vcpu"] ?? XMLElement("vcpu", text: "1")
        let text = element.text.trimmed
        guard let count = text.isEmpty ? 1 : Int(text), count >= 1, count <= 4096 else {
            throw ManagementError(.xmlError, "maximum vcpus count must be an integer", from: .domain)
        }
        element.text = "\(count)"
        if let current = element["current"] {
            guard let number = Int(current), number >= 1 else {
                throw ManagementError(.xmlError, "current vcpus count must be an integer", from: .domain)
            }
            guard number <= count else {
                throw ManagementError(
                    .configUnsupported, "maximum vCPU count must not be less than current vCPU count", from: .domain)
            }
            element["current"] = number == count ? nil : "\(number)"
        }
        hasGivenPlacement = element["placement"] != nil
        if element["placement"] == nil { element["placement"] = "static" }
        root[child: "vcpu"] = element
    }

    private mutating func completeSystem() throws {
        var system = root[child: "os"] ?? XMLElement("os")
        guard var type = system[child: "type"] else {
            throw ManagementError(.xmlError, "an os <type> must be specified", from: .domain)
        }
        let kind = type.text.trimmed
        guard kind == "hvm" else {
            throw ManagementError(
                .configUnsupported, "could not find capabilities for ostype=\(kind) domaintype=\(root["type"] ?? "") ",
                from: .none)
        }
        let architecture = type["arch"] ?? context.architecture
        guard let emulator = context.emulator(architecture) else {
            throw ManagementError(
                .configUnsupported,
                "Host does not support domain type \(root["type"] ?? "") with virtualization type 'hvm' for architecture '\(architecture)'",
                from: .none)
        }
        let wanted = type["machine"] ?? context.defaultMachine
        guard let canonical = try context.canonicalMachine(wanted, root.at("devices", "emulator")?.text) else {
            throw ManagementError(
                .configUnsupported,
                "Emulator '\(root.at("devices", "emulator")?.text ?? emulator)' does not support machine type '\(wanted)'",
                from: .machineDriver)
        }
        machine = canonical
        type.attributes = [XMLAttribute("arch", architecture), XMLAttribute("machine", canonical)]
        type.text = kind
        system[child: "type"] = type
        let hasDeviceOrder = (root[child: "devices"]?.elements ?? []).contains { $0[child: "boot"]?["order"] != nil }
        if system.all("boot").isEmpty && !hasDeviceOrder { system.append(XMLElement("boot", ["dev": "hd"])) }
        if !system.all("boot").isEmpty && hasDeviceOrder {
            throw ManagementError(
                .configUnsupported, "per-device boot elements cannot be used together with os/boot elements",
                from: .domain)
        }
        if let menu = system[child: "bootmenu"], menu["enable"] != "yes" { system[child: "bootmenu"]?["timeout"] = nil }
        root[child: "os"] = system
        var devices = root[child: "devices"] ?? XMLElement("devices")
        if devices[child: "emulator"] == nil { devices.append(XMLElement("emulator", text: emulator)) }
        root[child: "devices"] = devices
        if let features = root[child: "features"], features.elements.isEmpty { root[child: "features"] = nil }
    }

    /// The processor that a machine has when the document names none.
    private var defaultModel: String {
        let emulator = root.at("devices", "emulator")?.text ?? ""
        return root.at("os", "type")?["arch"] == "i686" && !emulator.hasSuffix("x86_64") ? "qemu32" : "qemu64"
    }

    private mutating func completeProcessorModel() {
        var cpu = root[child: "cpu"] ?? XMLElement("cpu")
        cpu[child: "arch"] = nil
        if cpu["mode"] == nil && cpu[child: "model"] == nil {
            // Nothing but a topology, say: the default model.
            cpu["mode"] = "custom"
            cpu["match"] = "exact"
            cpu["check"] = "none"
            var model = XMLElement("model", text: defaultModel)
            model["fallback"] = "forbid"
            cpu[child: "model"] = model
        }
        let mode = cpu["mode"] ?? "custom"
        cpu["mode"] = mode
        switch mode {
        case "host-passthrough", "maximum":
            cpu["match"] = nil
            if cpu["check"] == nil { cpu["check"] = "none" }
            if cpu["migratable"] == nil { cpu["migratable"] = "on" }
            cpu[child: "model"] = nil
        case "host-model":
            cpu["match"] = nil
            if cpu["check"] == nil { cpu["check"] = "partial" }
            if cpu[child: "model"]?.text.isEmpty ?? true, cpu[child: "model"]?["vendor_id"] == nil {
                cpu[child: "model"] = nil
            }
        default:
            if cpu["match"] == nil { cpu["match"] = "exact" }
            // A processor in software is what it says, whatever the host's is.
            if cpu["check"] == nil { cpu["check"] = root["type"] == "kvm" ? "partial" : "none" }
            if cpu[child: "model"]?["fallback"] == nil { cpu[child: "model"]?["fallback"] = "allow" }
        }
        if cpu[child: "topology"] != nil, cpu[child: "topology"]?["dies"] == nil {
            cpu[child: "topology"]?["dies"] = "1"
        }
        cpu.elements = cpu.elements.map { element in
            guard element.name == "feature", element["policy"] == nil else { return element }
            var changed = element
            changed["policy"] = "require"
            return changed
        }
        completeCells(&cpu)
        root[child: "cpu"] = cpu
    }

    private func completeCells(_ cpu: inout XMLElement) {
        guard var numa = cpu[child: "numa"] else { return }
        var number = 0
        numa.elements = numa.elements.map { element in
            guard element.name == "cell" else { return element }
            var cell = element
            if cell["id"] == nil { cell["id"] = "\(number)" }
            number += 1
            if let size = cell["memory"] {
                var memory = XMLElement("memory", text: size)
                memory["unit"] = cell["unit"]
                if let kibibytes = try? Values.kibibytes(memory) { cell["memory"] = "\(kibibytes)" }
                cell["unit"] = "KiB"
            }
            if let set = cell["cpus"] { cell["cpus"] = NumberSet.normalized(set) }
            return cell
        }
        let cells = numa.elements.enumerated().sorted {
            let (left, right) = ($0.element["id"].flatMap { Int($0) } ?? 0, $1.element["id"].flatMap { Int($0) } ?? 0)
            return $0.element.name == "cell" && $1.element.name == "cell"
                ? (left, $0.offset) < (right, $1.offset) : $0.offset < $1.offset
        }
        numa.elements = cells.map(\.element)
        cpu[child: "numa"] = numa
    }

    private mutating func completeClockAndActions() {
        var clock = root[child: "clock"] ?? XMLElement("clock", ["offset": "utc"])
        if clock["offset"] == nil { clock["offset"] = "utc" }
        root[child: "clock"] = clock
        setDefault("on_poweroff", "destroy")
        setDefault("on_reboot", "restart")
        setDefault("on_crash", "destroy")
    }
}
