// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads -machine, -accel, -cpu, -smp and -m.
enum BoardReader {
    /// The machines that exist, by every name they can be asked for.
    struct Board {
        var kind: BoardSpec.Kind
        /// The canonical name.
        var name: String
        var alias: String?
        var summary: String
        var maximumProcessors: Int
    }

    static let boards: [Board] = [
        Board(kind: .microvm, name: "microvm", summary: "microvm (i386)", maximumProcessors: 288),
        Board(
            kind: .pc, name: "pc-i440fx-7.2", alias: "pc", summary: "Standard PC (i440FX + PIIX, 1996)",
            maximumProcessors: 255),
        Board(
            kind: .q35, name: "pc-q35-7.2", alias: "q35", summary: "Standard PC (Q35 + ICH9, 2009)",
            maximumProcessors: 288),
        Board(kind: .none, name: "none", summary: "empty machine", maximumProcessors: 1),
    ]

    static func board(named name: String) throws(UserError) -> Board {
        if let board = boards.first(where: { $0.name == name || $0.alias == name }) { return board }
        let names = boards.flatMap { [$0.name] + ($0.alias.map { [$0] } ?? []) }
        let near = Suggestion.nearest(to: name, among: names).map { "did you mean '\($0)'?" }
        throw UserError(
            "unsupported machine type", because: "'\(name)'",
            remedy: near ?? "use -machine help to list supported machines")
    }

    static func processorLimit(_ board: BoardSpec) -> Int {
        boards.first { $0.name == board.name }?.maximumProcessors ?? 1
    }

    /// What `-machine help` prints.
    static var help: String {
        var text = "Supported machines are:\n"
        func row(_ name: String, _ summary: String) {
            text += name + String(repeating: " ", count: max(1, 21 - name.utf8.count)) + summary + "\n"
        }
        for board in boards {
            if let alias = board.alias { row(alias, "\(board.summary) (alias of \(board.name))") }
            row(board.name, board.summary + (board.alias == "pc" ? " (default)" : ""))
        }
        return text
    }

    // MARK: -machine

    static let machineKeys: [(key: String, type: String, summary: String)] = [
        ("acpi", "OnOffAuto", "Enable ACPI"), ("graphics", "bool", "Set on/off to enable/disable graphics emulation"),
        ("hpet", "bool", "Enable/disable high precision event timer emulation"), ("i8042", "bool", ""),
        ("kernel-irqchip", "str", "Configure KVM in-kernel irqchip"),
        ("max-ram-below-4g", "size", "Maximum ram below the 4G boundary (32bit boundary)"),
        ("memory-backend", "str", "Set RAM backend"), ("pic", "OnOffAuto", "Enable i8259 PIC"),
        ("pit", "OnOffAuto", "Enable i8254 PIT"), ("smbus", "bool", "Enable/disable system management bus"),
        ("rtc", "OnOffAuto", "Enable MC146818 RTC (microvm)"), ("pcie", "OnOffAuto", "Enable PCIe (microvm)"),
        ("isa-serial", "bool", "Set off to disable the ISA serial port (microvm)"),
        ("auto-kernel-cmdline", "bool", "Set off to leave the kernel command line alone (microvm)"),
        ("dump-guest-core", "bool", "Include guest memory in a core dump"),
        ("mem-merge", "bool", "Enable/disable memory merge support"),
        ("pflash0", "str", "Node name or ID of a block device to use as a backend"),
        ("pflash1", "str", "Node name or ID of a block device to use as a backend"),
        ("usb", "bool", "Set on/off to enable/disable usb"),
    ]

    static func machineHelp(_ name: String) throws(UserError) -> String {
        let board = try board(named: name)
        return "\(board.name)-machine options:\n"
            + machineKeys.map { key, type, summary in
                let head = "  \(key)=<\(type)>"
                return head + String(repeating: " ", count: max(0, 24 - head.utf8.count))
                    + (summary.isEmpty ? "" : " - \(summary)") + "\n"
            }.joined()
    }

