// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import MachineModel
internal import CharacterStreams
internal import CommandLineKit
internal import ControlProtocol
internal import CPUInterface
internal import Diagnostics
internal import MachineRuntime
internal import MachineSpec

/// All commands of the human monitor; `help` comes from the same table.
enum HumanCommandTable {
    static let all: [HumanCommand] =
        (lifeCycle + moves + inspection + devices + reporting + display + screenServers + media + snapshots + blockJobs
        + hotPlug + wrapped)
        .sorted { $0.names[0] < $1.names[0] }

    static func command(named name: String) -> HumanCommand? { all.first { $0.names.contains(name) } }

    private static let lifeCycle = [
        HumanCommand("stop|s", "", "stop emulation") { (call) throws(HumanFailure) in
            try call.finish()
            RunControl.stop(call.machine)
        },
        HumanCommand("cont|c", "", "resume emulation") { (call) throws(HumanFailure) in
            try call.finish()
            if let problem = RunControl.resume(call.machine) { throw .failed(problem) }
        },
        HumanCommand("system_reset", "", "reset the system") { (call) throws(HumanFailure) in
            try call.finish()
            call.machine.runner.requestReset(.hostQMPSystemReset)
        },
        HumanCommand("system_powerdown", "", "send system power down event") { (call) throws(HumanFailure) in
            try call.finish()
            call.machine.runner.requestPowerdown()
        },
        HumanCommand("system_wakeup", "", "wakeup guest from suspend") { (_) throws(HumanFailure) in
            throw .failed("Unable to wake up: guest is not in suspended state")
        },
        HumanCommand("quit|q", "", "quit the emulator") { (call) throws(HumanFailure) in
            try call.finish()
            call.machine.runner.requestShutdown(.hostQMPQuit)
        },
        HumanCommand("nmi", "", "inject an NMI") { (call) throws(HumanFailure) in
            try call.finish()
            call.machine.injectNonMaskableInterrupt()
        },
        HumanCommand("cpu", "index", "set the default CPU") { (call) throws(HumanFailure) in
            let index = try call.expression()
            guard let small = Int(exactly: index), call.machine.runner.processor(at: small) != nil else {
                call.print("invalid CPU index\n")
                return
            }
            call.monitor.currentProcessor = small
        },
    ]

    // MARK: memory, ports, expressions

