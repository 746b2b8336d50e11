// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import CLinux
internal import Glibc
internal import BootLoading
internal import CharacterStreams
internal import ControlServer
internal import CPUInterface
internal import Diagnostics
internal import DiskControllers
internal import DisplayAdapters
internal import DisplaySurfaces
internal import GuestMemory
internal import HostIO
internal import HostSystem
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import Migration
internal import PacketPorts
internal import PCChipset
internal import PCIBus
internal import USBDevices
internal import Virtio
internal import VirtioDevices
internal import VNCServer

/// A machine built from its description, ready to run: the only place that knows every device.
///
/// Building goes from the inside out: host resources (character devices, disks, networks), memory, engine, board, what
/// is plugged in, and the kernel. Everything is owned here for the life of the process.
final class AssembledMachine: @unchecked Sendable {
    /// Runs it.
    let runner: MachineRunner
    /// What it was made from; devices that come and go are added and taken out.
    var spec: MachineSpec
    let loop: EventLoop
    let lock = Lock()
    let guestMemory = GuestMemory()
    let portSpace: AddressSpace
    let space: AddressSpace
    let clock: RuntimeClock
    let executor: MachineExecutor
    /// Prints `warning:` and `info:` lines.
    let messages: Console
    var board: PCBoard?
    var engine: (any BoardEngine)?
    var acceleratorName = ""
    var characters = CharacterParts()
    /// Secrets and certificates.
    let objects: MachineObjects
    var storage: StorageParts
    var networks: NetworkParts
    var pciDevices: [PCIDevice] = []
    var serialPorts: [UART16550] = []
    var networkCards: [NetworkCard] = []
    var balloon: VirtioBalloonDevice?
    /// Seconds between questions for the guest's statistics, their timer, and when the last ones came.
    var balloonInterval = 0
    var balloonTimer: LoopTimer?
    var balloonUpdate: Int64 = 0
    /// Disks for whose errors the machine was stopped, with QMP's words; until it goes on.
    var failedDisks: [String: String] = [:]
    /// Disks in the order of -device.
    var disks: [(drive: String, ioThread: String?, device: VirtioBlockDevice)] = []
    /// What the guest's processors show; nil without any.
    var processorModel: CPUModel?
    /// Drives on the board's controllers.
    var drives: [AssembledDrive] = []
    /// Controllers with USB ports, in the order of -device.
    var usbControllers: [any USBController] = []
    /// Screens of the display adapters, and what people type and point at.
    var consoles: [DisplayConsole] = []
    private(set) lazy var input = InputRouter(machineLock: lock)
    /// What shows the screens to viewers.
    var screenServers: [VNCServer] = []
    /// Memory of display adapters that were not made yet.
    var videoMemory: [GuestMemory.MovableRegion] = []
    /// Timers of `later`.
    var pendingTimers: [LoopTimer] = []
    /// The virtio-serial bus that ports go to.
    var serialBus: VirtioSerialDevice?
    /// The port that the device being made goes behind, while the machine runs.
    var hotPlugPort: PCIExpressRootPort?
    /// The slots that the device being made goes into, while the machine runs.
    var hotPlugSlots: ACPIHotPlug?
    /// Flash chips, which take the ROM's place.
    private var flash: FlashParts?
    /// Threads for their requests, made with the first.
    var diskWorkers: WorkerPool?
    /// Objects that nothing else keeps.
    var kept: [AnyObject] = []
    /// Waits for its state (`-incoming`).
    var isIncoming = false
    /// A move that is under way or was the last, and what can be set for moves.
    var outgoing: OutgoingMigration?
    var incoming: IncomingMigration?
    var incomingStatus: String?
    /// Where the state is waited for.
    var incomingPlace: MigrationChannel.Entrance.Place?
    var startsOnceFilled = true
    var settingsForMoves = MigrationSettings()
    /// Announcements of network cards that are under way, by the name of their series.
    var announcements: [String: AnnouncementSeries] = [:]
    /// Monitors, QMP and the debugger's stub.
    var control: ControlServer?
    var boot: DirectBoot?
    /// The ROM that starts the machine; nil where a kernel starts without one.
    private var firmware: FirmwareImage?
    /// Where firmware and option ROMs are looked for.
    let firmwareFiles: FirmwareFiles
    /// Devices with a bootindex, by the names that firmware knows them by.
    var bootEntries: [(index: Int, path: String)] = []
    /// Where chips ask for resets and power.
    var requests: Requests?
    private var isFirstStart = true

