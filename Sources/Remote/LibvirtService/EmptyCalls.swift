// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementModel
internal import XDRCoding

/// Kinds of objects of which this service has none yet: clients ask for their lists before anything else.
enum EmptyCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllNwfilters) { _, _, _, _ in ([], 0) }
        table.answer(Procedures.connectListAllNwfilterBindings) { _, _, _, _ in ([], 0) }
        table.answer(Procedures.connectListAllSecrets) { _, _, _, _ in ([], 0) }
        table.answer(Procedures.connectNumOfSecrets) { _, _ in 0 }
        table.answer(Procedures.connectListSecrets) { _, _, _ in [] }
        table.answer(Procedures.secretLookupByUUID) { _, _, uuid in
            throw ManagementError(.noSecret, "no secret with matching uuid '\(uuid)'", from: .secret)
        }
        table.answer(Procedures.secretLookupByUsage) { _, _, _, usage in
            throw ManagementError(.noSecret, "no secret with matching usage '\(usage)'", from: .secret)
        }
        table.answer(Procedures.connectListAllInterfaces) { _, _, _, _ in ([], 0) }
        table.answer(Procedures.connectListAllNodeDevices) { _, _, _, _ in ([], 0) }
        table.answer(Procedures.nodeNumOfDevices) { _, _, _, _ in 0 }
        table.answer(Procedures.nodeListDevices) { _, _, _, _, _ in [] }
        table.answer(Procedures.nodeDeviceLookupByName) { _, _, name in
            throw ManagementError(.noNodeDevice, "no node device with matching name '\(name)'", from: .nodeDevice)
        }
    }
}
