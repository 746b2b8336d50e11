// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import Diagnostics
internal import GuestMemory
internal import Glibc
internal import HostSystem
internal import KVMEngine
internal import MachineSpec
internal import X86CPU

extension AssembledMachine {
    /// The first accelerator of the list that works here, with its vCPUs.
    func makeEngine(memory: GuestMemory) throws(UserError) -> any BoardEngine {
        var refusal: KVMUnusable?
        for accelerator in spec.accelerators {
            switch accelerator.kind {
            case .kvm:
                let system: KVMSystem
                do throws(KVMUnusable) { system = try KVMSystem() } catch {
                    refusal = error
                    continue
                }
                return try makeHardwareEngine(system, memory)
            case .software:
                if let refusal {
                    messages.info("running on the software CPU (tcg), not on KVM: \(refusal.reason)")
                }
                return try makeSoftwareEngine(memory)
            }
        }
        throw UserError(
            "failed to initialize kvm", because: refusal?.reason ?? "no accelerator was named",
            remedy: refusal?.remedy ?? "give -accel kvm or -accel tcg")
    }

    private func checkProcessorCount(_ most: Int, _ what: String) throws(UserError) {
        guard spec.topology.count <= most else {
            throw UserError(
                "\(spec.topology.count) vCPUs are more than \(what) can have",
                remedy: "give -smp at most \(most)")
        }
    }

    private func makeModel(_ capabilities: CPUModel.Capabilities, engineName: String) throws(UserError) -> CPUModel {
        if let name = spec.processor.properties.keys.sorted().first {
            throw UserError("-cpu property '\(name)' is not supported", remedy: "leave it out")
        }
        do throws(CPUModelError) {
            var model = try CPUModel(
                named: spec.processor.model, changes: spec.processor.features.map { ($0.name, $0.isOn) },
                capabilities: capabilities)
            model.topology = ProcessorTopology(
                sockets: spec.topology.sockets, cores: spec.topology.cores * spec.topology.dies,
                threads: spec.topology.threads)
            for feature in model.unavailable where spec.processor.checks || spec.processor.enforces {
                messages.warning("\(engineName) doesn't support requested feature: \(feature.place)")
            }
            if spec.processor.enforces, !model.unavailable.isEmpty {
                throw CPUModelError(description: "\(engineName) doesn't support requested features")
            }
            return model
        } catch { throw UserError(error.description) }
    }

    private func makeSoftwareEngine(_ memory: GuestMemory) throws(UserError) -> any BoardEngine {
        let most = 255
        try checkProcessorCount(most, "the software CPU")
        acceleratorName = "tcg"
        let model = try makeModel(SoftCPU.capabilities(), engineName: "TCG")
        let environment: SoftCPU.Environment
        do throws(Errno) {
            environment = try SoftCPU.Environment(memory: memory, ports: portSpace, devices: space, model: model)
        } catch { throw UserError("cannot make the software CPU", because: error) }
        return try SoftwareEngine(
            count: spec.topology.count, environment: environment, machineLock: lock, clock: clock)
    }

    private func makeHardwareEngine(_ system: KVMSystem, _ memory: GuestMemory) throws(UserError) -> any BoardEngine {
        try checkProcessorCount(system.maximumProcessors, "KVM")
        acceleratorName = "kvm"
        let offered: [CPUIDEntry]
        do throws(KVMUnusable) { offered = try system.supportedFeatures() } catch {
            throw UserError(error.description)
        }
        let model = try makeModel(
            HardwareFeatures.capabilities(offered, hasDeadlineTimer: system.hasDeadlineTimer), engineName: "host")
        return try HardwareEngine(
            system: system, count: spec.topology.count, memory: memory, ports: portSpace, devices: space,
            physicalAddressBits: model.physicalAddressBits
        ) { index in HardwareFeatures.table(model, offered: offered, processor: index) }
    }

    /// Nanoseconds that local time is ahead of UTC now.
    func hostTimeZoneOffset() -> Int64 {
        var now = time(nil)
        var local = unsafe tm()
        // Both structs live on this frame.
        unsafe localtime_r(&now, &local)
        return unsafe Int64(local.tm_gmtoff) * 1_000_000_000
    }
}

/// CPUID under KVM: what the kernel offers, as capabilities and as the table for one vCPU.
enum HardwareFeatures {
    private static let hypervisorLeaf: UInt32 = 0x4000_0000
    private static let addressLeaf: UInt32 = 0x8000_0008

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
        return model.table(state: state).map { row in
            CPUIDEntry(
                function: row.function, index: row.index ?? 0, hasIndex: row.index != nil, eax: row.result.eax,
                ebx: row.result.ebx, ecx: row.result.ecx, edx: row.result.edx)
        }
    }
}
