// SPDX-License-Identifier: Apache-2.0

/// One interrupt on its way to the local APICs: an IPI, an I/O APIC's message or an MSI.
public struct InterruptMessage: Equatable, Sendable {
    /// What it does to a processor (SDM vol. 3, "Interrupt Command Register", delivery mode; 3 is reserved).
    public enum Delivery: UInt8, Sendable {
        case fixed = 0
        case lowestPriority = 1
        case systemManagement = 2
        case nonMaskable = 4
        case initialize = 5
        case startup = 6
        /// The vector comes from the 8259.
        case external = 7
    }

    /// Ignored by NMI, SMI, INIT and ExtINT; the page number for a start-up IPI.
    public var vector: UInt8
    /// What the receiver does with it: fixed, lowest priority, NMI, INIT, start-up and so on.
    public var delivery: Delivery
    /// The destination is a logical one.
    public var isLogical: Bool
    /// The receiver's EOI is told to the I/O APIC.
    public var isLevelTriggered: Bool
    /// An APIC identifier or a logical destination.
    public var destination: UInt32
    /// The destination has 32 bits (sent in x2APIC mode); otherwise 8, and 0xFF means everyone.
    public var hasWideDestination: Bool

    /// A message with every field named.
    public init(
        vector: UInt8, delivery: Delivery = .fixed, isLogical: Bool = false, isLevelTriggered: Bool = false,
        destination: UInt32, hasWideDestination: Bool = false
    ) {
        self.vector = vector
        self.delivery = delivery
        self.isLogical = isLogical
        self.isLevelTriggered = isLevelTriggered
        self.destination = destination
        self.hasWideDestination = hasWideDestination
    }

    /// Decodes a message-signalled interrupt (SDM vol. 3, "Message Address Register Format").
    /// - Returns: nil for a reserved delivery mode.
    public init?(address: UInt64, data: UInt32) {
        guard let delivery = Delivery(rawValue: UInt8(truncatingIfNeeded: data >> 8) & 7) else { return nil }
        self.init(
            vector: UInt8(truncatingIfNeeded: data), delivery: delivery, isLogical: address & 1 << 2 != 0,
            isLevelTriggered: data & 1 << 15 != 0, destination: UInt32(truncatingIfNeeded: address >> 12) & 0xFF)
    }

    /// Addressed to every processor, whatever its mode.
    var isBroadcast: Bool { destination == (hasWideDestination ? .max : 0xFF) }
}
