// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Checkpoints and backups of machines.
enum CheckpointCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerListing(in: table)
        registerChanges(in: table)
    }

    private static func registerListing(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainListAllCheckpoints) { client, _, domain, wanted, flags in
            let names = try client.core.machines.checkpointNames(client.checked(domain), below: nil, flags)
            return (wanted != 0 ? names.map { CheckpointHandle(name: $0, domain: domain) } : [], Int32(names.count))
        }
        table.answer(Procedures.domainCheckpointListAllChildren) { client, _, checkpoint, wanted, flags in
            let names = try client.core.machines.checkpointNames(
                client.checked(checkpoint.domain), below: checkpoint.name, flags)
            let handles = names.map { CheckpointHandle(name: $0, domain: checkpoint.domain) }
            return (wanted != 0 ? handles : [], Int32(names.count))
        }
        table.answer(Procedures.domainCheckpointLookupByName) { client, _, domain, name, _ in
            CheckpointHandle(
                name: try client.core.machines.findCheckpoint(client.checked(domain), name), domain: domain)
        }
        table.answer(Procedures.domainCheckpointGetParent) { client, _, checkpoint, _ in
            CheckpointHandle(
                name: try client.core.machines.parentCheckpoint(client.checked(checkpoint.domain), checkpoint.name),
                domain: checkpoint.domain)
        }
        table.answer(Procedures.domainCheckpointGetXMLDesc, .blocking) { client, call, checkpoint, flags in
            let options = CheckpointDocumentOptions(rawValue: flags)
            if options.contains(.secure) && client.isReadOnly {
                throw ManagementError(
                    .operationDenied, "virDomainCheckpointGetXMLDesc with secure flag", from: .none)
            }
            return try client.core.machines.checkpointDocument(
                client.checked(checkpoint.domain), checkpoint.name, options)
        }
    }

    private static func registerChanges(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainCheckpointCreateXML, .blocking) { client, _, domain, text, flags in
            CheckpointHandle(
                name: try client.core.machines.createCheckpoint(
                    client.checked(domain), text, CheckpointCreation(rawValue: flags)),
                domain: domain)
        }
        table.answer(Procedures.domainCheckpointDelete, .blocking) { client, _, checkpoint, flags in
            try client.core.machines.deleteCheckpoint(
                client.checked(checkpoint.domain), checkpoint.name, .init(rawValue: flags))
        }
        table.answer(Procedures.domainBackupBegin, .blocking) { client, _, domain, text, checkpoint, flags in
            try client.core.machines.beginBackup(
                client.checked(domain), text, checkpoint: checkpoint, reusesFiles: flags & 1 != 0)
        }
        table.answer(Procedures.domainBackupGetXMLDesc) { client, _, domain, _ in
            try client.core.machines.backupDocument(client.checked(domain))
        }
    }
}
