// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// What an emulator can do for a kind of machine (virsh domcapabilities). Clients choose devices by it.
public struct DomainCapabilities: Sendable {
    private let emulator: EmulatorFacts
    private let host: HostFacts
    private let machine: String
    private let type: String
    private let architecture: String
    private let firmware: [FirmwareDescription]
    /// nil where the emulator does not say.
    private let processors: EmulatorProcessors?

    /// - Parameter processors: the processors that the emulator gives machines of a type, `kvm` or `qemu`.
    /// - Throws: libvirt's error for what there is not.
    public init(
        emulator: EmulatorFacts, host: HostFacts, architecture: String?, machine: String?, type: String?,
        firmware: [FirmwareDescription] = [], processors: (String) -> EmulatorProcessors? = { _ in nil }
    ) throws {
        let architecture = architecture ?? "x86_64"
        let type = try Self.type(of: emulator, architecture: architecture, machine: machine, type: type)
        self.emulator = emulator
        self.host = host
        self.machine = emulator.canonical(machine ?? Self.usualMachine) ?? ""
        self.type = type
        self.architecture = architecture
        self.processors = processors(type)
        let canonical = self.machine
        self.firmware = firmware.filter { $0.serves(architecture, canonical) }
    }

    /// Whether there are processors of that architecture at all.
    public static func knows(architecture: String) -> Bool {
        architectures.contains(architecture) || ["x86_64", "i686"].contains(architecture)
    }

    private static let usualMachine = "pc"

    /// The kind of virtualization, `kvm` or `qemu`, that an emulator uses unless a client says.
    /// - Throws: libvirt's error for an architecture, a machine or a kind that it has not.
    public static func type(
        of emulator: EmulatorFacts, architecture: String?, machine: String?, type: String?
    ) throws -> String {
        let architecture = architecture ?? "x86_64"
        guard ["x86_64", "i686"].contains(architecture) else {
            guard Self.architectures.contains(architecture) else {
                throw ManagementError(.invalidArg, "unknown architecture: \(architecture)")
            }
            throw ManagementError(
                .configUnsupported, "unable to find any emulator to serve '\(architecture)' architecture")
        }
        let wanted = machine ?? Self.usualMachine
        guard emulator.canonical(wanted) != nil else {
            throw ManagementError(
                .invalidArg, "the machine '\(wanted)' is not supported by emulator '\(emulator.path)'")
        }
        let type = type ?? (emulator.hasKVM ? "kvm" : "qemu")
        guard ["kvm", "qemu"].contains(type) else {
            throw ManagementError(.invalidArg, "unknown virttype: \(type)")
        }
        guard type != "kvm" || emulator.hasKVM else {
            throw ManagementError(
                .invalidArg, "the accel 'kvm' is not supported by '\(emulator.path)' on this host")
        }
        return type
    }

    /// Architectures that libvirt knows, without those that emulators here serve.
    private static let architectures: Set<String> = [
        "alpha", "armv6l", "armv7l", "armv7b", "aarch64", "cris", "ia64", "lm32", "loongarch64", "m68k",
        "microblaze", "microblazeel", "mips", "mipsel", "mips64", "mips64el", "openrisc", "parisc", "parisc64", "ppc",
        "ppcle", "ppc64", "ppc64le", "ppcemb", "riscv32", "riscv64", "s390", "s390x", "sh4", "sh4eb", "sparc",
        "sparc64", "unicore32", "xtensa", "xtensaeb",
    ]

    private static func choice(_ name: String, _ values: [String]) -> XMLElement {
        XMLElement("enum", ["name": name], values.map { XMLElement("value", text: $0) })
    }

    private static func supported(_ name: String, _ isSupported: Bool, _ elements: [XMLElement] = []) -> XMLElement {
        XMLElement(name, ["supported": isSupported ? "yes" : "no"], isSupported ? elements : [])
    }

    private func has(_ device: String) -> Bool { emulator.devices.contains(device) }

