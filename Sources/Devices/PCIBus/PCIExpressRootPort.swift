// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// QEMU's pcie-root-port: a bridge from the root bus to a bus with one slot (PCI Express Base 3.0, 7.3.1 and 7.5.3).
///
/// Functions behind it answer wherever their own registers place them; the bridge's windows are kept for the guest, which
/// programs them to hold what is behind.
public final class PCIExpressRootPort: PCIDevice, @unchecked Sendable {
    private enum Register {
        static let primary = 0x18, secondary = 0x19, subordinate = 0x1A, latency = 0x1B
        static let ioBase = 0x1C, ioLimit = 0x1D, secondaryStatus = 0x1E
        static let memoryBase = 0x20, memoryLimit = 0x22, prefetchBase = 0x24, prefetchLimit = 0x26
        static let prefetchUpperBase = 0x28, prefetchUpperLimit = 0x2C, ioUpperBase = 0x30, ioUpperLimit = 0x32
        static let control = 0x3E
    }
    private static let headerTypeBridge: UInt8 = 1
    private static let secondaryBusReset: UInt16 = 1 << 6, controlWritable: UInt16 = 0x0FFF
    /// Windows of ports end in 4 KiB, those of memory in 1 MiB; the low bits say what is possible.
    private static let ioWritable: UInt8 = 0xF0, memoryWritable: UInt16 = 0xFFF0, wide: UInt16 = 1

    /// The bus behind it; named as the port.
    public let secondaryBus: PCIBus
    private let pins: ForwardedPins
    /// Functions may come and go while the guest runs.
    public let isHotPluggable: Bool
    /// Called with the machine lock held for each function that left the slot.
    public var unplugged: ((PCIDevice) -> Void)?
    /// Where the Express capability stands.
    private(set) var express = 0
    /// The slot asks for an interrupt now.
    var isSlotAsserted = false

    /// A port with an empty slot.
    /// - Parameters:
    ///   - port: the number in the link's capabilities.
    ///   - slot: the physical number of the slot, 0...8191, which systems name it and what is in it by; 0 for none.
    ///   - bus: where the bus behind it finds ports, memory and messages.
    ///   - isHotPluggable: functions may come and go while the guest runs.
    public init(
        identifier: String?, port: UInt8, slot: UInt16 = 0, isHotPluggable: Bool = true, upstream bus: PCIBus
    ) {
        self.isHotPluggable = isHotPluggable
        secondaryBus = PCIBus(
            name: identifier ?? "pcie-root-port", number: 0, ports: bus.ports, memory: bus.memory,
            messages: bus.messages)
        pins = ForwardedPins()
        super.init(
            name: "pcie-root-port",
            identity: PCIIdentity(
                vendor: 0x1B36, device: 0x000C, classCode: 0x06_0400, subsystemVendor: 0, subsystem: 0, interruptPin: 1),
            hasExtendedSpace: true)
        self.identifier = identifier
        secondaryBus.slotCount = 1
        secondaryBus.port = self
        pins.bridge = self
        secondaryBus.router = pins
        config.set(PCIRegister.headerType, Self.headerTypeBridge)
        for register in Register.primary...Register.latency { config.setWritable(register, UInt8.max) }
        for register in [Register.ioBase, Register.ioLimit] { config.setWritable(register, Self.ioWritable) }
        for register in [Register.memoryBase, Register.memoryLimit, Register.prefetchBase, Register.prefetchLimit] {
            config.setWritable(register, Self.memoryWritable)
        }
        for register in [Register.prefetchBase, Register.prefetchLimit] { config.set(register, Self.wide) }
        for register in [Register.prefetchUpperBase, Register.prefetchUpperLimit] {
            config.setWritable(register, UInt32.max)
        }
        for register in [Register.ioUpperBase, Register.ioUpperLimit] { config.setWritable(register, UInt16.max) }
        config.setWritable(Register.control, Self.controlWritable)
        addSlot(port: port, number: slot)
    }

