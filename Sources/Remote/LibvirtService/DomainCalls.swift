// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Finding machines, their documents and their state.
enum DomainCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerListing(in: table)
        registerLookup(in: table)
        registerFacts(in: table)
        registerDefinition(in: table)
    }

    // MARK: Lists

    private static func registerListing(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllDomains) { client, _, wanted, flags in
            let machines = client.core.machines
            let filter = MachineListFilter(flags)
            let found = filter.takesAll ? machines.all : machines.all.filter { filter.takes($0, machines) }
            return (wanted != 0 ? found.map { DomainHandle($0.reference) } : [], UInt32(found.count))
        }
        table.answer(Procedures.connectNumOfDomains) { client, _ in
            Int32(client.core.machines.all.count { $0.isActive })
        }
        table.answer(Procedures.connectListDomains) { client, _, limit in
            Array(client.core.machines.all.filter(\.isActive).map(\.id).sorted().prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.connectNumOfDefinedDomains) { client, _ in
            Int32(client.core.machines.all.count { !$0.isActive })
        }
        table.answer(Procedures.connectListDefinedDomains) { client, _, limit in
            Array(client.core.machines.all.filter { !$0.isActive }.map(\.name).prefix(Int(max(0, limit))))
        }
    }

    // MARK: One machine

    private static func registerLookup(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainLookupByName) { client, _, name in
            DomainHandle(try client.core.machines.find(named: name).reference)
        }
        table.answer(Procedures.domainLookupByUUID) { client, _, uuid in
            DomainHandle(try client.core.machines.facts(uuid).reference)
        }
        table.answer(Procedures.domainLookupById) { client, _, id in
            DomainHandle(try client.core.machines.find(id: id).reference)
        }
    }

    private static func registerFacts(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainGetOsType) { client, _, domain in try client.facts(domain).osType }
        table.answer(Procedures.domainGetMaxMemory) { client, _, domain in try client.facts(domain).maximumMemory }
        table.answer(Procedures.domainGetInfo) { client, _, domain in
            let facts = try client.facts(domain)
            let time = client.core.machines.processorTime(facts.uuid)
            return (
                WireByte(UInt8(truncatingIfNeeded: facts.state.state)), facts.maximumMemory, facts.memory,
                WireShort(UInt16(truncatingIfNeeded: facts.processors)), time
            )
        }
        table.answer(Procedures.domainGetState) { client, _, domain, _ in
            let state = try client.facts(domain).state
            return (state.state, state.reason)
        }
        table.answer(Procedures.domainGetControlInfo) { client, _, domain, _ in
            guard try client.facts(domain).isActive else { throw notRunning }
            return (0, 0, 0)
        }
        table.answer(Procedures.domainIsActive) { client, _, domain in try client.facts(domain).isActive ? 1 : 0 }
        table.answer(Procedures.domainIsPersistent) { client, _, domain in try client.facts(domain).isPersistent ? 1 : 0
        }
        table.answer(Procedures.domainIsUpdated) { client, _, domain in try client.facts(domain).wasUpdated ? 1 : 0 }
        table.answer(Procedures.domainGetAutostart) { client, _, domain in
            try client.facts(domain).startsWithService ? 1 : 0
        }
        table.answer(Procedures.domainHasManagedSaveImage) { client, _, domain, _ in
            client.core.machines.hasSavedMemory(try client.facts(domain).name) ? 1 : 0
        }
        table.answer(Procedures.domainGetSecurityLabel) { client, _, domain in
            _ = try client.facts(domain)
            return ([], 0)
        }
        table.answer(Procedures.domainGetMessages) { client, _, domain, _ in
            _ = try client.facts(domain)
            return []
        }
        table.answer(Procedures.domainGetMaxVcpus) { client, _, domain in
            let facts = try client.facts(domain)
            guard facts.isActive else { throw DomainCalls.notRunning }
            return Int32(facts.maximumProcessors)
        }
        table.answer(Procedures.domainGetVcpusFlags, .blocking) { client, _, domain, flags in
            // To ask the guest's agent is a change, as for every other call of it.
            let guest: UInt32 = 8
            if flags & guest != 0 { try client.requireChanges("virDomainGetVcpusFlags") }
            return Int32(try client.core.machines.processorCount(try client.facts(domain).uuid, ProcessorScope(flags)))
        }
    }

    static let notRunning = ManagementError(.operationInvalid, "domain is not running")

    // MARK: Documents

    private static func registerDefinition(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.domainGetXMLDesc) { client, _, domain, flags in
            try client.document(domain, flags)
        }
        table.answer(Procedures.domainDefineXML, .blocking) { client, _, text in
            DomainHandle(try client.core.machines.define(text))
        }
        table.answer(Procedures.domainDefineXMLFlags, .blocking) { client, _, text, flags in
            let validate: UInt32 = 1
            return DomainHandle(try client.core.machines.define(text, validates: flags & validate != 0))
        }
        table.answer(Procedures.domainUndefine, .blocking) { client, _, domain in
            try client.core.machines.undefine(domain.uuid, [])
        }
        table.answer(Procedures.domainUndefineFlags, .blocking) { client, _, domain, flags in
            try Flags.check(flags, allowed: UndefineOptions.known, "qemuDomainUndefineFlags")
            try client.core.machines.undefine(domain.uuid, UndefineOptions(rawValue: flags))
        }
        table.answer(Procedures.domainSetAutostart, .blocking) { client, _, domain, on in
            try client.core.machines.setAutostart(domain.uuid, on != 0)
        }
        table.answer(Procedures.domainGetMetadata, .blocking) { client, _, domain, type, uri, flags in
            try client.core.machines.metadata(domain.uuid, type, uri: uri, ProcessorScope(flags & 3))
        }
        table.answer(Procedures.domainSetMetadata, .blocking) { client, _, domain, type, text, key, uri, flags in
            try client.core.machines.setMetadata(
                domain.uuid, type, text, key: key, uri: uri, live: flags & 1 != 0, configuration: flags & 2 != 0)
        }
    }
}

extension ServiceConnection {
    /// The facts of the machine that a client means.
    func facts(_ domain: DomainHandle) throws -> MachineFacts {
        try core.machines.facts(domain.uuid, called: domain.name)
    }

    /// A machine's document; a read-only client gets no passwords.
    func document(_ domain: DomainHandle, _ flags: UInt32) throws -> String {
        let options = MachineDriver.DocumentOptions(rawValue: flags)
        if !options.isDisjoint(with: [.secure, .migratable]) && isReadOnly {
            throw ManagementError(
                .operationDenied, "virDomainGetXMLDesc with secure flag", from: .none)
        }
        return try core.machines.document(domain.uuid, called: domain.name, options)
    }
}

extension ProcessorScope {
    /// From the flags of a call.
    init(_ flags: UInt32) {
        self.init(live: flags & 1 != 0, configuration: flags & 2 != 0, maximum: flags & 4 != 0)
    }
}
