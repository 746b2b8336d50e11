// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import VirtualNetworks
internal import XDRCoding

/// What the guest's agent knows and does, and what is left of a machine's calls.
enum DomainAgentCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerAgent(in: table)
        registerInterfaces(in: table)
        registerRest(in: table)
    }

    private static func registerAgent(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.qemuDomainAgentCommand, .blocking) { client, _, domain, command, _, _ in
            try client.core.machines.agentCommand(client.checked(domain), command)
        }
        table.answer(Procedures.domainFsfreeze, .blocking) { client, _, domain, places, _ in
            try client.core.machines.freeze(client.checked(domain), places, thaws: false)
        }
        table.answer(Procedures.domainFsthaw, .blocking) { client, _, domain, places, _ in
            try client.core.machines.freeze(client.checked(domain), places, thaws: true)
        }
        table.answer(Procedures.domainFstrim, .blocking) { client, _, domain, place, minimum, _ in
            guard place == nil else {
                throw ManagementError(.operationUnsupported, "Specifying mount point is not supported for now")
            }
            try client.core.machines.trim(client.checked(domain), minimum: minimum)
        }
        table.answer(Procedures.domainGetTime, .blocking) { client, _, domain, _ in
            try client.core.machines.guestTime(client.checked(domain))
        }
        table.answer(Procedures.domainSetTime, .blocking) { client, _, domain, seconds, nanoseconds, flags in
            let fromMachine: UInt32 = 1
            try client.core.machines.setGuestTime(
                client.checked(domain), seconds: seconds, nanoseconds: nanoseconds,
                fromMachine: flags & fromMachine != 0)
        }
        table.answer(Procedures.domainSetUserPassword, .blocking) { client, _, domain, user, password, flags in
            let encrypted: UInt32 = 1
            try client.core.machines.setGuestPassword(
                client.checked(domain), user: user ?? "", password: password ?? "",
                isEncrypted: flags & encrypted != 0)
        }
        table.answer(Procedures.domainGetFsinfo, .blocking) { client, _, domain, _ in
            let systems = try client.core.machines.guestFileSystems(client.checked(domain)).map {
                DomainFsinfo(mountPoint: $0.mountPoint, name: $0.name, type: $0.type, aliases: $0.disks)
            }
            return (systems, UInt32(systems.count))
        }
        table.answer(Procedures.domainGetGuestInfo, .blocking) { client, _, domain, types, _ in
            try client.core.machines.guestInformation(client.checked(domain), types)
        }
        table.answer(Procedures.domainGetHostname, .blocking) { client, _, domain, flags in
            let (lease, agent): (UInt32, UInt32) = (1, 2)
            guard flags & (lease | agent) != lease | agent else {
                throw ManagementError(
                    .invalidArg,
                    "Flags 'VIR_DOMAIN_GET_HOSTNAME_LEASE' and 'VIR_DOMAIN_GET_HOSTNAME_AGENT' are mutually exclusive")
            }
            // The agent is asked unless the leases are wanted.
            if flags & lease == 0 {
                return try client.core.machines.guestHostname(client.checked(domain))
            }
            let macs = try client.core.machines.interfaces(client.checked(domain)).map(\.mac)
            let names = client.core.networks.all.filter(\.isActive).flatMap { network in
                (try? client.core.networks.leases(network.reference.uuid)) ?? []
            }.filter { macs.contains($0.mac) }.compactMap(\.name)
            guard let name = names.first else {
                throw ManagementError(.noHostname, "no hostname found for domain \(domain.name)")
            }
            return name
        }
    }

    /// Where addresses of a guest are known from.
    private enum Source {
        static let leases: UInt32 = 0, agent: UInt32 = 1, neighbours: UInt32 = 2
    }

    private static func registerInterfaces(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainInterfaceAddresses, .blocking) { client, _, domain, source, _ in
            if source == Source.agent { try client.requireChanges("virDomainInterfaceAddresses") }
            guard try client.facts(domain).isActive else { throw DomainCalls.notRunning }
            let machines = client.core.machines
            let uuid = try client.checked(domain)
            let found: [MachineDriver.GuestInterface]
            switch source {
            case Source.agent: found = try machines.guestInterfaces(uuid)
            case Source.leases:
                found = try machines.interfaces(uuid).compactMap { interface in
                    guard let name = interface.network, let network = try? client.core.networks.find(named: name) else {
                        return nil
                    }
                    let leases = try client.core.networks.leases(network.reference.uuid).filter {
                        $0.mac == interface.mac
                    }
                    guard !leases.isEmpty else { return nil }
                    return MachineDriver.GuestInterface(
                        name: interface.device, mac: interface.mac,
                        addresses: leases.map { ($0.address, UInt32($0.prefix)) })
                }
            case Source.neighbours:
                let neighbours = HostNeighbours.read()
                found = try machines.interfaces(uuid).compactMap { interface in
                    let addresses = neighbours.filter { $0.mac == interface.mac }.map { ($0.address, UInt32(0)) }
                    return addresses.isEmpty
                        ? nil
                        : MachineDriver.GuestInterface(
                            name: interface.device, mac: interface.mac, addresses: addresses)
                }
            default:
                throw ManagementError(.argumentUnsupported, "Unsupported IP address data source \(source)")
            }
            return found.map { interface in
                DomainInterface(
                    name: interface.name, mac: interface.mac,
                    addresses: interface.addresses.map {
                        DomainInterfaceAddress(
                            type: $0.address.contains(":") ? 1 : 0, address: $0.address, prefix: $0.prefix)
                    })
            }
        }
    }

    private static func registerRest(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainRename, .blocking) { client, _, domain, name, _ in
            try client.core.machines.rename(client.checked(domain), to: name ?? "")
            return 0
        }
        table.answer(Procedures.domainOpenChannel, .blocking) { client, call, domain, name, flags in
            let force: UInt32 = 1
            let socket = try client.core.machines.openChannel(client.checked(domain), name)
            try TerminalStream.open(
                socket, called: "\(domain.uuid) channel \(name ?? "")", force: flags & force != 0, for: call,
                on: client.streamLoop)
        }
        table.answer(Procedures.domainGetDiskErrors, .blocking) { client, _, domain, limit, _ in
            let errors = try client.core.machines.diskErrors(client.checked(domain))
            let list = errors.map { DomainDiskError(disk: $0.target, error: $0.code) }
            return (Array(list.prefix(Int(clamping: limit))), Int32(list.count))
        }
        table.answer(Procedures.domainGetCpuStats, .blocking) { client, _, domain, count, start, processors, _ in
            try processorStatistics(client, domain, count: count, start: start, processors: processors)
        }
        table.answer(Procedures.domainSetLifecycleAction, .blocking) { client, _, domain, event, action, flags in
            try client.core.machines.setLifecycleAction(
                client.checked(domain), event: event, action: action, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainMigrateGetMaxSpeed, .blocking) { client, _, domain, _ in
            // Bytes each second in a mebibyte; libvirt's own value for "as fast as it goes".
            _ = try client.facts(domain)
            return try client.core.machines.migrationSpeed(client.checked(domain))
        }
        table.answer(Procedures.domainMigrateSetMaxSpeed, .blocking) { client, _, domain, speed, _ in
            try client.core.machines.setMigrationSpeed(client.checked(domain), speed)
        }
        table.answer(Procedures.domainMigrateSetMaxDowntime, .blocking) { client, _, domain, downtime, _ in
            try client.core.machines.setMigrationDowntime(client.checked(domain), downtime)
        }
        table.answer(Procedures.domainMigrateGetMaxDowntime, .blocking) { client, _, domain, _ in
            try client.core.machines.migrationDowntime(client.checked(domain))
        }
        table.answer(Procedures.domainAgentSetResponseTimeout) { client, _, domain, seconds, _ in
            try client.core.machines.setAgentPatience(client.checked(domain), seconds: seconds)
            return 0
        }
        table.answer(Procedures.domainAuthorizedSshKeysGet, .blocking) { client, _, domain, user, _ in
            try client.core.machines.guestKeys(client.checked(domain), of: user)
        }
        table.answer(Procedures.domainAuthorizedSshKeysSet, .blocking) { client, _, domain, user, keys, flags in
            let (append, remove): (UInt32, UInt32) = (1, 2)
            guard flags & (append | remove) != append | remove else {
                throw ManagementError(
                    .invalidArg,
                    "Flags 'VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND' and 'VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE' are mutually exclusive"
                )
            }
            try client.core.machines.setGuestKeys(
                client.checked(domain), of: user, keys, appends: flags & append != 0, removes: flags & remove != 0)
        }
        table.answer(Procedures.domainStartDirtyRateCalc, .blocking) { client, _, domain, seconds, flags in
            try client.core.machines.startDirtyRate(client.checked(domain), seconds: seconds, mode: flags)
        }
        table.answer(Procedures.domainSetVcpu, .blocking) { client, _, domain, processors, state, flags in
            try client.core.machines.setProcessors(
                client.checked(domain), named: processors, on: state != 0, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainGetLaunchSecurityInfo) { client, _, domain, _ in
            _ = try client.facts(domain)
            return []
        }
    }

    private static func processorStatistics(
        _ client: ServiceConnection, _ domain: DomainHandle, count: UInt32, start: Int32, processors: UInt32
    ) throws -> ([TypedParameter], Int32) {
        guard let times = try client.core.machines.processTimes(client.checked(domain)) else {
            throw DomainCalls.notRunning
        }
        let total = [
            TypedParameter("cpu_time", .ulong(times.total)), TypedParameter("user_time", .ulong(times.user)),
            TypedParameter("system_time", .ulong(times.system)),
        ]
        guard start < 0 else {
            throw ManagementError(.operationInvalid, "cgroup CPUACCT controller is not mounted")
        }
        guard count > 0 else { return ([], Int32(total.count)) }
        return (Array(total.prefix(Int(clamping: count))), Int32(total.count))
    }
}

/// Addresses that the host's kernel knows of its neighbours.
enum HostNeighbours {
    /// From /proc/net/arp: address, type, flags, MAC, mask, device.
    static func read() -> [(address: String, mac: String)] {
        TextFile.lines("/proc/net/arp").dropFirst().compactMap { line in
            let words = line.split(separator: " ")
            guard words.count >= 6, words[3] != "00:00:00:00:00:00" else { return nil }
            return (String(words[0]), String(words[3]))
        }
    }
}
