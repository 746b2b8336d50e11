// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementCore
internal import ManagementModel
internal import XDRCoding

/// Opening, authentication, versions and features.
enum ConnectionCalls {
    /// The release whose dialect is spoken: 9.0.0.
    private static let libraryVersion: UInt64 = 9_000_000

    /// Features that a client asks for before it relies on them.
    private enum Feature {
        /// 12 is offline migration; 1, direct migration between hypervisors, there is not.
        static let supported: Set<Int32> = [3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16]
        static let keepalive: Int32 = 10
    }

    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.authList, unopened: true) { _, _ in [Int32(0)] }
        table.answer(Procedures.connectOpen, unopened: true) { client, _, name, flags in
            try client.open(name, flags: flags)
        }
        table.answer(Procedures.connectClose, unopened: true) { client, _ in client.close() }
        table.answer(Procedures.connectSupportsFeature, unopened: true) { client, _, feature in
            if feature == Feature.keepalive { client.enableKeepalive() }
            return Feature.supported.contains(feature) ? 1 : 0
        }
        table.answer(Procedures.connectGetType) { _, _ in "QEMU" }
        table.answer(Procedures.connectGetVersion) { client, _ in client.core.capabilities.emulator.version }
        table.answer(Procedures.connectGetLibVersion) { _, _ in libraryVersion }
        table.answer(Procedures.connectGetHostname) { client, _ in client.core.capabilities.host.hostname }
        table.answer(Procedures.connectGetURI) { client, _ in client.core.address }
        table.answer(Procedures.connectIsSecure) { client, _ in client.isSecure ? 1 : 0 }
        table.answer(Procedures.connectGetCapabilities) { client, _ in client.core.capabilities.document }
        table.answer(Procedures.connectGetMaxVcpus) { client, _, type in
            // What libvirt says of QEMU without KVM, whatever its machines may have.
            let emulated: Int32 = 16
            switch type?.lowercased() ?? "qemu" {
            case "qemu": return emulated
            case "kvm": return Int32(client.core.capabilities.emulator.machines.map(\.maximumProcessors).max() ?? 1)
            default: throw ManagementError(.invalidArg, "unknown type '\(type ?? "")'", from: .machineDriver)
            }
        }
        table.answer(Procedures.connectRegisterCloseCallback) { _, _ in }
        table.answer(Procedures.connectUnregisterCloseCallback) { _, _ in }
        table.answer(Procedures.connectSetIdentity) { _, _, _, _ in }
    }
}
