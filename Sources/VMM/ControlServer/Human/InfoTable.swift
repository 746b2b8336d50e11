// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import HostSystem
internal import CharacterStreams
internal import DisplaySurfaces
internal import ControlProtocol
internal import CPUInterface
internal import MachineModel
internal import MachineRuntime

/// What `info` can show.
enum InfoTable {
    static let all: [HumanCommand] = (state + processors + hardware + saved + moves + more).sorted {
        $0.names[0] < $1.names[0]
    }

    static var help: String { all.map { $0.helpLine("info ") }.joined() }

    private static let state = [
        HumanCommand("status", "", "show the current VM status (running|paused)") { call in
            let state = call.machine.runner.state
            let detail = state == .running || state == .paused ? "" : " (\(state.rawValue))"
            call.print("VM status: \(state == .running ? "running" : "paused")\(detail)\n")
        },
        HumanCommand("version", "", "show the version of the emulator") { call in
            let version = QMPVersion.emulated
            call.print("\(version.major).\(version.minor).\(version.micro) (\(QMPVersion.package))\n")
        },
        HumanCommand("name", "", "show the current VM name") { call in
            if let name = call.machine.facts.name { call.print(name + "\n") }
        },
        HumanCommand("uuid", "", "show the current VM UUID") { call in call.print(call.machine.facts.uuid + "\n") },
        HumanCommand("kvm", "", "show KVM information") { call in
            let facts = call.machine.facts
            let state = facts.accelerator == "kvm" ? "enabled" : facts.isKVMPresent ? "disabled" : "not compiled"
            call.print("kvm support: \(state)\n")
        },
        HumanCommand(
            "memory_size_summary", "",
            "show the amount of initially allocated and present hotpluggable memory in bytes."
        ) { call in
            call.print("base memory: \(call.machine.facts.memoryBytes)\nplugged memory: 0\n")
        },
        HumanCommand("balloon", "", "show balloon information") { (call) throws(HumanFailure) in
            guard let bytes = (call.machine as? any BalloonControlling)?.balloonActualBytes else {
                throw .failed("No balloon device has been activated")
            }
            call.print("balloon: actual=\(bytes >> 20)\n")
        },
        HumanCommand("usb", "", "show guest USB devices") { (call) throws(HumanFailure) in
            guard let reports = (call.machine as? any USBReporting)?.usbReports else {
                throw .failed("USB support not enabled")
            }
            for report in reports {
                let name = report.identifier.map { ", ID: " + $0 } ?? ""
                call.print(
                    "  Device \(report.bus).\(report.address), Port \(report.port), Speed \(report.speed) Mb/s, "
                        + "Product \(report.product)\(name)\n")
            }
        },
        HumanCommand("mice", "", "show which guest mouse is receiving events") { call in
            let pointers = (call.machine as? any DisplayControlling)?.inputRouter.pointerDescriptions ?? []
            if pointers.isEmpty { call.print("No mouse devices connected\n") }
            for (index, pointer) in pointers.enumerated() {
                let mark = index == pointers.count - 1 ? "*" : " "
                let kind = pointer.isAbsolute ? " (absolute)" : ""
                call.print("\(mark) Mouse #\(index): \(pointer.name)\(kind)\n")
            }
        },
        HumanCommand("vnc", "", "show the vnc server status") { call in
            call.print(HumanCommandTable.describe(ScreenServerAnswers.servers(call.machine)))
        },
    ]

