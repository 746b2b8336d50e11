// SPDX-License-Identifier: Apache-2.0

/// Where the driver has put a queue's three parts, and how long it is.
public struct VirtqueueLayout: Equatable, Sendable, Codable {
    /// Entries, as the driver chose.
    public var size: UInt16
    /// Guest-physical addresses of the descriptor table, the available ring and the used ring; of a packed queue the
    /// ring, the driver's and the device's event area.
    public var descriptors: UInt64 = 0, available: UInt64 = 0, used: UInt64 = 0

    /// A layout without addresses.
    public init(size: UInt16) { self.size = size }

    /// The one place that a legacy driver gives (Virtio 1.2, 2.7.2): table and available ring, then the used ring on
    /// the next multiple of `alignment`.
    public mutating func setLegacy(base: UInt64, alignment: UInt64) {
        descriptors = base
        available = base &+ UInt64(size) &* 16
        let end = available &+ 6 &+ UInt64(size) &* 2
        let mask = max(alignment, 4) &- 1
        used = (end &+ mask) & ~mask
    }

    /// The alignment that section 2.7 demands.
    var isAligned: Bool { descriptors % 16 == 0 && available % 2 == 0 && used % 4 == 0 }
}