    /// The Express capability with its slot, and the subsystem's identity, which bridges have no header field for.
    private func addSlot(port: UInt8, number: UInt16) {
        let subsystemCapability: UInt8 = 0x0D
        express = addExpress(.rootPort)
        // A slot is behind it, with this number.
        let slotImplemented: UInt16 = 1 << 8
        config.set(express + 2, setting: slotImplemented)
        config.set(express + 0x0C, UInt32(port) << 24 | config.get(express + 0x0C, as: UInt32.self) & 0x00FF_FFFF)
        config.set(express + 0x14, UInt32(number) << 19)
        if isHotPluggable { addHotPlug() }
        addCapability(subsystemCapability, body: [0, 0, 0x36, 0x1B, 0, 0])
    }

    /// Bus numbers behind the port; nil until firmware or the guest has given them.
    var busNumbers: ClosedRange<UInt8>? {
        let first = config.get(Register.secondary, as: UInt8.self)
        let last = config.get(Register.subordinate, as: UInt8.self)
        return first != 0 && first <= last ? first...last : nil
    }

    /// What is behind it is saved for itself.
    public override var hasMoreState: Bool { false }

    /// A message that was due has been sent before.
    public override func stateRestored() { isSlotAsserted = isHotPluggable && assertsSlot }

    /// Resets what is behind it too, and the slot's registers.
    public override func reset() {
        super.reset()
        for register in [Register.prefetchBase, Register.prefetchLimit] { config.set(register, Self.wide) }
        secondaryBus.reset()
        resetSlot()
    }

    /// Acts on slot control (7.8.10) and on secondary bus reset in bridge control.
    public override func writeConfig(offset: Int, size: Int, value: UInt32) {
        let before = config.get(Register.control, as: UInt16.self)
        let slot: UInt16 = config.get(express + Slot.control)
        super.writeConfig(offset: offset, size: size, value: value)
        let touched = offset..<offset + size
        if isHotPluggable, touched.overlaps(express + Slot.control..<express + Slot.status + 2) {
            slotWritten(old: slot, wroteControl: touched.contains(express + Slot.control))
        }
        let after = config.get(Register.control, as: UInt16.self)
        if after & ~before & Self.secondaryBusReset != 0 { secondaryBus.reset() }
    }

    /// Does what firmware does: numbers the bus behind the port and opens the windows, which end before the second bound.
    func configureAsFirmware(busNumber: UInt8, memory: Range<UInt64>, ports: Range<UInt64>) {
        let closedIO: UInt8 = 0xF0
        func unit(_ address: UInt64, _ shift: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: address >> shift) }
        config.set(Register.primary, UInt8(0))
        config.set(Register.secondary, busNumber)
        config.set(Register.subordinate, busNumber)
        let hasMemory = !memory.isEmpty, hasPorts = !ports.isEmpty
        config.set(Register.memoryBase, hasMemory ? unit(memory.lowerBound, 16) & 0xFFF0 : 0xFFF0)
        config.set(Register.memoryLimit, hasMemory ? unit(memory.upperBound - 1, 16) & 0xFFF0 : UInt16(0))
        config.set(Register.prefetchBase, UInt16(0xFFF0) | Self.wide)
        config.set(Register.prefetchLimit, Self.wide)
        config.set(Register.ioBase, hasPorts ? UInt8(truncatingIfNeeded: ports.lowerBound >> 8) & 0xF0 : closedIO)
        config.set(
            Register.ioLimit, hasPorts ? UInt8(truncatingIfNeeded: (ports.upperBound - 1) >> 8) & 0xF0 : UInt8(0))
    }
}

/// The pins behind a bridge come out at the bridge's own slot, turned by the slot they come from (PCI-to-PCI Bridge
/// Architecture 1.2, 9.1).
private final class ForwardedPins: PCIInterruptRouter {
    weak var bridge: PCIExpressRootPort?
    let interruptLineCount = 4
    /// Lines of the bus above that are up for each of the four pins.
    private var asserted: [Int?] = [nil, nil, nil, nil]

    func interruptLine(slot: Int, pin: Int) -> Int { (slot + pin) % interruptLineCount }

    func setInterruptLine(_ line: Int, level: Bool) {
        guard let bridge, let bus = bridge.bus, let router = bus.router, asserted.indices.contains(line) else { return }
        if let up = asserted[line] {
            asserted[line] = nil
            bus.change(up, by: -1)
        }
        guard level else { return }
        let target = router.interruptLine(slot: bridge.address.slot, pin: line)
        asserted[line] = target
        bus.change(target, by: 1)
    }
}
