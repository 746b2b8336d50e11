// SPDX-License-Identifier: Apache-2.0

internal import XDRCoding
internal import ClientKit
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import LibvirtProtocol
internal import XMLTree

extension Verbs {
    static let watching: [Verb] = [
        Verb(
            "ssh", [.machine, .rest("COMMAND")],
            options: [VerbOption("user", "NAME", "whom to be in the guest (root, or the one that 'roost up' made)")],
            "log in to a machine, or run a command in it", run: ssh),
        Verb(
            "logs", [.machine], options: [VerbOption("follow", nil, "go on as it grows")],
            "show what a machine's process said", run: logs),
        Verb(
            "events", options: [VerbOption("count", "N", "end after so many")],
            "show what happens to machines, networks and pools, as it happens", run: events),
        Verb("host check", [], "say what this host can virtualize, and how to mend what it cannot") {
            var report = Report([
                .init(title: "CHECK", key: "check"), .init(title: "RESULT", key: "result"),
                .init(title: "WHAT WAS FOUND", key: "found"), .init(title: "REMEDY", key: "remedy"),
            ])
            for finding in HostCheck().findings() {
                report.rows.append([
                    .init(finding.check), .init(finding.result.rawValue), .init(finding.found),
                    .init(.string(finding.remedy), text: finding.remedy),
                ])
            }
            try Output.write(report, $0.settings)
        },
    ]

    private static func ssh(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        // `user@machine`, as ssh itself has it; a name of a machine may have the sign as well.
        let parts = invocation.words[0].split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let named = parts.count == 2 && (try? service.machine(invocation.words[0])) == nil
        let machine = try service.machine(named ? String(parts[1]) : invocation.words[0])
        let document = try XMLParser.parse(try service.document(machine))
        guard let address = try MachineReach(service).find(machine, document) else {
            throw UserError(
                "\(machine.name) has no address yet",
                remedy: "look at its console with: roost console \(machine.name)")
        }
        guard let program = ProgramFiles.find("ssh") else {
            throw UserError("there is no ssh on this host", remedy: "install openssh-client")
        }
        let user = invocation["user"] ?? (named ? String(parts[0]) : nil) ?? OwnedFiles.user(document) ?? "root"
        // The guest behind a forwarded port changes, so its key is not that of this host's name.
        let options = ["-o", "HostKeyAlias=roost-\(machine.uuid)", "-o", "StrictHostKeyChecking=accept-new"]
        try ProgramFiles.become(
            program, options + address.sshArguments + ["\(user)@\(address.host)"] + invocation.words.dropFirst())
    }

    // MARK: Logs

    private static func logs(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        let machine = try service.machine(invocation.words[0])
        let folder =
            service.address.uri == "qemu:///system"
            ? "/var/log/libvirt"
            : (ThisProgram.variable("XDG_CACHE_HOME") ?? (ThisProgram.variable("HOME") ?? "/") + "/.cache") + "/libvirt"
        var candidates = ["\(folder)/qemu/\(machine.name).log", "\(folder)/qemu/log/\(machine.name).log"]
        // A private server keeps its logs beside the folder of its socket.
        if let socket = invocation.settings.socket {
            let parts = socket.split(separator: "/").dropLast(2).map(String.init)
            candidates.insert("/" + (parts + ["log", "qemu", machine.name + ".log"]).joined(separator: "/"), at: 0)
        }
        guard let path = candidates.first(where: ProgramFiles.exists) else {
            throw UserError(
                "\(machine.name) has no log at \(candidates[0])", remedy: "it is written when the machine starts")
        }
        let file: FileDescriptor
        do throws(Errno) { file = try FileDescriptor.open(path, flags: O_RDONLY) } catch {
            throw UserError("cannot read \(path)", because: error)
        }
        try copy(file, follow: invocation.has("follow"))
    }

    private static func copy(_ file: borrowing FileDescriptor, follow: Bool) throws {
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            // The array lives for the call.
            let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
                do throws(Errno) { return .success(try unsafe file.read(into: buffer)) } catch {
                    return .failure(error)
                }
            }
            let count = try read.get()
            if count > 0 {
                try FileDescriptor.writeAll(Array(bytes.prefix(count)), to: STDOUT_FILENO)
            } else if follow {
                usleep(200_000)
            } else {
                return
            }
        }
    }

    // MARK: Events

    private static let machineEvents = [
        "defined", "undefined", "started", "paused", "resumed", "stopped", "shutdown", "suspended", "crashed",
    ]
    private static let networkEvents = ["defined", "undefined", "started", "stopped"]
    private static let poolEvents = ["defined", "undefined", "started", "stopped", "created", "deleted"]

    private static func events(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        var left = try invocation.number("count", in: 1...Int.max, default: Int.max)
        let lifecycle: Int32 = 0
        _ = try service.server.call(Procedures.connectDomainEventCallbackRegisterAny, Message(lifecycle, nil))
        _ = try service.server.call(Procedures.connectNetworkEventRegisterAny, Message(lifecycle, nil))
        _ = try service.server.call(Procedures.connectStoragePoolEventRegisterAny, Message(lifecycle, nil))
        while left > 0 {
            guard let (kind, name, event) = try text(of: try service.server.nextMessage()) else { continue }
            left -= 1
            if invocation.settings.json {
                let members: [(String, JSONValue)] = [
                    ("kind", .string(kind)), ("name", .string(name)), ("event", .string(event)),
                ]
                try Output.write(JSONValue.object(JSONObject(members)).printed() + "\n")
            } else {
                try Output.write("\(kind) \(name) \(event)\n")
            }
        }
    }

    private static func text(
        of message: ServerConnection.Incoming
    ) throws -> (kind: String, name: String, event: String)? {
        func name(_ number: Int32, _ names: [String]) -> String {
            names.indices.contains(Int(number)) ? names[Int(number)] : "event \(number)"
        }
        if let body = try message.body(of: EventMessages.domainEventCallbackLifecycle) {
            let (machine, event, _) = body.fields.1.fields
            return ("machine", machine.name, name(event, machineEvents))
        }
        if let body = try message.body(of: EventMessages.networkEventLifecycle) {
            return ("network", body.fields.1.name, name(body.fields.2, networkEvents))
        }
        if let body = try message.body(of: EventMessages.storagePoolEventLifecycle) {
            return ("pool", body.fields.1.name, name(body.fields.2, poolEvents))
        }
        return nil
    }
}
