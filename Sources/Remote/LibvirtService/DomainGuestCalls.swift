// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Threads for disks, single processors, what guests report, and their sleep.
enum DomainGuestCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerThreads(in: table)
        registerProcessors(in: table)
        registerGuest(in: table)
        registerAbsent(in: table)
    }

    private static func registerThreads(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainGetIothreadInfo, .blocking) { client, _, domain, flags in
            let threads = try client.core.machines.diskThreads(
                client.checked(domain), ProcessorScope(flags & 3),
                hostProcessors: client.core.capabilities.host.processors)
            return (
                threads.map { DomainIothreadInfo(number: $0.number, processors: Bytes($0.map)) }, UInt32(threads.count)
            )
        }
        table.answer(Procedures.domainAddIothread, .blocking) { client, _, domain, number, flags in
            try client.core.machines.addDiskThread(client.checked(domain), number, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainDelIothread, .blocking) { client, _, domain, number, flags in
            try client.core.machines.removeDiskThread(client.checked(domain), number, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainPinIothread, .blocking) { client, _, domain, number, map, flags in
            try client.core.machines.pin(
                client.checked(domain), thread: number, map.bytes, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainSetIothreadParams, .blocking) { client, _, domain, number, parameters, flags in
            try client.core.machines.setDiskThread(
                client.checked(domain), number, parameters, ProcessorScope(flags & 3))
        }
    }

    private static func registerProcessors(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainGetGuestVcpus, .blocking) { client, _, domain, _ in
            try client.core.machines.guestProcessors(client.checked(domain))
        }
        table.answer(Procedures.domainSetGuestVcpus, .blocking) { client, _, domain, text, state, _ in
            try client.core.machines.setGuestProcessors(client.checked(domain), text, online: state != 0)
        }
        table.answer(Procedures.domainSetPerfEvents, .blocking) { client, _, domain, parameters, _ in
            _ = try client.facts(domain)
            for parameter in parameters where parameter.value != .bool(false) {
                throw ManagementError(
                    .operationUnsupported, "this service does not count '\(parameter.name)'", from: .machineDriver)
            }
        }
    }

    private static func registerGuest(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainSetMemoryStatsPeriod, .blocking) { client, _, domain, seconds, flags in
            try client.core.machines.setMemoryReports(
                client.checked(domain), seconds: seconds, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainPmWakeup, .blocking) { client, _, domain, _ in
            try client.core.machines.wake(client.checked(domain))
        }
        table.answer(Procedures.domainPmSuspendForDuration, .blocking) { client, _, domain, target, seconds, _ in
            try client.core.machines.sleep(client.checked(domain), target: target, seconds: seconds)
        }
        table.answer(Procedures.connectDomainXMLToNative, .blocking) { client, _, format, text, _ in
            guard format == "qemu-argv" else {
                throw ManagementError(.invalidArg, "unsupported config type \(format)", from: .machineDriver)
            }
            return try client.core.machines.nativeArguments(text)
        }
        table.answer(Procedures.domainGetSecurityLabelList) { client, _, domain in
            guard try client.facts(domain).isActive else { return ([], 0) }
            return ([Message(NodeCalls.characters(""), 0)], 1)
        }
        table.answer(Procedures.domainAbortJobFlags, .blocking) { client, _, domain, flags in
            let postCopy: UInt32 = 1
            guard flags & postCopy == 0 else {
                throw ManagementError(.operationInvalid, "migration is not in the post-copy phase")
            }
            try client.core.machines.abortJob(client.checked(domain))
        }
    }

    /// What needs hardware that no machine of this service has: said as libvirt says it.
    private static func registerAbsent(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.nodeGetSevInfo) { _, _, _, _ in
            throw ManagementError(.operationUnsupported, "QEMU does not support SEV guest", from: .machineDriver)
        }
        table.answer(Procedures.domainSetLaunchSecurityState) { client, _, domain, _, _ in
            _ = try client.facts(domain)
            throw ManagementError(
                .operationUnsupported, "setting a launch secret is only supported in SEV-enabled domains")
        }
    }
}
