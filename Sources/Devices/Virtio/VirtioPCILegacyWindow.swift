// SPDX-License-Identifier: Apache-2.0

internal import MachineModel
internal import PCIBus

/// BAR 0: the legacy interface (Virtio 1.2, 4.1.4.10), with the guest's byte order, which is little-endian here.
final class VirtioPCILegacyWindow: RegisterWindow {
    /// Bytes before the device type's registers with MSI-X enabled; without, the two vectors are not there.
    static let headerSize = 24, shortHeaderSize = 20
    /// A queue begins at a page, and its used ring on a page (section 2.7.2).
    static let pageShift: UInt64 = 12

    private enum Register {
        static let hostFeatures = 0x00, guestFeatures = 0x04, queueAddress = 0x08, queueSize = 0x0C
        static let queueSelect = 0x0E, queueNotify = 0x10, status = 0x12, interruptStatus = 0x13
        static let configVector = 0x14, queueVector = 0x16
    }
    /// Where in BAR 0 the number of a queue with new requests is written.
    static let notifyOffset = UInt64(Register.queueNotify)
    private unowned let function: VirtioPCIDevice
    private var core: VirtioCore { function.core }

    init(_ function: VirtioPCIDevice) { self.function = function }

    private var usesMessages: Bool { function.msix?.isEnabled == true }
    private var deviceOffset: Int { usesMessages ? Self.headerSize : Self.shortHeaderSize }

    func read(offset: UInt64, size: Int) -> UInt64 {
        let place = Int(truncatingIfNeeded: offset)
        if place >= deviceOffset { return core.readDeviceConfig(offset: place - deviceOffset, size: size) }
        switch place {
        case Register.hostFeatures: return core.legacyOffered.rawValue
        case Register.guestFeatures: return core.driverFeatures.rawValue & 0xFFFF_FFFF
        case Register.queueAddress: return (core.selected?.layout.descriptors ?? 0) >> Self.pageShift
        case Register.queueSize: return UInt64(core.selected?.maximumSize ?? 0)
        case Register.queueSelect: return UInt64(core.queueSelect)
        case Register.status: return UInt64(core.status)
        case Register.interruptStatus: return UInt64(function.takeInterruptStatus())
        case Register.configVector: return UInt64(function.configVector)
        case Register.queueVector: return UInt64(function.queueVector(Int(core.queueSelect)))
        default: return .max
        }
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        let place = Int(truncatingIfNeeded: offset)
        if place >= deviceOffset {
            return core.writeDeviceConfig(offset: place - deviceOffset, size: size, value: value)
        }
        let short = UInt16(truncatingIfNeeded: value)
        switch place {
        case Register.guestFeatures: core.setDriverFeatures(half: 0, UInt32(truncatingIfNeeded: value))
        case Register.queueAddress: setQueueAddress(value & 0xFFFF_FFFF)
        case Register.queueSelect: core.queueSelect = short
        case Register.queueNotify: core.notify(Int(short), isLegacy: true)
        case Register.status: function.writeStatus(UInt8(truncatingIfNeeded: value), isLegacy: true)
        case Register.configVector: function.configVector = short
        case Register.queueVector: function.setQueueVector(Int(core.queueSelect), short)
        default: break
        }
    }

    /// Address 0 resets the whole device, as old drivers do when they let go of it.
    private func setQueueAddress(_ page: UInt64) {
        guard page != 0 else { return function.resetByDriver() }
        core.setLegacyBase(page << Self.pageShift, alignment: 1 << Self.pageShift)
    }
}
