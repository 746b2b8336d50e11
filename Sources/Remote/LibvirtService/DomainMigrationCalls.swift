// SPDX-License-Identifier: Apache-2.0

internal import ClientKit
internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding
internal import XMLTree

/// Moving machines: libvirt's third protocol, with parameters and in its older form. A client that moves a machine calls
/// the old host and the new one in turn (begin, prepare, perform, finish, confirm); with `VIR_MIGRATE_PEER2PEER` it calls
/// the old one alone, which calls the new one itself.
enum DomainMigrationCalls {
    /// What a client says of a migration beside its flags.
    struct Wishes {
        var address: String?
        var name: String?
        var document: String?
        var bandwidth: UInt64 = 0

        init(address: String? = nil, name: String? = nil, document: String? = nil, bandwidth: UInt64 = 0) {
            self.address = address
            self.name = name
            self.document = document
            self.bandwidth = bandwidth
        }

        /// - Throws: for a parameter that would be ignored.
        init(_ parameters: [TypedParameter]) throws {
            for parameter in parameters {
                switch (parameter.name, parameter.value) {
                case ("migrate_uri", .text(let text)): address = text
                case ("destination_name", .text(let text)): name = text
                case ("destination_xml", .text(let text)): document = text
                case ("bandwidth", .ulong(let number)): bandwidth = number
                // The definition that stays is made from what arrives; viewers find the display themselves.
                case ("persistent_xml", _), ("graphics_uri", _): break
                default:
                    throw ManagementError(
                        .argumentUnsupported, "the migration parameter '\(parameter.name)' is not supported")
                }
            }
        }
    }

    static func register(in table: CallTable<ServiceConnection>) {
        registerSource(in: table)
        registerTarget(in: table)
        registerRefusals(in: table)
        registerSecondForm(in: table)
    }

    /// What the two services tell each other: who sends what.
    private static func cookie(_ client: ServiceConnection, _ domain: DomainHandle) -> Bytes {
        let host = client.core.capabilities.host
        let document = XMLElement(
            "qemu-migration", [:],
            [
                XMLElement("name", text: domain.name), XMLElement("uuid", text: domain.uuid.description),
                XMLElement("hostname", text: host.hostname), XMLElement("hostuuid", text: host.uuid.description),
            ])
        // Ends with a zero, as libvirt's does.
        return Bytes(Array(document.printed().utf8) + [0])
    }

    private static func options(_ flags: some BinaryInteger) throws -> MigrationOptions {
        guard let bits = UInt32(exactly: flags) else {
            throw ManagementError(.argumentUnsupported, "migration flags 0x\(String(flags, radix: 16))")
        }
        return MigrationOptions(rawValue: bits)
    }

    // MARK: The old host

