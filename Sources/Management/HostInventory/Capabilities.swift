// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// The emulators of this host and what they offer.
public struct EmulatorFacts: Sendable {
    /// A kind of machine that an emulator has.
    public struct Machine: Equatable, Sendable {
        /// As `-machine` takes it, or an alias such as `pc`.
        public var name: String
        /// The versioned name, where `name` is an alias.
        public var canonical: String?
        /// The most that `-smp` takes for it.
        public var maximumProcessors: Int

        /// A machine of any name, as an emulator would list it.
        public init(name: String, canonical: String? = nil, maximumProcessors: Int = 255) {
            self.name = name
            self.canonical = canonical
            self.maximumProcessors = maximumProcessors
        }
    }

    /// The path of the program.
    public var path: String
    /// 7.2.0 is 7002000.
    public var version: UInt64
    /// What `-machine` takes, aliases among them.
    public var machines: [Machine]
    /// Names of CPU models.
    public var processorModels: [String]
    /// Names of devices that `-device` takes.
    public var devices: Set<String>
    /// Whether machines can run on the host's own processor (/dev/kvm).
    public var hasKVM: Bool
    /// Whether it can give up system calls that machines do not need.
    public var hasSandbox = false
    /// Whether it can show screens and take USB devices by SPICE.
    public var hasSpice = false

    /// Facts that are known without asking an emulator.
    public init(
        path: String, version: UInt64, machines: [Machine], processorModels: [String], devices: Set<String>,
        hasKVM: Bool
    ) {
        self.path = path
        self.version = version
        self.machines = machines
        self.processorModels = processorModels
        self.devices = devices
        self.hasKVM = hasKVM
    }

    /// The versioned name of a machine that may be given by its alias; nil when there is no such machine.
    public func canonical(_ name: String) -> String? {
        machines.first { $0.name == name }.map { $0.canonical ?? $0.name }
    }
}

/// What the service says of the host (virsh capabilities).
public struct Capabilities: Sendable {
    /// What the `<host>` part is made of.
    public let host: HostFacts
    /// What the `<guest>` parts are made of.
    public let emulator: EmulatorFacts

    /// Facts that were gathered when the service started.
    public init(host: HostFacts, emulator: EmulatorFacts) {
        self.host = host
        self.emulator = emulator
    }

    /// The document.
    public var document: String {
        let parts = [hostElement, guestElement("i686", 32), guestElement("x86_64", 64)]
        let body = parts.map { $0.printed(level: 1) }.joined(separator: "\n")
        return "<capabilities>\n\n" + body + "\n</capabilities>\n"
    }

    private var hostElement: XMLElement {
        XMLElement(
            "host", [:],
            [
                XMLElement("uuid", text: host.uuid.description), processor,
                XMLElement("power_management"), XMLElement("iommu", ["support": "no"]), migration, topology,
                XMLElement(
                    "secmodel", [:], [XMLElement("model", text: "none"), XMLElement("doi", text: "0")]),
            ])
    }

    private var processor: XMLElement {
        var element = XMLElement("cpu", [:], [XMLElement("arch", text: "x86_64")])
        if let model = host.processor?.model { element.append(XMLElement("model", text: model)) }
        if let vendor = host.processor?.vendor { element.append(XMLElement("vendor", text: vendor)) }
        if host.microcode > 0 { element.append(XMLElement("microcode", ["version": "\(host.microcode)"])) }
        element.append(
            XMLElement(
                "signature",
                ["family": "\(host.family)", "model": "\(host.model)", "stepping": "\(host.stepping)"]))
        element.append(
            XMLElement(
                "topology",
                [
                    "sockets": "\(host.topology.sockets)", "dies": "1", "cores": "\(host.topology.cores)",
                    "threads": "\(host.topology.threads)",
                ]))
        if host.physicalBits > 0 {
            element.append(XMLElement("maxphysaddr", ["mode": "emulate", "bits": "\(host.physicalBits)"]))
        }
        for feature in host.processor?.features ?? [] {
            element.append(XMLElement("feature", ["name": feature.name]))
        }
        for size in Self.pageSizes { element.append(XMLElement("pages", ["unit": "KiB", "size": "\(size)"])) }
        return element
    }

    private static let pageSizes = [4, 2048, 1_048_576]

    private var migration: XMLElement {
        let transports = XMLElement("uri_transports", [:], [XMLElement("uri_transport", text: "tcp")])
        return XMLElement("migration_features", [:], [XMLElement("live"), transports])
    }

    private var topology: XMLElement {
        var memory = XMLElement("memory", text: "\(host.memoryKiB)")
        memory["unit"] = "KiB"
        var cell = XMLElement("cell", ["id": "0"], [memory])
        for size in Self.pageSizes {
            var pages = XMLElement("pages", text: size == 4 ? "\(host.memoryKiB / 4)" : "0")
            pages["unit"] = "KiB"
            pages["size"] = "\(size)"
            cell.append(pages)
        }
        cell.append(XMLElement("distances", [:], [XMLElement("sibling", ["id": "0", "value": "10"])]))
        let cores = host.topology.cores * host.topology.threads
        let cpus = (0..<host.processors).map { number in
            XMLElement(
                "cpu",
                [
                    "id": "\(number)", "socket_id": "\(number / cores)", "die_id": "0",
                    "core_id": "\(number % cores / host.topology.threads)", "siblings": "\(number)",
                ])
        }
        cell.append(XMLElement("cpus", ["num": "\(host.processors)"], cpus))
        return XMLElement("topology", [:], [XMLElement("cells", ["num": "1"], [cell])])
    }

    private func guestElement(_ architecture: String, _ bits: Int) -> XMLElement {
        var arch = XMLElement(
            "arch", ["name": architecture],
            [XMLElement("wordsize", text: "\(bits)"), XMLElement("emulator", text: emulator.path)])
        for machine in emulator.machines {
            var element = XMLElement("machine", text: machine.name)
            element["canonical"] = machine.canonical
            element["maxCpus"] = "\(machine.maximumProcessors)"
            arch.append(element)
        }
        arch.append(XMLElement("domain", ["type": "qemu"]))
        if emulator.hasKVM { arch.append(XMLElement("domain", ["type": "kvm"])) }
        var features = XMLElement("features")
        if bits == 32 { features.elements = [XMLElement("pae"), XMLElement("nonpae")] }
        features.elements += [
            XMLElement("acpi", ["default": "on", "toggle": "yes"]),
            XMLElement("apic", ["default": "on", "toggle": "no"]),
            XMLElement("cpuselection"), XMLElement("deviceboot"),
            XMLElement("disksnapshot", ["default": "on", "toggle": "no"]),
        ]
        return XMLElement("guest", [:], [XMLElement("os_type", text: "hvm"), arch, features])
    }
}