    private static let processors = [
        HumanCommand("cpus", "", "show infos for each CPU") { call in
            let current = call.monitor.processor?.index
            for processor in call.machine.runner.processors {
                let mark = processor.index == current ? "*" : " "
                call.print("\(mark) CPU #\(processor.index): thread_id=\(processor.hostThreadIdentifier)\n")
            }
        },
        HumanCommand("registers", "[-a|vcpu]", "show the cpu registers (-a: show register info for all cpus)") {
            (call) throws(HumanFailure) in
            let runner = call.machine.runner
            var shown = [call.monitor.processor].compactMap { $0 }
            if call.takeFlag("a") {
                shown = runner.processors
            } else if call.hasMore {
                let index = try call.expression()
                shown = runner.processors.filter { Int64($0.index) == index }
                if shown.isEmpty { return call.print("CPU#\(index) not available\n") }
            }
            call.print(
                runner.whileParked {
                    shown.map {
                        "\nCPU#\($0.index)\n" + RegisterText($0.registers, isHalted: $0.isHalted).text
                    }.joined()
                })
        },
        HumanCommand("mem", "", "show the active virtual memory mappings") { (call) throws(HumanFailure) in
            call.print(try tables(call)?.rangesText ?? "PG disabled\n")
        },
        HumanCommand("tlb", "", "show virtual to physical memory mappings") { (call) throws(HumanFailure) in
            call.print(try tables(call)?.tlbText ?? "PG disabled\n")
        },
        HumanCommand("jit", "", "show dynamic compiler info") { (call) throws(HumanFailure) in
            do throws(QMPError) { call.print(try TranslationText.report(call.machine)) } catch {
                throw .failed(error.description)
            }
        },
        HumanCommand("opcount", "", "show dynamic compiler opcode counters") { (call) throws(HumanFailure) in
            do throws(QMPError) { call.print(try TranslationText.opcodes(call.machine)) } catch {
                throw .failed(error.description)
            }
        },
        HumanCommand("lapic", "[apic-id]", "show local apic state") { (call) throws(HumanFailure) in
            let index = call.hasMore ? Int(clamping: try call.expression()) : call.monitor.processor?.index ?? 0
            guard let text = (call.machine as? any InterruptReporting)?.localControllerReport(processor: index) else {
                return call.print("No local APIC present\n")
            }
            call.print(text)
        },
    ]

    private static func tables(_ call: HumanCall) throws(HumanFailure) -> PageTables? {
        guard let processor = call.monitor.processor else { throw .failed("No CPU available") }
        let registers = call.machine.runner.whileParked { processor.registers }
        return PageTables(registers, memory: call.machine.memory)
    }

    private static let hardware = [
        HumanCommand("block", "[-n] [-v] [device]", "show info of one block device or all block devices") {
            (call) throws(HumanFailure) in
            let showsNodes = call.takeFlag("n"), isVerbose = call.takeFlag("v")
            let wanted = try call.word()
            let reports = BlockAnswers.backends(of: call.machine)
            let shown = reports.filter { wanted == nil || $0.device == wanted || $0.medium?.nodeName == wanted }
            if let wanted, shown.isEmpty { return call.print("Device '\(wanted)' not found\n") }
            call.print(shown.map { describe($0, isVerbose: isVerbose, isNode: showsNodes) }.joined(separator: "\n"))
        },
        HumanCommand("blockstats", "", "show block device statistics") { call in
            for report in BlockAnswers.backends(of: call.machine) {
                let counts = report.statistics
                call.print(
                    "\(report.device): rd_bytes=\(counts.readBytes) wr_bytes=\(counts.writtenBytes) "
                        + "rd_operations=\(counts.reads) wr_operations=\(counts.writes) "
                        + "flush_operations=\(counts.flushes) wr_total_time_ns=\(counts.writeNanoseconds) "
                        + "rd_total_time_ns=\(counts.readNanoseconds) flush_total_time_ns=\(counts.flushNanoseconds) "
                        + "rd_merged=0 wr_merged=0\n")
            }
        },
        HumanCommand("chardev", "", "show the character devices") { call in
            for stream in call.machine.characterDevices.all {
                call.print("\(stream.label): filename=\(stream.filename)\n")
            }
        },
        HumanCommand("network", "", "show the network state") { call in
            for report in (call.machine as? any NetworkReporting)?.networkReports() ?? [] {
                let isPeer = report.peer != nil
                call.print("\(isPeer ? " \\ " : "")\(report.name): index=0,type=\(report.type),\(report.information)\n")
            }
        },
        HumanCommand("pci", "", "show PCI info") { (call) throws(HumanFailure) in
            guard let machine = call.machine as? any PCIReporting else {
                return call.print("PCI devices not supported\n")
            }
            call.print(machine.pciReports().map(PCIText.describe).joined())
        },
        HumanCommand("qtree", "", "show device tree") { call in
            call.print(tree(call.machine.deviceReports()))
        },
        HumanCommand("mtree", "[-f]", "show memory tree") { call in
            _ = call.takeFlag("f")
            let machine = call.machine
            let regions = machine.memory.regions.filter(\.isMapped).map {
                (base: $0.start, count: $0.count, name: $0.name, kind: $0.isReadOnly ? "rom" : "ram", priority: 0)
            }
            let lock = machine.runner.lock
            func windows(_ space: AddressSpace?) -> [(
                base: UInt64, count: UInt64, name: String, kind: String, priority: Int
            )] {
                let mappings = lock.withLock { space?.mappings ?? [] }
                return mappings.map { ($0.base, $0.count, $0.name, "i/o", $0.priority) }
            }
            for (title, entries) in [
                ("memory", (regions + windows(machine.memoryDevices)).sorted { $0.base < $1.base }),
                ("I/O", windows(machine.ports)),
            ] {
                call.print("address-space: \(title)\n")
                for entry in entries {
                    let end = entry.base &+ (entry.count &- 1)
                    call.print(
                        "  \(hex(entry.base, 16))-\(hex(end, 16)) (prio \(entry.priority), \(entry.kind)): \(entry.name)\n"
                    )
                }
                call.print("\n")
            }
        },
        HumanCommand("irq", "", "show the interrupts statistics (if available)") { call in
            guard let counts = (call.machine as? any InterruptReporting)?.interruptCounts() else {
                return call.print("IRQ statistics not available\n")
            }
            call.print("IRQ statistics:\n" + counts.map { " \($0.line): \($0.count)\n" }.joined())
        },
        HumanCommand("pic", "", "show PIC state") { call in
            call.print(
                (call.machine as? any InterruptReporting)?.interruptControllerReport()
                    ?? "No interrupt controller present\n")
        },
    ]

