// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import MachineModel

/// BAR 4: the structures of the modern interface, each on a page of its own (Virtio 1.2, 4.1.4).
final class VirtioPCIModernWindow: RegisterWindow {
    static let size: UInt64 = 0x4000
    private static let partSize: UInt32 = 0x1000
    /// Bytes between the notification registers of two queues.
    private static let notifyMultiplier: UInt32 = 4

    /// A structure; in the order of its capability and of its page.
    enum Part: Int, CaseIterable {
        case common, interruptStatus, device, notify

        /// The number that the capability carries.
        private var type: UInt8 {
            switch self {
            case .common: 1
            case .notify: 2
            case .interruptStatus: 3
            case .device: 4
            }
        }
        var offset: UInt32 { UInt32(rawValue) * VirtioPCIModernWindow.partSize }

        /// What follows the identifier and the next pointer.
        func capabilityBody(bar: UInt8, offset: UInt32) -> [UInt8] {
            var body = ByteBuilder()
            body.append(UInt8(self == .notify ? 20 : 16))
            body.append(type)
            body.append(bar)
            body.append(zeros: 3)
            body.append(offset)
            body.append(VirtioPCIModernWindow.partSize)
            if self == .notify { body.append(VirtioPCIModernWindow.notifyMultiplier) }
            return body.bytes
        }
    }

    /// Where in BAR 4 a queue's notifications are written.
    static func notifyOffset(_ queue: Int) -> UInt64 {
        UInt64(Part.notify.offset) + UInt64(queue) * UInt64(notifyMultiplier)
    }

    /// The capability of type 5, whose fields the driver fills in.
    static var accessCapabilityBody: [UInt8] { [20, 5] + [UInt8](repeating: 0, count: 16) }

    private unowned let function: VirtioPCIDevice
    private var core: VirtioCore { function.core }
    var deviceFeatureSelect: UInt32 = 0, driverFeatureSelect: UInt32 = 0

    init(_ function: VirtioPCIDevice) { self.function = function }

    func read(offset: UInt64, size: Int) -> UInt64 {
        let place = Int(truncatingIfNeeded: offset & UInt64(Self.partSize - 1))
        switch Part(rawValue: Int(truncatingIfNeeded: offset >> 12)) {
        case .common: return readCommon(place)
        case .interruptStatus: return place == 0 ? UInt64(function.takeInterruptStatus()) : 0
        case .device: return core.readDeviceConfig(offset: place, size: size)
        case .notify, nil: return 0
        }
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        let place = Int(truncatingIfNeeded: offset & UInt64(Self.partSize - 1))
        switch Part(rawValue: Int(truncatingIfNeeded: offset >> 12)) {
        case .common: writeCommon(place, value)
        case .device: core.writeDeviceConfig(offset: place, size: size, value: value)
        case .notify: core.notify(place / Int(Self.notifyMultiplier), isLegacy: false)
        case .interruptStatus, nil: break
        }
    }

    // MARK: Common configuration (section 4.1.4.3)

    private enum Register {
        static let deviceFeatureSelect = 0x00, deviceFeature = 0x04, driverFeatureSelect = 0x08, driverFeature = 0x0C
        static let configVector = 0x10, queueCount = 0x12, status = 0x14, generation = 0x15
        static let queueSelect = 0x16, queueSize = 0x18, queueVector = 0x1A, queueEnable = 0x1C, queueNotify = 0x1E
        static let descriptors = 0x20, available = 0x28, used = 0x30
    }

    private func readCommon(_ place: Int) -> UInt64 {
        let queue = core.selected
        switch place {
        case Register.deviceFeatureSelect: return UInt64(deviceFeatureSelect)
        case Register.deviceFeature: return half(core.offered, deviceFeatureSelect)
        case Register.driverFeatureSelect: return UInt64(driverFeatureSelect)
        case Register.driverFeature: return half(core.driverFeatures, driverFeatureSelect)
        case Register.configVector: return UInt64(function.configVector)
        case Register.queueCount: return UInt64(core.queues.count)
        case Register.status: return UInt64(core.status)
        case Register.generation: return UInt64(core.generation)
        case Register.queueSelect: return UInt64(core.queueSelect)
        case Register.queueSize: return UInt64(queue?.layout.size ?? 0)
        case Register.queueVector: return UInt64(function.queueVector(Int(core.queueSelect)))
        case Register.queueEnable: return queue?.isReady == true ? 1 : 0
        case Register.queueNotify: return UInt64(core.queueSelect)
        case Register.descriptors: return low(queue?.layout.descriptors)
        case Register.descriptors + 4: return high(queue?.layout.descriptors)
        case Register.available: return low(queue?.layout.available)
        case Register.available + 4: return high(queue?.layout.available)
        case Register.used: return low(queue?.layout.used)
        case Register.used + 4: return high(queue?.layout.used)
        default: return 0
        }
    }

    private func half(_ features: VirtioFeatures, _ select: UInt32) -> UInt64 {
        select < 2 ? features.rawValue >> (UInt64(select) * 32) & 0xFFFF_FFFF : 0
    }
    private func low(_ value: UInt64?) -> UInt64 { (value ?? 0) & 0xFFFF_FFFF }
    private func high(_ value: UInt64?) -> UInt64 { (value ?? 0) >> 32 }

    private func writeCommon(_ place: Int, _ value: UInt64) {
        let short = UInt16(truncatingIfNeeded: value)
        let word = UInt32(truncatingIfNeeded: value)
        switch place {
        case Register.deviceFeatureSelect: deviceFeatureSelect = word
        case Register.driverFeatureSelect: driverFeatureSelect = word
        case Register.driverFeature: core.setDriverFeatures(half: driverFeatureSelect, word)
        case Register.configVector: function.configVector = short
        case Register.status: function.writeStatus(UInt8(truncatingIfNeeded: value), isLegacy: false)
        case Register.queueSelect: core.queueSelect = short
        case Register.queueVector: function.setQueueVector(Int(core.queueSelect), short)
        case Register.queueEnable: if short == 1 { core.enableSelected(isLegacy: false) }
        default: writeLayout(place, value)
        }
    }

    /// The selected queue's size and addresses, until it is enabled.
    private func writeLayout(_ place: Int, _ value: UInt64) {
        if place == Register.queueSize { return core.setLayout(.size, value) }
        let fields = [
            (Register.descriptors, VirtioCore.LayoutField.descriptors), (Register.available, .available),
            (Register.used, .used),
        ]
        for (register, field) in fields where place == register || place == register + 4 {
            core.setLayout(field, value, isHigh: place != register)
        }
    }
}
