// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import CPUInterface
internal import Glibc
internal import HostIO
internal import HostSystem
internal import JSONCoding
internal import MachineRuntime

extension QMPCommandTable {
    /// Dumps of the guest's memory.
    static let dumpCommands = [
        QMPCommandDefinition(
            "dump-guest-memory",
            [
                QMPParameter("paging", .boolean), QMPParameter("protocol", .string),
                QMPParameter("detach", .boolean, optional: true), QMPParameter("begin", .integer, optional: true),
                QMPParameter("length", .integer, optional: true),
                QMPParameter(
                    "format", .string, optional: true,
                    words: ["elf", "kdump-zlib", "kdump-lzo", "kdump-snappy", "win-dmp"]),
            ]
        ) { (context, arguments) throws(QMPError) in
            try CoreDumping.dump(context, arguments)
            return [:]
        },
        QMPCommandDefinition("query-dump") { context, _ in CoreDumping.report(context.server.dump) },
        QMPCommandDefinition("query-dump-guest-memory-capability") { _, _ in
            ["formats": .array(CoreDumping.formats.map { .string($0) })]
        },
    ]
}

/// `dump-guest-memory`.
enum CoreDumping {
    /// What can be written.
    static let formats = ["elf", "kdump-zlib"]

    /// QMP's `DumpQueryResult`.
    static func report(_ task: DumpTask?) -> JSONValue {
        [
            "total": JSONValue(task?.total ?? 0), "status": .string((task?.status ?? .none).rawValue),
            "completed": JSONValue(task?.completed ?? 0),
        ]
    }

    static func dump(_ context: QMPContext, _ arguments: QMPArguments) throws(QMPError) {
        let server = context.server, runner = context.machine.runner
        guard runner.state != .inMigrate else { throw QMPError("Dump not allowed during incoming migration.") }
        guard !server.isDumping else { throw QMPError("There is a dump in process, please wait.") }
        let format = arguments["format"]?.string ?? "elf", usesPaging = arguments.bool("paging") == true
        let range = try range(arguments)
        if format != "elf", usesPaging || range != nil {
            throw QMPError("kdump-compressed format doesn't support paging or filter")
        }
        guard formats.contains(format) else { throw QMPError("\(format) is not available now") }
        let file = try open(arguments.string("protocol"), context)
        let end = DumpEnd(server, wasRunning: runner.state == .running)
        if end.wasRunning { runner.pause(.saveVM) }
        let dump: any GuestDump
        do throws(QMPError) { dump = try make(context, format, range, usesPaging: usesPaging) } catch {
            end.goOn()
            throw error
        }
        let task = DumpTask(dump, to: file)
        server.dump = task
        guard arguments.bool("detach") == true else {
            task.run()
            end.finish()
            if let problem = task.problem { throw QMPError(problem) }
            return
        }
        let loop = runner.loop
        do throws(Errno) {
            task.thread = try HostThread(name: "dump") {
                task.run()
                loop.post { end.finish() }
            }
        } catch {
            server.dump = nil
            end.goOn()
            throw QMPError("dump: cannot start a thread: \(error)")
        }
    }

    private static func make(
        _ context: QMPContext, _ format: String, _ range: Range<UInt64>?, usesPaging: Bool
    ) throws(QMPError) -> any GuestDump {
        let memory = context.machine.memory
        let registers = context.machine.runner.processors.map(\.registers)
        guard !DumpPiece.all(of: memory, in: range).isEmpty else { throw QMPError("Invalid parameter 'begin'") }
        guard format == "elf" else { return KernelDump(memory, registers) }
        guard usesPaging else { return CoreDump(memory, registers, range: range) }
        guard let mappings = PageTables.mappings(registers, memory) else {
            throw QMPError("dump: the guest's page tables are too large or loop; use paging=false")
        }
        return CoreDump(memory, registers, range: range, mappings: mappings)
    }

    private static func range(_ arguments: QMPArguments) throws(QMPError) -> Range<UInt64>? {
        switch (arguments["begin"]?.unsigned, arguments["length"]?.unsigned) {
        case (nil, nil): return nil
        case (let begin?, let length?):
            let (end, isLong) = begin.addingReportingOverflow(length)
            return begin..<(isLong ? .max : end)
        case (nil, _): throw QMPError("Parameter 'begin' is missing")
        case (_, nil): throw QMPError("Parameter 'length' is missing")
        }
    }

    private static func open(_ place: String, _ context: QMPContext) throws(QMPError) -> FileDescriptor {
        let permissions: UInt32 = 0o400
        do throws(Errno) {
            if place.hasPrefix("file:") {
                return try FileDescriptor.open(
                    String(place.dropFirst(5)), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: permissions)
            }
            if place.hasPrefix("fd:") {
                let name = String(place.dropFirst(3))
                guard let number = context.server.takeDescriptor(named: name) else { throw Errno(EBADF) }
                return FileDescriptor(owning: number)
            }
        } catch {
            throw QMPError("dump: failed to open '\(place)': \(error)")
        }
        throw QMPError("Parameter 'protocol' does not accept value '\(place)'")
    }
}

/// What follows a dump. Used on the loop's thread alone.
private final class DumpEnd: @unchecked Sendable {
    private weak var server: ControlServer?
    let wasRunning: Bool

    init(_ server: ControlServer, wasRunning: Bool) {
        self.server = server
        self.wasRunning = wasRunning
    }

    /// Tells how it went and lets the guest go on.
    func finish() {
        guard let server else { return }
        server.dump?.thread?.join()
        server.dump?.thread = nil
        var data: JSONObject = ["result": CoreDumping.report(server.dump)]
        if let problem = server.dump?.problem { data["error"] = .string(problem) }
        server.emit("DUMP_COMPLETED", data: data)
        goOn()
    }

    /// As it was before the dump.
    func goOn() {
        guard wasRunning, let runner = server?.machine.runner else { return }
        runner.settle(.paused)
        runner.resume()
    }
}
