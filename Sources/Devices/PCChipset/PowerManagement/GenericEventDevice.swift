// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The generic event device of machines without ACPI fixed hardware (ACPI 6, 5.6.9, and "Sleep Control and Status
/// Registers"), laid out as QEMU's microvm has it.
public final class GenericEventDevice: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "acpi-ged"
    /// Where QEMU has the event selector, and sleep control, sleep status and reset.
    public static let selectorBase: UInt64 = 0xFEA0_0000
    /// Where the sleep and reset registers lie.
    public static let registersBase: UInt64 = 0xFEA0_0200

    /// What an interrupt of the device means; bits of the selector.
    public struct Events: OptionSet, Equatable, Sendable, Codable {
        /// The selector's bits, as the ACPI tables' method reads them.
        public let rawValue: UInt32
        /// Events from the selector's bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// The power button was pressed.
        public static let powerButton = Events(rawValue: 2)
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Not yet fetched by the guest.
        public internal(set) var events: Events = []
    }

    private enum Register {
        static let sleepControl: UInt64 = 0
        static let reset: UInt64 = 2
        static let count: UInt64 = 3
    }
    private static let sleepEnable: UInt8 = 0x20
    /// The sleep type that the DSDT gives S5.
    private static let softOff: UInt8 = 5
    private static let resetValue: UInt8 = 0x42

    /// What a saved machine keeps.
    public var state = State()
    private let interrupt: InterruptLine
    private unowned let requests: any MachineRequests

    /// - Parameters:
    ///   - interrupt: edge-triggered, GSI 9.
    ///   - requests: asked for power off and reset; must outlive this device.
    public init(interrupt: InterruptLine, requests: any MachineRequests) {
        self.interrupt = interrupt
        self.requests = requests
    }

    /// Puts the registers in their places.
    public func map(
        in memory: AddressSpace, selectorBase: UInt64 = GenericEventDevice.selectorBase,
        registersBase: UInt64 = GenericEventDevice.registersBase
    ) {
        memory.map(
            WordWindow(read: { [self] in takeEvents($0, $1) }, write: { _, _, _ in }), at: selectorBase, count: 4,
            name: "acpi-ged-evt")
        memory.map(
            ByteWindow(count: Register.count, read: { _ in 0 }, write: { [self] in write($0, $1) }), at: registersBase,
            count: Register.count, name: "acpi-ged-regs")
    }

    /// No event pending.
    public func reset() { state = State() }

    /// The person at the power button. The machine lock is held.
    public func pressPowerButton() {
        state.events.insert(.powerButton)
        interrupt.pulse()
    }

    /// Reading the selector takes the events.
    private func takeEvents(_ offset: UInt64, _ size: Int) -> UInt64 {
        guard offset == 0, size >= 4 else { return 0 }
        let events = state.events
        state.events = []
        return UInt64(events.rawValue)
    }

    private func write(_ offset: UInt64, _ value: UInt8) {
        switch offset {
        case Register.sleepControl:
            if value & Self.sleepEnable != 0 && value >> 2 & 7 == Self.softOff { requests.requestPowerOff() }
        case Register.reset:
            if value == Self.resetValue { requests.requestReset() }
        default: break
        }
    }
}
