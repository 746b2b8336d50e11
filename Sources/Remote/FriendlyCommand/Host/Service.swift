// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XDRCoding
internal import ClientKit
internal import CommandLineKit
internal import Diagnostics
internal import Glibc
internal import HostProcesses
internal import HostSystem
internal import LibvirtProtocol

/// The server behind the command.
struct Service {
    let server: ServerConnection
    let address: ServerAddress

    /// Connects to the server that the settings name. A user's own server is started where it does not run yet.
    init(_ settings: GlobalSettings) throws {
        address = try Self.address(settings)
        server = try Self.connect(address, mayStart: settings.socket == nil)
        do throws(ClientError) { try server.open(address.uri) } catch {
            throw UserError("cannot open \(address.uri)", because: error.description)
        }
    }

    static func address(_ settings: GlobalSettings) throws(UserError) -> ServerAddress {
        let uri =
            settings.uri ?? ThisProgram.variable("LIBVIRT_DEFAULT_URI")
            ?? (getuid() == 0 ? "qemu:///system" : "qemu:///session")
        guard let address = ServerAddress(uri: uri, socket: settings.socket) else {
            throw UserError("cannot connect to \(uri)", remedy: "use qemu:///system or qemu:///session")
        }
        return address
    }

    private static func connect(_ address: ServerAddress, mayStart: Bool) throws -> ServerConnection {
        do throws(ClientError) { return try ServerConnection(path: address.socket) } catch {
            guard case .unreachable(_, let reason) = error else { throw error }
            if reason == .accessDenied {
                throw UserError(
                    "you may not use the server at \(address.socket)",
                    remedy: "join the group libvirt, or use your own with --connect qemu:///session")
            }
            guard mayStart, address.uri == "qemu:///session" else {
                throw UserError(
                    "no server answers at \(address.socket)", because: reason,
                    remedy: "start it: systemctl start roostd, or roostd &")
            }
        }
        return try startOwnServer(address)
    }

    private static func startOwnServer(_ address: ServerAddress) throws -> ServerConnection {
        let program = ThisProgram.beside("roostd")
        do throws(Errno) {
            _ = try ChildProcess.start(
                program, ["--session"], environment: ThisProgram.environment, newSession: true)
        } catch {
            throw UserError("cannot start \(program)", because: error, remedy: "install roostd beside roost")
        }
        // Five seconds: it probes its emulator first.
        for _ in 0..<100 {
            if let server = try? ServerConnection(path: address.socket) { return server }
            usleep(50_000)
        }
        throw UserError(
            "\(program) was started and does not answer at \(address.socket)",
            remedy: "run it by hand to see why: \(program) --session")
    }

    // MARK: Machines

    /// Asks the server to list all results.
    static let wanted: Int32 = 1

    func machines() throws -> [DomainHandle] {
        try server.call(Procedures.connectListAllDomains, Message(Self.wanted, 0)).fields.0
    }

    /// The machine of a name or a UUID.
    func machine(_ name: String) throws -> DomainHandle {
        do throws(ClientError) {
            return try server.call(Procedures.domainLookupByName, Message(name)).fields
        } catch {
            guard error.code == Self.noDomain else { throw error }
            let all = try machines()
            if let match = all.first(where: { $0.uuid.description == name.lowercased() }) { return match }
            throw UserError(
                "there is no machine '\(name)'",
                remedy: Self.remedy(name, all.map(\.name), command: "roost list"))
        }
    }

    private static let noDomain: Int32 = 42, noNetwork: Int32 = 43, noPool: Int32 = 49

    private static func remedy(_ name: String, _ names: [String], command: String) -> String {
        Suggestion.nearest(to: name, among: names).map { "did you mean '\($0)'?" } ?? "\(command) shows what there is"
    }

    func state(_ machine: DomainHandle) throws -> MachineCondition {
        MachineCondition(number: try server.call(Procedures.domainGetState, Message(machine, 0)).fields.0)
    }

    /// The machine's document.
    /// - Parameter isInactive: as it will be at the next start.
    func document(_ machine: DomainHandle, isInactive: Bool = false) throws -> String {
        try server.call(Procedures.domainGetXMLDesc, Message(machine, isInactive ? 2 : 0)).fields
    }

    // MARK: Networks and pools

    func networks() throws -> [NetworkHandle] {
        try server.call(Procedures.connectListAllNetworks, Message(Self.wanted, 0)).fields.0
    }

    func network(_ name: String) throws -> NetworkHandle {
        do throws(ClientError) {
            return try server.call(Procedures.networkLookupByName, Message(name)).fields
        } catch {
            guard error.code == Self.noNetwork else { throw error }
            throw UserError(
                "there is no network '\(name)'",
                remedy: Self.remedy(name, try networks().map(\.name), command: "roost net list"))
        }
    }

    func pools() throws -> [PoolHandle] {
        try server.call(Procedures.connectListAllStoragePools, Message(Self.wanted, 0)).fields.0
    }

    func pool(_ name: String) throws -> PoolHandle {
        do throws(ClientError) {
            return try server.call(Procedures.storagePoolLookupByName, Message(name)).fields
        } catch {
            guard error.code == Self.noPool else { throw error }
            throw UserError(
                "there is no pool '\(name)'",
                remedy: Self.remedy(name, try pools().map(\.name), command: "roost pool list"))
        }
    }
}

/// What a machine is doing (virDomainState).
enum MachineCondition: String, Sendable {
    case unknown, running, blocked, paused, stopping, stopped, crashed, suspended

    private static let all: [MachineCondition] = [
        .unknown, .running, .blocked, .paused, .stopping, .stopped, .crashed, .suspended,
    ]

    init(number: Int32) {
        let all = Self.all
        self = all.indices.contains(Int(number)) ? all[Int(number)] : .unknown
    }

    /// Whether a process runs it.
    var isActive: Bool { ![.unknown, .stopped, .crashed].contains(self) }
}
