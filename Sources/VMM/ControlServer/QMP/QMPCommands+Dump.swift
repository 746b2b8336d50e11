// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import CPUInterface
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import MachineRuntime

extension QMPCommandTable {
    /// Core files.
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
        QMPCommandDefinition("query-dump") { context, _ in
            let last = context.server.lastDump
            return [
                "total": JSONValue(last ?? 0), "status": .string(last == nil ? "none" : "completed"),
                "completed": JSONValue(last ?? 0),
            ]
        },
    ]
}

/// `dump-guest-memory`.
enum CoreDumping {
    static func dump(_ context: QMPContext, _ arguments: QMPArguments) throws(QMPError) {
        if arguments.bool("paging") == true {
            throw QMPError("dumps by virtual addresses are not supported; use paging=false")
        }
        if let format = arguments["format"]?.string, format != "elf" {
            throw QMPError("format '\(format)' is not supported; use elf")
        }
        let range = try range(arguments)
        let file = try open(arguments.string("protocol"), context)
        let machine = context.machine, runner = machine.runner
        let wasRunning = runner.state == .running
        if wasRunning { runner.pause(.saveVM) }
        defer {
            if wasRunning {
                runner.settle(.paused)
                runner.resume()
            }
        }
        let dump = CoreDump(machine.memory, runner.processors.map(\.registers), range: range)
        guard !dump.pieces.isEmpty else { throw QMPError("Invalid parameter 'begin'") }
        do throws(Errno) { try dump.write(machine.memory, to: file) } catch {
            throw QMPError("dump: failed to save memory: \(error)")
        }
        context.server.lastDump = dump.total
        guard arguments.bool("detach") == true else { return }
        context.server.emit(
            "DUMP_COMPLETED",
            data: [
                "result": [
                    "total": JSONValue(dump.total), "status": "completed", "completed": JSONValue(dump.total),
                ]
            ])
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
