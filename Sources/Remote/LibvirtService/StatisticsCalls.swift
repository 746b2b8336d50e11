// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Figures of machines, and what emulators can do.
enum StatisticsCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectGetDomainCapabilities, .blocking) {
            client, _, path, architecture, machine, type, _ in
            let emulators = client.core.machines.emulators
            let emulator = try emulators.facts(of: path)
            return try DomainCapabilities(
                emulator: emulator, host: client.core.capabilities.host,
                architecture: architecture, machine: machine, type: type, firmware: FirmwareDescription.installed(),
                processors: { try? emulators.processors(of: emulator.path, type: $0) }
            ).document
        }
        table.answer(Procedures.connectGetAllDomainStats, .blocking) { client, _, domains, groups, flags in
            let machines = client.core.machines
            let (states, enforce): (UInt32, UInt32) = (0xff, 1 << 31)
            guard flags & enforce == 0 || groups & ~StatisticsGroups.known == 0 else {
                let unknown = String(groups & ~StatisticsGroups.known, radix: 16)
                throw ManagementError(
                    .argumentUnsupported, "Stats types bits 0x\(unknown) are not supported by this daemon or QEMU")
            }
            let facts = try domains.isEmpty ? machines.all : domains.map { try client.facts($0) }
            let filter = MachineListFilter(flags & states)
            let wanted = groups == 0 ? StatisticsGroups.all : StatisticsGroups(rawValue: groups)
            return facts.filter { filter.takesAll || filter.takes($0, machines) }.map {
                DomainStatsRecord(domain: DomainHandle($0.reference), parameters: machines.statistics($0, wanted))
            }
        }
        table.answer(Procedures.domainBlockStats, .blocking) { client, _, domain, path in
            let figures = try client.core.machines.diskFigures(domain.uuid, path)
            return (
                figures.readRequests, figures.readBytes, figures.writeRequests, figures.writtenBytes, figures.errors
            )
        }
        table.answer(Procedures.domainBlockStatsFlags, .blocking) { client, _, domain, path, count, _ in
            let figures = try client.core.machines.diskFigures(domain.uuid, path)
            let list = [
                TypedParameter("wr_bytes", .long(figures.writtenBytes)),
                TypedParameter("wr_operations", .long(figures.writeRequests)),
                TypedParameter("rd_bytes", .long(figures.readBytes)),
                TypedParameter("rd_operations", .long(figures.readRequests)),
                TypedParameter("flush_operations", .long(figures.flushRequests)),
                TypedParameter("wr_total_times", .long(figures.writeTime)),
                TypedParameter("rd_total_times", .long(figures.readTime)),
                TypedParameter("flush_total_times", .long(figures.flushTime)),
            ]
            return (count == 0 ? [] : list, Int32(list.count))
        }
        table.answer(Procedures.domainGetBlockInfo, .blocking) { client, _, domain, path, _ in
            let sizes = try client.core.machines.diskSizes(domain.uuid, path)
            return (sizes.allocation, sizes.capacity, sizes.physical)
        }
        table.answer(Procedures.domainInterfaceStats) { client, _, domain, name in
            let figures = try client.core.machines.interfaceFigures(domain.uuid, name)
            return (
                figures[0], figures[1], figures[2], figures[3], figures[4], figures[5], figures[6], figures[7]
            )
        }
        table.answer(Procedures.domainMemoryStats) { client, _, domain, limit, _ in
            try client.core.machines.memoryFigures(domain.uuid).prefix(Int(limit)).map {
                DomainMemoryStat(tag: $0.tag, value: $0.value)
            }
        }
    }
}
