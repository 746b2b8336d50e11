// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// How far an operation on a machine's memory is. Bytes and milliseconds.
public struct JobFigures: Sendable {
    /// libvirt's number of what is done; 0 when nothing is.
    public var operation: Int32 = 0
    /// Milliseconds since the operation began.
    public var elapsed: UInt64 = 0
    /// Bytes of guest memory: all of it, sent so far, and still to send.
    public var memoryTotal: UInt64 = 0, memoryProcessed: UInt64 = 0, memoryRemaining: UInt64 = 0
    /// Pages of one value and others that were sent, and the bytes of the others.
    public var constantPages: UInt64 = 0, normalPages: UInt64 = 0, normalBytes: UInt64 = 0
    /// Bytes each second, pages that the guest writes each second, and passes over the memory.
    public var bandwidth: UInt64 = 0, dirtyRate: UInt64 = 0, iterations: UInt64 = 0
    /// Bytes of disks: all of them and copied so far.
    public var diskTotal: UInt64 = 0, diskProcessed: UInt64 = 0
    /// Bytes of disks that are still to copy.
    public var diskRemaining: UInt64 { diskTotal >= diskProcessed ? diskTotal - diskProcessed : 0 }

    /// Figures of nothing.
    public init() {}

    /// Whether anything runs now.
    public var isActive: Bool { operation != 0 }
}

// Operations that take long: how far they are, and giving them up.
extension MachineDriver {
    func begin(_ machine: Machine, _ kind: Int32) {
        machine.change { _, live in
            live?.operation = RunningOperation(kind: kind, started: monotonicNanoseconds())
        }
    }

    func end(_ machine: Machine) { machine.change { _, live in live?.operation = nil } }

    /// Keeps the figures of an operation that has been done, for those who ask later.
    func finishOperation(_ machine: Machine, _ live: LiveMachine) {
        let figures = (try? jobFigures(machine)) ?? JobFigures()
        let parameters = Self.parameters(of: figures)
        machine.finishedOperation = parameters
        end(machine)
        events.emit(.machine(machine.facts.reference, .jobCompleted(parameters)))
    }

    private func jobFigures(_ machine: Machine) throws -> JobFigures {
        let live = try machine.requireLive()
        guard let operation = live.operation else { return JobFigures() }
        var figures = JobFigures()
        figures.operation = operation.kind
        figures.elapsed = (monotonicNanoseconds() &- operation.started) / 1_000_000
        if let backup = live.backup {
            backup.add(to: &figures, (try? live.monitor.execute("query-block-jobs").array) ?? [])
            return figures
        }
        let answer: JSONValue
        do { answer = try live.monitor.execute("query-migrate") } catch { return figures }
        if let memory = answer["ram"] {
            func number(_ name: String) -> UInt64 { memory[name]?.unsigned ?? 0 }
            figures.memoryTotal = number("total")
            figures.memoryProcessed = number("transferred")
            figures.memoryRemaining = number("remaining")
            figures.constantPages = number("duplicate")
            figures.normalPages = number("normal")
            figures.normalBytes = number("normal-bytes")
            figures.iterations = number("dirty-sync-count")
            let pageSize = number("page-size")
            figures.dirtyRate = pageSize == 0 ? 0 : number("dirty-pages-rate")
            if let rate = memory["mbps"]?.double, rate > 0, rate < 1e9 { figures.bandwidth = UInt64(rate * 125_000) }
        }
        return figures
    }

    /// How far the present operation is.
    public func jobFigures(_ uuid: UniqueID) throws -> JobFigures { try jobFigures(machine(uuid)) }

    /// The present operation, or the last one that was done, in libvirt's names.
    /// - Returns: libvirt's type of the job (0 none, 2 without a known end, 3 completed) and the figures.
    public func jobParameters(_ uuid: UniqueID, completed: Bool, keeps: Bool) throws -> (Int32, [TypedParameter]) {
        let machine = try machine(uuid)
        if completed {
            let last = machine.finishedOperation
            if !keeps { machine.finishedOperation = [] }
            return (last.isEmpty ? 0 : 3, last)
        }
        let figures = try jobFigures(machine)
        return figures.isActive ? (2, Self.parameters(of: figures)) : (0, [])
    }

