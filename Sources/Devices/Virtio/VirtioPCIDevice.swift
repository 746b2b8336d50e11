// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import GuestMemory
internal import HostSystem
internal import MachineModel
public import PCIBus
public import StateCoding

/// What can be said of a virtio function on the command line.
public struct VirtioPCIOptions: Equatable, Sendable {
    /// `disable-legacy=on`: no port window and the device number of Virtio 1.0.
    public var disableLegacy = false
    /// `disable-modern=on`: the legacy interface alone.
    public var disableModern = false
    /// `vectors=`: entries of the MSI-X table, 0 for none; nil for QEMU's number for the type.
    public var vectors: Int?
    /// `indirect_desc=` and `event_idx=`.
    public var hasIndirectDescriptors = true, hasEventIndex = true
    /// `packed=`: the driver may choose packed rings.
    public var hasPackedRings = false
    /// `ioeventfd=`: notifications go to the device's thread past the run loop, where the engine can do that.
    public var usesEventFiles = true

    var withheld: VirtioFeatures {
        var features: VirtioFeatures = []
        if !hasIndirectDescriptors { features.insert(.indirectDescriptors) }
        if !hasEventIndex { features.insert(.eventIndex) }
        return features
    }

    /// QEMU's defaults on a conventional bus and on the root complex: both interfaces.
    public init(disableLegacy: Bool = false, disableModern: Bool = false, vectors: Int? = nil) {
        self.disableLegacy = disableLegacy
        self.disableModern = disableModern
        self.vectors = vectors
    }
}

/// A virtio device as a PCI function (Virtio 1.2, 4.1): the modern interface in BAR 4, the legacy one in BAR 0, MSI-X in
/// BAR 1, all where QEMU has them.
///
/// Guarded by the machine lock, except for `routing`, which has a lock of its own: devices interrupt from their threads,
/// and those never wait for the machine lock.
public final class VirtioPCIDevice: PCIDevice, VirtioInterrupts, @unchecked Sendable {
    private enum BaseAddress {
        static let legacy = 0, messages = 1, modern = 4
    }
    static let noVector: UInt16 = 0xFFFF

    let core: VirtioCore
    /// The device model behind the function.
    public var device: any VirtioDevice { core.device }
    private let executor: MachineExecutor
    private var notifier: VirtioPCINotifier?
    let hasLegacy: Bool, hasModern: Bool
    /// The capability through which configuration accesses reach BAR 4; 0 without one.
    private(set) var accessCapability = 0
    private(set) lazy var modern = VirtioPCIModernWindow(self)

    /// Where interrupts go now: a copy of what the guest has set.
    private struct Routing {
        var messages: [MSIXMessage] = []
        var usesMessages = false
        var isBusMaster = false
        var configVector = noVector
        var queueVectors: [UInt16] = []
        var sink: (any MessageInterruptSink)?
        /// Event files of the messages, where the engine has such; made when a message is first unmasked.
        var routes: [Int: any MessageRoute] = [:]
    }
    private let routingLock = Lock()
    private var routing = Routing()

    /// A function around a device model, ready for `PCIBus.add`.
    /// - Parameters:
    ///   - name: the type's name; nil for the model's name and "-pci".
    ///   - identifier: as given with `id=`.
    ///   - executor: the machine lock and the main loop.
    public init(
        _ device: any VirtioDevice, name: String? = nil, identifier: String? = nil, memory: GuestMemory,
        executor: MachineExecutor, options: VirtioPCIOptions = VirtioPCIOptions()
    ) {
        let typeName = name ?? device.name + "-pci"
        core = VirtioCore(
            device: device, memory: memory, displayName: identifier ?? typeName, withheld: options.withheld,
            added: options.hasPackedRings ? .packedRing : [])
        self.executor = executor
        hasLegacy = !options.disableLegacy || options.disableModern
        hasModern = !options.disableModern
        super.init(
            name: typeName, identity: VirtioPCIIdentity.header(device.type, hasLegacy: hasLegacy))
        self.identifier = identifier
        routing.queueVectors = core.queues.map { _ in Self.noVector }
        let usualVectors = VirtioPCIIdentity.vectors(device.type, queueCount: core.queues.count)
        addInterfaces(vectors: min(max(options.vectors ?? usualVectors, 0), 2048))
        core.connect(self)
        if options.usesEventFiles { notifier = VirtioPCINotifier(core) }
        core.activityChanged = { [unowned self] in refreshNotifier() }
        refreshRouting()
    }