    /// Reads everything but `type` and `accel`.
    static func machine(_ list: inout OptionList, _ spec: inout MachineSpec) throws(UserError) {
        if let name = list.take("type") {
            let board = try board(named: name)
            spec.board.kind = board.kind
            spec.board.name = board.name
        }
        let isMicroVM = spec.board.kind == .microvm
        spec.board.acpi = try onOffAuto("acpi", &list) ?? spec.board.acpi
        spec.board.graphics = try list.takeBool("graphics") ?? spec.board.graphics
        spec.board.pit = try onOffAuto("pit", &list) ?? spec.board.pit
        spec.board.pic = try onOffAuto("pic", &list) ?? spec.board.pic
        spec.board.dumpsGuestMemory = try list.takeBool("dump-guest-core") ?? true
        spec.board.mergesMemory = try list.takeBool("mem-merge") ?? true
        // QEMU takes either spelling.
        if let chip = list.take("kernel-irqchip") ?? list.take("kernel_irqchip") {
            guard let kind = BoardSpec.KernelIRQChip(rawValue: chip) else {
                throw OptionValue.refusal(of: chip, for: "kernel-irqchip", among: ["on", "off", "split"])
            }
            spec.board.kernelIRQChip = kind
        }
        spec.memory.backend = list.take("memory-backend") ?? spec.memory.backend
        for number in 0...1 {
            guard let node = list.take("pflash\(number)") else { continue }
            guard spec.board.kind == .pc || spec.board.kind == .q35 else {
                throw UserError("Property '\(spec.board.name)-machine.pflash\(number)' not found")
            }
            spec.board.flash[number] = node
        }
        let hasUSB = try list.takeBool("usb") ?? false
        guard !hasUSB || spec.board.kind == .pc || spec.board.kind == .q35 else {
            throw UserError("usb=on is not supported", remedy: "leave it out, or use -M q35")
        }
        spec.board.usb = hasUSB
        if isMicroVM {
            spec.board.rtc = try onOffAuto("rtc", &list) ?? .auto
            spec.board.pcie = try onOffAuto("pcie", &list) ?? .auto
            spec.board.isaSerial = try list.takeBool("isa-serial") ?? true
            spec.board.autoKernelCommandLine = try list.takeBool("auto-kernel-cmdline") ?? true
            // Devices behind memory-mapped registers have no ROMs: with them and without them it is the same machine.
            _ = try list.takeBool("x-option-roms")
        } else {
            spec.board.hpet = try list.takeBool("hpet") ?? spec.board.hpet
            spec.board.i8042 = try list.takeBool("i8042") ?? true
            spec.board.smbus = try list.takeBool("smbus") ?? true
            spec.board.sata = try list.takeBool("sata") ?? true
            spec.board.maximumLowMemory = try list.takeSize("max-ram-below-4g").map { size throws(UserError) in
                guard size <= 1 << 32, size >= 1 << 20, size % 4096 == 0 else {
                    throw UserError(
                        "Machine option 'max-ram-below-4g=\(size)' expects size less than or equal to 4G",
                        because: "and at least 1M, in whole pages")
                }
                return size
            }
        }
        try refuseMachineKeys(&list)
        do { try list.finish() } catch {
            let name = list.entries.first?.key ?? ""
            throw UserError("Property '\(spec.board.name)-machine.\(name)' not found", remedy: error.remedy)
        }
    }

    private static func onOffAuto(_ key: String, _ list: inout OptionList) throws(UserError) -> OnOffAuto? {
        guard let text = list.take(key) else { return nil }
        switch text {
        case "auto": return .auto
        case "on", "yes", "true", "y": return .on
        case "off", "no", "false", "n": return .off
        default: throw OptionValue.refusal(of: text, for: key, among: ["on", "off", "auto"])
        }
    }

    private static func refuseMachineKeys(_ list: inout OptionList) throws(UserError) {
        let off = ["off", "no", "false"]
        try list.refuse("vmport", except: off + ["auto"], because: "the VMware port is not available")
        try list.refuse("smm", except: off + ["auto"], because: "system-management mode is not available")
        try list.refuse("nvdimm", except: off, because: "persistent memory is not available")
        try list.refuse("hmat", except: off, because: "NUMA is not available")
        try list.refuse("suppress-vmdesc", except: off + ["on"], because: "it takes on or off")
        try list.refuse("ioapic2", except: off + ["auto"], because: "there is one I/O APIC")
        try list.refuse("memory-encryption", except: [""], because: "memory encryption is not available")
        try list.refuse("confidential-guest-support", except: [""], because: "memory encryption is not available")
        try list.refuse("default-bus-bypass-iommu", except: off, because: "there is no IOMMU")
        try list.refuse("smbios-entry-point-type", except: ["64"], because: "tables have the 64-bit entry point")
        try list.refuse("x-option-roms", except: off, because: "there are no option ROMs")
    }

    // MARK: -accel

