// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import CharacterStreams
internal import ControlProtocol
internal import ControlServer
internal import Diagnostics
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import JSONCoding
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import PCIBus

extension AssembledMachine {
    /// Opens the monitors, QMP and the debugger's stub of the description.
    func makeControl() throws(UserError) {
        let server = ControlServer(machine: self)
        control = server
        storage.devices.jobs.observer = { [unowned server] event in server.handle(event) }
        storage.devices.exports.deleted = { [unowned server] name in
            server.emit("BLOCK_EXPORT_DELETED", data: ["id": .string(name)])
        }
        for monitor in spec.monitors {
            let stream = try characters.frontEnd(monitor.characterDevice)
            server.addMonitor(on: stream, mode: monitor.mode, isPretty: monitor.isPretty)
        }
        if let name = spec.debugger { server.setDebugger(on: try characters.frontEnd(name)) }
    }
}

extension AssembledMachine: ControlledMachine {
    /// What does not change while it runs.
    var facts: MachineFacts {
        var facts = MachineFacts(
            machineType: spec.board.name, accelerator: acceleratorName.isEmpty ? "tcg" : acceleratorName)
        facts.name = spec.identity.name
        facts.uuid = spec.identity.uuid.description
        // What is built in, whether or not this host lets it be used.
        facts.isKVMPresent = true
        facts.processorType = "\(spec.processor.model)-x86_64-cpu"
        facts.maximumProcessors = spec.topology.maximum
        facts.processorPaths = processorPaths
        facts.dies = spec.topology.dies
        facts.cores = spec.topology.cores
        facts.threads = spec.topology.threads
        facts.memoryBytes = spec.memory.bytes
        return facts
    }

    /// RAM and ROM.
    var memory: GuestMemory { guestMemory }
    /// Device registers in memory.
    var memoryDevices: AddressSpace? { space }
    /// Ports.
    var ports: AddressSpace? { portSpace }

    /// The character devices of the description.
    var characterDevices: CharacterDevices { characters.listed }

    /// PCI functions, then serial ports.
    func deviceReports() -> [DeviceReport] {
        let functions = (board?.bus.devices ?? []).map { function in
            var report = DeviceReport(
                typeName: function.name, identifier: function.identifier, bus: board?.bus.name ?? "",
                busType: spec.board.kind == .q35 ? "PCIE" : "PCI")
            report.properties = [("addr", "\(function.address)")]
            return report
        }
        let ports = serialPlaces.map { place in
            var report = DeviceReport(typeName: "isa-serial", identifier: nil, bus: "isa.0", busType: "ISA")
            report.properties = [("iobase", "\(place.port)"), ("irq", "\(place.interrupt)")]
            return report
        }
        return functions + ports
    }

    /// Raises an NMI on all processors.
    func injectNonMaskableInterrupt() { engine?.raiseNonMaskableInterrupt() }
}

extension AssembledMachine: PCIReporting {
    /// The functions on the root bus.
    func pciReports() -> [PCIFunctionReport] {
        runner.lock.withLock {
            let root = board?.bus.devices ?? []
            let behind = (board?.bus.rootPorts ?? []).flatMap { $0.secondaryBus.devices }
            return (root + behind).map { function in
                var report = PCIFunctionReport()
                report.bus = Int(function.bus?.number ?? 0)
                report.className = function.className
                report.regions = function.baseAddresses.compactMap { bar in
                    bar.map {
                        PCIFunctionReport.Region(
                            bar: $0.index, isIO: $0.kind == .io, is64Bit: $0.kind == .memory64,
                            isPrefetchable: $0.isPrefetchable, address: $0.mappedAt ?? .max, count: $0.size)
                    }
                }
                report.slot = function.address.slot
                report.function = function.address.function
                report.identifier = function.identifier ?? ""
                report.vendor = function.config.get(PCIRegister.vendor)
                report.device = function.config.get(PCIRegister.device)
                report.subsystemVendor = function.config.get(PCIRegister.subsystemVendor)
                report.subsystem = function.config.get(PCIRegister.subsystem)
                report.classCode = function.config.get(PCIRegister.classCode)
                report.interruptPin = Int(function.interruptPin)
                report.interruptLine = Int(function.config.get(PCIRegister.interruptLine, as: UInt8.self))
                return report
            }
        }
    }
}
