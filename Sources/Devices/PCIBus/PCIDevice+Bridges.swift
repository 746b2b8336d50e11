// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

extension PCIDevice {
    /// Chipset functions keep what firmware writes into their own registers, whether or not it has an effect.
    func makeDeviceRegistersWritable() {
        for offset in PCIRegister.headerEnd..<config.count { config.setWritable(offset, UInt8.max) }
    }

    /// Puts a chipset function's own registers back to 0.
    func clearDeviceRegisters() {
        config.clearGuestBits(in: PCIRegister.headerEnd..<config.count)
    }
}

/// A window that a register of a chipset function moves, switches on and off.
struct MovableWindow {
    private var mapping: Int?
    private(set) var base: UInt64?

    /// Maps `window` at `wanted`, or nowhere.
    mutating func move(
        to wanted: UInt64?, in space: AddressSpace?, window: (any RegisterWindow)?, count: UInt64, name: String
    ) {
        guard wanted != base else { return }
        if let mapping { space?.unmap(mapping) }
        mapping = nil
        base = wanted
        if let wanted, let window { mapping = space?.map(window, at: wanted, count: count, name: name) }
    }
}

/// The registers of ICH9 and PIIX chips that tell where PCI interrupts go on the ISA side.
enum PIRQRoute {
    /// Not routed to an ISA interrupt.
    static let disabled: UInt8 = 0x80
    /// The ISA interrupt, when bit 7 is clear.
    static func target(_ register: UInt8) -> Int? { register & disabled == 0 ? Int(register & 0xF) : nil }
}
