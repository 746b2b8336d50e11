// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementCore
internal import ManagementModel
internal import ManagementXML
internal import NetworkFilters
internal import SecretStore
internal import XDRCoding

/// Secrets, network filters, interfaces and devices of the host.
enum HostObjectCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerSecrets(in: table)
        registerFilters(in: table)
        registerInterfaces(in: table)
        registerInterfaceChanges(in: table)
        registerDevices(in: table)
        registerAuthentication(in: table)
    }

    // MARK: Secrets

    private static func registerSecrets(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllSecrets) { client, _, wanted, flags in
            func group(_ yes: UInt32, _ no: UInt32, _ truth: Bool) -> Bool {
                flags & (yes | no) == 0 || flags & (truth ? yes : no) != 0
            }
            let found = client.core.secrets.all.filter { group(1, 2, $0.isEphemeral) && group(4, 8, $0.isPrivate) }
            return (wanted != 0 ? found.map { SecretHandle($0) } : [], UInt32(found.count))
        }
        table.answer(Procedures.connectNumOfSecrets) { client, _ in Int32(client.core.secrets.all.count) }
        table.answer(Procedures.connectListSecrets) { client, _, limit in
            client.core.secrets.all.prefix(Int(max(0, limit))).map(\.uuid.description)
        }
        table.answer(Procedures.secretLookupByUUID) { client, _, uuid in
            SecretHandle(try client.core.secrets.find(uuid))
        }
        table.answer(Procedures.secretLookupByUsage) { client, _, type, usage in
            SecretHandle(try client.core.secrets.find(usageType: type, usage))
        }
        table.answer(Procedures.secretGetXMLDesc) { client, _, secret, _ in
            try client.core.secrets.document(secret.uuid)
        }
        table.answer(Procedures.secretDefineXML, .blocking) { client, _, text, flags in
            try Validation.check(text, flags, Grammar.secret, schema: "secret.rng")
            return SecretHandle(try client.core.secrets.define(text))
        }
        table.answer(Procedures.secretUndefine, .blocking) { client, _, secret in
            try client.core.secrets.undefine(secret.uuid)
        }
        table.answer(Procedures.secretSetValue, .blocking) { client, _, secret, value, _ in
            try client.core.secrets.setValue(secret.uuid, value.bytes)
        }
        table.answer(Procedures.secretGetValue) { client, _, secret, _ in
            Bytes(try client.core.secrets.value(secret.uuid))
        }
    }

    // MARK: Network filters

    private static func registerFilters(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllNwfilters) { client, _, wanted, _ in
            let found = client.core.filters.all
            return (wanted != 0 ? found.map { NWFilterHandle($0) } : [], UInt32(found.count))
        }
        table.answer(Procedures.connectNumOfNwfilters) { client, _ in Int32(client.core.filters.all.count) }
        table.answer(Procedures.connectListNwfilters) { client, _, limit in
            client.core.filters.all.prefix(Int(max(0, limit))).map(\.name)
        }
        table.answer(Procedures.nwFilterLookupByName) { client, _, name in
            NWFilterHandle(try client.core.filters.find(named: name))
        }
        table.answer(Procedures.nwFilterLookupByUUID) { client, _, uuid in
            NWFilterHandle(try client.core.filters.find(uuid))
        }
        table.answer(Procedures.nwFilterGetXMLDesc) { client, _, filter, _ in
            try client.core.filters.document(filter.uuid)
        }
        table.answer(Procedures.nwFilterDefineXML, .blocking) { client, _, text in
            NWFilterHandle(try client.core.filters.define(text))
        }
        table.answer(Procedures.nwFilterDefineXMLFlags, .blocking) { client, _, text, flags in
            try Validation.check(text, flags, Grammar.networkFilter, schema: "nwfilter.rng")
            return NWFilterHandle(try client.core.filters.define(text))
        }
        table.answer(Procedures.nwFilterUndefine, .blocking) { client, _, filter in
            try client.core.filters.undefine(filter.uuid)
        }
        registerBindings(in: table)
    }

    private static func registerBindings(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllNwfilterBindings) { client, _, wanted, _ in
            let found = client.core.filters.bindings
            return (wanted != 0 ? found.map { NWFilterBindingHandle($0) } : [], UInt32(found.count))
        }
        table.answer(Procedures.nwFilterBindingLookupByPortDev) { client, _, device in
            NWFilterBindingHandle(try client.core.filters.binding(of: device))
        }
        table.answer(Procedures.nwFilterBindingGetXMLDesc) { client, _, binding, _ in
            try client.core.filters.binding(of: binding.portDevice).document
        }
        table.answer(Procedures.nwFilterBindingCreateXML, .blocking) { client, _, text, _ in
            NWFilterBindingHandle(try client.core.filters.bind(text))
        }
        table.answer(Procedures.nwFilterBindingDelete, .blocking) { client, _, binding in
            _ = try client.core.filters.binding(of: binding.portDevice)
            client.core.filters.unbind(binding.portDevice)
        }
    }

    // MARK: Interfaces

    private static func registerInterfaces(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllInterfaces, .blocking) { _, _, wanted, flags in
            let (inactive, active): (UInt32, UInt32) = (1, 2)
            let found = HostInterface.all.filter {
                flags & (inactive | active) == 0 || flags & ($0.isActive ? active : inactive) != 0
            }
            return (wanted != 0 ? found.map { InterfaceHandle($0) } : [], UInt32(found.count))
        }
        table.answer(Procedures.connectNumOfInterfaces, .blocking) { _, _ in
            Int32(HostInterface.all.count { $0.isActive })
        }
        table.answer(Procedures.connectListInterfaces, .blocking) { _, _, limit in
            HostInterface.all.filter(\.isActive).prefix(Int(max(0, limit))).map(\.name)
        }
        table.answer(Procedures.connectNumOfDefinedInterfaces, .blocking) { _, _ in
            Int32(HostInterface.all.count { !$0.isActive })
        }
        table.answer(Procedures.connectListDefinedInterfaces, .blocking) { _, _, limit in
            HostInterface.all.filter { !$0.isActive }.prefix(Int(max(0, limit))).map(\.name)
        }
        table.answer(Procedures.interfaceLookupByName, .blocking) { _, _, name in
            InterfaceHandle(try HostInterface.find("named '\(name)'") { $0.name == name })
        }
        table.answer(Procedures.interfaceLookupByMacString, .blocking) { _, _, mac in
            InterfaceHandle(try HostInterface.find("with MAC address '\(mac)'") { $0.mac == mac })
        }
        table.answer(Procedures.interfaceIsActive, .blocking) { _, _, interface in
            try HostInterface.find("named '\(interface.name)'") { $0.name == interface.name }.isActive ? 1 : 0
        }
        table.answer(Procedures.interfaceGetXMLDesc, .blocking) { _, _, interface, _ in
            try HostInterface.find("named '\(interface.name)'") { $0.name == interface.name }.document
        }
    }

    /// Changes of the host's own interfaces are its network manager's.
    private static func registerInterfaceChanges(in table: CallTable<ServiceConnection>) {
        @Sendable func refusal(_ name: String) -> ManagementError {
            ManagementError(.noSupport, "virInterfaceChange\(name)", from: .interface)
        }
        table.answer(Procedures.interfaceChangeBegin) { _, _, _ in throw refusal("Begin") }
        table.answer(Procedures.interfaceChangeCommit) { _, _, _ in throw refusal("Commit") }
        table.answer(Procedures.interfaceChangeRollback) { _, _, _ in throw refusal("Rollback") }
    }

    // MARK: Devices of the host

    private static func registerDevices(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllNodeDevices, .blocking) { client, _, wanted, flags in
            let kinds = flags & 0x3fff_ffff
            let found = NodeDevices.all(client.core.capabilities.host).filter {
                kinds == 0 || kinds & 1 << $0.capability.rawValue != 0
            }
            return (wanted != 0 ? found.map { NodeDeviceHandle(name: $0.name) } : [], UInt32(found.count))
        }
        table.answer(Procedures.nodeNumOfDevices, .blocking) { client, _, kind, _ in Int32(list(client, kind).count) }
        table.answer(Procedures.nodeListDevices, .blocking) { client, _, kind, limit, _ in
            list(client, kind).prefix(Int(max(0, limit))).map(\.name)
        }
        table.answer(Procedures.nodeDeviceLookupByName, .blocking) { client, _, name in
            NodeDeviceHandle(name: try NodeDevices.find(name, client.core.capabilities.host).name)
        }
        table.answer(Procedures.nodeDeviceGetXMLDesc, .blocking) { client, _, name, _ in
            try NodeDevices.find(name, client.core.capabilities.host).document
        }
        table.answer(Procedures.nodeDeviceGetParent, .blocking) { client, _, name in
            try NodeDevices.find(name, client.core.capabilities.host).parent
        }
        table.answer(Procedures.nodeDeviceNumOfCaps, .blocking) { client, _, name in
            _ = try NodeDevices.find(name, client.core.capabilities.host)
            return 1
        }
        table.answer(Procedures.nodeDeviceListCaps, .blocking) { client, _, name, limit in
            let device = try NodeDevices.find(name, client.core.capabilities.host)
            return limit > 0 ? [device.capability.name] : []
        }
        table.answer(Procedures.nodeDeviceIsActive, .blocking) { client, _, name in
            _ = try NodeDevices.find(name, client.core.capabilities.host)
            return 1
        }
        table.answer(Procedures.nodeDeviceIsPersistent, .blocking) { client, _, name in
            _ = try NodeDevices.find(name, client.core.capabilities.host)
            return 1
        }
        table.answer(Procedures.nodeDeviceGetAutostart, .blocking) { client, _, name in
            _ = try NodeDevices.find(name, client.core.capabilities.host)
            return 1
        }
    }

    private static func list(_ client: ServiceConnection, _ capability: String?) -> [NodeDevice] {
        NodeDevices.all(client.core.capabilities.host).filter {
            capability == nil || $0.capability.name == capability
        }
    }

    // MARK: Authentication

    /// None of these is offered in the list of ways to authenticate, so a client that asks made a mistake.
    private static func registerAuthentication(in table: CallTable<ServiceConnection>) {
        let refusal = ManagementError(.authFailed, "authentication is not required", from: .rpc)
        table.answer(Procedures.authSaslInit, unopened: true) { _, _ in throw refusal }
        table.answer(Procedures.authSaslStart, unopened: true) { _, _, _, _, _ in throw refusal }
        table.answer(Procedures.authSaslStep, unopened: true) { _, _, _, _ in throw refusal }
        table.answer(Procedures.authPolkit, unopened: true) { _, _ in throw refusal }
    }
}

extension SecretHandle {
    init(_ facts: SecretFacts) {
        self.init(uuid: facts.uuid, usageType: facts.usageType, usageID: facts.usage)
    }
}

extension NWFilterBindingHandle {
    init(_ binding: FilterBinding) { self.init(portDevice: binding.device, filterName: binding.filter) }
}

extension NWFilterHandle {
    init(_ reference: ObjectReference) { self.init(name: reference.name, uuid: reference.uuid) }
}

extension InterfaceHandle {
    init(_ interface: HostInterface) { self.init(name: interface.name, mac: interface.mac) }
}
