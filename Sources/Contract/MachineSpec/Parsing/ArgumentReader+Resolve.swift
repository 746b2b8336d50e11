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

    private func at<Result>(_ place: String, _ body: () throws(UserError) -> Result) throws(UserError) -> Result {
        do throws(UserError) { return try body() } catch { throw error.at(place) }
    }

    // MARK: machine, processors, memory

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

    // MARK: character devices, serial ports, monitors

    private var hasOwnSerialPort: Bool {
        devices.contains { $0.value.peek("driver") == "isa-serial" }
    }

    private mutating func resolveCharacterDevices() throws(UserError) {
        for entry in characterDevices {
            let device = try at(entry.place) { () throws(UserError) in try CharacterReader.read(entry.value) }
            try add(device, entry.place)
        }
        let wantsSerial = hasDefaults && serials.isEmpty && !hasOwnSerialPort && hasSerialPorts
        let wantsMonitor = hasDefaults && !hasMonitorFlag
        if isNographic {
            if spec.process.daemonizes, wantsSerial || wantsMonitor {
                throw UserError("-nographic cannot be used with -daemonize")
            }
            if wantsSerial && wantsMonitor {
                serials.append(Placed(value: "mon:stdio", place: "-nographic"))
            } else if wantsSerial {
                serials.append(Placed(value: "stdio", place: "-nographic"))
            } else if wantsMonitor {
                monitors.append(Placed(value: ("stdio", .readline, false), place: "-nographic"))
            }
        } else if wantsSerial {
            // QEMU shows the port in its window; without a window it is there for the guest and goes nowhere.
            serials.append(Placed(value: "null", place: "-serial null"))
        }
        try resolveSerials()
        try resolveMonitors()
        for entry in debuggers {
            guard spec.debugger == nil else { throw UserError("only one debugger is possible", place: entry.place) }
            spec.debugger = try characterDevice(entry.value, label: "gdb", entry.place, serverByDefault: true)
        }
    }

    private var hasSerialPorts: Bool {
        spec.board.kind != .none && (spec.board.kind != .microvm || spec.board.isaSerial)
    }

    private mutating func resolveSerials() throws(UserError) {
        let most = 4
        for (index, entry) in serials.enumerated() {
            guard let label = try characterDevice(entry.value, label: "serial\(index)", entry.place) else { continue }
            guard hasSerialPorts, index < most else {
                throw UserError(
                    "too many serial ports", because: "machine '\(spec.board.name)' has \(hasSerialPorts ? most : 0)",
                    place: entry.place)
            }
            var serial = ISASerialSpec()
            serial.index = index
            serial.characterDevice = label
            spec.devices.append(DeviceSpec(typeName: "isa-serial", identifier: nil, model: .isaSerial(serial)))
        }
        for (index, entry) in debugConsoles.enumerated() {
            let label = try characterDevice(
                entry.value, label: index == 0 ? "debugcon" : "debugcon\(index)", entry.place)
            guard let label else { throw UserError("invalid character backend 'none'", place: entry.place) }
            // Through the list, so that -global isa-debugcon.iobase= applies.
            let list = OptionList([
                OptionList.Entry(key: "driver", value: "isa-debugcon"), OptionList.Entry(key: "chardev", value: label),
            ])
            devices.append(Placed(value: list, place: entry.place))
        }
    }

    private mutating func resolveMonitors() throws(UserError) {
        var number = 0
        for entry in monitors {
            let label = "compat_monitor\(number)"
            guard let device = try characterDevice(entry.value.text, label: label, entry.place) else { continue }
            if device == label { number += 1 }
            spec.monitors.append(
                MonitorSpec(characterDevice: device, mode: entry.value.mode, isPretty: entry.value.isPretty))
        }
        for entry in namedMonitors {
            do throws(UserError) {
                var list = entry.value
                let device = try list.require("chardev")
                guard spec.characterDevices.contains(where: { $0.identifier == device }) else {
                    throw UserError("chardev \"\(device)\" not found")
                }
                let text = list.take("mode") ?? "readline"
                guard let mode = MonitorSpec.Mode(rawValue: text) else {
                    throw OptionValue.refusal(of: text, for: "mode", among: ["readline", "control"])
                }
                let isPretty = try list.takeBool("pretty") ?? false
                if isPretty && mode == .readline { throw UserError("'pretty' is not compatible with HMP monitors") }
                _ = list.take("id")
                try list.finish()
                spec.monitors.append(MonitorSpec(characterDevice: device, mode: mode, isPretty: isPretty))
            } catch { throw error.at(entry.place) }
        }
    }

    private mutating func add(_ device: CharacterDeviceSpec, _ place: String) throws(UserError) {
        guard !spec.characterDevices.contains(where: { $0.identifier == device.identifier }) else {
            throw UserError("Duplicate ID '\(device.identifier)' for chardev", place: place)
        }
        if case .stdio = device.backend,
            spec.characterDevices.contains(where: { if case .stdio = $0.backend { true } else { false } })
        {
            throw UserError("cannot use stdio by multiple character devices", place: place)
        }
        spec.characterDevices.append(device)
    }

    /// The identifier of the character device behind a short form; nil for "none".
    private mutating func characterDevice(
        _ text: String, label: String, _ place: String, serverByDefault: Bool = false
    ) throws(UserError) -> String? {
        if text.hasPrefix("chardev:") {
            let identifier = String(text.dropFirst("chardev:".utf8.count))
            guard spec.characterDevices.contains(where: { $0.identifier == identifier }) else {
                throw UserError("character device '\(identifier)' does not exist", place: place)
            }
            return identifier
        }
        let parsed = try at(place) { () throws(UserError) in try CharacterReader.readShort(text, label: label) }
        guard var short = parsed else { return nil }
        // The debugger connects to us, and nobody waits for it.
        if serverByDefault { short.spec.asDebuggerServer() }
        try add(short.spec, place)
        if short.sharesMonitor { spec.monitors.append(MonitorSpec(characterDevice: label, mode: .readline)) }
        return label
    }

    // MARK: disks and networks

    private mutating func resolveDrives() throws(UserError) {
        var counts: [DriveSpec.Interface: Int] = [:]
        for entry in drives {
            do throws(UserError) {
                var options = entry.value
                // A microvm has no controller of its own that drives would go to.
                if spec.board.kind == .microvm, options.peek("if") == nil {
                    options = OptionList(options.entries + [OptionList.Entry(key: "if", value: "none")])
                }
                let interface = DriveSpec.Interface(rawValue: options.peek("if") ?? "ide") ?? .none
                let units = spec.board.kind == .q35 ? 1 : 2
                var number = counts[interface, default: 0]
                if interface == .ide {
                    let taken = spec.drives.filter { $0.interface == .ide }.map { $0.bus * units + $0.unit }
                    number = (0...taken.count).first { !taken.contains($0) } ?? 0
                }
                let drive = try DriveReader.drive(options, number: number, unitsPerBus: units)
                counts[interface, default: 0] += 1
                guard !spec.drives.contains(where: { $0.identifier == drive.identifier }) else {
                    throw UserError("Duplicate ID '\(drive.identifier)' for drive")
                }
                spec.drives.append(drive)
                if drive.interface == .virtio { addDisk(drive) }
                if drive.interface == .ide { try addIDEDrive(drive) }
            } catch { throw error.at(entry.place) }
        }
        try addDefaultCDROM()
    }

    /// As QEMU without a window: a server on this host alone.
    private mutating func addDefaultDisplay() {
        guard !hasDisplayFlag, !isNographic else { return }
        spec.display.vncServers = [DisplayReader.defaultServer]
        spec.display.isDefault = true
    }

    /// The card of -vga, or the usual one.
    private mutating func addVideoCard() {
        guard spec.board.kind == .pc || spec.board.kind == .q35 else { return }
        let names = ["VGA", "ramfb", "secondary-vga"]
        let hasOwn = devices.contains { names.contains($0.value.peek("driver") ?? "") }
        let isWanted = videoCard == "std" || videoCard == nil && hasDefaults && !hasOwn
        guard isWanted else { return }
        spec.devices.append(DeviceSpec(typeName: "VGA", identifier: nil, model: .pc(.vga(VGASpec()))))
    }

    private mutating func addIDEDrive(_ drive: DriveSpec) throws(UserError) {
        guard spec.board.kind != .microvm else {
            throw UserError(
                "machine 'microvm' has no IDE controller",
                remedy: "use if=virtio, or if=none,id=ID with -device virtio-blk-device,drive=ID")
        }
        var device = DriveDeviceSpec(isCDROM: drive.isCDROM)
        device.drive = drive.identifier
        device.bus = drive.bus
        device.unit = drive.unit
        device.serial = drive.serial
        device.writeError = drive.writeError
        device.readError = drive.readError
        let isTaken = spec.devices.contains {
            if case .pc(.drive(let other)) = $0.model { return other.bus == device.bus && other.unit == device.unit }
            return false
        }
        guard !isTaken else { throw UserError("drive with bus=\(drive.bus), unit=\(drive.unit) exists") }
        spec.devices.append(
            DeviceSpec(typeName: drive.isCDROM ? "ide-cd" : "ide-hd", identifier: nil, model: .pc(.drive(device))))
    }

    /// Boards with an IDE or SATA controller have an empty CD-ROM drive as third drive.
    private mutating func addDefaultCDROM() throws(UserError) {
        guard hasDefaults, spec.board.kind == .pc || spec.board.kind == .q35 else { return }
        let names = ["ide-cd", "ide-hd", "ide-drive", "scsi-cd"]
        let hasOwn = devices.contains { names.contains($0.value.peek("driver") ?? "") }
        let place = spec.board.kind == .q35 ? (2, 0) : (1, 0)
        let isTaken = spec.drives.contains { $0.interface == .ide && ($0.isCDROM || ($0.bus, $0.unit) == place) }
        guard !hasOwn, !isTaken else { return }
        var drive = DriveSpec(identifier: "ide\(place.0)-cd0")
        drive.interface = .ide
        drive.isCDROM = true
        drive.isReadOnly = true
        (drive.bus, drive.unit) = place
        spec.drives.append(drive)
        try addIDEDrive(drive)
    }

    private mutating func addDisk(_ drive: DriveSpec) {
        let isMMIO = spec.board.kind == .microvm
        var block = VirtioBlockSpec(drive: drive.identifier)
        block.serial = drive.serial
        block.writeError = drive.writeError
        block.readError = drive.readError
        spec.devices.append(
            DeviceSpec(
                typeName: isMMIO ? "virtio-blk-device" : "virtio-blk-pci", identifier: nil,
                model: .virtioBlock(VirtioTransportSpec(bus: isMMIO ? .mmio : .pci), block)))
    }

    private mutating func resolveNetworks() throws(UserError) {
        for entry in networks {
            do throws(UserError) {
                var list = entry.value
                let backend = try NetworkReader.backend(&list)
                let identifier = try OptionValue.identifier(try list.require("id"))
                try list.finish()
                try add(NetworkSpec(identifier: identifier, backend: backend))
            } catch { throw error.at(entry.place) }
        }
        try joinHub()
        for (number, entry) in networkCards.enumerated() {
            do throws(UserError) { try addCard(entry.value, number) } catch { throw error.at(entry.place) }
        }
        let isPC = spec.board.kind == .pc || spec.board.kind == .q35
        let hasCard = devices.contains { entry in
            guard let type = DeviceType.named(entry.value.peek("driver") ?? "") else { return false }
            return type.family == .network || type.family == .pc(.gigabit)
        }
        if isPC, hasDefaults, !hasNoNetwork, !hasCard, networks.isEmpty, networkCards.isEmpty,
            hubMembers.isEmpty
        {
            try addCard(try OptionList(parsing: "user", implied: "type"), 0)
        }
    }

    /// `-net nic` with one `-net` back end is one card with that back end, as -nic has it.
    private mutating func joinHub() throws(UserError) {
        let cards = hubMembers.filter { $0.value.peek("type") == "nic" }
        let ends = hubMembers.filter { $0.value.peek("type") != "nic" }
        guard let first = hubMembers.first else { return }
        guard cards.count == 1, ends.count <= 1 else {
            let what = cards.isEmpty ? "-net back ends without a -net nic" : "more than one card or back end"
            throw UserError("there are \(what)", remedy: "use -nic, or -netdev with -device", place: first.place)
        }
        let renamed = cards[0].value.entries.filter { $0.key != "type" }.map { entry in
            OptionList.Entry(key: entry.key == "macaddr" ? "mac" : entry.key, value: entry.value)
        }
        if let end = ends.first {
            networkCards.append(Placed(value: OptionList(end.value.entries + renamed), place: end.place))
        } else if renamed.contains(where: { $0.key == "netdev" }) {
            throw UserError("netdev= is not available here", remedy: "use -device with netdev=", place: cards[0].place)
        } else {
            var card = VirtioNetworkSpec()
            var list = OptionList(renamed)
            let gigabit: String?
            do throws(UserError) {
                gigabit = try readCard(&list, &card)
                try list.finish()
            } catch { throw error.at(cards[0].place) }
            addCard(card, gigabit)
        }
    }

    private mutating func add(_ network: NetworkSpec) throws(UserError) {
        guard !spec.networks.contains(where: { $0.identifier == network.identifier }) else {
            throw UserError("Duplicate ID '\(network.identifier)' for netdev")
        }
        spec.networks.append(network)
    }

    private mutating func addCard(_ options: OptionList, _ number: Int) throws(UserError) {
        var list = options
        if list.peek("type") == "none" {
            _ = list.take("type")
            try list.finish()
            return
        }
        guard spec.board.kind != .none else { throw UserError("machine 'none' has no network cards") }
        var card = VirtioNetworkSpec()
        let gigabit = try readCard(&list, &card)
        let identifier = try list.take("id").map { text throws(UserError) in try OptionValue.identifier(text) }
        let backend = try NetworkReader.backend(&list)
        try list.finish()
        // '#' keeps a made-up name apart from every name that a person can give.
        let name = identifier ?? "#net\(number)"
        try add(NetworkSpec(identifier: name, backend: backend))
        card.network = name
        addCard(card, gigabit)
    }

    /// The card's half of -nic.
    /// - Returns: the model's name where the card is one of Intel's.
    private func readCard(_ list: inout OptionList, _ card: inout VirtioNetworkSpec) throws(UserError) -> String? {
        let isMMIO = spec.board.kind == .microvm
        let virtio = isMMIO ? ["virtio", "virtio-net-device"] : ["virtio", "virtio-net-pci", "virtio-net"]
        let usual = isMMIO ? "virtio-net-device" : spec.board.kind == .q35 ? "e1000e" : "e1000"
        let model = list.take("model") ?? usual
        let gigabit = isMMIO ? nil : DeviceType.named(model).flatMap { $0.family == .pc(.gigabit) ? $0.name : nil }
        guard virtio.contains(model) || gigabit != nil else {
            throw UserError("Unsupported NIC model: \(model)", remedy: "see -nic model=help")
        }
        if let mac = list.take("mac") {
            guard let address = DeviceReader.macAddress(mac) else {
                throw UserError("invalid syntax for ethernet address", because: "'\(mac)'")
            }
            card.address = address
        }
        return gigabit
    }

    private mutating func addCard(_ card: VirtioNetworkSpec, _ gigabit: String?) {
        if let gigabit {
            var chip = NetworkCardSpec(model: gigabit)
            (chip.network, chip.address) = (card.network, card.address)
            spec.devices.append(DeviceSpec(typeName: gigabit, identifier: nil, model: .pc(.networkCard(chip))))
            return
        }
        let isMMIO = spec.board.kind == .microvm
        spec.devices.append(
            DeviceSpec(
                typeName: isMMIO ? "virtio-net-device" : "virtio-net-pci", identifier: nil,
                model: .virtioNetwork(VirtioTransportSpec(bus: isMMIO ? .mmio : .pci), card)))
    }

    // MARK: devices

    /// `usb=on`: the south bridge's own controller on pc. QEMU's q35 has an EHCI controller and three companions, which
    /// one xHCI controller stands for here.
    private mutating func addBoardUSB() {
        guard spec.board.usb else { return }
        let isPC = spec.board.kind == .pc
        let model = isPC ? "piix3-usb-uhci" : "qemu-xhci"
        var device = DeviceSpec(
            typeName: model, identifier: nil, model: .pc(.usbController(USBControllerSpec(model: model))))
        if isPC { (device.placement.slot, device.placement.function) = (1, 2) }
        spec.devices.append(device)
    }

    /// `-usbdevice`.
    private mutating func addShortUSBDevices() throws(UserError) {
        for entry in usbDevices {
            do throws(UserError) {
                spec.devices.append(try device(OptionList([OptionList.Entry(key: "driver", value: entry.value)])))
            } catch { throw error.at(entry.place) }
        }
    }

    /// Properties of chips that -global can name, with the values that describe what they do anyway; the interval timer
    /// does either.
    static let fixedGlobals: [String: [String]] = [
        "kvm-pit.lost_tick_policy": ["delay", "discard"], "ICH9-LPC.disable_s3": ["1", "on", "true"],
        "ICH9-LPC.disable_s4": ["1", "on", "true"], "PIIX4_PM.disable_s3": ["1", "on", "true"],
        "PIIX4_PM.disable_s4": ["1", "on", "true"], "mc146818rtc.lost_tick_policy": ["discard", "slew"],
    ]

    private mutating func resolveDevices() throws(UserError) {
        for entry in globals {
            let global = entry.value
            if global.driver == "virtio-mmio", global.property == "force-legacy" {
                spec.board.hasLegacyTransports = try at(entry.place) { () throws(UserError) in
                    try OptionValue.bool(global.value, for: "force-legacy")
                }
                continue
            }
            if let accepted = Self.fixedGlobals["\(global.driver).\(global.property)"] {
                guard accepted.contains(global.value) else {
                    throw UserError(
                        "\(global.driver).\(global.property)=\(global.value) is not supported",
                        remedy: "leave it out, or use \(accepted[0])", place: entry.place)
                }
                if global.driver == "kvm-pit" { spec.board.makesUpLostTicks = global.value == "delay" }
                continue
            }
            guard let type = DeviceType.named(global.driver) else {
                let names = DeviceType.all.map(\.name)
                throw UserError(
                    "there is no device '\(global.driver)' to set '\(global.property)' of",
                    remedy: Suggestion.nearest(to: global.driver, among: names).map { "did you mean '\($0)'?" } ?? "",
                    place: entry.place)
            }
            guard type.properties.contains(where: { $0.name == global.property }) else {
                throw UserError(
                    "Property '\(type.name).\(global.property)' not found",
                    remedy: Suggestion.sentence(for: global.property, among: type.properties.map(\.name)),
                    place: entry.place)
            }
        }
        for entry in devices {
            do throws(UserError) { spec.devices.append(try device(entry.value)) } catch { throw error.at(entry.place) }
        }
    }

    func device(_ options: OptionList) throws(UserError) -> DeviceSpec {
        guard let driver = options.peek("driver") else { throw UserError("Parameter 'driver' is missing") }
        guard let type = DeviceType.named(driver) else {
            let names = DeviceType.all.flatMap { [$0.name] + ($0.alias.map { [$0] } ?? []) }
            throw UserError(
                "'\(driver)' is not a valid device model name",
                remedy: Suggestion.nearest(to: driver, among: names).map { "did you mean '\($0)'?" }
                    ?? "see '-device help' for those that are")
        }
        let defaults = globals.filter { DeviceType.named($0.value.driver)?.name == type.name }
            .map { OptionList.Entry(key: $0.value.property, value: $0.value.value) }
        return try DeviceReader.read(OptionList(defaults + options.entries), of: type)
    }
}