    private static func describe(_ report: BlockDeviceReport, isVerbose: Bool, isNode: Bool) -> String {
        guard let medium = report.medium else { return "\(report.device): [not inserted]\n" }
        let name = isNode || report.device.isEmpty ? medium.nodeName : "\(report.device) (\(medium.nodeName))"
        var text = "\(name): \(medium.file) (\(medium.format)\(medium.isReadOnly ? ", read-only" : ""))\n"
        if let qdev = report.qdev { text += "    Attached to:      \(qdev)\n" }
        if report.isRemovable { text += "    Removable device: \(report.isLocked ? "" : "not ")locked\n" }
        let cache =
            medium.writeBack ? "writeback" : "writethrough"
        text +=
            "    Cache mode:       \(cache)\(medium.isDirect ? ", direct" : "")"
            + "\(medium.ignoresFlush ? ", ignore flushes" : "")\n"
        if let backing = medium.backingFile {
            text += "    Backing file:     \(backing) (chain depth: \(medium.backingDepth))\n"
        }
        guard isVerbose else { return text }
        text +=
            "\nImages:\nimage: \(medium.file)\nfile format: \(medium.format)\nvirtual size: \(medium.virtualSize) bytes\n"
        if let size = medium.actualSize { text += "disk size: \(size) bytes\n" }
        return text
    }

    private static func tree(_ reports: [DeviceReport]) -> String {
        var buses: [String] = []
        for report in reports where !buses.contains(report.bus) { buses.append(report.bus) }
        var text = ""
        for bus in buses {
            let members = reports.filter { $0.bus == bus }
            text += "bus: \(bus)\n  type \(members.first?.busType ?? "System")\n"
            for member in members {
                text += "  dev: \(member.typeName), id \"\(member.identifier ?? "")\"\n"
                for property in member.properties { text += "    \(property.name) = \(property.value)\n" }
            }
        }
        return text
    }
}

/// `info pci`.
enum PCIText {
    static func describe(_ report: PCIFunctionReport) -> String {
        var text = "  Bus \(padded(report.bus, 2)), device \(padded(report.slot, 3)), function \(report.function):\n"
        text += "    \(report.className): PCI device \(hex(report.vendor, 4)):\(hex(report.device, 4))\n"
        if report.subsystemVendor != 0 || report.subsystem != 0 {
            text += "      PCI subsystem \(hex(report.subsystemVendor, 4)):\(hex(report.subsystem, 4))\n"
        }
        if (1...4).contains(report.interruptPin) {
            let pin = ["A", "B", "C", "D"][report.interruptPin - 1]
            text += "      IRQ \(report.interruptLine), pin \(pin)\n"
        }
        for region in report.regions {
            let last = region.address &+ (region.count &- 1)
            let digits = region.isIO ? 4 : 8
            let kind =
                region.isIO
                ? "I/O" : "\(region.is64Bit ? 64 : 32) bit\(region.isPrefetchable ? " prefetchable" : "") memory"
            text += "      BAR\(region.bar): \(kind) at 0x\(hex(region.address, digits)) [0x\(hex(last, digits))].\n"
        }
        return text + "      id \"\(report.identifier)\"\n"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: " ", count: max(0, width - text.utf8.count)) + text
    }
}