    /// Builds the machine.
    /// - Parameters:
    ///   - loop: becomes the main loop of `run`.
    ///   - messages: for warnings and the line that says which engine runs.
    /// - Throws: the first thing that cannot be had, as one line.
    init(_ spec: MachineSpec, loop: EventLoop, messages: Console) throws(UserError) {
        self.spec = spec
        self.loop = loop
        self.messages = messages
        clock = RuntimeClock(loop: loop, machineLock: lock)
        runner = MachineRunner(lock: lock, loop: loop, clock: clock)
        portSpace = AddressSpace(machineLock: lock)
        space = AddressSpace(machineLock: lock)
        executor = MachineExecutor(lock: lock) { [loop] work in loop.post(work) }
        firmwareFiles = FirmwareFiles(extra: spec.process.dataDirectories)
        objects = MachineObjects(spec.objects)
        storage = StorageParts(messages: messages, loop: loop, objects: objects)
        networks = NetworkParts(loop: loop)
        try addDescriptorSets()
        try checkRandomSources()
        try characters.open(spec, loop: loop, messages: messages, runner: runner)
        try storage.open(spec)
        try networks.open(spec)
        applyPolicies()
        if spec.board.kind == .none { acceleratorName = try usableAccelerator() } else { try build() }
        try makeControl()
        try makeScreenServers()
    }

    /// Runs until the guest or a person ends it.
    /// - Returns: the status for the process.
    func run() throws(UserError) -> Int32 {
        defer { close() }
        let startUp = loop.makeTimer { ProgramPages.release() }
        startUp.arm(at: monotonicNanoseconds() + Self.startUpNanoseconds)
        defer { startUp.cancel() }
        let isIncoming = spec.lifecycle.incoming != nil
        let isRestored = spec.lifecycle.snapshot != nil
        try checkSnapshot()
        if isIncoming {
            loop.post { [self] in awaitState() }
        } else if isRestored {
            loop.post { [self] in goOnFromSnapshot() }
        }
        let waits = spec.lifecycle.startsPaused || isIncoming || isRestored
        do throws(Errno) { return try runner.run(startPaused: waits) } catch {
            throw UserError("cannot start the vCPUs", because: error)
        }
    }

    func close() {
        for server in screenServers { server.close() }
        // First the threads that use the disks.
        for disk in disks { disk.device.close() }
        for drive in drives { drive.medium.waitForWorkers() }
        storage.closeAll(messages)
        networks.closeAll()
        characters.closeAll()
    }

    /// `-add-fd`, before anything opens a file.
    private func addDescriptorSets() throws(UserError) {
        for entry in spec.process.descriptorSets {
            do throws(Errno) {
                // As QEMU does, the set keeps a duplicate of the number that came with the process.
                let own = try retrying { roost_fcntl(entry.descriptor, F_DUPFD_CLOEXEC, 3) }
                _ = DescriptorSets.shared.add(own, set: entry.set, opaque: entry.opaque)
            } catch {
                throw UserError(
                    "fd is not valid or already in use", place: "-add-fd fd=\(entry.descriptor),set=\(entry.set)")
            }
        }
    }

