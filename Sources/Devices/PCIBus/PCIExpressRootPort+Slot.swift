// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// The slot behind a port: functions that come and go while the guest runs (PCI Express Base 3.0, 6.7).
///
///     empty ──plug──▶ present ──the guest turns the power on──▶ in use
///       ▲                                                        │ requestUnplug: the attention button
///       └──────────the guest turns power and indicator off───────┘
extension PCIExpressRootPort {
    enum Slot {
        static let linkCapabilities = 0x0C, linkStatus = 0x12, capabilities = 0x14, control = 0x18, status = 0x1A
        /// Attention button, power controller, both indicators, surprise, hot plug.
        static let hotPlug: UInt32 = 1 | 2 | 8 | 16 | 32 | 64
        static let linkReports: UInt32 = 1 << 20
        static let linkActive: UInt16 = 1 << 13
        static let controlWritable: UInt16 = 0x17FF
        static let events: UInt16 = 0x11F
        static let button: UInt16 = 1, presenceChanged: UInt16 = 8, commandDone: UInt16 = 0x10
        static let present: UInt16 = 0x40, linkChanged: UInt16 = 0x100
        static let interrupts: UInt16 = 0x20, linkInterrupt: UInt16 = 1 << 12
        static let powerOff: UInt16 = 0x400, indicatorMask: UInt16 = 0x300, indicatorOff: UInt16 = 0x300
        static let indicatorOn: UInt16 = 0x100
    }

    /// Registers of a slot that can be used while the guest runs.
    func addHotPlug() {
        config.set(express + Slot.capabilities, setting32: Slot.hotPlug)
        config.set(express + Slot.linkCapabilities, setting32: Slot.linkReports)
        config.setWritable(express + Slot.control, Slot.controlWritable)
        config.setClearable(express + Slot.status, Slot.events)
        addMSI(vectorCount: 1)
    }

    /// Puts a function into the slot while the guest runs, and tells the guest. The machine lock is held.
    /// - Throws: the slot is taken, or was made without hot plug.
    public func plug(_ device: PCIDevice) throws(PCIBusError) {
        guard isHotPluggable else { throw PCIBusError("Bus '\(secondaryBus.name)' does not support hotplugging") }
        try secondaryBus.add(device, at: PCIAddress(packed: 0))
        device.reset()
        updatePresence()
        raise(Slot.presenceChanged | Slot.linkChanged)
    }

    /// Asks the guest to give a function back; `unplugged` is called when it has. The machine lock is held.
    /// - Throws: the slot was made without hot plug.
    public func requestUnplug() throws(PCIBusError) {
        guard isHotPluggable else { throw PCIBusError("Bus '\(secondaryBus.name)' does not support hotplugging") }
        let control: UInt16 = config.get(express + Slot.control)
        // Nobody uses a slot without power: no need to ask.
        if control & Slot.powerOff != 0 { return empty() }
        raise(Slot.button)
    }

    /// Follows what is in the slot, as after a reset: power is on where something is.
    func resetSlot() {
        guard isHotPluggable else { return }
        config.clearGuestBits(in: express + Slot.control..<express + Slot.status + 2)
        let isPresent = !secondaryBus.devices.isEmpty
        config.set(
            express + Slot.control, setting: isPresent ? Slot.indicatorOn : Slot.powerOff | Slot.indicatorOff)
        updatePresence()
        notify()
    }

    private func updatePresence() {
        let isPresent = !secondaryBus.devices.isEmpty
        config.set(
            express + Slot.status, setting: isPresent ? Slot.present : 0, clearing: isPresent ? 0 : Slot.present)
        config.set(
            express + Slot.linkStatus, setting: isPresent ? Slot.linkActive : 0,
            clearing: isPresent ? 0 : Slot.linkActive)
    }

    /// The guest wrote the slot's registers.
    /// - Parameter old: the control register before.
    func slotWritten(old: UInt16, wroteControl: Bool) {
        let control: UInt16 = config.get(express + Slot.control)
        let off = Slot.powerOff | Slot.indicatorOff
        if wroteControl {
            if control & off == off, old & off != off { empty() }
            raise(Slot.commandDone)
        }
        notify()
    }

    /// Takes everything out of the slot.
    private func empty() {
        let devices = secondaryBus.devices
        guard !devices.isEmpty else { return }
        for device in devices {
            secondaryBus.remove(device)
            unplugged?(device)
        }
        updatePresence()
        raise(Slot.presenceChanged | Slot.linkChanged)
    }

    private func raise(_ events: UInt16) {
        config.set(express + Slot.status, setting: events)
        notify()
    }

    /// An event waits that the guest wants to hear of.
    var assertsSlot: Bool {
        let control: UInt16 = config.get(express + Slot.control), status: UInt16 = config.get(express + Slot.status)
        var waiting = status & control & 0x1F
        if status & Slot.linkChanged != 0, control & Slot.linkInterrupt != 0 { waiting |= Slot.linkChanged }
        return control & Slot.interrupts != 0 && waiting != 0
    }

    /// Interrupts while such an event waits.
    private func notify() {
        let asserts = assertsSlot
        defer { isSlotAsserted = asserts }
        if let msi, msi.isEnabled {
            if asserts, !isSlotAsserted { msi.notify(0, from: self) }
            setInterrupt(false)
        } else {
            setInterrupt(asserts)
        }
    }
}

extension PCIConfigSpace {
    /// Sets bits of a register of four bytes.
    mutating func set(_ offset: Int, setting32 bits: UInt32) { set(offset, get(offset, as: UInt32.self) | bits) }
}
