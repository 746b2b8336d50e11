// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementModel
internal import XDRCoding

/// Registering for events.
enum EventCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectDomainEventCallbackRegisterAny) { client, _, event, domain in
            guard event >= 0, event < EventSubscription.MachineKind.count else {
                throw ManagementError(.internalError, "unsupported event ID \(event)", from: .rpc)
            }
            return client.subscribe(EventSubscription(kind: .machine(event), object: domain?.uuid))
        }
        table.answer(Procedures.connectDomainEventCallbackDeregisterAny) { client, _, callback in
            try client.unsubscribe(callback)
        }
        table.answer(Procedures.connectNetworkEventRegisterAny) { client, _, event, network in
            try check(event, below: 1)
            return client.subscribe(EventSubscription(kind: .network(event), object: network?.uuid))
        }
        table.answer(Procedures.connectNetworkEventDeregisterAny) { client, _, callback in
            try client.unsubscribe(callback)
        }
        table.answer(Procedures.connectStoragePoolEventRegisterAny) { client, _, event, pool in
            try check(event, below: 2)
            return client.subscribe(EventSubscription(kind: .pool(event), object: pool?.uuid))
        }
        table.answer(Procedures.connectStoragePoolEventDeregisterAny) { client, _, callback in
            try client.unsubscribe(callback)
        }
        table.answer(Procedures.connectNodeDeviceEventRegisterAny) { client, _, event, _ in
            try check(event, below: 2)
            return client.subscribe(EventSubscription(kind: .nodeDevice(event), object: nil))
        }
        table.answer(Procedures.connectNodeDeviceEventDeregisterAny) { client, _, callback in
            try client.unsubscribe(callback)
        }
        table.answer(Procedures.connectSecretEventRegisterAny) { client, _, event, secret in
            try check(event, below: 2)
            return client.subscribe(EventSubscription(kind: .secret(event), object: secret?.uuid))
        }
        table.answer(Procedures.connectSecretEventDeregisterAny) { client, _, callback in
            try client.unsubscribe(callback)
        }
        table.answer(Procedures.qemuConnectDomainMonitorEventRegister) { client, _, domain, event, _ in
            client.subscribe(EventSubscription(kind: .monitor(event), object: domain?.uuid))
        }
        table.answer(Procedures.qemuConnectDomainMonitorEventDeregister) { client, _, callback in
            try client.unsubscribe(callback)
        }
    }

    private static func check(_ event: Int32, below count: Int32) throws {
        guard event >= 0, event < count else {
            throw ManagementError(.internalError, "unsupported event ID \(event)", from: .rpc)
        }
    }
}
