// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import HostSystem

/// Device types (Virtio 1.2, 5).
public enum VirtioDeviceType: UInt16, Sendable {
    case network = 1
    case block = 2
    case console = 3
    case entropy = 4
    case balloon = 5
}

/// What a transport needs of a device model.
///
/// All calls are made with the machine lock held. A device that works on a thread of its own takes the queues over in
/// `activate` and lets go of them before `reset` returns.
public protocol VirtioDevice: AnyObject {
    /// "virtio-blk": the transport adds "-pci" or "-device".
    var name: String { get }
    /// The device type.
    var type: VirtioDeviceType { get }
    /// What the device offers beyond the features of all devices.
    var features: VirtioFeatures { get }
    /// The longest ring of each queue; powers of two, 0 for a number that is left out.
    var queueSizes: [UInt16] { get }
    /// The registers of the device type, as they stand now.
    func readConfig() -> [UInt8]
    /// A write to the device type's registers: 1, 2, 4 or 8 bytes at any offset. What is read-only ignores it.
    func writeConfig(offset: Int, size: Int, value: UInt64)
    /// The driver is ready: the device takes over the queues until `reset`.
    func activate(_ context: VirtioActivation)
    /// Back to power-on. When it returns nothing touches the queues or the guest's buffers any more.
    func reset()
    /// The driver has put requests into queue `queue`, which the device was activated with.
    func notified(queue: Int)
}

/// A device that serves queues on a thread of its own, which can be notified there past the machine lock.
public protocol VirtioThreadedDevice: VirtioDevice {
    /// Serves queue `queue` on its thread whenever `event` is signalled, for the device's whole life. Called once for
    /// each queue; a signal while the device is not active does nothing.
    /// - Returns: false for a queue that is served on the vCPU's thread.
    func serve(_ queue: Int, whenSignalled event: EventFile) -> Bool
}

/// What an active device works with.
public struct VirtioActivation: Sendable {
    /// What the driver accepted of what was offered.
    public let features: VirtioFeatures
    /// The queues by number; those that the driver did not enable are not ready.
    public let queues: [Virtqueue]
    /// Tells the driver.
    public let interrupts: any VirtioInterrupts
    /// The guest's memory.
    public let memory: GuestMemory

    /// An activation, as a transport makes it.
    public init(
        features: VirtioFeatures, queues: [Virtqueue], interrupts: any VirtioInterrupts, memory: GuestMemory
    ) {
        self.features = features
        self.queues = queues
        self.interrupts = interrupts
        self.memory = memory
    }
}

/// How a device interrupts its driver. Callable on any thread.
public protocol VirtioInterrupts: AnyObject, Sendable {
    /// Queue `queue` has used buffers that the driver wants to hear of.
    /// - Parameter machineLockHeld: by the calling thread.
    func queueUsed(_ queue: Int, machineLockHeld: Bool)
    /// The device type's registers have changed.
    /// - Parameter machineLockHeld: by the calling thread.
    func configChanged(machineLockHeld: Bool)
}

extension Virtqueue {
    /// Publishes what was completed and interrupts the driver if it wants that.
    public func publish(_ interrupts: any VirtioInterrupts, machineLockHeld: Bool = false) {
        if publish() { interrupts.queueUsed(index, machineLockHeld: machineLockHeld) }
    }
}
