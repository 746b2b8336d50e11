// SPDX-License-Identifier: Apache-2.0

public import MachineModel
public import StateCoding

/// Functions that come and go on a conventional bus: the registers by which ACPI's methods learn of them, as on QEMU's pc
/// (ports 0xAE00...0xAE17). Everything concerns bus 0.
///
///     empty ──plug: up, event──▶ in use ──requestUnplug: down, event──▶ asked ──the guest ejects──▶ empty
public final class ACPIHotPlug: Device, PlainlyStateful, RegisterWindow {
    /// First port, and how many there are.
    public static let ports: UInt64 = 0xAE00, portCount: UInt64 = 0x18
    /// The general-purpose event that says that something came or is to go.
    public static let event = 1

    private enum Register {
        static let up: UInt64 = 0x00, down: UInt64 = 0x04, eject: UInt64 = 0x08, removable: UInt64 = 0x0C
        static let bus: UInt64 = 0x10, index: UInt64 = 0x14
    }

    /// What a saved machine keeps.
    public struct State: Equatable, Sendable, SavedState {
        /// Slots where something came that the guest has not been told of, a bit each.
        var up: UInt32 = 0
        /// Slots that the guest is to give back.
        var down: UInt32 = 0
        /// The bus that the registers are about: 0, or nothing.
        var bus: UInt32 = 0
    }

    public let name = "acpi-pci-hotplug"
    public var state = State()
    /// Called with the machine lock held for each function that left its slot.
    public var unplugged: ((PCIDevice) -> Void)?
    private let bus: PCIBus
    private let raise: () -> Void
    /// Slots of the board's own functions, which nobody takes out.
    private var fixed: UInt32 = 0

    /// - Parameter raise: raises the general-purpose event `event`.
    public init(bus: PCIBus, raise: @escaping () -> Void) {
        self.bus = bus
        self.raise = raise
    }

    /// Puts the registers at their ports.
    public func map(in space: AddressSpace) {
        space.map(self, at: Self.ports, count: Self.portCount, name: name)
    }

    /// Everything that is on the bus now and has no hot plug stays for ever.
    /// - Parameter isRemovable: whether a function may be taken out.
    public func settle(_ isRemovable: (PCIDevice) -> Bool) {
        fixed = bus.devices.reduce(0) { $0 | (isRemovable($1) ? 0 : bit($1.address.slot)) }
    }

    /// Slots that functions come into and leave.
    public var slots: [Int] { (0..<PCIAddress.slotCount).filter { fixed & bit($0) == 0 } }

    private func bit(_ slot: Int) -> UInt32 { 1 << UInt32(slot & 31) }

    /// What was to go is gone when the machine starts anew.
    public func reset() {
        for slot in 0..<PCIAddress.slotCount where state.down & bit(slot) != 0 { eject(slot) }
        state = State()
    }

    // MARK: the person's side

    /// Puts a function into a slot while the guest runs. The machine lock is held.
    /// - Throws: the slot is taken.
    public func plug(_ device: PCIDevice, at place: PCIAddress?) throws(PCIBusError) {
        try bus.add(device, at: place)
        device.reset()
        state.up |= bit(device.address.slot)
        raise()
    }

    /// Asks the guest to give a function back; `unplugged` is called when it has. The machine lock is held.
    /// - Throws: the function is one of the board's own.
    public func requestUnplug(_ device: PCIDevice) throws(PCIBusError) {
        guard fixed & bit(device.address.slot) == 0 else {
            throw PCIBusError("Bus '\(bus.name)' does not support hotplugging for '\(device.name)'")
        }
        state.down |= bit(device.address.slot)
        raise()
    }

    private func eject(_ slot: Int) {
        guard fixed & bit(slot) == 0 else { return }
        state.down &= ~bit(slot)
        state.up &= ~bit(slot)
        for device in bus.devices where device.address.slot == slot {
            bus.remove(device)
            unplugged?(device)
        }
    }

    // MARK: registers

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard state.bus == 0 else { return 0 }
        switch offset {
        case Register.up:
            defer { state.up = 0 }
            return UInt64(state.up)
        case Register.down: return UInt64(state.down)
        case Register.eject: return 0
        case Register.removable: return UInt64(~fixed)
        case Register.bus: return UInt64(state.bus)
        default: return 0
        }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        let word = UInt32(truncatingIfNeeded: value)
        switch offset {
        case Register.eject where state.bus == 0:
            for slot in 0..<PCIAddress.slotCount where word & bit(slot) != 0 { eject(slot) }
        case Register.bus: state.bus = word
        default: break
        }
    }
}
