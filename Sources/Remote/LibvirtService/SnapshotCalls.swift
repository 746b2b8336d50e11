// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Snapshots of machines.
enum SnapshotCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerListing(in: table)
        registerFacts(in: table)
        registerChanges(in: table)
    }

    private static func names(_ client: ServiceConnection, _ domain: DomainHandle, _ flags: UInt32) throws -> [String] {
        try client.core.machines.snapshotNames(client.checked(domain), below: nil, flags)
    }

    private static func names(_ client: ServiceConnection, _ snapshot: SnapshotHandle, _ flags: UInt32) throws
        -> [String]
    {
        try client.core.machines.snapshotNames(client.checked(snapshot.domain), below: snapshot.name, flags)
    }

    private static func registerListing(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainSnapshotNum) { client, _, domain, flags in
            Int32(try names(client, domain, flags).count)
        }
        table.answer(Procedures.domainSnapshotListNames) { client, _, domain, limit, flags in
            Array(try names(client, domain, flags).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.domainListAllSnapshots) { client, _, domain, wanted, flags in
            let found = try names(client, domain, flags)
            return (wanted != 0 ? found.map { SnapshotHandle(name: $0, domain: domain) } : [], Int32(found.count))
        }
        table.answer(Procedures.domainSnapshotNumChildren) { client, _, snapshot, flags in
            Int32(try names(client, snapshot, flags).count)
        }
        table.answer(Procedures.domainSnapshotListChildrenNames) { client, _, snapshot, limit, flags in
            Array(try names(client, snapshot, flags).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.domainSnapshotListAllChildren) { client, _, snapshot, wanted, flags in
            let found = try names(client, snapshot, flags)
            let handles = found.map { SnapshotHandle(name: $0, domain: snapshot.domain) }
            return (wanted != 0 ? handles : [], Int32(found.count))
        }
    }

    private static func registerFacts(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainSnapshotLookupByName) { client, _, domain, name, _ in
            SnapshotHandle(name: try client.core.machines.findSnapshot(client.checked(domain), name), domain: domain)
        }
        table.answer(Procedures.domainHasCurrentSnapshot) { client, _, domain, _ in
            try client.core.machines.currentSnapshot(client.checked(domain)) == nil ? 0 : 1
        }
        table.answer(Procedures.domainSnapshotCurrent) { client, _, domain, _ in
            guard let name = try client.core.machines.currentSnapshot(client.checked(domain)) else {
                throw ManagementError(.noDomainSnapshot, "the domain does not have a current snapshot")
            }
            return SnapshotHandle(name: name, domain: domain)
        }
        table.answer(Procedures.domainSnapshotIsCurrent) { client, _, snapshot, _ in
            let uuid = try client.checked(snapshot.domain)
            let name = try client.core.machines.findSnapshot(uuid, snapshot.name)
            return try client.core.machines.currentSnapshot(uuid) == name ? 1 : 0
        }
        table.answer(Procedures.domainSnapshotHasMetadata) { client, _, snapshot, _ in
            _ = try client.core.machines.findSnapshot(client.checked(snapshot.domain), snapshot.name)
            return 1
        }
        table.answer(Procedures.domainSnapshotGetParent) { client, _, snapshot, _ in
            SnapshotHandle(
                name: try client.core.machines.parentSnapshot(client.checked(snapshot.domain), snapshot.name),
                domain: snapshot.domain)
        }
        table.answer(Procedures.domainSnapshotGetXMLDesc) { client, _, snapshot, flags in
            let secure: UInt32 = 1
            if flags & secure != 0 && client.isReadOnly {
                throw ManagementError(
                    .operationDenied, "virDomainSnapshotGetXMLDesc with secure flag", from: .none)
            }
            return try client.core.machines.snapshotDocument(
                client.checked(snapshot.domain), snapshot.name, secure: flags & secure != 0)
        }
    }

    private static func registerChanges(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainSnapshotCreateXML, .blocking) { client, _, domain, text, flags in
            SnapshotHandle(
                name: try client.core.machines.createSnapshot(
                    client.checked(domain), text, SnapshotCreation(rawValue: flags)),
                domain: domain)
        }
        table.answer(Procedures.domainRevertToSnapshot, .blocking) { client, _, snapshot, flags in
            let (running, paused): (UInt32, UInt32) = (1, 2)
            guard flags & (running | paused) != (running | paused) else {
                throw ManagementError(
                    .invalidArg, "running and paused flags are mutually exclusive", from: .none)
            }
            try client.core.machines.revert(
                client.checked(snapshot.domain), to: snapshot.name,
                wake: flags & running != 0 ? .running : flags & paused != 0 ? .paused : .asSaved)
        }
        table.answer(Procedures.domainSnapshotDelete, .blocking) { client, _, snapshot, flags in
            try client.core.machines.deleteSnapshot(
                client.checked(snapshot.domain), snapshot.name, MachineDriver.SnapshotRemoval(rawValue: flags))
        }
    }
}