    /// Reads "kvm:tcg" with the properties of -accel.
    static func accelerators(_ names: String, _ list: inout OptionList, _ spec: inout MachineSpec) throws(UserError)
        -> [AcceleratorSpec]
    {
        var found: [AcceleratorSpec] = []
        for name in names.split(separator: ":", omittingEmptySubsequences: false).map(String.init) {
            switch name {
            case "kvm": found.append(AcceleratorSpec(kind: .kvm))
            case "tcg", "soft": found.append(AcceleratorSpec(kind: .software))
            default:
                throw UserError(
                    "invalid accelerator \(name)", remedy: Suggestion.sentence(for: name, among: ["kvm", "tcg"]))
            }
        }
        if let size = try list.takeInteger("tb-size", in: 0...16384) {
            let bytes = size == 0 ? nil : UInt64(size) << 20
            for place in found.indices where found[place].kind == .software {
                found[place].translationCacheBytes = bytes
            }
        }
        if let translates = try list.takeBool("jit") {
            for place in found.indices where found[place].kind == .software { found[place].translates = translates }
        }
        if let isLockstep = try list.takeBool("lockstep") {
            for place in found.indices where found[place].kind == .software { found[place].isLockstep = isLockstep }
        }
        if let thread = list.take("thread") {
            guard ["single", "multi"].contains(thread) else {
                throw OptionValue.refusal(of: thread, for: "thread", among: ["single", "multi"])
            }
            for place in found.indices { found[place].isSingleThreaded = thread == "single" }
        }
        if let chip = list.take("kernel-irqchip") {
            guard let kind = BoardSpec.KernelIRQChip(rawValue: chip) else {
                throw OptionValue.refusal(of: chip, for: "kernel-irqchip", among: ["on", "off", "split"])
            }
            guard found.contains(where: { $0.kind != .software }) else {
                throw UserError("Property 'tcg-accel.kernel-irqchip' not found", remedy: "it belongs to kvm")
            }
            spec.board.kernelIRQChip = kind
        }
        try list.refuse("split-wx", except: ["off"], because: "code memory is mapped once")
        try list.refuse("igd-passthru", except: ["off"], because: "Xen is not available")
        try list.refuse("dirty-ring-size", except: ["0"], because: "the dirty log is used")
        try list.finish()
        return found
    }

    // MARK: -cpu

    static func processor(_ text: String) throws(UserError) -> ProcessorSpec {
        var processor = ProcessorSpec()
        var parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        processor.model = parts.removeFirst()
        guard !processor.model.isEmpty else {
            throw UserError("no CPU model given", remedy: "use -cpu help to list them")
        }
        for part in parts where !part.isEmpty {
            if part.hasPrefix("+") || part.hasPrefix("-") {
                let name = normalised(String(part.dropFirst()))
                if part.hasPrefix("+") { try refuseEnlightenment(name) }
                processor.features.append(ProcessorSpec.Feature(name: name, isOn: part.hasPrefix("+")))
                continue
            }
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            try property(normalised(sides[0]), sides.count == 2 ? sides[1] : "on", &processor)
        }
        return processor
    }

    /// QEMU takes underscores for hyphens, and old names without the dot.
    private static func normalised(_ name: String) -> String {
        switch name {
        case "sse4_1": "sse4.1"
        case "sse4_2": "sse4.2"
        case "i64": "lm"
        case "xd": "nx"
        default: String(name.map { $0 == "_" ? "-" : $0 })
        }
    }

    private static func refuseEnlightenment(_ name: String) throws(UserError) {
        guard name.hasPrefix("hv-") else { return }
        throw UserError(
            "-cpu property '\(name)' is not supported", because: "the guest finds no Hyper-V", remedy: "leave it out")
    }

    private static func property(
        _ name: String, _ value: String, _ processor: inout ProcessorSpec
    ) throws(UserError) {
        switch name {
        case "check": processor.checks = try OptionValue.bool(value, for: name)
        case "enforce": processor.enforces = try OptionValue.bool(value, for: name)
        case _ where name.hasPrefix("hv-") && ["off", "no", "false", "n"].contains(value): break
        default:
            try refuseEnlightenment(name)
            // Whether a name is a feature with on/off or a property with a value is the engine's knowledge.
            switch value {
            case "on", "yes", "true", "y": processor.features.append(ProcessorSpec.Feature(name: name, isOn: true))
            case "off", "no", "false", "n": processor.features.append(ProcessorSpec.Feature(name: name, isOn: false))
            default: processor.properties[name] = value
            }
        }
    }

    // MARK: -smp

