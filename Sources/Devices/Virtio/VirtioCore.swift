// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import GuestMemory
internal import Synchronization

/// The device status bits (Virtio 1.2, 2.1).
public struct VirtioStatus: OptionSet, Sendable {
    /// The register's bits.
    public let rawValue: UInt8
    /// A status from the register's bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The guest has seen the device.
    public static let acknowledge = VirtioStatus(rawValue: 1)
    /// The guest has a driver for it.
    public static let driver = VirtioStatus(rawValue: 2)
    /// The driver is ready; the device may work.
    public static let driverOK = VirtioStatus(rawValue: 4)
    /// The features are agreed.
    public static let featuresOK = VirtioStatus(rawValue: 8)
    /// The device met something that only a reset mends.
    public static let needsReset = VirtioStatus(rawValue: 64)
    /// The driver gave up.
    public static let failed = VirtioStatus(rawValue: 128)
}

/// What all transports have in common: negotiation, the queues, status and interrupt status.
///
///     reset --ACKNOWLEDGE, DRIVER, features--> negotiating --FEATURES_OK--> set up --DRIVER_OK--> active
///       ^                                                                                           |
///       +------------------------------------ status = 0 <-----------------------------------------+
///
/// Guarded by the machine lock, but for the status and interrupt bits, which device threads set too.
final class VirtioCore: @unchecked Sendable {
    /// Bits of the interrupt status register (Virtio 1.2, 4.1.4.5).
    enum InterruptBit {
        static let queue: UInt8 = 1, config: UInt8 = 2
    }

    let device: any VirtioDevice
    let memory: GuestMemory
    let queues: [Virtqueue]
    /// What is offered to a modern and to a legacy driver.
    let offered: VirtioFeatures, legacyOffered: VirtioFeatures
    /// What the driver wrote.
    private(set) var driverFeatures: VirtioFeatures = []
    private(set) var isActive = false
    /// How the driver that made it active speaks.
    private var isLegacyDriver = false
    var queueSelect: UInt16 = 0
    private let statusBits = Atomic<UInt8>(0)
    private let interruptBits = Atomic<UInt8>(0)
    private let generationCount = Atomic<UInt8>(0)
    /// Told of what a device thread found broken.
    private var interrupts: (any VirtioInterrupts)?
    /// Before something breaks: how the person knows the device.
    var displayName: String

    /// - Parameters:
    ///   - withheld: features that are not offered although the device or the queues have them.
    ///   - added: features of the queues that are offered only where somebody wants them.
    init(
        device: any VirtioDevice, memory: GuestMemory, displayName: String, withheld: VirtioFeatures = [],
        added: VirtioFeatures = []
    ) {
        self.device = device
        self.memory = memory
        self.displayName = displayName
        queues = device.queueSizes.enumerated().map {
            Virtqueue(index: $0.offset, maximumSize: $0.element, memory: memory)
        }
        let features = device.features.union(.common).union(added).subtracting(withheld)
        offered = features.union(.version1)
        legacyOffered = VirtioFeatures(rawValue: features.union(.legacyOnly).rawValue & 0xFFFF_FFFF)
        for queue in queues {
            queue.onFailure = { [unowned self] cause in broken(queue: queue.index, cause) }
        }
    }

    func connect(_ interrupts: any VirtioInterrupts) { self.interrupts = interrupts }
    /// Told when `isActive` has changed.
    var activityChanged: () -> Void = {}

    // MARK: Registers

    var status: UInt8 { statusBits.load(ordering: .acquiring) }
    /// Changes with the device type's registers.
    var generation: UInt8 { generationCount.load(ordering: .acquiring) }
    func configChanged() { generationCount.wrappingAdd(1, ordering: .acquiringAndReleasing) }

    func raise(_ bit: UInt8) { interruptBits.bitwiseOr(bit, ordering: .acquiringAndReleasing) }
    /// Reads the interrupt status and clears it.
    func takeInterruptStatus() -> UInt8 { interruptBits.exchange(0, ordering: .acquiringAndReleasing) }
    var interruptStatus: UInt8 { interruptBits.load(ordering: .acquiring) }
    func acknowledge(_ bits: UInt8) { interruptBits.bitwiseAnd(~bits, ordering: .acquiringAndReleasing) }

