// SPDX-License-Identifier: Apache-2.0

internal import PCIBus

/// How a device type appears in PCI configuration space (Virtio 1.2, 4.1.2), with QEMU's class codes.
struct VirtioPCIIdentity {
    private static let modernBase: UInt16 = 0x1040
    private static let modernRevision: UInt8 = 1

    /// Base class, subclass and programming interface.
    static func classCode(_ type: VirtioDeviceType) -> UInt32 {
        switch type {
        case .network: 0x02_0000
        case .block: 0x01_0000
        case .console: 0x07_8000
        case .entropy, .balloon: 0x00_FF00
        }
    }

    /// The device number that legacy drivers look for.
    static func transitionalDevice(_ type: VirtioDeviceType) -> UInt16 {
        switch type {
        case .network: 0x1000
        case .block: 0x1001
        case .balloon: 0x1002
        case .console: 0x1003
        case .entropy: 0x1005
        }
    }

    /// Entries of the MSI-X table: one for changes and, where that speeds anything up, one for each queue.
    static func vectors(_ type: VirtioDeviceType, queueCount: Int) -> Int {
        switch type {
        case .network, .block: queueCount + 1
        case .console, .entropy: 2
        case .balloon: 0
        }
    }

    /// The header's fixed fields. A device with a legacy interface is told by its subsystem number.
    static func header(_ type: VirtioDeviceType, hasLegacy: Bool) -> PCIIdentity {
        hasLegacy
            ? PCIIdentity(
                vendor: PCIIdentity.qumranetVendor, device: transitionalDevice(type), classCode: classCode(type),
                subsystem: type.rawValue, interruptPin: 1)
            : PCIIdentity(
                vendor: PCIIdentity.qumranetVendor, device: modernBase + type.rawValue, revision: modernRevision,
                classCode: classCode(type), interruptPin: 1)
    }
}