    static func topology(_ list: inout OptionList, _ board: BoardSpec) throws(UserError) -> TopologySpec {
        let all = 0...Int(Int32.max)
        let cpus = try count("cpus", &list, all), maximum = try count("maxcpus", &list, all)
        var sockets = try count("sockets", &list, all) ?? 0, cores = try count("cores", &list, all) ?? 0
        var threads = try count("threads", &list, all) ?? 0
        let dies = try count("dies", &list, all) ?? 1, clusters = try count("clusters", &list, all) ?? 1
        try list.finish()
        guard clusters == 1 else { throw UserError("clusters not supported by this machine's CPU topology") }
        guard dies == 1 else { throw UserError("dies not supported by this machine's CPU topology") }
        let limit = processorLimit(board)
        for given in [cpus, maximum].compactMap({ $0 }) where given > limit {
            throw UserError(
                "Invalid SMP CPUs \(given). The max CPUs supported by machine '\(board.name)' is \(limit)")
        }
        var total = maximum ?? cpus ?? 0
        if total == 0 {
            (sockets, cores, threads) = (max(sockets, 1), max(cores, 1), max(threads, 1))
        } else if cores == 0 {
            (sockets, threads) = (max(sockets, 1), max(threads, 1))
            cores = total / max(1, product(sockets, threads))
        } else if sockets == 0 {
            threads = max(threads, 1)
            sockets = total / max(1, product(cores, threads))
        }
        if threads == 0 { threads = total / max(1, product(sockets, cores)) }
        let made = product(product(sockets, cores), threads)
        if total == 0 { total = made }
        guard made == total, made > 0 else {
            throw UserError(
                "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (\(sockets)) * dies (1) "
                    + "* cores (\(cores)) * threads (\(threads)) != maxcpus (\(total))")
        }
        return try checked(count: cpus ?? total, of: (total, sockets, cores, threads), board, limit)
    }

    private static func checked(
        count: Int, of shape: (total: Int, sockets: Int, cores: Int, threads: Int), _ board: BoardSpec, _ limit: Int
    ) throws(UserError) -> TopologySpec {
        guard shape.total <= limit else {
            throw UserError(
                "Invalid SMP CPUs \(shape.total). The max CPUs supported by machine '\(board.name)' is \(limit)")
        }
        guard count <= shape.total else {
            throw UserError(
                "Invalid CPU topology: maxcpus must be equal to or greater than smp",
                because: "maxcpus (\(shape.total)) < smp_cpus (\(count))")
        }
        var topology = TopologySpec()
        (topology.count, topology.maximum) = (count, shape.total)
        (topology.sockets, topology.cores, topology.threads) = (shape.sockets, shape.cores, shape.threads)
        return topology
    }

    private static func product(_ left: Int, _ right: Int) -> Int {
        left.multipliedReportingOverflow(by: right).partialValue
    }

    private static func count(
        _ key: String, _ list: inout OptionList, _ range: ClosedRange<Int>
    ) throws(UserError) -> Int? {
        guard let text = list.take(key) else { return nil }
        let value = try OptionValue.integer(text, for: "smp.\(key)")
        guard value > 0 else {
            throw UserError(
                "Invalid CPU topology: CPU topology parameters must be greater than zero",
                because: "\(key)=\(text)")
        }
        guard let small = Int(exactly: value), range.contains(small) else {
            throw UserError("Parameter 'smp.\(key)' is out of range", because: "not '\(text)'")
        }
        return small
    }

    // MARK: -m

    private static let memoryGranularity: UInt64 = 8192

    static func memory(_ list: inout OptionList, _ memory: inout MemorySpec) throws(UserError) {
        if let bytes = try list.takeSize("size", unit: 1 << 20), bytes > 0 {
            guard bytes <= 1 << 52 else {
                throw UserError("ram size too large", because: "more than 4 PiB")
            }
            memory.bytes = (bytes + memoryGranularity - 1) & ~(memoryGranularity - 1)
        }
        memory.maximumBytes = memory.bytes
        let slots = try list.takeInteger("slots", in: 0...256)
        let maximum = try list.takeSize("maxmem")
        try list.finish()
        if let maximum, maximum < memory.bytes {
            throw UserError(
                "invalid value of maxmem",
                because: "maximum memory size (\(maximum)) must be at least the "
                    + "initial memory size (\(memory.bytes))")
        }
        guard (maximum ?? memory.bytes) == memory.bytes, slots ?? 0 == 0 else {
            throw UserError("slots= and maxmem= are not supported", because: "memory cannot be plugged in later")
        }
    }
}
