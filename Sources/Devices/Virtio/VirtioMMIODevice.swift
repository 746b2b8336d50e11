// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import GuestMemory
public import MachineModel

/// A virtio device behind memory-mapped registers (Virtio 1.2, 4.2), version 2 or the legacy version 1, which QEMU's
/// boards offer unless told otherwise. Guarded by the machine lock.
public final class VirtioMMIODevice: Device, RegisterWindow, VirtioInterrupts, @unchecked Sendable {
    /// Bytes of the window.
    public static let windowSize: UInt64 = 0x200
    private static let magic: UInt64 = 0x7472_6976
    /// "QEMU" in reverse, as drivers know it.
    private static let vendor: UInt64 = 0x554D_4551
    private static let configOffset = 0x100

    /// The device type's name with `-device`.
    public let name: String
    let core: VirtioCore
    private let isLegacy: Bool
    private let line: InterruptLine
    private let executor: MachineExecutor
    private var deviceFeatureSelect: UInt32 = 0, driverFeatureSelect: UInt32 = 0
    private var guestPageSize: UInt64 = 4096
    private var queueAlignment: UInt64 = 4096

    /// - Parameters:
    ///   - isLegacy: registers of version 1 (`force-legacy`, QEMU's default).
    ///   - line: level-triggered.
    public init(
        _ device: any VirtioDevice, isLegacy: Bool, line: InterruptLine, memory: GuestMemory, executor: MachineExecutor,
        hasPackedRings: Bool = false
    ) {
        name = "virtio-mmio"
        self.isLegacy = isLegacy
        self.line = line
        self.executor = executor
        core = VirtioCore(
            device: device, memory: memory, displayName: device.name + "-device",
            added: hasPackedRings ? .packedRing : [])
        core.connect(self)
    }

    /// Resets the device, and takes the interrupt back.
    public func reset() {
        core.reset()
        deviceFeatureSelect = 0
        driverFeatureSelect = 0
        line.set(false)
    }

    // MARK: Registers

    private enum Register {
        static let magic = 0x000, version = 0x004, device = 0x008, vendor = 0x00C
        static let deviceFeatures = 0x010, deviceFeaturesSelect = 0x014
        static let driverFeatures = 0x020, driverFeaturesSelect = 0x024, guestPageSize = 0x028
        static let queueSelect = 0x030, queueMaximum = 0x034, queueSize = 0x038, queueAlign = 0x03C
        static let queuePage = 0x040, queueReady = 0x044, queueNotify = 0x050
        static let interruptStatus = 0x060, interruptAcknowledge = 0x064, status = 0x070
        static let descriptors = 0x080, available = 0x090, used = 0x0A0
        static let generation = 0x0FC
    }

    /// Control registers as aligned words (4.2.2.2); from 100h on the device type's, of any size.
    public func read(offset: UInt64, size: Int) -> UInt64 {
        let place = Int(truncatingIfNeeded: offset)
        if place >= Self.configOffset {
            return core.readDeviceConfig(offset: place - Self.configOffset, size: size)
        }
        // Section 4.2.2.2: control registers are read and written as aligned words.
        guard size == 4 else {
            complain("read: wrong size access to register!")
            return 0
        }
        switch place {
        case Register.magic: return Self.magic
        case Register.version: return isLegacy ? 1 : 2
        case Register.device: return UInt64(core.device.type.rawValue)
        case Register.vendor: return Self.vendor
        case Register.deviceFeatures:
            let features = isLegacy ? core.legacyOffered : core.offered
            return deviceFeatureSelect < 2 ? features.rawValue >> (UInt64(deviceFeatureSelect) * 32) & 0xFFFF_FFFF : 0
        case Register.queueMaximum: return UInt64(core.selected?.maximumSize ?? 0)
        case Register.queuePage where isLegacy: return (core.selected?.layout.descriptors ?? 0) / guestPageSize
        case Register.queueReady where !isLegacy: return core.selected?.isReady == true ? 1 : 0
        case Register.interruptStatus: return UInt64(core.interruptStatus)
        case Register.status: return UInt64(core.status)
        case Register.generation where !isLegacy: return UInt64(core.generation)
        default:
            complain("read: bad register offset (0x\(String(place, radix: 16)))")
            return 0
        }
    }

