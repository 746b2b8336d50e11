// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Limits and weights of machines, and the processors that they run on.
enum DomainTuningCalls {
    /// The names of a disk's limits, for a client that asks how many there are.
    static let diskLimitsTemplate: [TypedParameter] = (0..<20).map { TypedParameter("limit\($0)", .ulong(0)) }

    static func register(in table: CallTable<ServiceConnection>) {
        registerScheduler(in: table)
        registerLimits(in: table)
        registerPinning(in: table)
        registerInterface(in: table)
    }

    /// A list as it is given to a client that first asks for the count.
    private static func reply(_ list: [TypedParameter], _ count: Int32) -> ([TypedParameter], Int32) {
        (count == 0 ? [] : Array(list.prefix(Int(max(0, count)))), Int32(list.count))
    }

    private static func registerScheduler(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainGetSchedulerType) { client, _, domain in
            _ = try client.facts(domain)
            return ("posix", Int32(TuningGroup.scheduler.count))
        }
        table.answer(Procedures.domainGetSchedulerParameters, .blocking) { client, _, domain, count in
            let list = try client.core.machines.tuning(client.checked(domain), .scheduler, ProcessorScope(0))
            return Array(list.prefix(Int(max(0, count))))
        }
        table.answer(Procedures.domainGetSchedulerParametersFlags, .blocking) { client, _, domain, count, flags in
            let list = try client.core.machines.tuning(client.checked(domain), .scheduler, ProcessorScope(flags & 3))
            return Array(list.prefix(Int(max(0, count))))
        }
        table.answer(Procedures.domainSetSchedulerParameters, .blocking) { client, _, domain, parameters in
            try client.core.machines.setTuning(client.checked(domain), .scheduler, parameters, ProcessorScope(0))
        }
        table.answer(Procedures.domainSetSchedulerParametersFlags, .blocking) { client, _, domain, parameters, flags in
            try client.core.machines.setTuning(
                client.checked(domain), .scheduler, parameters, ProcessorScope(flags & 3))
        }
    }

    private static func registerLimits(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainGetMemoryParameters, .blocking) { client, _, domain, count, flags in
            reply(
                try client.core.machines.tuning(client.checked(domain), .memory, ProcessorScope(flags & 3)), count)
        }
        table.answer(Procedures.domainSetMemoryParameters, .blocking) { client, _, domain, parameters, flags in
            try client.core.machines.setTuning(client.checked(domain), .memory, parameters, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainGetBlkioParameters, .blocking) { client, _, domain, count, flags in
            reply(try client.core.machines.tuning(client.checked(domain), .block, ProcessorScope(flags & 3)), count)
        }
        table.answer(Procedures.domainSetBlkioParameters, .blocking) { client, _, domain, parameters, flags in
            try client.core.machines.setTuning(client.checked(domain), .block, parameters, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainGetNumaParameters, .blocking) { client, _, domain, count, flags in
            reply(try client.core.machines.tuning(client.checked(domain), .numa, ProcessorScope(flags & 3)), count)
        }
        table.answer(Procedures.domainSetNumaParameters, .blocking) { client, _, domain, parameters, flags in
            try client.core.machines.setTuning(client.checked(domain), .numa, parameters, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainGetPerfEvents, .blocking) { client, _, domain, _ in
            _ = try client.facts(domain)
            return perfEvents.map { TypedParameter($0, .bool(false)) }
        }
    }

    /// Counters of the processor; this service counts none of them.
    private static let perfEvents = [
        "cmt", "mbmt", "mbml", "cache_misses", "cache_references", "instructions", "cpu_cycles",
        "branch_instructions", "branch_misses", "bus_cycles", "stalled_cycles_frontend", "stalled_cycles_backend",
        "ref_cpu_cycles", "cpu_clock", "task_clock", "page_faults", "context_switches", "cpu_migrations",
        "page_faults_min", "page_faults_maj", "alignment_faults", "emulation_faults",
    ]

    private static func registerPinning(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainPinVcpu, .blocking) { client, _, domain, number, map in
            try client.core.machines.pin(
                client.checked(domain), processor: Int(number), map.bytes, ProcessorScope(1))
        }
        table.answer(Procedures.domainPinVcpuFlags, .blocking) { client, _, domain, number, map, flags in
            try client.core.machines.pin(
                client.checked(domain), processor: Int(number), map.bytes, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainPinEmulator, .blocking) { client, _, domain, map, flags in
            try client.core.machines.pin(client.checked(domain), processor: nil, map.bytes, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainGetVcpuPinInfo, .blocking) { client, _, domain, count, length, flags in
            let maps = try client.core.machines.pinning(
                client.checked(domain), ProcessorScope(flags & 3),
                hostProcessors: client.core.capabilities.host.processors, length: bounded(length))
            let shown = maps.prefix(Int(max(0, count)))
            return (Bytes(shown.flatMap { $0 }), Int32(shown.count))
        }
        table.answer(Procedures.domainGetEmulatorPinInfo, .blocking) { client, _, domain, length, flags in
            let map = try client.core.machines.emulatorPinning(
                client.checked(domain), ProcessorScope(flags & 3),
                hostProcessors: client.core.capabilities.host.processors, length: bounded(length))
            return (Bytes(map), 1)
        }
        table.answer(Procedures.domainGetVcpus, .blocking) { client, _, domain, count, mapLength in
            guard try client.facts(domain).isActive else {
                throw ManagementError(.operationInvalid, "cannot list vcpu pinning for an inactive domain")
            }
            let figures = try client.core.machines.processorFigures(client.checked(domain)).prefix(Int(max(0, count)))
            let running: Int32 = 1
            let list = figures.enumerated().map {
                VcpuInfo(number: UInt32($0), state: running, time: $1.time, processor: $1.processor)
            }
            let length = bounded(mapLength)
            let maps = figures.flatMap { figure in
                (0..<length).map { $0 < figure.map.count ? figure.map[$0] : 0 }
            }
            return (list, Bytes(maps))
        }
    }

    /// Bytes of a map of processors that a client may ask for.
    private static func bounded(_ length: Int32) -> Int { Int(min(max(0, length), 2048)) }

    private static func registerInterface(in table: CallTable<ServiceConnection>) {
        let names = [
            "inbound.average", "inbound.peak", "inbound.burst", "inbound.floor", "outbound.average", "outbound.peak",
            "outbound.burst",
        ]
        table.answer(Procedures.domainGetInterfaceParameters, .blocking) { client, _, domain, device, count, flags in
            let limits = try client.core.machines.interfaceLimits(
                client.checked(domain), device, ProcessorScope(flags & 3))
            return reply(names.map { TypedParameter($0, .uint(limits[$0] ?? 0)) }, count)
        }
        table.answer(Procedures.domainSetInterfaceParameters, .blocking) {
            client, _, domain, device, parameters, flags in
            var limits: [String: UInt32] = [:]
            for parameter in parameters {
                guard names.contains(parameter.name), case .uint(let number) = parameter.value else {
                    throw ManagementError(.invalidArg, "parameter '\(parameter.name)' not supported", from: .none)
                }
                limits[parameter.name] = number
            }
            try client.core.machines.setInterfaceLimits(
                client.checked(domain), device, limits, ProcessorScope(flags & 3))
        }
    }
}