    /// The queue that `queueSelect` names, if there is one.
    var selected: Virtqueue? {
        let number = Int(queueSelect)
        return queues.indices.contains(number) && queues[number].maximumSize > 0 ? queues[number] : nil
    }

    /// A legacy or modern driver's features, by halves. Ignored once they are settled.
    func setDriverFeatures(half: UInt32, _ value: UInt32) {
        guard half < 2, !isActive, status & VirtioStatus.featuresOK.rawValue == 0 else { return }
        let shift = UInt64(half) * 32
        let kept = driverFeatures.rawValue & ~(0xFFFF_FFFF << shift)
        driverFeatures = VirtioFeatures(rawValue: kept | UInt64(value) << shift)
    }

    /// Writes the status register; 0 resets.
    func writeStatus(_ value: UInt8, isLegacy: Bool) {
        Trace.emit(.virtioSetStatus, "vdev \(displayName) val \(value)")
        guard value != 0 else { return reset() }
        var bits = value
        let wantsFeatures = value & VirtioStatus.featuresOK.rawValue != 0
        if wantsFeatures, status & VirtioStatus.featuresOK.rawValue == 0, !isLegacy {
            // Section 3.1.1: the driver reads the bit back to see whether its choice is possible.
            if !driverFeatures.isSubset(of: offered) || !driverFeatures.contains(.version1) {
                bits &= ~VirtioStatus.featuresOK.rawValue
            }
        }
        let kept = status & VirtioStatus.needsReset.rawValue
        statusBits.store(bits | kept, ordering: .releasing)
        if bits & VirtioStatus.driverOK.rawValue != 0 { activate(isLegacy: isLegacy) }
    }

    /// What was agreed on.
    func agreed(isLegacy: Bool) -> VirtioFeatures {
        driverFeatures.intersection(isLegacy ? legacyOffered : offered)
    }

    /// The driver enables the selected queue with the layout that it has set.
    func enableSelected(isLegacy: Bool) {
        guard !isActive, let queue = selected else { return }
        queue.configure(features: agreed(isLegacy: isLegacy))
    }

    /// A legacy driver's queue address: enables the queue, or with 0 takes it away.
    func setLegacyBase(_ base: UInt64, alignment: UInt64) {
        guard let queue = selected, !isActive else { return }
        guard base != 0 else { return queue.reset() }
        queue.layout.setLegacy(base: base, alignment: alignment)
        queue.configure(features: agreed(isLegacy: true))
    }

    /// What a driver writes about the selected queue before it enables it.
    enum LayoutField { case size, descriptors, available, used }

    /// Sets a field of the selected queue, the lower or the higher half of an address; ignored once it is enabled.
    func setLayout(_ field: LayoutField, _ value: UInt64, isHigh: Bool = false) {
        guard let queue = selected, !queue.isReady, !isActive else { return }
        let word = value & 0xFFFF_FFFF
        func set(_ address: inout UInt64) {
            address = isHigh ? address & 0xFFFF_FFFF | word << 32 : address & ~0xFFFF_FFFF | word
        }
        switch field {
        case .size: queue.layout.size = UInt16(truncatingIfNeeded: value)
        case .descriptors: set(&queue.layout.descriptors)
        case .available: set(&queue.layout.available)
        case .used: set(&queue.layout.used)
        }
    }

    /// The driver has put requests into a queue. Legacy drivers do so before DRIVER_OK, too.
    func notify(_ queue: Int, isLegacy: Bool) {
        guard queues.indices.contains(queue) else { return }
        if !isActive, isLegacy, status != 0, queues[queue].isReady { activate(isLegacy: true) }
        guard isActive, queues[queue].isReady else { return }
        Trace.emit(.virtioQueueNotify, "vdev \(displayName) n \(queue)")
        device.notified(queue: queue)
    }