    private static let inspection = [
        HumanCommand("x", "/fmt addr", "virtual memory dump starting at 'addr'") { (call) throws(HumanFailure) in
            let format = try call.format(DumpFormat())
            let address = UInt64(bitPattern: try call.expression())
            guard format.letter != "i" else { throw .failed("there is no disassembler; use gdb") }
            guard let processor = call.monitor.processor else { throw .failed("there is no processor") }
            let inspector = MemoryInspector(call.machine)
            call.print(
                call.machine.runner.whileParked {
                    MemoryDump.text(at: address, format) { inspector.readLinear($0, count: $1, on: processor) }
                })
        },
        HumanCommand("xp", "/fmt addr", "physical memory dump starting at 'addr'") { (call) throws(HumanFailure) in
            let format = try call.format(DumpFormat())
            let address = UInt64(bitPattern: try call.expression())
            guard format.letter != "i" else { throw .failed("there is no disassembler; use gdb") }
            let inspector = MemoryInspector(call.machine)
            call.print(MemoryDump.text(at: address, format) { inspector.readPhysical($0, count: $1) })
        },
        HumanCommand("print|p", "/fmt expr", "print expression value (use $reg for CPU register access)") {
            (call) throws(HumanFailure) in
            let format = try call.format(DumpFormat(count: 1, letter: "x", size: 8))
            let value = try call.expression()
            let bits = UInt64(bitPattern: value)
            switch format.letter {
            case "o": call.print(bits == 0 ? "0\n" : "0\(String(bits, radix: 8))\n")
            case "x": call.print(prefixed(bits) + "\n")
            case "u": call.print("\(bits)\n")
            case "c": call.print(MemoryDump.character(UInt8(truncatingIfNeeded: bits)) + "\n")
            default: call.print("\(value)\n")
            }
        },
        HumanCommand("gva2gpa", "addr", "print the guest physical address corresponding to a guest virtual address") {
            (call) throws(HumanFailure) in
            let address = UInt64(bitPattern: try call.expression())
            guard let processor = call.monitor.processor else { throw .failed("there is no processor") }
            let found = call.machine.runner.whileParked { processor.physicalAddress(ofLinear: address) }
            call.print(found.map { "gpa: \(prefixed($0))\n" } ?? "Unmapped\n")
        },
        HumanCommand("gpa2hva", "addr", "print the host virtual address corresponding to a guest physical address") {
            (call) throws(HumanFailure) in
            let address = UInt64(bitPattern: try call.expression())
            let (name, host) = try hostAddress(address, call)
            call.print(
                "Host virtual address for 0x\(String(address, radix: 16)) (\(name)) is \(prefixed(host))\n")
        },
        HumanCommand("sum", "addr size", "compute the checksum of a memory region") { (call) throws(HumanFailure) in
            let address = UInt64(bitPattern: try call.expression()), count = try call.expression()
            guard (0...Int64(MemoryInspector.mostBytes)).contains(count),
                let bytes = MemoryInspector(call.machine).readPhysical(address, count: Int(count))
            else { throw .failed("cannot access memory") }
            // BSD's sum: rotate right by one, then add.
            let sum = bytes.reduce(UInt16(0)) { ($0 >> 1 | $0 << 15) &+ UInt16($1) }
            let text = String(sum)
            call.print(String(repeating: "0", count: max(0, 5 - text.utf8.count)) + text + "\n")
        },
        HumanCommand("i", "/fmt addr", "I/O port read") { (call) throws(HumanFailure) in
            let format = try call.format(DumpFormat(count: 1, letter: "x", size: 4))
            let port = UInt64(bitPattern: try call.expression()) & 0xFFFF
            guard let ports = call.machine.ports else { throw .failed("there are no ports") }
            let size = min(format.size, 4)
            let value = ports.read(port, size: size)
            let letter = size == 1 ? "b" : size == 2 ? "w" : "l"
            call.print("port\(letter)[0x\(hex(port, 4))] = 0x\(hex(value, size * 2))\n")
        },
        HumanCommand("o", "/fmt addr value", "I/O port write") { (call) throws(HumanFailure) in
            let format = try call.format(DumpFormat(count: 1, letter: "x", size: 4))
            let port = UInt64(bitPattern: try call.expression()) & 0xFFFF
            let value = UInt64(bitPattern: try call.expression())
            guard let ports = call.machine.ports else { throw .failed("there are no ports") }
            ports.write(port, size: min(format.size, 4), value: value)
        },
        HumanCommand("memsave", "addr size file", "save to disk virtual memory dump starting at 'addr' of size 'size'")
        {
            (call) throws(HumanFailure) in try save(&call, isLinear: true)
        },
        HumanCommand(
            "pmemsave", "addr size file", "save to disk physical memory dump starting at 'addr' of size 'size'"
        ) { (call) throws(HumanFailure) in try save(&call, isLinear: false) },
    ]

    /// Where the host has a byte of the guest's memory, with the name of the region.
    static func hostAddress(_ address: UInt64, _ call: HumanCall) throws(HumanFailure) -> (name: String, host: UInt64) {
        guard
            let region = call.machine.memory.regions.first(where: {
                $0.isMapped && address >= $0.start && address - $0.start < $0.count
            })
        else { throw .failed("No memory is mapped at address 0x\(String(address, radix: 16))") }
        // The address alone is told.
        return (region.name, unsafe UInt64(UInt(bitPattern: region.base)) &+ (address - region.start))
    }

    /// As C's %#x has it.
    static func prefixed(_ value: UInt64) -> String { value == 0 ? "0" : "0x\(String(value, radix: 16))" }

    private static func save(_ call: inout HumanCall, isLinear: Bool) throws(HumanFailure) {
        let start = UInt64(bitPattern: try call.expression()), count = UInt64(bitPattern: try call.expression())
        let path = try call.requiredWord("filename")
        let machine = call.machine, processor = isLinear ? call.monitor.processor : nil
        do throws(QMPError) {
            try machine.runner.whileParked { () throws(QMPError) in
                try MemorySaving.save(machine, start, count, path, through: processor)
            }
        } catch { throw HumanFailure(error) }
    }

    // MARK: devices and the rest

