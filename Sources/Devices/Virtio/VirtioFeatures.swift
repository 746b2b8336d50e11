// SPDX-License-Identifier: Apache-2.0

/// Feature bits: 0...23 and 50...63 belong to the device type, the others to all (Virtio 1.2, 2.2 and 6).
public struct VirtioFeatures: OptionSet, Sendable, Hashable {
    /// Bit n is feature n.
    public let rawValue: UInt64
    /// A set from its 64 bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// One bit.
    public init(bit: UInt64) { self.init(rawValue: 1 << bit) }

    /// Legacy: an interrupt whenever the queue runs empty.
    public static let notifyOnEmpty = VirtioFeatures(bit: 24)
    /// Legacy: requests may be cut into descriptors anywhere.
    public static let anyLayout = VirtioFeatures(bit: 27)
    /// Tables of descriptors outside of the ring.
    public static let indirectDescriptors = VirtioFeatures(bit: 28)
    /// Notifications at a given index instead of on and off.
    public static let eventIndex = VirtioFeatures(bit: 29)
    /// Virtio 1.0 and later.
    public static let version1 = VirtioFeatures(bit: 32)

    /// Rings in which descriptors are both made available and used.
    public static let packedRing = VirtioFeatures(bit: 34)

    /// Offered to every driver.
    static let common: VirtioFeatures = [.indirectDescriptors, .eventIndex]
    /// Offered to legacy drivers only.
    static let legacyOnly: VirtioFeatures = [.notifyOnEmpty, .anyLayout]
}
