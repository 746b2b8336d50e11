// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
public import MachineModel

/// The I/O APIC: 24 interrupt inputs, each with an entry that says where its message goes (82093AA data sheet, with the
/// EOI register of version 0x20).
///
/// State is guarded by the lock of the `APICBus`.
public final class IOAPIC: Device, RegisterWindow {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "ioapic"
    /// Inputs.
    public static let pinCount = 24
    /// Where PCs have the first one.
    public static let defaultBase: UInt64 = 0xFEC0_0000
    /// Length of its register window in bytes.
    public static let windowSize: UInt64 = 0x1000

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// IOREGSEL: which register the data window shows.
        public internal(set) var selected: UInt8 = 0
        /// Bits 24...27 of IOAPICID.
        public internal(set) var identifier: UInt8 = 0
        /// Redirection entries, 64 bits each, low word first in the window.
        public internal(set) var entries = [UInt64](repeating: EntryBits.masked, count: IOAPIC.pinCount)
        /// Levels of the inputs, one bit each.
        public internal(set) var inputs: UInt32 = 0
    }

    /// Bits of a redirection entry.
    enum EntryBits {
        static let logical: UInt64 = 1 << 11
        static let deliveryStatus: UInt64 = 1 << 12
        static let remoteIRR: UInt64 = 1 << 14
        static let levelTriggered: UInt64 = 1 << 15
        static let masked: UInt64 = 1 << 16
        static let readOnly = deliveryStatus | remoteIRR
        /// Destination, and everything up to the mask.
        static let defined: UInt64 = 0xFF00_0000_0001_FFFF
    }

    /// Offsets in the window, and numbers of the registers behind the selector.
    private enum Register {
        static let select: UInt64 = 0x00
        static let data: UInt64 = 0x10
        static let endOfInterrupt: UInt64 = 0x40
        static let identifier: UInt8 = 0
        static let version: UInt8 = 1
        static let arbitration: UInt8 = 2
        static let firstEntry: UInt8 = 0x10
    }

    /// 24 entries, version 0x20.
    private static let versionValue: UInt32 = UInt32(pinCount - 1) << 16 | 0x20
    private var current = State()
    private let bus: APICBus

    /// All inputs masked.
    public init(bus: APICBus) {
        self.bus = bus
        bus.attach(self)
    }

    /// What a saved machine keeps. The machine lock is held.
    public var state: State {
        get { bus.lock.withLock { current } }
        set {
            bus.lock.withLock {
                current = newValue
                for pin in 0..<Self.pinCount { noteRouteLocked(pin) }
            }
        }
    }

    /// Masks all entries; the inputs keep their levels, which belong to the devices.
    public func reset() {
        bus.lock.withLock {
            let inputs = current.inputs
            current = State()
            current.inputs = inputs
        }
    }

    // MARK: Inputs and delivery

    /// The level of an input 0..<24.
    func setPinLocked(_ pin: Int, level: Bool) {
        let bit = UInt32(1) &<< UInt32(truncatingIfNeeded: pin)
        let rises = level && current.inputs & bit == 0
        current.inputs = level ? current.inputs | bit : current.inputs & ~bit
        Trace.emit(.interruptRequest, "vector \(pin) level \(level ? 1 : 0)")
        let entry = current.entries[pin]
        if entry & EntryBits.levelTriggered != 0 {
            deliverLevelLocked(pin)
        } else if rises && entry & EntryBits.masked == 0 {
            // An edge at a masked input is lost (82093AA, "Interrupt Mask").
            sendLocked(entry)
        }
    }

    /// Sends for a level-triggered input that is high, unmasked and not being served.
    private func deliverLevelLocked(_ pin: Int) {
        let entry = current.entries[pin]
        guard (current.inputs &>> UInt32(truncatingIfNeeded: pin)) & 1 != 0, entry & EntryBits.levelTriggered != 0,
            entry & (EntryBits.masked | EntryBits.remoteIRR) == 0
        else { return }
        let mode = entry >> 8 & 7
        // Remote IRR exists for the delivery modes that end with an EOI.
        if mode <= 1 { current.entries[pin] |= EntryBits.remoteIRR }
        sendLocked(entry)
    }

    private func sendLocked(_ entry: UInt64) {
        if let message = Self.message(entry) { bus.sendLocked(message) }
    }

    /// What an entry sends; nil for a reserved delivery mode.
    private static func message(_ entry: UInt64) -> InterruptMessage? {
        InterruptMessage.Delivery(rawValue: UInt8(truncatingIfNeeded: entry >> 8) & 7).map { delivery in
            InterruptMessage(
                vector: UInt8(truncatingIfNeeded: entry), delivery: delivery, isLogical: entry & EntryBits.logical != 0,
                isLevelTriggered: entry & EntryBits.levelTriggered != 0,
                destination: UInt32(truncatingIfNeeded: entry >> 56))
        }
    }

    private func noteRouteLocked(_ pin: Int) {
        let entry = current.entries.indices.contains(pin) ? current.entries[pin] : EntryBits.masked
        guard entry & EntryBits.masked == 0, let message = Self.message(entry) else { return }
        bus.noteRouteLocked(pin: pin, message)
    }

    /// A processor ended the service of a level-triggered vector.
    func endOfInterruptLocked(vector: UInt8) {
        let served = EntryBits.remoteIRR | EntryBits.levelTriggered
        for pin in 0..<Self.pinCount {
            let entry = current.entries[pin]
            guard entry & served == served, UInt8(truncatingIfNeeded: entry) == vector else { continue }
            current.entries[pin] = entry & ~EntryBits.remoteIRR
            deliverLevelLocked(pin)
        }
    }

    // MARK: Registers

    /// Two windows: the selector at 0 and its register at 10h; all else reads 0.
    public func read(offset: UInt64, size: Int) -> UInt64 {
        bus.lock.withLock {
            switch offset & 0xFF {
            case Register.select: UInt64(current.selected)
            case Register.data: UInt64(readSelectedLocked())
            default: 0
            }
        }
    }

    /// The selector, its register, and the EOI register at 40h; all else is dropped.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        bus.lock.withLock {
            switch offset & 0xFF {
            case Register.select: current.selected = UInt8(truncatingIfNeeded: value)
            case Register.data:
                // The data register takes whole words only.
                if size >= 4 { writeSelectedLocked(UInt32(truncatingIfNeeded: value)) }
            case Register.endOfInterrupt: endOfInterruptLocked(vector: UInt8(truncatingIfNeeded: value))
            default: break
            }
        }
    }

    private func readSelectedLocked() -> UInt32 {
        switch current.selected {
        case Register.identifier, Register.arbitration: return UInt32(current.identifier) << 24
        case Register.version: return Self.versionValue
        default:
            guard let pin = selectedPin else { return 0 }
            let entry = current.entries[pin]
            return UInt32(truncatingIfNeeded: current.selected & 1 == 0 ? entry : entry >> 32)
        }
    }

    private func writeSelectedLocked(_ value: UInt32) {
        if current.selected == Register.identifier {
            current.identifier = UInt8(truncatingIfNeeded: value >> 24) & 0xF
        }
        guard let pin = selectedPin else { return }
        let old = current.entries[pin]
        var new: UInt64
        if current.selected & 1 == 0 {
            new = (old & ~0xFFFF_FFFF) | UInt64(value)
            new = new & ~EntryBits.readOnly | old & EntryBits.readOnly
            // Software clears a stuck remote IRR by switching to edge (what Linux does for version 0x11).
            if new & EntryBits.levelTriggered == 0 { new &= ~EntryBits.remoteIRR }
        } else {
            new = old & 0xFFFF_FFFF | UInt64(value) << 32
        }
        current.entries[pin] = new & EntryBits.defined
        if old != current.entries[pin] { noteRouteLocked(pin) }
        deliverLevelLocked(pin)
    }

    private var selectedPin: Int? {
        let index = (Int(current.selected) - Int(Register.firstEntry)) >> 1
        return (0..<Self.pinCount).contains(index) ? index : nil
    }
}