    private static func registerSource(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainMigrateBegin3Params, .blocking) { client, _, domain, parameters, flags in
            let document = try client.core.machines.beginMigration(
                client.facts(domain).uuid, document: try Wishes(parameters).document, options(flags))
            return (cookie(client, domain), document)
        }
        table.answer(Procedures.domainMigratePerform3Params, .blocking) {
            client, _, domain, server, parameters, _, flags in
            return try perform(client, domain, server: server, try Wishes(parameters), try options(flags))
        }
        table.answer(Procedures.domainMigrateConfirm3Params, .blocking) { client, _, domain, _, _, flags, cancelled in
            try client.core.machines.confirmMigration(domain.uuid, cancelled: cancelled != 0, options(flags))
        }
    }

    private static func perform(
        _ client: ServiceConnection, _ domain: DomainHandle, server: String?, _ wishes: Wishes,
        _ options: MigrationOptions
    ) throws -> Bytes {
        let uuid = try client.facts(domain).uuid
        guard options.contains(.peerToPeer) else {
            try client.core.machines.performMigration(
                uuid, to: wishes.address ?? "", bandwidth: wishes.bandwidth, options)
            return cookie(client, domain)
        }
        guard let server else { throw ManagementError(.invalidArg, "the address of the other service is missing") }
        try PeerMigration(client: client, domain: domain, wishes: wishes, options: options).run(server)
        // The client takes no part, and no cookie.
        return Bytes()
    }

    // MARK: The new host

    private static func registerTarget(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainMigratePrepare3Params, .blocking) { client, _, parameters, _, flags in
            try prepare(client, try Wishes(parameters), try options(flags))
        }
        table.answer(Procedures.domainMigrateFinish3Params, .blocking) { client, _, parameters, _, flags, cancelled in
            try finish(client, try Wishes(parameters).name, cancelled: cancelled != 0, try options(flags))
        }
    }

    private static func prepare(
        _ client: ServiceConnection, _ wishes: Wishes, _ options: MigrationOptions
    ) throws -> (Bytes, String?) {
        guard let document = wishes.document else {
            throw ManagementError(.invalidArg, "the document of the machine is missing")
        }
        let made = try client.core.machines.prepareMigration(
            document: document, address: wishes.address, host: client.core.capabilities.host.hostname,
            name: wishes.name, options)
        if !options.contains(.offline) { client.abandonsWithConnection(made.machine.uuid) }
        return (
            cookie(client, DomainHandle(made.machine)),
            // A client wants an address also where nothing is sent.
            made.address.isEmpty ? wishes.address ?? "tcp:" + client.core.capabilities.host.hostname : made.address
        )
    }

    private static func finish(
        _ client: ServiceConnection, _ name: String?, cancelled: Bool, _ options: MigrationOptions
    ) throws -> (DomainHandle, Bytes) {
        guard let name else { throw ManagementError(.invalidArg, "the name of the machine is missing") }
        let handle = DomainHandle(
            try client.core.machines.finishMigration(name, cancelled: cancelled, options))
        client.keepsWithoutConnection(handle.uuid)
        return (handle, cookie(client, handle))
    }

    // MARK: The older form, without parameters

    private static func registerSecondForm(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainMigrateBegin3, .blocking) { client, _, domain, document, flags, _, _ in
            let text = try client.core.machines.beginMigration(
                client.facts(domain).uuid, document: document, options(flags))
            return (cookie(client, domain), text)
        }
        table.answer(Procedures.domainMigratePrepare3, .blocking) {
            client, _, _, address, flags, name, bandwidth, document in
            try prepare(
                client, Wishes(address: address, name: name, document: document, bandwidth: bandwidth),
                try options(flags))
        }
        table.answer(Procedures.domainMigratePerform3, .blocking) {
            client, _, domain, document, _, server, address, flags, name, bandwidth in
            try perform(
                client, domain, server: server,
                Wishes(address: address, name: name, document: document, bandwidth: bandwidth), try options(flags))
        }
        table.answer(Procedures.domainMigrateFinish3, .blocking) { client, _, name, _, _, _, flags, cancelled in
            try finish(client, name, cancelled: cancelled != 0, try options(flags))
        }
        table.answer(Procedures.domainMigrateConfirm3, .blocking) { client, _, domain, _, flags, cancelled in
            try client.core.machines.confirmMigration(domain.uuid, cancelled: cancelled != 0, options(flags))
        }
    }

    private static func registerRefusals(in table: CallTable<ServiceConnection>) {
        let sentence = "tunnelled migration is not there; leave it out and the emulators connect directly"
        table.answer(Procedures.domainMigratePrepareTunnel3Params) { _, _, _, _, _ in
            throw ManagementError(.argumentUnsupported, sentence)
        }
        table.answer(Procedures.domainMigratePrepareTunnel3) { _, _, _, _, _, _, _ in
            throw ManagementError(.argumentUnsupported, sentence)
        }
    }
}

/// A migration in which this service calls the other one.
private struct PeerMigration {
    let client: ServiceConnection
    let domain: DomainHandle
    let wishes: DomainMigrationCalls.Wishes
    let options: MigrationOptions

    func run(_ address: String) throws {
        guard let place = ServerAddress(uri: address) else {
            throw ManagementError(
                .argumentUnsupported,
                "this service reaches others over UNIX sockets alone ('qemu+unix:///system?socket=PATH'), not '\(address)': migrate without --p2p"
            )
        }
        do {
            let peer = try ServerConnection(path: place.socket)
            try peer.open(place.uri)
            try move(peer)
        } catch let error as ClientError {
            throw ManagementError(.operationFailed, "Failed to connect to remote libvirt URI \(address): \(error)")
        }
    }

    private func move(_ peer: ServerConnection) throws {
        let machines = client.core.machines
        let document = try machines.beginMigration(domain.uuid, document: wishes.document, options)
        var parameters = [TypedParameter("destination_xml", .text(document))]
        if let name = wishes.name { parameters.append(TypedParameter("destination_name", .text(name))) }
        if let address = wishes.address { parameters.append(TypedParameter("migrate_uri", .text(address))) }
        let (cookie, place) = try peer.call(
            Procedures.domainMigratePrepare3Params, Message(parameters, Bytes(), options.rawValue)
        ).fields
        _ = cookie
        var failure: (any Error)?
        do {
            try machines.performMigration(
                domain.uuid, to: place ?? wishes.address ?? "", bandwidth: wishes.bandwidth, options)
        } catch { failure = error }
        do {
            let name = TypedParameter("destination_name", .text(wishes.name ?? domain.name))
            _ = try peer.call(
                Procedures.domainMigrateFinish3Params,
                Message([name], Bytes(), options.rawValue, failure == nil ? 0 : 1))
        } catch { failure = failure ?? error }
        try machines.confirmMigration(domain.uuid, cancelled: failure != nil, options)
        if let failure { throw failure }
    }
}