    /// The document.
    public var document: String {
        let isQ35 = machine.contains("q35")
        var root = XMLElement(
            "domainCapabilities", [:],
            [
                XMLElement("path", text: emulator.path), XMLElement("domain", text: type),
                XMLElement("machine", text: machine), XMLElement("arch", text: architecture),
            ])
        var vcpu = XMLElement("vcpu")
        vcpu["max"] = "\(emulator.machines.first { $0.name == machine }?.maximumProcessors ?? 255)"
        root.append(vcpu)
        root.append(Self.supported("iothreads", false))
        root.append(system)
        root.append(processor)
        root.append(
            Self.supported("memoryBacking", true, [Self.choice("sourceType", ["file", "anonymous", "memfd"])]))
        root.append(XMLElement("devices", [:], devices(isQ35)))
        root.append(
            XMLElement(
                "features", [:],
                [
                    Self.supported("gic", false), Self.supported("vmcoreinfo", false), Self.supported("genid", false),
                    Self.supported("backingStoreInput", true), Self.supported("backup", true),
                    Self.supported("sev", false),
                    Self.supported("sgx", false), Self.supported("hyperv", false),
                ]))
        return root.printed()
    }

    private var system: XMLElement {
        let efi = firmware.filter { $0.interfaces.contains("uefi") }
        let flash = efi.filter { $0.device == "flash" }
        let hasSecure = machine.contains("q35") && flash.contains { $0.features.contains("requires-smm") }
        let loader = Self.supported(
            "loader", true,
            flash.map { XMLElement("value", text: $0.program) } + [
                Self.choice("type", ["rom", "pflash"]), Self.choice("readonly", ["yes", "no"]),
                Self.choice("secure", hasSecure ? ["yes", "no"] : ["no"]),
            ])
        return Self.supported("os", true, [Self.choice("firmware", efi.isEmpty ? [] : ["efi"]), loader])
    }

    private var processor: XMLElement {
        func mode(_ name: String, _ isSupported: Bool, _ elements: [XMLElement] = []) -> XMLElement {
            XMLElement("mode", ["name": name, "supported": isSupported ? "yes" : "no"], isSupported ? elements : [])
        }
        let best = try? processors?.hostModel()
        let map = ProcessorMap.standard
        let custom = (processors?.models ?? []).map { model in
            var element = XMLElement("model", text: model.name)
            element["usable"] = model.blockers.isEmpty ? "yes" : "no"
            element["vendor"] = map.model(model.name)?.features.vendor ?? "unknown"
            return element
        }
        return XMLElement(
            "cpu", [:],
            [
                mode("host-passthrough", type == "kvm", [Self.choice("hostPassthroughMigratable", ["on", "off"])]),
                mode("maximum", true, [Self.choice("maximumMigratable", ["on", "off"])]),
                mode("host-model", best != nil, best?.elements ?? []), mode("custom", !custom.isEmpty, custom),
            ])
    }

    private func devices(_ isQ35: Bool) -> [XMLElement] {
        var buses = ["virtio"]
        if has("floppy") { buses.append("fdc") }
        if has("ide-hd") { buses.append(isQ35 ? "sata" : "ide") }
        if has("scsi-hd") { buses.append("scsi") }
        if has("usb-storage") { buses.append("usb") }
        let videos = [
            ("VGA", "vga"), ("cirrus-vga", "cirrus"), ("qxl-vga", "qxl"), ("virtio-vga", "virtio"),
            ("bochs-display", "bochs"),
        ].filter { has($0.0) }.map(\.1)
        let virtio = ["virtio", "virtio-transitional", "virtio-non-transitional"]
        return [
            Self.supported(
                "disk", true,
                [
                    Self.choice("diskDevice", ["disk", "cdrom"]), Self.choice("bus", buses),
                    Self.choice("model", virtio),
                ]),
            Self.supported("graphics", !videos.isEmpty, [Self.choice("type", ["vnc"])]),
            Self.supported("video", true, [Self.choice("modelType", videos + ["none"])]),
            Self.supported("hostdev", false),
            Self.supported(
                "rng", has("virtio-rng-pci"),
                [Self.choice("model", virtio), Self.choice("backendModel", ["random", "builtin"])]),
            Self.supported("filesystem", false), Self.supported("tpm", false), Self.supported("redirdev", false),
            Self.supported("channel", true, [Self.choice("type", ["pty", "unix"])]),
        ]
    }
}