    /// `-d guest_errors`.
    private func complain(_ what: @autoclosure () -> String) {
        Log.shared.write(.guestErrors, "virtio_mmio_\(what())")
    }

    private func complainOfWrite(_ place: Int) {
        let readable = [
            Register.magic, Register.version, Register.device, Register.vendor, Register.deviceFeatures,
            Register.queueMaximum, Register.interruptStatus, Register.generation,
        ]
        let what = readable.contains(place) ? "write to read-only register" : "bad register offset"
        complain("write: \(what) (0x\(String(place, radix: 16)))")
    }

    /// Control registers as aligned words; a write of another size is logged and dropped.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        let place = Int(truncatingIfNeeded: offset)
        if place >= Self.configOffset {
            return core.writeDeviceConfig(offset: place - Self.configOffset, size: size, value: value)
        }
        guard size == 4 else { return complain("write: wrong size access to register!") }
        let word = UInt32(truncatingIfNeeded: value)
        switch place {
        case Register.deviceFeaturesSelect: deviceFeatureSelect = word
        case Register.driverFeaturesSelect: driverFeatureSelect = word
        case Register.driverFeatures:
            if !isLegacy || driverFeatureSelect == 0 { core.setDriverFeatures(half: driverFeatureSelect, word) }
        case Register.queueSelect: core.queueSelect = UInt16(truncatingIfNeeded: min(word, 0xFFFF))
        case Register.queueNotify: core.notify(Int(word & 0xFFFF), isLegacy: isLegacy)
        case Register.interruptAcknowledge:
            core.acknowledge(UInt8(truncatingIfNeeded: value))
            line.set(core.interruptStatus != 0)
        case Register.status:
            core.writeStatus(UInt8(truncatingIfNeeded: value), isLegacy: isLegacy)
            if value & 0xFF == 0 { line.set(false) }
        default: isLegacy ? writeLegacyQueue(place, UInt64(word)) : writeQueue(place, UInt64(word))
        }
    }

    private func writeLegacyQueue(_ place: Int, _ word: UInt64) {
        switch place {
        case Register.guestPageSize:
            if word.nonzeroBitCount == 1, word >= 16 { guestPageSize = word }
        case Register.queueSize:
            if let queue = core.selected, !queue.isReady { queue.layout.size = UInt16(truncatingIfNeeded: word) }
        case Register.queueAlign:
            if word.nonzeroBitCount == 1, word >= 4 { queueAlignment = word }
        case Register.queuePage: core.setLegacyBase(word &* guestPageSize, alignment: queueAlignment)
        default: complainOfWrite(place)
        }
    }

    private func writeQueue(_ place: Int, _ word: UInt64) {
        guard let queue = core.selected, !core.isActive else { return }
        if place == Register.queueReady {
            if word & 1 == 1 { core.enableSelected(isLegacy: false) } else { queue.reset() }
            return
        }
        if place == Register.queueSize { return core.setLayout(.size, word) }
        let fields = [
            (Register.descriptors, VirtioCore.LayoutField.descriptors), (Register.available, .available),
            (Register.used, .used),
        ]
        for (register, field) in fields where place == register || place == register + 4 {
            return core.setLayout(field, word, isHigh: place != register)
        }
        complainOfWrite(place)
    }

    // MARK: VirtioInterrupts

    /// Bit 0 of InterruptStatus; the line is driven later where the machine lock is not held.
    public func queueUsed(_ queue: Int, machineLockHeld: Bool) {
        raise(VirtioCore.InterruptBit.queue, machineLockHeld: machineLockHeld)
    }

    /// Bit 1 of InterruptStatus, and a new ConfigGeneration.
    public func configChanged(machineLockHeld: Bool) {
        core.configChanged()
        raise(VirtioCore.InterruptBit.config, machineLockHeld: machineLockHeld)
    }

    private func raise(_ bit: UInt8, machineLockHeld: Bool) {
        core.raise(bit)
        executor.run(machineLockHeld: machineLockHeld) { [self] in line.set(core.interruptStatus != 0) }
    }
}
