// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
public import CPUInterface

extension SoftCPU {
    /// Features that the interpreter does by itself, whatever the host's processor.
    private static let ownFeatures: [String] = [
        "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca", "cmov",
        "pat",
        "pse36",
        "clflush", "mmx", "fxsr", "sse", "sse2", "cx16", "pcid", "x2apic", "movbe", "popcnt", "tsc-deadline", "rdrand",
        "hypervisor", "fsgsbase", "tsc-adjust", "bmi1", "smep", "bmi2", "erms", "invpcid", "rdseed", "adx", "smap",
        "clflushopt", "clwb", "umip", "pku", "la57", "rdpid", "fsrm", "syscall", "nx", "pdpe1gb", "rdtscp", "lm",
        "lahf-lm",
        "abm", "3dnowprefetch",
    ]

    /// Features whose instructions the host's own units run: shown only where the host has them.
    private static let hostFeatures: [String] = [
        "sse3", "pclmulqdq", "ssse3", "fma", "sse4.1", "sse4.2", "aes", "xsave", "avx", "f16c", "avx2", "sha-ni",
        "xsaveopt",
        "xsavec", "xgetbv1", "xsaves", "invtsc", "gfni", "vaes", "vpclmulqdq",
    ]

    /// What this engine offers a guest on this host.
    public static func capabilities() -> CPUModel.Capabilities {
        var features = FeatureSet(ownFeatures)
        for name in hostFeatures {
            guard let feature = ProcessorFeature.named(name) else { continue }
            if hostHas(feature) { features.insert(feature) }
        }
        let top = hostLeaf(0)
        let vendor = text([top.ebx, top.edx, top.ecx])
        let brand = (0..<3).map { part in
            let leaf = hostLeaf(0x8000_0002 + UInt32(part))
            return text([leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
        }.joined()
        return CPUModel.Capabilities(
            features: features, physicalAddressBits: physicalAddressBits, hostVendor: vendor, hostBrand: brand,
            hostSignature: signature(hostLeaf(1).eax), hypervisor: "TCGTCGTCGTCG",
            stateComponents: [(0, 0, 160), (1, 160, 256), (2, 576, 256), (9, 2688, 8)].map {
                (bit: $0.0, offset: $0.1, size: $0.2)
            }, hostPhysicalAddressBits: Int(hostLeaf(0x8000_0008).eax & 0xFF))
    }

    /// The name in leaf 0x40000000 of the hypervisor under this host; empty where there is none.
    public static var hostHypervisor: String {
        let isPresent: UInt32 = 1 << 31
        guard hostLeaf(1).ecx & isPresent != 0 else { return "" }
        let leaf = hostLeaf(0x4000_0000)
        return text([leaf.ebx, leaf.ecx, leaf.edx])
    }

    /// As QEMU's software CPU has it.
    static let physicalAddressBits = 40

    private static func hostLeaf(_ function: UInt32, _ index: UInt32 = 0) -> CPUIDResult {
        var words: [UInt32] = [0, 0, 0, 0]
        roost_cpuid(function, index, &words)
        return CPUIDResult(eax: words[0], ebx: words[1], ecx: words[2], edx: words[3])
    }

    /// Whether the host's processor, and its operating system where state is to be saved, offer a feature.
    static func hostHas(_ feature: ProcessorFeature) -> Bool {
        let leaf = hostLeaf(feature.register.function, feature.register.index)
        let word: UInt32 =
            switch feature.register.name {
            case .eax: leaf.eax
            case .ebx: leaf.ebx
            case .ecx: leaf.ecx
            case .edx: leaf.edx
            }
        return word & (1 << UInt32(feature.bit)) != 0
    }

    private static func text(_ words: [UInt32]) -> String {
        let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) } }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func signature(_ leaf: UInt32) -> CPUModel.Signature {
        let base = leaf >> 8 & 15
        let family = base == 15 ? base + (leaf >> 20 & 0xFF) : base
        let model = leaf >> 4 & 15 | (base == 15 || base == 6 ? leaf >> 12 & 0xF0 : 0)
        return CPUModel.Signature(family: family, model: model, stepping: leaf & 15)
    }
}
