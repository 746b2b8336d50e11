// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import ControlServer
internal import CPUInterface
internal import Diagnostics
internal import FirmwareTables
internal import HostIO
internal import HostSystem
internal import JSONCoding
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import PCChipset

/// Processors that come and go. Everything happens on the loop's thread.
extension AssembledMachine {
    func add(_ processor: any VirtualCPU) throws(UserError) {
        do throws(Errno) { try runner.add(processor: processor) } catch {
            throw UserError("the host has no room for vCPU \(processor.index)", because: error)
        }
    }

    /// Hears what the guest does with processors.
    func watchProcessors(_ board: PCBoard) {
        // Both come on a processor's thread with the machine lock held.
        board.processorHotPlug?.ejected = { [unowned self] index in loop.post { [self] in leave(processor: index) } }
        board.processorHotPlug?.reported = { [unowned self] report in loop.post { [self] in announce(report) } }
    }

    /// QOM's paths of the processors that were added by themselves.
    var processorPaths: [Int: String] {
        var paths: [Int: String] = [:]
        var unnamed = spec.devices.count { $0.identifier == nil }
        for processor in spec.topology.plugged {
            if let name = processor.identifier {
                paths[processor.index] = "/machine/peripheral/\(name)"
            } else {
                paths[processor.index] = "/machine/peripheral-anon/device[\(unnamed)]"
                unnamed += 1
            }
        }
        return paths
    }

    /// The processor of this name, or at this path of QOM.
    func processor(named name: String) -> Int? {
        if let processor = spec.topology.plugged.first(where: { $0.identifier == name }) { return processor.index }
        guard name.hasPrefix("/") else { return nil }
        let facts = facts
        return spec.topology.present.first { facts.processorPath($0) == name }
    }

    /// `device_add` of a processor: it waits for the guest's start-up message, and the guest is told.
    func plug(_ processor: TopologySpec.PluggedProcessor) throws(UserError) {
        guard let board, let engine else { throw UserError("this machine takes no processors") }
        let made = try lock.withLock { () throws(UserError) in try engine.addProcessor(processor.index) }
        do throws(UserError) { try add(made) } catch {
            lock.withLock { engine.removeProcessor(processor.index) }
            throw error
        }
        spec.topology.plugged.append(processor)
        lock.withLock {
            board.processorHotPlug?.plug(processor.index)
            noteProcessors(board)
            // A kernel that has not begun finds it in its tables.
            if runner.state == .prelaunch, boot != nil { runner.loadBootImage() }
        }
    }

    /// What firmware and the next start find. The machine lock is held.
    private func noteProcessors(_ board: PCBoard) {
        let count = spec.topology.present.count
        board.clockChip.setProcessorCount(count)
        board.firmwareConfig.set(FirmwareConfig.Item.processorCount, to: UInt16(clamping: count))
        addSystemTables(board)
        if boot?.acpi != nil { boot?.acpi = ACPITables(description(board)) }
    }

    /// `device_del` of a processor: the guest is asked, and DEVICE_DELETED says that it has let go.
    func unplug(_ index: Int) throws(UserError) {
        guard let slots = board?.processorHotPlug else { throw UserError("CPU hot unplug not supported without ACPI") }
        guard index != 0 else { throw UserError("Boot CPU is unpluggable") }
        lock.withLock { slots.requestUnplug(index) }
    }

    /// The guest gave a processor back.
    private func leave(processor index: Int) {
        guard let board, let engine, runner.processor(at: index) != nil else { return }
        let path = facts.processorPath(index)
        let name = spec.topology.plugged.first { $0.index == index }?.identifier
        runner.remove(processorAt: index)
        if spec.topology.plugged.contains(where: { $0.index == index }) {
            spec.topology.plugged.removeAll { $0.index == index }
        } else {
            spec.topology.removed.insert(index)
        }
        lock.withLock {
            engine.removeProcessor(index)
            noteProcessors(board)
        }
        var data: JSONObject = ["path": .string(path)]
        if let name { data["device"] = .string(name) }
        control?.emit("DEVICE_DELETED", data: data)
    }

    /// What the guest says became of a processor.
    private func announce(_ report: ProcessorHotPlug.Report) {
        var info: JSONObject = [:]
        if let name = spec.topology.plugged.first(where: { $0.index == report.processor })?.identifier {
            info["device"] = .string(name)
        }
        info["slot"] = .string("\(report.processor)")
        info["source"] = .integer(Int64(report.event))
        info["slot-type"] = "CPU"
        info["status"] = .integer(Int64(report.status))
        control?.emit("ACPI_DEVICE_OST", data: ["info": .object(info)])
    }
}