    private func applyPolicies() {
        runner.policy.resetShutsDown = spec.lifecycle.resetShutsDown
        runner.policy.shutdownPauses = spec.lifecycle.shutdownPauses
        runner.policy.panicAction = spec.lifecycle.panic.rawValue
        runner.report = { [messages] text in messages.error(text) }
        runner.observe { [unowned self] event in
            switch event {
            case .stopped: settleDisks()
            // Requests that an error policy kept are tried again.
            case .resumed:
                storage.devices.setThrottlesOpen(false)
                failedDisks = [:]
                for disk in disks { disk.device.resumeStopped() }
            case .blockError(let failure) where failure.action == "stop":
                failedDisks[failure.device.isEmpty ? failure.nodeName : failure.device] =
                    failure.isNoSpace ? "nospace" : "failed"
            default: break
            }
        }
        switch spec.clock.base {
        case .utc, .localTime:
            // The machine's time begins with its first instruction; rt and vm both go on from the host's clock then.
            if spec.clock.source != .host { clock.wallClockSource = .machine(start: clock.wallClock) }
        case .start(let seconds):
            let start = seconds &* Self.nanosecondsPerSecond
            // The host's clock, moved so that it shows that time now: it follows when the host's is set.
            clock.wallClockSource =
                spec.clock.source == .host ? .host(offset: start &- clock.wallClock) : .machine(start: start)
        }
        runner.observe { [weak self] event in
            guard let self, case .resumed = event else { return }
            lock.withLock { for drive in self.drives { drive.medium.resumeStopped() } }
        }
        runner.beforeReset = { [unowned self] in logProcessors() }
        logUnassignedAccesses()
    }

    /// `-d unimp`, and `-d guest_errors` for memory: of ports, systems try many.
    private func logUnassignedAccesses() {
        let showsErrors = Log.shared.isEnabled(.guestErrors)
        guard showsErrors || Log.shared.isEnabled(.unimplemented) else { return }
        for (space, name) in [(portSpace, "port"), (space, "address")] {
            let isMemory = space === self.space
            space.unassignedAccess = { address, size, isWrite in
                let action = isWrite ? "write" : "read", place = "0x\(String(address, radix: 16, uppercase: true))"
                if isMemory, showsErrors {
                    Log.shared.write(
                        .guestErrors,
                        "Invalid \(action) at addr \(place), size \(size), region '(null)', reason: rejected")
                }
                Log.shared.write(
                    .unimplemented, "\(action) of \(size) bytes where nothing is: \(name) \(place)")
            }
        }
    }

    /// By then code and memory that only the start needed are not used any more.
    private static let startUpNanoseconds: UInt64 = 2_000_000_000
    private static let nanosecondsPerSecond: Int64 = 1_000_000_000

    /// `-d cpu_reset`.
    private func logProcessors() {
        guard Log.shared.isEnabled(.processorReset) else { return }
        for processor in runner.processors {
            let text = RegisterText(processor.registers, isHalted: processor.isHalted).text
            Log.shared.write(.processorReset, "CPU Reset (CPU \(processor.index))\n\(text)")
        }
    }

    private func build() throws(UserError) {
        let kind = spec.board.kind
        if spec.board.pcie == .on {
            throw UserError("pcie=on is not supported", remedy: "leave it out: devices are virtio-mmio, or use -M q35")
        }
        let layout = BoardMemory(kind: kind, size: spec.memory.bytes, limit: spec.board.maximumLowMemory)
        let parts = try MemoryParts(spec)
        if spec.memory.isLocked { try MemoryParts.lockAll() }
        do throws(Errno) { try layout.add(to: guestMemory, backing: parts.backing) } catch {
            throw UserError(
                "cannot map \(spec.memory.bytes >> 20) MiB of memory for the guest", because: error,
                remedy: "give the machine less with -m")
        }
        let chips = try FlashParts(spec, storage: storage, memory: guestMemory) { [messages] in messages.warning($0) }
        if !chips.chips.isEmpty { flash = chips }
        if flash == nil, spec.boot.kernel == nil || spec.boot.bios != nil {
            let image = try FirmwareImage(name: spec.boot.bios, board: spec.board, files: firmwareFiles)
            try image.add(to: guestMemory)
            firmware = image
        }
        try addVideoMemory()
        let requests = Requests(runner: runner)
        self.requests = requests
        let engine = try makeEngine(memory: guestMemory)
        self.engine = engine
        engine.map(ports: portSpace, devices: space, hasPIC: spec.board.pic.resolved(true))
        for processor in engine.processors { try add(processor) }
        let board = try PCBoard(
            boardOptions(layout), engine: engine, ports: portSpace, space: space, memory: guestMemory, clock: clock,
            requests: requests)
        self.board = board
        for chip in flash?.chips ?? [] { chip.map(in: space) }
        addInput(board)
        try plugIn(board, requests: requests)
        watchProcessors(board)
        board.hotPlug?.settle { function in
            pciDevices.contains { $0 === function } && !(function is VGADevice)
        }
        try engine.finish()
        try fillFirmwareConfig(board)
        boot = try makeBoot(board)
        finish(board, engine)
        try boot?.prepare()
    }