    private func addInterfaces(vectors: Int) {
        if hasLegacy {
            let size = UInt64(VirtioPCILegacyWindow.headerSize + core.device.readConfig().count)
            addBaseAddress(
                BaseAddress.legacy, kind: .io, size: max(size, 32), name: "virtio-pci",
                window: VirtioPCILegacyWindow(self))
        }
        if hasModern {
            addBaseAddress(
                BaseAddress.modern, kind: .memory64, size: VirtioPCIModernWindow.size, isPrefetchable: true,
                name: "virtio-pci-modern", window: modern)
            addModernCapabilities()
        }
        if vectors > 0 {
            addMSIX(vectorCount: vectors, baseAddress: BaseAddress.messages)
            routing.messages = (0..<vectors).map { _ in MSIXMessage(address: 0, data: 0, isMasked: true) }
            msix?.messageChanged = { [unowned self] vector, message in
                let route = route(of: vector, message)
                routingLock.withLock {
                    routing.messages[vector] = message
                    routing.routes[vector] = route
                }
            }
        }
    }

    /// The vendor capabilities in QEMU's order and places (section 4.1.4).
    private func addModernCapabilities() {
        for part in VirtioPCIModernWindow.Part.allCases {
            addCapability(
                PCICapabilityID.vendorSpecific,
                body: part.capabilityBody(bar: UInt8(BaseAddress.modern), offset: part.offset))
        }
        accessCapability = addCapability(
            PCICapabilityID.vendorSpecific, body: VirtioPCIModernWindow.accessCapabilityBody)
        config.setWritable(accessCapability + 4, UInt8.max)
        for field in [8, 12, 16] { config.setWritable(accessCapability + field, UInt32.max) }
    }

    // MARK: Device

    /// Resets the device and takes all vectors away.
    public override func reset() {
        core.reset()
        routingLock.withLock {
            routing.configVector = Self.noVector
            for queue in routing.queueVectors.indices { routing.queueVectors[queue] = Self.noVector }
        }
        super.reset()
        refreshRouting()
    }

    /// A driver's reset through the status register: also the vectors are forgotten.
    func resetByDriver() {
        core.reset()
        routingLock.withLock {
            routing.configVector = Self.noVector
            for queue in routing.queueVectors.indices { routing.queueVectors[queue] = Self.noVector }
        }
        setInterrupt(false)
    }

    func writeStatus(_ value: UInt8, isLegacy: Bool) {
        if value == 0 { resetByDriver() } else { core.writeStatus(value, isLegacy: isLegacy) }
    }

