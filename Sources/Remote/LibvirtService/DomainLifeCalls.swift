// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Starting, stopping and everything between.
enum DomainLifeCalls {
    private static let pausedFlag: UInt32 = 1

    /// The guest's agent where the flags ask for it, and the power button where they ask for that, for both, or for
    /// nothing.
    private static func ask(_ flags: UInt32, _ agent: () throws -> Void, or button: () throws -> Void) throws {
        let (byButton, byAgent): (UInt32, UInt32) = (1, 2)
        guard flags & byAgent != 0 else { return try button() }
        do { try agent() } catch {
            guard flags & byButton != 0 else { throw error }
            try button()
        }
    }

    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainCreate, .blocking) { client, _, domain in
            _ = try client.core.machines.start(domain.uuid, called: domain.name, paused: false)
        }
        table.answer(Procedures.domainCreateWithFlags, .blocking) { client, _, domain, flags in
            let (autoDestroy, forceBoot, resetVariables): (UInt32, UInt32, UInt32) = (2, 8, 32)
            let started = try client.core.machines.start(
                domain.uuid, called: domain.name, paused: flags & pausedFlag != 0, forgets: flags & forceBoot != 0,
                resetsVariables: flags & resetVariables != 0)
            if flags & autoDestroy != 0 { client.endWithConnection(started.uuid) }
            return DomainHandle(started)
        }
        table.answer(Procedures.domainCreateXML, .blocking) { client, _, text, flags in
            let (autoDestroy, validate, resetVariables): (UInt32, UInt32, UInt32) = (2, 16, 32)
            let started = try client.core.machines.create(
                text, paused: flags & pausedFlag != 0, validates: flags & validate != 0,
                resetsVariables: flags & resetVariables != 0)
            if flags & autoDestroy != 0 { client.endWithConnection(started.uuid) }
            return DomainHandle(started)
        }
        table.answer(Procedures.domainDestroy, .blocking) { client, _, domain in
            try client.core.machines.destroy(domain.uuid, called: domain.name)
        }
        table.answer(Procedures.domainDestroyFlags, .blocking) { client, _, domain, flags in
            let (graceful, removeLogs): (UInt32, UInt32) = (1, 2)
            try client.core.machines.destroy(
                domain.uuid, called: domain.name, isGraceful: flags & graceful != 0,
                removesLog: flags & removeLogs != 0)
        }
        table.answer(Procedures.domainShutdown, .blocking) { client, _, domain in
            try client.core.machines.shutDown(domain.uuid, called: domain.name)
        }
        table.answer(Procedures.domainShutdownFlags, .blocking) { client, _, domain, flags in
            let machines = client.core.machines
            try ask(flags) {
                try machines.shutDownByAgent(domain.uuid, called: domain.name, reboots: false)
            } or: {
                try machines.shutDown(domain.uuid, called: domain.name)
            }
        }
        table.answer(Procedures.domainReboot, .blocking) { client, _, domain, flags in
            let machines = client.core.machines
            try ask(flags) {
                try machines.shutDownByAgent(domain.uuid, called: domain.name, reboots: true)
            } or: {
                try machines.reboot(domain.uuid, called: domain.name)
            }
        }
        table.answer(Procedures.domainReset, .blocking) { client, _, domain, _ in
            try client.core.machines.reset(domain.uuid, called: domain.name)
        }
        table.answer(Procedures.domainSuspend, .blocking) { client, _, domain in
            try client.core.machines.suspend(domain.uuid, called: domain.name)
        }
        table.answer(Procedures.domainResume, .blocking) { client, _, domain in
            try client.core.machines.resume(domain.uuid, called: domain.name)
        }
        table.answer(Procedures.domainSetVcpus, .blocking) { client, _, domain, count in
            try client.core.machines.setProcessors(domain.uuid, Int(count), ProcessorScope(1))
        }
        table.answer(Procedures.domainSetVcpusFlags, .blocking) { client, _, domain, count, flags in
            try client.core.machines.setProcessors(domain.uuid, Int(count), ProcessorScope(flags))
        }
        table.answer(Procedures.domainSetMaxMemory, .blocking) { client, _, domain, size in
            try client.core.machines.setMemory(domain.uuid, size, ProcessorScope(4))
        }
        table.answer(Procedures.domainSetMemory, .blocking) { client, _, domain, size in
            try client.core.machines.setMemory(domain.uuid, size, ProcessorScope(1))
        }
        table.answer(Procedures.domainSetMemoryFlags, .blocking) { client, _, domain, size, flags in
            try client.core.machines.setMemory(domain.uuid, size, ProcessorScope(flags))
        }
        table.answer(Procedures.domainOpenConsole, .blocking) { client, call, domain, alias, flags in
            let (force, safe): (UInt32, UInt32) = (1, 2)
            guard flags & (force | safe) != force | safe else {
                throw ManagementError(
                    .invalidArg,
                    "Flags 'VIR_DOMAIN_CONSOLE_SAFE' and 'VIR_DOMAIN_CONSOLE_FORCE' are mutually exclusive")
            }
            let terminal = try client.core.machines.openConsole(domain.uuid, alias)
            try TerminalStream.open(
                terminal, called: "\(domain.uuid) console \(alias ?? "")", force: flags & force != 0, for: call,
                on: client.streamLoop)
        }
        table.answer(Procedures.qemuDomainMonitorCommand, .blocking) { client, _, domain, command, flags in
            try client.core.machines.monitorCommand(
                domain.uuid, called: domain.name, command, isHuman: flags & 1 != 0)
        }
    }
}
