// SPDX-License-Identifier: Apache-2.0

/// A `-cpu` that cannot be had.
public struct CPUModelError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One line without the program's name.
    public let description: String

    /// Wraps the line.
    public init(description: String) { self.description = description }
}

/// How the vCPUs are grouped, as CPUID tells it.
public struct ProcessorTopology: Equatable, Sendable {
    /// 1 or more each.
    public var sockets: Int, cores: Int, threads: Int

    /// `sockets` * `cores` * `threads` vCPUs.
    public init(sockets: Int = 1, cores: Int = 1, threads: Int = 1) {
        self.sockets = sockets
        self.cores = cores
        self.threads = threads
    }
}

/// Which processor the guest sees: a named model with features added and taken away, within what the engine offers.
public struct CPUModel: Sendable {
    /// A model by name.
    public struct Definition: Sendable {
        /// As in `-cpu`.
        public let name: String
        /// For `-cpu help`.
        public let summary: String
        let vendor: String
        let signature: Signature
        let brand: String
        /// nil: everything that the engine offers.
        public let features: FeatureSet?
        let highestLeaf: UInt32
        let highestExtendedLeaf: UInt32
    }

    /// Family, model and stepping.
    public struct Signature: Equatable, Sendable {
        /// As people read them, not as leaf 1 splits them.
        public var family: UInt32, model: UInt32, stepping: UInt32

        /// The displayed family and model, extended parts included.
        public init(family: UInt32, model: UInt32, stepping: UInt32) {
            self.family = family
            self.model = model
            self.stepping = stepping
        }

        /// EAX of leaf 1.
        var leaf: UInt32 {
            let base = min(family, 15)
            return stepping & 15 | (model & 15) << 4 | base << 8 | (model >> 4 & 15) << 16 | (family - base) << 20
        }
    }

    /// What an engine and the host under it can offer.
    public struct Capabilities: Sendable {
        /// Features that work.
        public var features: FeatureSet
        /// Width of guest-physical addresses, 32...52.
        public var physicalAddressBits: Int
        /// The width of the host's own physical addresses, for `host-phys-bits=on`.
        public var hostPhysicalAddressBits: Int
        /// The host's identity, for `host`.
        public var hostVendor: String, hostBrand: String
        /// The host's own family, model and stepping.
        public var hostSignature: Signature
        /// "TCGTCGTCGTCG" or "KVMKVMKVM\0\0\0".
        public var hypervisor: String
        /// EAX of 0x40000001.
        public var hypervisorFeatures: UInt32
        /// Bytes of the XSAVE area up to each state component and the component's own size, for leaf 0xD: (bit,
        /// offset, size), standard format.
        public var stateComponents: [(bit: Int, offset: UInt32, size: UInt32)]

        /// Every model shows the host's vendor, and `max` its name and signature too: guest code runs on the host's
        /// processor, whose vendors differ in what some instructions do.
        public var presentsHost = false

        /// Everything by name; `presentsHost` is false.
        public init(
            features: FeatureSet, physicalAddressBits: Int, hostVendor: String, hostBrand: String,
            hostSignature: Signature, hypervisor: String, hypervisorFeatures: UInt32 = 0,
            stateComponents: [(bit: Int, offset: UInt32, size: UInt32)] = [], hostPhysicalAddressBits: Int? = nil
        ) {
            self.features = features
            self.physicalAddressBits = physicalAddressBits
            self.hostPhysicalAddressBits = hostPhysicalAddressBits ?? physicalAddressBits
            self.hostVendor = hostVendor
            self.hostBrand = hostBrand
            self.hostSignature = hostSignature
            self.hypervisor = hypervisor
            self.hypervisorFeatures = hypervisorFeatures
            self.stateComponents = stateComponents
        }
    }

    /// The model's name.
    public let name: String
    /// What CPUID shows: never more than the engine offers.
    public let features: FeatureSet
    /// What was asked for by name and is not offered; worth a warning.
    public let unavailable: [ProcessorFeature]
    /// MAXPHYADDR.
    public var physicalAddressBits: Int { capabilities.physicalAddressBits }
    /// "AuthenticAMD".
    public internal(set) var vendor: String
    var signature: Signature
    var brand: String
    var highestLeaf: UInt32
    var highestExtendedLeaf: UInt32
    var capabilities: Capabilities
    /// How the vCPUs are grouped.
    public var topology = ProcessorTopology()

