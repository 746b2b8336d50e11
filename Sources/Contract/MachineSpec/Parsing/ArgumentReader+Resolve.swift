// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

extension ArgumentReader {
    /// Everything put together, with defaults, and with references checked.
    mutating func resolved() throws(UserError) -> MachineSpec {
        try resolveBoard()
        try resolveIdentity()
        try resolveCharacterDevices()
        addVideoCard()
        addDefaultDisplay()
        try resolveDrives()
        try resolveNetworks()
        addBoardUSB()
        try resolveDevices()
        try addShortUSBDevices()
        var check = ReferenceCheck(spec: spec)
        try check.run()
        return spec
    }

    func at<Result>(_ place: String, _ body: () throws(UserError) -> Result) throws(UserError) -> Result {
        do throws(UserError) { return try body() } catch { throw error.at(place) }
    }

    private mutating func resolveBoard() throws(UserError) {
        let machinePlace = machine.place
        var list = machine.list
        // Without a window, firmware talks to the serial port.
        if isNographic, list.peek("graphics") == nil { spec.board.graphics = false }
        let accelNames = list.take("accel")
        do throws(UserError) {
            try BoardReader.machine(&list, &spec)
            if let accelNames {
                guard accelerators.isEmpty else {
                    throw UserError("The -accel and \"-machine accel=\" options are incompatible")
                }
                var none = OptionList()
                let found = try BoardReader.accelerators(accelNames, &none, &spec)
                spec.accelerators = found
            }
        } catch { throw error.at(machinePlace) }
        if !accelerators.isEmpty { spec.accelerators = [] }
        for entry in accelerators {
            do throws(UserError) {
                var list = entry.value
                guard let names = list.take("accel") else { throw UserError("Parameter 'accel' is missing") }
                let found = try BoardReader.accelerators(names, &list, &spec)
                spec.accelerators += found
            } catch { throw error.at(entry.place) }
        }
        if let processor {
            spec.processor = try at(processor.place) { () throws(UserError) in
                try BoardReader.processor(processor.value)
            }
        }
        var smp = topology.list
        do throws(UserError) { spec.topology = try BoardReader.topology(&smp, spec.board) } catch {
            throw error.at(topology.place)
        }
        var size = memory.list
        do throws(UserError) { try BoardReader.memory(&size, &spec.memory) } catch { throw error.at(memory.place) }
        if memory.list.peek("size") == nil, let bytes = backendBytes {
            spec.memory.bytes = bytes
            spec.memory.maximumBytes = max(bytes, spec.memory.maximumBytes)
        }
    }

    /// What the object of `memory-backend=` holds: without -m the machine has as much.
    private var backendBytes: UInt64? {
        switch spec.objects.first(where: { $0.identifier == spec.memory.backend })?.kind {
        case .memory(let size, _, _), .memoryFile(let size, _, _, _, _), .memoryDescriptor(let size, _, _): size
        default: nil
        }
    }

    private mutating func resolveIdentity() throws(UserError) {
        do throws(UserError) {
            var list = name.list
            spec.identity.name = list.take("guest")
            spec.identity.processName = list.take("process")
            spec.identity.debugThreads = try list.takeBool("debug-threads") ?? false
            try list.finish()
        } catch { throw error.at(name.place) }
        do throws(UserError) { try FirmwareReader.boot(bootOrder.list, into: &spec.boot) } catch {
            throw error.at(bootOrder.place)
        }
        do throws(UserError) { spec.clock = try FirmwareReader.clock(clock.list) } catch { throw error.at(clock.place) }
        do throws(UserError) { try FirmwareReader.actions(actions.list, into: &spec.lifecycle) } catch {
            throw error.at(actions.place)
        }
        do throws(UserError) {
            var list = messages.list
            spec.process.messagesShowTime = try list.takeBool("timestamp") ?? false
            spec.process.messagesShowGuest = try list.takeBool("guest-name") ?? false
            try list.finish()
        } catch { throw error.at(messages.place) }
        if spec.boot.kernel == nil {
            if spec.boot.initrd != nil { throw UserError("-initrd only allowed with -kernel option") }
            if spec.boot.commandLine != nil { throw UserError("-append only allowed with -kernel option") }
        }
    }
}