    private static func parameters(of figures: JobFigures) -> [TypedParameter] {
        [
            TypedParameter("operation", .int(figures.operation)),
            TypedParameter("time_elapsed", .ulong(figures.elapsed)),
            TypedParameter("data_total", .ulong(figures.memoryTotal &+ figures.diskTotal)),
            TypedParameter("data_processed", .ulong(figures.memoryProcessed &+ figures.diskProcessed)),
            TypedParameter("data_remaining", .ulong(figures.memoryRemaining &+ figures.diskRemaining)),
            TypedParameter("disk_total", .ulong(figures.diskTotal)),
            TypedParameter("disk_processed", .ulong(figures.diskProcessed)),
            TypedParameter("disk_remaining", .ulong(figures.diskRemaining)),
            TypedParameter("memory_total", .ulong(figures.memoryTotal)),
            TypedParameter("memory_processed", .ulong(figures.memoryProcessed)),
            TypedParameter("memory_remaining", .ulong(figures.memoryRemaining)),
            TypedParameter("memory_bps", .ulong(figures.bandwidth)),
            TypedParameter("memory_constant", .ulong(figures.constantPages)),
            TypedParameter("memory_normal", .ulong(figures.normalPages)),
            TypedParameter("memory_normal_bytes", .ulong(figures.normalBytes)),
            TypedParameter("memory_dirty_rate", .ulong(figures.dirtyRate)),
            TypedParameter("memory_iteration", .ulong(figures.iterations)),
        ]
    }

    /// Gives up the present operation.
    public func abortJob(_ uuid: UniqueID) throws {
        let machine = try machine(uuid)
        guard try machine.requireLive().operation != nil else {
            throw ManagementError(.operationInvalid, "no job is active on the domain")
        }
        machine.change { _, live in live?.operation?.isAborted = true }
        if machine.live?.backup != nil { try abortBackup(machine) }
    }

    // MARK: What a machine's memory and display hold

    /// Formats of a core dump, in libvirt's order.
    private static let dumpFormats = ["elf", "kdump-zlib", "kdump-lzo", "kdump-snappy"]

    /// What happens to a machine when its memory has been dumped.
    public struct DumpOptions: OptionSet, Sendable {
        /// libvirt's virDomainCoreDumpFlags.
        public let rawValue: UInt32
        /// Takes a client's flags as they are.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// The machine is destroyed when the file is complete.
        public static let crash = DumpOptions(rawValue: 1)
        /// The guest runs on while it is dumped.
        public static let live = DumpOptions(rawValue: 2)
        /// The guest is reset when the file is complete.
        public static let reset = DumpOptions(rawValue: 8)
        /// An ELF or kdump file of the memory alone, without the devices.
        public static let memoryOnly = DumpOptions(rawValue: 16)
    }

    /// Writes the guest's memory to a file.
    public func dumpCore(_ uuid: UniqueID, to path: String, format: UInt32, _ options: DumpOptions) throws {
        guard format < Self.dumpFormats.count else {
            throw ManagementError(.invalidArg, "unknown dumpformat '\(format)'")
        }
        try onMonitor(uuid) { machine, live in
            let wasRunning = machine.facts.state.isRunning
            // A machine whose memory was sent somewhere stands still afterwards.
            let goesOn = wasRunning && !(options.contains(.live) && options.contains(.memoryOnly))
            begin(machine, RunningOperation.dump)
            defer { end(machine) }
            if wasRunning && !options.contains(.live) {
                try live.monitor.execute("stop")
                machine.change { facts, _ in facts.state = .pausedForDump }
            }
            do {
                if options.contains(.memoryOnly) {
                    try dumpMemory(live, to: path, Self.dumpFormats[Int(format)])
                } else {
                    try writeMemory(
                        machine, live, to: path,
                        SaveImage(document: live.definition.printed(), wasRunning: wasRunning))
                }
            } catch {
                try continueAfterDump(machine, live, goesOn)
                throw error
            }
            if options.contains(.crash) {
                machine.change { _, running in running?.ending = .shutOffCrashed }
                endProcess(live)
                finish(machine, .shutOffCrashed, Lifecycle.stoppedCrashed)
            } else {
                if options.contains(.reset) { try live.monitor.execute("system_reset") }
                try continueAfterDump(machine, live, goesOn)
            }
        }
    }

    private func continueAfterDump(_ machine: Machine, _ live: LiveMachine, _ needed: Bool) throws {
        guard needed else { return }
        try live.monitor.execute("cont")
        machine.change { facts, _ in facts.state = .runningUnpaused }
    }

    private func dumpMemory(_ live: LiveMachine, to path: String, _ format: String) throws {
        let file: FileDescriptor
        do throws(Errno) {
            file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        } catch { throw ManagementError(.systemError, "failed to create '\(path)': \(error)") }
        try live.monitor.pass(file.number, named: "dump")
        var arguments: JSONObject = ["paging": false, "protocol": "fd:dump"]
        if format != "elf" { arguments["format"] = .string(format) }
        try live.monitor.execute("dump-guest-memory", arguments, patience: MonitorClient.longPatience)
    }