    private static let baseline: [String] = [
        "fpu", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca", "cmov", "pat",
        "pse36",
        "clflush", "mmx", "fxsr", "sse", "sse2", "sse3", "cx16", "syscall", "nx", "lm", "lahf-lm", "hypervisor",
    ]

    /// The models, in the order of `-cpu help`.
    public static let definitions: [Definition] =
        [
            Definition(
                name: "qemu64", summary: "QEMU Virtual CPU version 2.5+", vendor: "AuthenticAMD",
                signature: Signature(family: 15, model: 107, stepping: 1), brand: "QEMU Virtual CPU version 2.5+",
                features: FeatureSet(baseline), highestLeaf: 0xD, highestExtendedLeaf: 0x8000_000A),
            Definition(
                name: "kvm64", summary: "Common KVM processor", vendor: "GenuineIntel",
                signature: Signature(family: 15, model: 6, stepping: 1), brand: "Common KVM processor",
                features: FeatureSet(baseline.filter { $0 != "lahf-lm" }), highestLeaf: 0xD,
                highestExtendedLeaf: 0x8000_0008),
            Definition(
                name: "host", summary: "the host's processor, as far as the accelerator passes it on", vendor: "",
                signature: Signature(family: 6, model: 6, stepping: 3), brand: "",
                features: nil, highestLeaf: 0xD, highestExtendedLeaf: 0x8000_000A),
            Definition(
                name: "max", summary: "every feature that the accelerator offers on this host", vendor: "AuthenticAMD",
                signature: Signature(family: 15, model: 107, stepping: 1), brand: "Roost Virtual CPU", features: nil,
                highestLeaf: 0xD, highestExtendedLeaf: 0x8000_000A),
            Definition(
                name: "base", summary: "base CPU model type with no features enabled", vendor: "AuthenticAMD",
                signature: Signature(family: 6, model: 6, stepping: 3), brand: "", features: FeatureSet(),
                highestLeaf: 0xD,
                highestExtendedLeaf: 0x8000_0008),
        ] + tableDefinitions()

    /// Builds a model.
    /// - Parameters:
    ///   - name: as in `definitions`.
    ///   - changes: features to add (true) or take away, in order; `vendor` and the like are not among them.
    /// - Throws: an unknown model or feature.
    public init(
        named name: String, changes: [(feature: String, isOn: Bool)] = [], capabilities: Capabilities
    ) throws(CPUModelError) {
        guard let definition = Self.definitions.first(where: { $0.name == name }) else {
            throw CPUModelError(description: "unable to find CPU model '\(name)'")
        }
        let isHost = definition.name == "host" || (definition.name == "max" && capabilities.presentsHost)
        var wanted = definition.features ?? capabilities.features
        if definition.features == nil,
            changes.last(where: { $0.feature == "migratable" })?.isOn ?? capabilities.presentsHost
        {
            for name in Self.unmigratableFeatures { wanted.remove(ProcessorFeature.named(name)!) }
        }
        if definition.name != "base" { wanted.insert(ProcessorFeature.named("hypervisor")!) }
        var asked = FeatureSet()
        var capabilities = capabilities
        for change in changes where !Self.isFeature(change.feature) {
            try Self.apply(change.feature, change.isOn, of: definition, to: &capabilities)
        }
        for change in changes where Self.isFeature(change.feature) {
            guard let feature = ProcessorFeature.named(change.feature) else {
                throw CPUModelError(description: "Property '\(name)-x86_64-cpu.\(change.feature)' not found")
            }
            if change.isOn {
                wanted.insert(feature)
                asked.insert(feature)
            } else {
                wanted.remove(feature)
                asked.remove(feature)
            }
        }
        self.name = name
        self.capabilities = capabilities
        features = wanted.intersection(capabilities.features)
        unavailable = asked.missing(from: capabilities.features)
        vendor = isHost || capabilities.presentsHost ? capabilities.hostVendor : definition.vendor
        signature = isHost ? capabilities.hostSignature : definition.signature
        brand = isHost ? capabilities.hostBrand : definition.brand
        highestLeaf = definition.highestLeaf
        highestExtendedLeaf = definition.highestExtendedLeaf
    }

    /// Whether the model shows this feature.
    public func has(_ feature: String) -> Bool { features.contains(feature) }
}
