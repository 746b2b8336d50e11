// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CharacterStreams
internal import ControlProtocol
internal import ControlServer
internal import Diagnostics
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import PCIBus

extension AssembledMachine {
    /// Opens the monitors, QMP and the debugger's stub of the description.
    func makeControl() throws(UserError) {
        let server = ControlServer(machine: self)
        control = server
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

extension AssembledMachine: BlockReporting {
    /// The drives and nodes of the description.
    func blockReports() -> [BlockDeviceReport] {
        storage.nodes.map { entry in
            var report = BlockDeviceReport()
            let isDrive = spec.drives.contains { $0.identifier == entry.identifier }
            report.device = isDrive ? entry.identifier : ""
            var medium = BlockDeviceReport.Medium()
            medium.nodeName = isDrive ? "" : entry.identifier
            medium.file = entry.node.location.filename
            medium.format = entry.node.driverName
            medium.isReadOnly = entry.node.isReadOnly
            medium.virtualSize = UInt64(max(entry.node.length, 0))
            medium.actualSize = (entry.node as? any HostStorageNode)?.allocatedBytes().map { UInt64(max($0, 0)) }
            medium.backingFile = (entry.node as? any BackedNode)?.backingName
            report.medium = medium
            return report
        }
    }
}

extension AssembledMachine: PCIReporting {
    /// The functions on the root bus.
    func pciReports() -> [PCIFunctionReport] {
        runner.lock.withLock {
            (board?.bus.devices ?? []).map { function in
                var report = PCIFunctionReport()
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
