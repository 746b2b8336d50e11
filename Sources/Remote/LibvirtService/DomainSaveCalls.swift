// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Saved memory, dumps, pictures, keys and jobs.
enum DomainSaveCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerSave(in: table)
        registerManagedSave(in: table)
        registerDumps(in: table)
        registerJobs(in: table)
        registerDisplay(in: table)
    }

    /// From the bits of libvirt's flags for saving: 2 runs, 4 is paused.
    private static func wake(_ flags: UInt32) throws -> WakeState {
        let (running, paused): (UInt32, UInt32) = (2, 4)
        switch (flags & running != 0, flags & paused != 0) {
        case (true, true):
            throw ManagementError(.invalidArg, "running and paused flags are mutually exclusive", from: .none)
        case (true, false): return .running
        case (false, true): return .paused
        case (false, false): return .asSaved
        }
    }

    private static func registerSave(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainSave, .blocking) { client, _, domain, path in
            try client.core.machines.save(client.checked(domain), to: path)
        }
        table.answer(Procedures.domainSaveFlags, .blocking) { client, _, domain, path, document, flags in
            try client.core.machines.save(client.checked(domain), to: path, document: document, wake: wake(flags))
        }
        table.answer(Procedures.domainSaveParams, .blocking) { client, _, domain, parameters, flags in
            let (path, document) = try files(parameters)
            guard let path else {
                return try client.core.machines.managedSave(client.checked(domain), wake: wake(flags))
            }
            try client.core.machines.save(client.checked(domain), to: path, document: document, wake: wake(flags))
        }
        table.answer(Procedures.domainRestore, .blocking) { client, _, path in
            try client.core.machines.restore(path, document: nil, wake: .asSaved)
        }
        table.answer(Procedures.domainRestoreFlags, .blocking) { client, _, path, document, flags in
            try client.core.machines.restore(path, document: document, wake: wake(flags))
        }
        table.answer(Procedures.domainRestoreParams, .blocking) { client, _, parameters, flags in
            let (path, document) = try files(parameters)
            guard let path else {
                throw ManagementError(.invalidArg, "missing path to restore from", from: .none)
            }
            try client.core.machines.restore(path, document: document, wake: wake(flags))
        }
        table.answer(Procedures.domainSaveImageGetXMLDesc, .blocking) { client, _, path, flags in
            let secure: UInt32 = 1
            return try client.core.machines.savedDocument(path, secure: flags & secure != 0)
        }
        table.answer(Procedures.domainSaveImageDefineXML, .blocking) { client, _, path, text, flags in
            try client.core.machines.setSavedDocument(path, text, wake: wake(flags))
        }
    }

    private static func files(_ parameters: [TypedParameter]) throws -> (path: String?, document: String?) {
        var found: (path: String?, document: String?) = (nil, nil)
        for parameter in parameters {
            switch (parameter.name, parameter.value) {
            case ("file", .text(let path)): found.path = path
            case ("dxml", .text(let text)): found.document = text
            default: throw ManagementError(.invalidArg, "parameter '\(parameter.name)' not supported", from: .none)
            }
        }
        return found
    }

    private static func registerManagedSave(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainManagedSave, .blocking) { client, _, domain, flags in
            try client.core.machines.managedSave(client.checked(domain), called: domain.name, wake: wake(flags))
        }
        table.answer(Procedures.domainManagedSaveRemove, .blocking) { client, _, domain, _ in
            try client.core.machines.removeSavedMemory(client.checked(domain))
        }
        table.answer(Procedures.domainManagedSaveGetXMLDesc, .blocking) { client, _, domain, flags in
            let secure: UInt32 = 1
            return try client.core.machines.managedSaveDocument(
                client.checked(domain), secure: flags & secure != 0)
        }
        table.answer(Procedures.domainManagedSaveDefineXML, .blocking) { client, _, domain, text, flags in
            try client.core.machines.setManagedSaveDocument(client.checked(domain), text, wake: wake(flags))
        }
    }

    private static func registerDumps(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainCoreDump, .blocking) { client, _, domain, path, flags in
            try client.core.machines.dumpCore(
                client.checked(domain), to: path, format: 0, MachineDriver.DumpOptions(rawValue: flags))
        }
        table.answer(Procedures.domainCoreDumpWithFormat, .blocking) { client, _, domain, path, format, flags in
            try client.core.machines.dumpCore(
                client.checked(domain), to: path, format: format, MachineDriver.DumpOptions(rawValue: flags))
        }
        table.answer(Procedures.domainInjectNmi, .blocking) { client, _, domain, _ in
            try client.core.machines.injectInterrupt(client.checked(domain))
        }
        table.answer(Procedures.domainSendKey, .blocking) { client, _, domain, set, holdTime, keys, _ in
            let limit = 16
            guard keys.count <= limit else {
                throw ManagementError(.invalidArg, "nkeycodes must be <= \(limit)", from: .domain)
            }
            try client.core.machines.sendKeys(client.checked(domain), keys, set: set, milliseconds: holdTime)
        }
    }

    private static func registerJobs(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainAbortJob, .blocking) { client, _, domain in
            try client.core.machines.abortJob(client.checked(domain))
        }
        table.answer(Procedures.domainGetJobInfo, .blocking) { client, _, domain in
            let unbounded: Int32 = 2
            let figures = try client.core.machines.jobFigures(client.checked(domain))
            guard figures.isActive else { return (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) }
            let (total, done, left) = (figures.memoryTotal, figures.memoryProcessed, figures.memoryRemaining)
            let (disks, copied, uncopied) = (figures.diskTotal, figures.diskProcessed, figures.diskRemaining)
            return (
                unbounded, figures.elapsed, 0, total &+ disks, done &+ copied, left &+ uncopied, total, done, left,
                disks, copied, uncopied
            )
        }
        table.answer(Procedures.domainGetJobStats, .blocking) { client, _, domain, flags in
            let (completed, keeps): (UInt32, UInt32) = (1, 2)
            if flags & completed == 0, try !client.facts(domain).isActive { throw DomainCalls.notRunning }
            return try client.core.machines.jobParameters(
                client.checked(domain), completed: flags & completed != 0, keeps: flags & keeps != 0)
        }
    }

    private static func registerDisplay(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainScreenshot, .blocking) { client, call, domain, screen, _ in
            let picture = try client.core.machines.screenshot(client.checked(domain), screen: screen)
            defer {
                // The stream has the file open; unlink copies the path.
                _ = unsafe unlink(picture.path)
            }
            try VolumeStream.download(file: picture.path, call)
            return picture.type
        }
        table.answer(Procedures.domainOpenGraphicsFd, .blocking) { client, call, domain, number, flags in
            call.pass(
                try client.core.machines.openDisplay(client.checked(domain), number, skipsPassword: flags & 1 != 0))
        }
        table.answer(Procedures.domainOpenGraphics, .blocking) { client, call, domain, number, flags in
            guard let descriptor = call.takeDescriptor() else {
                throw ManagementError(.internalError, "no FD was passed with the message", from: .rpc)
            }
            try client.core.machines.openDisplay(
                client.checked(domain), number, descriptor.number, skipsPassword: flags & 1 != 0)
        }
    }
}