    private func activate(isLegacy: Bool) {
        guard !isActive, let interrupts else { return }
        if !isLegacy, status & VirtioStatus.featuresOK.rawValue == 0 { return }
        isActive = true
        isLegacyDriver = isLegacy
        let features = agreed(isLegacy: isLegacy)
        // A legacy driver may settle its features after it has set up the queues.
        if isLegacy { for queue in queues where queue.isReady { queue.configure(features: features) } }
        device.activate(
            VirtioActivation(features: features, queues: queues, interrupts: interrupts, memory: memory))
        activityChanged()
    }

    func reset() {
        defer { activityChanged() }
        // Also an inactive device goes back: its registers may have been written.
        device.reset()
        isActive = false
        for queue in queues { queue.reset() }
        driverFeatures = []
        queueSelect = 0
        statusBits.store(0, ordering: .releasing)
        interruptBits.store(0, ordering: .releasing)
    }

    // MARK: Saving

    /// What a saved machine keeps of the negotiation and the queues.
    struct State: Equatable, Sendable, Codable {
        var driverFeatures: UInt64
        var status: UInt8, interruptBits: UInt8, generation: UInt8
        var queueSelect: UInt16
        var isActive: Bool, isLegacyDriver: Bool
        var queues: [Virtqueue.State]
    }

    var state: State {
        State(
            driverFeatures: driverFeatures.rawValue, status: status, interruptBits: interruptStatus,
            generation: generation, queueSelect: queueSelect, isActive: isActive, isLegacyDriver: isLegacyDriver,
            queues: queues.map(\.state))
    }

    /// Why a state cannot be of this device; nil when it can.
    func problem(of state: State) -> String? {
        guard state.queues.count == queues.count else { return "it has \(state.queues.count) queues" }
        let unknown = VirtioFeatures(rawValue: state.driverFeatures).subtracting(offered.union(legacyOffered))
        guard !state.isActive || state.isLegacyDriver || unknown.isEmpty else {
            return "its driver uses features that this device does not offer (0x\(String(unknown.rawValue, radix: 16)))"
        }
        return nil
    }

    /// Goes on where a saved device stood. Guest memory is complete.
    func restore(_ state: State) {
        device.reset()
        isActive = false
        driverFeatures = VirtioFeatures(rawValue: state.driverFeatures)
        queueSelect = state.queueSelect
        statusBits.store(state.status, ordering: .releasing)
        interruptBits.store(state.interruptBits, ordering: .releasing)
        generationCount.store(state.generation, ordering: .releasing)
        let features = agreed(isLegacy: state.isLegacyDriver)
        for (queue, saved) in zip(queues, state.queues) { queue.restore(saved, features: features) }
        isLegacyDriver = state.isLegacyDriver
        if state.isActive, let interrupts {
            isActive = true
            device.activate(
                VirtioActivation(features: features, queues: queues, interrupts: interrupts, memory: memory))
        }
        activityChanged()
    }

    /// On whatever thread uses the queue.
    private func broken(queue: Int, _ cause: VirtqueueError) {
        Console.shared.warning("\(displayName): queue \(queue) is broken until the guest resets the device: \(cause)")
        statusBits.bitwiseOr(VirtioStatus.needsReset.rawValue, ordering: .acquiringAndReleasing)
        configChanged()
        interrupts?.configChanged(machineLockHeld: false)
    }

    // MARK: The device type's registers

    /// All ones outside, as everywhere on the bus.
    func readDeviceConfig(offset: Int, size: Int) -> UInt64 {
        let bytes = device.readConfig()
        guard offset >= 0, size > 0, size <= 8, offset <= bytes.count, size <= bytes.count - offset else {
            return .max
        }
        var value: UInt64 = 0
        for index in 0..<size { value |= UInt64(bytes[offset + index]) << UInt64(index * 8) }
        return value
    }

    func writeDeviceConfig(offset: Int, size: Int, value: UInt64) {
        guard offset >= 0, offset < 4096 else { return }
        device.writeConfig(offset: offset, size: size, value: value)
    }
}
