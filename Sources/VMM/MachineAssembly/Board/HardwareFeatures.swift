// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import KVMEngine
internal import X86CPU

/// CPUID under KVM: what the kernel offers, as capabilities and as the table for one vCPU.
enum HardwareFeatures {
    private static let hypervisorLeaf: UInt32 = 0x4000_0000
    private static let addressLeaf: UInt32 = 0x8000_0008
    private static let virtualizationLeaf: UInt32 = 0x8000_000A

    /// What KVM may offer and needs leaves, registers or permissions that Roost does not set up for a guest.
    private static let unsupported = [
        "monitor", "dtes64", "ds", "ds-cpl", "pdcm", "est", "tm", "tm2", "smx", "dca", "acpi", "pbe", "xtpr",
        "intel-pt",
        "mpx", "sgxlc", "pks", "arch-lbr", "amx-bf16", "amx-tile", "amx-int8", "xfd", "extapic", "ibs", "skinit", "wdt",
        "lwp", "topoext", "nodeid-msr", "perfctr-core", "perfctr-nb", "core-capability",
    ]
    /// XSAVE and what needs a state component that only XSAVE saves.
    private static let extendedStateFeatures = [
        "xsave", "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xsaveerptr", "avx", "avx2", "fma", "f16c", "fma4", "xop",
        "vaes", "vpclmulqdq", "pku", "avx512f", "avx512dq", "avx512ifma", "avx512pf", "avx512er", "avx512cd",
        "avx512bw",
        "avx512vl", "avx512vbmi", "avx512vbmi2", "avx512vnni", "avx512bitalg", "avx512-vpopcntdq", "avx512-4vnniw",
        "avx512-4fmaps", "avx512-vp2intersect", "avx512-fp16",
    ]

    /// Whether KVM learns of a guest's XSETBV. The SVM of QEMU's software CPU runs that instruction without an exit, so
    /// that CPUID and XCR0 contradict each other in a guest there, and the guest's XCR0 stays behind in the host.
    private static var seesExtendedControl: Bool { SoftCPU.hostHypervisor != "TCGTCGTCGTCG" }

    static func capabilities(_ offered: [CPUIDEntry], hasDeadlineTimer: Bool) -> CPUModel.Capabilities {
        var features = FeatureSet()
        for feature in ProcessorFeature.all {
            let register = feature.register
            guard let entry = find(offered, register.function, register.index) else { continue }
            let word: UInt32 =
                switch register.name {
                case .eax: entry.eax
                case .ebx: entry.ebx
                case .ecx: entry.ecx
                case .edx: entry.edx
                }
            if word & (1 << UInt32(feature.bit)) != 0 { features.insert(feature) }
        }
        for name in unsupported {
            if let feature = ProcessorFeature.named(name) { features.remove(feature) }
        }
        if !seesExtendedControl {
            for name in extendedStateFeatures {
                if let feature = ProcessorFeature.named(name) { features.remove(feature) }
            }
        }
        // The kernel's controllers provide these, whatever it says of the host.
        for name in ["hypervisor", "x2apic", "apic"] + (hasDeadlineTimer ? ["tsc-deadline"] : []) {
            if let feature = ProcessorFeature.named(name) { features.insert(feature) }
        }
        let software = SoftCPU.capabilities()
        let components: [(bit: Int, offset: UInt32, size: UInt32)] = (0..<64).compactMap { bit in
            if bit < 2 { return (bit, bit == 0 ? 0 : 160, bit == 0 ? 160 : 256) }
            guard let entry = find(offered, 0xD, UInt32(bit)), entry.eax != 0 else { return nil }
            return (bit, entry.ebx, entry.eax)
        }
        var result = CPUModel.Capabilities(
            features: features, physicalAddressBits: Int((find(offered, addressLeaf, 0)?.eax ?? 40) & 0xFF),
            hostVendor: software.hostVendor, hostBrand: software.hostBrand, hostSignature: software.hostSignature,
            hypervisor: "KVMKVMKVM\0\0\0", hypervisorFeatures: find(offered, hypervisorLeaf + 1, 0)?.eax ?? 0,
            stateComponents: components)
        result.presentsHost = true
        return result
    }

    private static func find(_ entries: [CPUIDEntry], _ function: UInt32, _ index: UInt32) -> CPUIDEntry? {
        entries.first { $0.function == function && (!$0.hasIndex || $0.index == index) }
    }

    /// The leaves of one vCPU.
    static func table(_ model: CPUModel, offered: [CPUIDEntry], processor: Int) -> [CPUIDEntry] {
        let state = CPUIDState(identifier: UInt32(processor))
        let rows = model.table(state: state).map { row in
            CPUIDEntry(
                function: row.function, index: row.index ?? 0, hasIndex: row.index != nil, eax: row.result.eax,
                ebx: row.result.ebx, ecx: row.result.ecx, edx: row.result.edx)
        }
        // What nested SVM can do is the kernel's to say.
        guard model.has("svm"), let virtualization = find(offered, virtualizationLeaf, 0) else { return rows }
        return rows.filter { $0.function != virtualizationLeaf } + [virtualization]
    }
}