    private func boardOptions(_ memory: BoardMemory) -> PCBoard.Options {
        var options = PCBoard.Options(kind: spec.board.kind, memory: memory)
        let isMicroVM = spec.board.kind == .microvm
        options.bootOrder = Self.bootDevices(spec.boot.once ?? spec.boot.order)
        options.hasHPET = spec.board.hpet && !isMicroVM
        options.hasKeyboardController = spec.board.i8042 && !isMicroVM
        options.hasIntervalTimer = spec.board.pit.resolved(true)
        options.makesUpLostTicks = spec.board.makesUpLostTicks
        // A guest on KVM has that one's clock.
        options.hasRealTimeClock = spec.board.rtc.resolved(!isMicroVM || acceleratorName != "kvm")
        options.hasSystemManagementBus = spec.board.smbus
        options.hasSATA = spec.board.sata
        // With hardware-reduced ACPI Linux does not ask the PIT; on KVM it has that one's clock.
        options.hasPowerTimer = isMicroVM && acceleratorName != "kvm" && spec.board.acpi.resolved(true)
        options.hasACPI = spec.board.acpi.resolved(true)
        options.processors = (0..<spec.topology.maximum).map(Set(spec.topology.present).contains)
        options.clockOffset = spec.clock.base == .localTime ? hostTimeZoneOffset() : 0
        return options
    }

    private func finish(_ board: PCBoard, _ engine: any BoardEngine) {
        runner.devices =
            engine.devices + board.devices + serialPorts + (board.transports?.devices ?? [])
            + (flash?.chips ?? []).map { $0 as any Device }
        let isDirect = boot != nil
        runner.loadBootImage = { [unowned self] in
            board.resetBus()
            // once= is for the first start: by the next reset, the usual order is in the clock's memory.
            if isFirstStart {
                isFirstStart = false
            } else if spec.boot.once != nil {
                board.clockChip.setBootOrder(Self.bootDevices(spec.boot.order))
            }
            do throws(UserError) {
                guard isDirect else {
                    try firmware?.shadow(into: guestMemory)
                    try flash?.shadow(into: guestMemory)
                    return
                }
                try board.configureAsFirmware()
                if let loaded = try boot?.load() { engine.processors[0].registers = loaded.registers }
            } catch {
                messages.error(error.description)
                runner.requestExit(status: 1, cause: .hostError)
            }
        }
        runner.pressPowerButton = { board.pressPowerButton() }
    }
}

/// What chipset devices ask for, passed on to the runner.
final class Requests: MachineRequests {
    private let runner: MachineRunner

    init(runner: MachineRunner) { self.runner = runner }

    func requestReset() { runner.requestReset(.guestReset) }
    func requestPowerOff() { runner.requestShutdown(.guestShutdown) }
    func requestExit(status: Int32) { runner.requestExit(status: status, cause: .guestShutdown) }

    func guestPanicked(isCrashLoaded: Bool) {
        guard !isCrashLoaded else { return runner.announce(.guestCrashLoaded(action: "run")) }
        switch LifecycleSpec.PanicAction(rawValue: runner.policy.panicAction) ?? .shutdown {
        case .ignore: runner.announce(.guestPanicked(action: "run"))
        case .pause: runner.requestStop(.guestPanicked, event: .guestPanicked(action: "pause"))
        case .shutdown:
            // As QEMU: the machine stops, and the process ends unless -no-shutdown keeps it.
            runner.announce(.guestPanicked(action: "poweroff"))
            runner.requestStop(.guestPanicked, event: .guestPanicked(action: "pause"))
            runner.requestShutdown(.guestPanic)
        case .exitFailure:
            runner.announce(.guestPanicked(action: "exit-failure"))
            runner.requestExit(status: 1, cause: .guestPanic)
        }
    }
}