    /// Function, queues and vectors, and what the device type keeps.
    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try saveVirtioState(as: name)
    }

    /// Refuses a state of another device; the result puts it in, the device type's last.
    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        try checkVirtioState(record)
    }

    /// Tells KVM of the messages, which it has not seen written.
    public override func stateRestored() {
        refreshRouting()
        for vector in 0..<(msix?.vectorCount ?? 0) {
            if let message = msix?.message(vector) { msix?.messageChanged?(vector, message) }
        }
    }

    func setVectors(config: UInt16, queues: [UInt16]) {
        configVector = config
        for (queue, vector) in queues.enumerated() { setQueueVector(queue, vector) }
    }

    /// Stops the device: it lets go of the queues.
    public override func removed() { core.reset() }
    /// Moves the notification addresses that are served past the machine lock.
    public override func addressesChanged() { refreshNotifier() }

    private func refreshNotifier() {
        notifier?.update(
            paths: bus?.messages as? any EventPaths,
            modern: baseAddresses[BaseAddress.modern]?.mappedAt, legacy: baseAddresses[BaseAddress.legacy]?.mappedAt)
    }

    /// The way of an unmasked message past the message's own delivery, where the engine has one.
    private func route(of vector: Int, _ message: MSIXMessage) -> (any MessageRoute)? {
        guard let paths = bus?.messages as? any EventPaths else { return nil }
        let known = routingLock.withLock { routing.routes[vector] }
        guard !message.isMasked else { return known }
        guard let route = known ?? paths.makeMessageRoute(),
            route.setMessage(address: message.address, data: message.data)
        else { return nil }
        return route
    }

    /// Also answers the access capability, by which firmware reads BARs (4.1.4.9).
    public override func readConfig(offset: Int, size: Int) -> UInt32 {
        if touchesAccessData(offset, size) { readThroughCapability() }
        return super.readConfig(offset: offset, size: size)
    }

    /// Also carries out a write through the access capability (4.1.4.9).
    public override func writeConfig(offset: Int, size: Int, value: UInt32) {
        super.writeConfig(offset: offset, size: size, value: value)
        refreshRouting()
        if touchesAccessData(offset, size) { writeThroughCapability() }
    }

    // MARK: The access capability (section 4.1.4.9)

    private func touchesAccessData(_ offset: Int, _ size: Int) -> Bool {
        accessCapability > 0 && offset < accessCapability + 20 && offset &+ size > accessCapability + 16
    }

    private var accessTarget: (offset: UInt64, size: Int)? {
        let bar: UInt8 = config.get(accessCapability + 4)
        let offset: UInt32 = config.get(accessCapability + 8)
        let size: UInt32 = config.get(accessCapability + 12)
        guard Int(bar) == BaseAddress.modern, size == 1 || size == 2 || size == 4, offset % size == 0,
            UInt64(offset) + UInt64(size) <= VirtioPCIModernWindow.size
        else { return nil }
        return (UInt64(offset), Int(size))
    }

    private func readThroughCapability() {
        guard let target = accessTarget else { return }
        let value = modern.read(offset: target.offset, size: target.size)
        config.set(accessCapability + 16, UInt32(truncatingIfNeeded: value))
    }

    private func writeThroughCapability() {
        guard let target = accessTarget else { return }
        let value: UInt32 = config.get(accessCapability + 16)
        let mask: UInt32 = target.size == 4 ? .max : (1 << UInt32(target.size * 8)) - 1
        modern.write(offset: target.offset, size: target.size, value: UInt64(value & mask))
    }

    // MARK: Vectors

    private func refreshRouting() {
        let usesMessages = msix?.isEnabled == true
        let isBusMaster = self.isBusMaster
        let sink = bus?.messages
        routingLock.withLock {
            routing.usesMessages = usesMessages
            routing.isBusMaster = isBusMaster
            routing.sink = sink
        }
    }

    var configVector: UInt16 {
        get { routingLock.withLock { routing.configVector } }
        set { routingLock.withLock { routing.configVector = checked(newValue) } }
    }

    func queueVector(_ queue: Int) -> UInt16 {
        routingLock.withLock {
            routing.queueVectors.indices.contains(queue) ? routing.queueVectors[queue] : Self.noVector
        }
    }

    func setQueueVector(_ queue: Int, _ vector: UInt16) {
        routingLock.withLock {
            if routing.queueVectors.indices.contains(queue) { routing.queueVectors[queue] = checked(vector) }
        }
    }

    /// A vector beyond the table reads back as none: the driver sees that there is no such vector.
    private func checked(_ vector: UInt16) -> UInt16 { Int(vector) < routing.messages.count ? vector : Self.noVector }

    // MARK: VirtioInterrupts

    /// The queue's MSI-X vector, or bit 0 of ISR and INTx; on any thread.
    public func queueUsed(_ queue: Int, machineLockHeld: Bool) {
        interrupt(VirtioCore.InterruptBit.queue, machineLockHeld: machineLockHeld) { routing in
            routing.queueVectors.indices.contains(queue) ? routing.queueVectors[queue] : Self.noVector
        }
    }

    /// The configuration's vector, or bits 0 and 1 of ISR and INTx; on any thread.
    public func configChanged(machineLockHeld: Bool) {
        core.configChanged()
        interrupt(
            VirtioCore.InterruptBit.config | VirtioCore.InterruptBit.queue, machineLockHeld: machineLockHeld
        ) { $0.configVector }
    }

    private func interrupt(_ bit: UInt8, machineLockHeld: Bool, vector select: (borrowing Routing) -> UInt16) {
        Trace.emit(.virtioNotify, "vdev \(core.displayName) isr \(bit)")
        core.raise(bit)
        enum Way {
            case none, pin, masked(Int), message(MSIXMessage, any MessageInterruptSink), route(any MessageRoute)
        }
        let way: Way = routingLock.withLock {
            guard routing.usesMessages else { return .pin }
            let vector = Int(select(routing))
            guard vector < routing.messages.count, routing.isBusMaster, let sink = routing.sink else { return .none }
            let message = routing.messages[vector]
            if message.isMasked { return .masked(vector) }
            if let route = routing.routes[vector] { return .route(route) }
            return .message(message, sink)
        }
        switch way {
        case .none: break
        case .route(let route): route.signal()
        case .message(let message, let sink): sink.deliver(address: message.address, data: message.data)
        case .masked(let vector):
            executor.run(machineLockHeld: machineLockHeld) { [self] in msix?.notify(vector, from: self) }
        case .pin:
            executor.run(machineLockHeld: machineLockHeld) { [self] in
                // The driver may have looked at the status already.
                if core.interruptStatus != 0, !usesMessages { setInterrupt(true) }
            }
        }
    }

    /// The interrupt status register: reading takes the pin down.
    func takeInterruptStatus() -> UInt8 {
        let status = core.takeInterruptStatus()
        setInterrupt(false)
        return status
    }
}