    private static let devices = [
        HumanCommand("set_link", "name on|off", "change the link status of a network adapter") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("network name"), state = try call.requiredWord("on or off")
            guard ["on", "off"].contains(state) else { throw .usage("set_link: invalid option '\(state)'") }
            guard (call.machine as? any NetworkReporting)?.setLink(name, isUp: state == "on") == true else {
                throw .failed("Device '\(name)' not found")
            }
        },
        HumanCommand("balloon", "target", "request VM to change its memory allocation (in MB)") {
            (call) throws(HumanFailure) in
            let megabytes = try call.expression()
            guard let machine = call.machine as? any BalloonControlling, machine.balloonActualBytes != nil else {
                throw .failed("No balloon device has been activated")
            }
            guard (1...Int64(1) << 40).contains(megabytes) else { throw .failed("Parameter 'target' expects a size") }
            machine.setBalloon(target: UInt64(megabytes) << 20)
        },
        HumanCommand("chardev-add", "args", "add chardev") { (call) throws(HumanFailure) in
            let machine = call.machine
            do throws(UserError) {
                let list = try OptionList(parsing: call.remainder(), implied: "backend")
                guard let label = list.peek("id") else { throw UserError("chardev: no id specified") }
                do throws(QMPError) { _ = try CharacterAnswers.add(list, label, machine) } catch {
                    throw UserError(error.text)
                }
            } catch { throw .failed("\(error)") }
        },
        HumanCommand("chardev-remove", "id", "remove chardev") { (call) throws(HumanFailure) in
            let label = try call.requiredWord("string")
            do throws(QMPError) { try CharacterAnswers.remove(label, call.machine) } catch { throw HumanFailure(error) }
        },
        HumanCommand("chardev-send-break", "id", "send a break on chardev") { (call) throws(HumanFailure) in
            let label = try call.requiredWord("string")
            do throws(QMPError) {
                try CharacterAnswers.find(label, call.machine).frontend?.handle(.breakReceived)
            } catch { throw HumanFailure(error) }
        },
        HumanCommand("gdbserver", "[device]", "start gdbserver on given device (default 'tcp::1234'), stop with 'none'")
        {
            (call) throws(HumanFailure) in try startDebugger(&call)
        },
        HumanCommand("log", "item1[,...]", "activate logging of the specified items") { (call) throws(HumanFailure) in
            let items = try call.requiredWord("log items")
            if items == "help" { return call.print(Log.help) }
            do throws(UserError) { try Log.shared.enable(items: items) } catch { call.print("\(error)\n") }
        },
        HumanCommand("logfile", "filename", "output logs to 'filename'") { (call) throws(HumanFailure) in
            let path = try call.requiredWord("filename")
            do throws(UserError) { try Log.shared.open(path) } catch { throw .failed("\(error)") }
        },
        HumanCommand("trace-event", "name on|off", "changes status of a specific trace event") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("event name"), state = try call.requiredWord("on or off")
            do throws(UserError) { try Trace.enable(pattern: state == "off" ? "-" + name : name) } catch {
                call.print("unknown event \"\(name)\"\n")
            }
        },
    ]

    private static func startDebugger(_ call: inout HumanCall) throws(HumanFailure) {
        let device = try call.word() ?? "tcp::1234"
        let server = call.monitor.server
        let label = "gdb"
        if device == "none" {
            server.setDebugger(on: nil)
            return call.print("Disabled gdbserver\n")
        }
        if let existing = call.machine.characterDevices[device] {
            server.setDebugger(on: existing)
        } else {
            guard let maker = server.streamMaker else { throw .failed("this machine cannot add character devices") }
            server.setDebugger(on: nil)
            if let old = call.machine.characterDevices[label] {
                old.close()
                call.machine.characterDevices.remove(label)
            }
            do throws(UserError) {
                guard var spec = try MachineArguments.characterDevice(short: device, label: label) else { return }
                spec.asDebuggerServer()
                try maker.makeCharacterDevice(spec)
            } catch { throw .failed("Could not open gdbserver on device '\(device)': \(error)") }
            server.setDebugger(on: call.machine.characterDevices[label])
        }
        call.print("Waiting for gdb connection on device '\(device)'\n")
    }

    private static let reporting = [
        HumanCommand("info", "[subcommand]", "show various information about the system state") {
            (call) throws(HumanFailure) in
            guard let topic = try call.word() else { return call.print(InfoTable.help) }
            guard let command = InfoTable.all.first(where: { $0.names.contains(topic) }) else {
                return call.print("unknown command: 'info \(topic)'\n")
            }
            try command.run(&call)
        },
        HumanCommand("help|?", "[cmd]", "show the help") { (call) throws(HumanFailure) in
            guard let name = try call.word() else { return call.print(all.map { $0.helpLine() }.joined()) }
            if name == "info" {
                guard let topic = try call.word() else { return call.print(InfoTable.help) }
                return call.print(InfoTable.all.first { $0.names.contains(topic) }?.helpLine("info ") ?? "")
            }
            if name == "log" { call.print(Log.help) }
            call.print(command(named: name)?.helpLine() ?? "")
        },
    ]
}
