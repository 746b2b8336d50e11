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
        element.append(XMLElement("model", text: "kvm64"))
        let vendors = ["GenuineIntel": "Intel", "AuthenticAMD": "AMD"]
        if let vendor = vendors[host.vendor] { element.append(XMLElement("vendor", text: vendor)) }
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
        for name in ProcessorFeatures.beyondBaseModel(host.flags) {
            element.append(XMLElement("feature", ["name": name]))
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

/// Names of processor features, as libvirt writes them.
public enum ProcessorFeatures {
    /// What every processor of the model kvm64 has; the rest is listed one by one.
    private static let base: Set<String> = [
        "fpu", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca", "cmov", "pat",
        "pse36", "clflush", "mmx", "fxsr", "sse", "sse2", "syscall", "nx", "lm", "pni", "cx16",
    ]
    private static let renamed = [
        "pclmulqdq": "pclmuldq", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "tsc_deadline_timer": "tsc-deadline",
        "sha_ni": "sha-ni", "cr8_legacy": "cr8legacy", "avx512_vbmi2": "avx512vbmi2", "avx512_vnni": "avx512vnni",
        "avx512_bitalg": "avx512bitalg", "avx512_vpopcntdq": "avx512-vpopcntdq", "avx_vnni": "avx-vnni",
        "avx512_bf16": "avx512-bf16", "avx512_vp2intersect": "avx512-vp2intersect", "nonstop_tsc": "invtsc",
        "md_clear": "md-clear", "arch_capabilities": "arch-capabilities",
    ]
    /// What the kernel lists that is its own notion and no feature of the processor's CPUID.
    private static let kernelOnly: Set<String> = [
        "constant_tsc", "tsc_known_freq", "rep_good", "nopl", "xtopology", "cpuid", "extd_apicid", "arch_perfmon",
        "pebs", "bts", "aperfmperf", "ibrs_enhanced", "pti", "tsc_reliable",
    ]

    /// The features beyond the base model, in the order of the kernel's list.
    public static func beyondBaseModel(_ flags: [String]) -> [String] {
        flags.filter { !base.contains($0) && !kernelOnly.contains($0) }.map { renamed[$0] ?? $0 }
    }
}