    /// A picture of the display, in a file that the caller removes.
    public func screenshot(_ uuid: UniqueID, screen: UInt32) throws -> (path: String, type: String) {
        try onMonitor(uuid) { machine, live in
            let videos = live.definition.devices.filter { $0.name == "video" && $0[child: "model"]?["type"] != "none" }
            guard !videos.isEmpty else { throw ManagementError(.internalError, "no screens to take screenshot from") }
            guard screen < videos.count else { throw ManagementError(.operationInvalid, "no such screen ID") }
            let path = live.sockets + "/screenshot-\(monotonicNanoseconds())"
            var arguments: JSONObject = ["filename": .string(path)]
            if screen > 0, let alias = videos[Int(screen)][child: "alias"]?["name"] {
                arguments["device"] = .string(alias)
            }
            try live.monitor.execute("screendump", arguments)
            return (path, "image/x-portable-pixmap")
        }
    }

    /// Bytes of the guest's memory.
    public func readMemory(_ uuid: UniqueID, at address: UInt64, count: UInt32, isVirtual: Bool) throws -> [UInt8] {
        try onMonitor(uuid) { _, live in
            let path = live.sockets + "/memory-\(monotonicNanoseconds())"
            defer { try? StateFilesAccess.remove(path) }
            try live.monitor.execute(
                isVirtual ? "memsave" : "pmemsave",
                ["val": JSONValue(address), "size": JSONValue(Int(count)), "filename": .string(path)])
            return try StateFilesAccess.bytes(path, at: 0, count: Int(count), follows: false)
        }
    }

    /// Bytes of a disk as they are in its image.
    public func readDisk(_ uuid: UniqueID, _ name: String, at offset: UInt64, count: UInt32) throws -> [UInt8] {
        let machine = try machine(uuid)
        let definition = try machine.live?.definition ?? definition(of: machine)
        guard let disk = definition.disk(name),
            let path = disk[child: "source"]?["file"] ?? disk[child: "source"]?["dev"]
        else { throw ManagementError(.invalidArg, "invalid disk or path '\(name)'") }
        guard Self.format(disk) == "raw" else {
            throw ManagementError(
                .operationUnsupported,
                "peeking is only supported for disk with 'raw' format not '\(Self.format(disk))'")
        }
        return try StateFilesAccess.bytes(path, at: Int64(clamping: offset), count: Int(count))
    }

    /// Interrupts the guest without a mask.
    public func injectInterrupt(_ uuid: UniqueID) throws {
        try onMonitor(uuid) { _, live in _ = try live.monitor.execute("inject-nmi") }
    }

    /// Presses keys together and lets them go after `milliseconds`.
    public func sendKeys(_ uuid: UniqueID, _ codes: [UInt32], set: UInt32, milliseconds: UInt32) throws {
        let numbers = try codes.map { code in
            guard let number = KeyCodes.scanCode(code, set: set) else {
                throw ManagementError(
                    .internalError, "cannot translate keycode \(code) of \(KeyCodes.name(set)) codeset to qnum keycode"
                )
            }
            return number
        }
        try onMonitor(uuid) { _, live in
            var arguments: JSONObject = [
                "keys": .array(numbers.map { ["type": "number", "data": JSONValue(Int($0))] })
            ]
            if milliseconds > 0 { arguments["hold-time"] = JSONValue(Int(milliseconds)) }
            try live.monitor.execute("send-key", arguments)
        }
    }

    /// A display's end for a client that connects through this service.
    /// - Returns: the client's end of the connection.
    public func openDisplay(_ uuid: UniqueID, _ number: UInt32, skipsPassword: Bool) throws -> FileDescriptor {
        let ends = try LocalPair.make()
        try openDisplay(uuid, number, ends.service.number, skipsPassword: skipsPassword)
        return FileDescriptor(owning: ends.takeClient())
    }

    /// The same for a connection that the client made.
    public func openDisplay(_ uuid: UniqueID, _ number: UInt32, _ descriptor: Int32, skipsPassword: Bool) throws {
        try onMonitor(uuid) { _, live in
            let displays = live.definition.devices.filter { $0.name == "graphics" }
            guard number < displays.count else {
                throw ManagementError(.internalError, "No graphics backend with index \(number)")
            }
            guard displays[Int(number)]["type"] == "vnc" else {
                throw ManagementError(
                    .internalError,
                    "Can only open VNC or SPICE graphics backends, not \(displays[Int(number)]["type"] ?? "")")
            }
            let name = "graphics-\(monotonicNanoseconds())"
            try live.monitor.pass(descriptor, named: name)
            try live.monitor.execute(
                "add_client", ["protocol": "vnc", "fdname": .string(name), "skipauth": .bool(skipsPassword)])
        }
    }
}
