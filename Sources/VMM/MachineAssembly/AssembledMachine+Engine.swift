// SPDX-License-Identifier: Apache-2.0

internal import BootLoading
internal import CommandLineKit
internal import CPUInterface
internal import Diagnostics
internal import GuestMemory
internal import Glibc
internal import HostSystem
internal import KVMEngine
internal import MachineRuntime
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
                let allowsNested = spec.accelerators.count == 1 && !bootsLinux
                do throws(KVMUnusable) { system = try KVMSystem(allowNested: allowsNested) } catch {
                    refusal = error
                    continue
                }
                if KVMSystem.isNestedWithoutHardware {
                    messages.warning(
                        "/dev/kvm is a nested one without hardware below it (kvm_pvm): small programs run, an operating "
                            + "system does not (-accel tcg runs both)")
                }
                return try makeHardwareEngine(system, memory)
            case .software:
                if let refusal {
                    messages.info("running on the software CPU (tcg), not on KVM: \(refusal.reason)")
                }
                return try makeSoftwareEngine(memory, accelerator)
            }
        }
        throw UserError(
            "failed to initialize kvm", because: refusal?.reason ?? "no accelerator was named",
            remedy: refusal?.remedy ?? "give -accel kvm or -accel tcg")
    }

    /// Whether -kernel names a Linux kernel. What cannot be read is reported when it is loaded.
    private var bootsLinux: Bool {
        guard let path = spec.boot.kernel, let file = try? BootFile(path: path) else { return false }
        return file.isLinux
    }

    /// The name of the first accelerator of the list that works here, for a machine without processors.
    func usableAccelerator() throws(UserError) -> String {
        var refusal = ""
        for accelerator in spec.accelerators {
            guard accelerator.kind == .kvm else { return "tcg" }
            do throws(KVMUnusable) {
                _ = try KVMSystem()
                return "kvm"
            } catch { refusal = error.description }
        }
        throw UserError("failed to initialize kvm", because: refusal)
    }

    private func checkProcessorCount(_ most: Int, _ what: String) throws(UserError) {
        guard spec.topology.maximum <= most else {
            throw UserError(
                "\(spec.topology.maximum) vCPUs are more than \(what) can have",
                remedy: "give -smp at most \(most)")
        }
    }

    /// Offers the nearest name for one that there is not.
    private func checkProcessorNames() throws(UserError) {
        let models = CPUModel.definitions.map(\.name), name = spec.processor.model
        guard models.contains(name) else {
            let near = Suggestion.nearest(to: name, among: models).map { "did you mean '\($0)'?" }
            throw UserError("unable to find CPU model '\(name)'", remedy: near ?? "see '-cpu help'")
        }
        for feature in spec.processor.features.map(\.name)
        where CPUModel.isFeature(feature) && ProcessorFeature.named(feature) == nil {
            let near = Suggestion.nearest(to: feature, among: ProcessorFeature.all.map(\.name) + CPUModel.switches)
            throw UserError(
                "Property '\(name)-x86_64-cpu.\(feature)' not found",
                remedy: near.map { "did you mean '\($0)'?" } ?? "see '-cpu help'")
        }
    }

    private func makeModel(_ capabilities: CPUModel.Capabilities, engineName: String) throws(UserError) -> CPUModel {
        try checkProcessorNames()
        do throws(CPUModelError) {
            var model = try CPUModel(
                named: spec.processor.model, changes: spec.processor.features.map { ($0.name, $0.isOn) },
                capabilities: capabilities)
            for (name, value) in spec.processor.properties.sorted(by: { $0.key < $1.key }) {
                try model.set(property: name, to: value)
            }
            model.topology = ProcessorTopology(
                sockets: spec.topology.sockets, cores: spec.topology.cores * spec.topology.dies,
                threads: spec.topology.threads)
            for feature in model.unavailable where spec.processor.checks || spec.processor.enforces {
                messages.warning("\(engineName) doesn't support requested feature: \(feature.place)")
            }
            processorModel = model
            if spec.processor.enforces, !model.unavailable.isEmpty {
                throw CPUModelError(description: "\(engineName) doesn't support requested features")
            }
            return model
        } catch { throw UserError(error.description) }
    }

    private func makeSoftwareEngine(
        _ memory: GuestMemory, _ accelerator: AcceleratorSpec
    ) throws(UserError) -> any BoardEngine {
        let most = 255
        try checkProcessorCount(most, "the software CPU")
        acceleratorName = "tcg"
        if let chip = spec.board.kernelIRQChip {
            messages.warning("kernel-irqchip=\(chip.rawValue) has no effect on the software CPU")
        }
        let model = try makeModel(SoftCPU.capabilities(), engineName: "TCG")
        let environment: SoftCPU.Environment
        do throws(Errno) {
            environment = try SoftCPU.Environment(memory: memory, ports: portSpace, devices: space, model: model)
        } catch { throw UserError("cannot make the software CPU", because: error) }
        let present = spec.topology.present
        return try SoftwareEngine(
            SoftwareEngine.Parts(
                environment: environment, machineLock: lock, clock: clock,
                options: try SoftwareEngineOptions(spec, accelerator, messages: messages), count: present.count,
                possible: spec.topology.maximum, lookAfterTimers: { [clock] in clock.runOverdue(isLate: $0) }),
            present: present)
    }

    private func makeHardwareEngine(_ system: KVMSystem, _ memory: GuestMemory) throws(UserError) -> any BoardEngine {
        try checkProcessorCount(system.maximumProcessors, "KVM")
        let isSplit = spec.board.kernelIRQChip == .split
        if spec.board.kernelIRQChip == .off {
            throw UserError(
                "kernel-irqchip=off is not supported with KVM", because: "local APICs are the kernel's",
                remedy: "leave it out, or write kernel-irqchip=split")
        }
        if spec.board.pic == .off, spec.board.kind != .microvm, !isSplit {
            throw UserError(
                "pic=off is not supported with KVM", because: "its interrupt controllers in the kernel have one",
                remedy: "leave it out")
        }
        acceleratorName = "kvm"
        let offered: [CPUIDEntry]
        do throws(KVMUnusable) { offered = try system.supportedFeatures() } catch {
            throw UserError(error.description)
        }
        let model = try makeModel(
            HardwareFeatures.capabilities(offered, hasDeadlineTimer: system.hasDeadlineTimer), engineName: "host")
        return try HardwareEngine(
            system: system, present: spec.topology.present, memory: memory, ports: portSpace, devices: space,
            physicalAddressBits: model.physicalAddressBits, isSplit: isSplit
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
