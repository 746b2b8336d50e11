// SPDX-License-Identifier: Apache-2.0

public import MachineModel
public import StateCoding

/// Configuration mechanism #1: an address register at 0xCF8 and a data window at 0xCFC (PCI Local Bus 3.0, 3.2.2.3.2).
public final class PCIConfigPorts: Device {
    /// For logs and saved states.
    public let name = "pci-conf"
    /// The ports of the address register and of the data window, 4 each.
    public static let addressPort: UInt64 = 0xCF8, dataPort: UInt64 = 0xCFC

    private final class AddressWindow: RegisterWindow {
        var register: UInt32 = 0

        // Only a whole doubleword is the address register; other sizes belong to whatever shares the ports.
        func read(offset: UInt64, size: Int) -> UInt64 {
            UInt64(register) >> (min(offset, 3) * 8)
        }
        func write(offset: UInt64, size: Int, value: UInt64) {
            if offset == 0, size == 4 { register = UInt32(truncatingIfNeeded: value) }
        }
    }

    private final class DataWindow: RegisterWindow {
        private let enable: UInt32 = 1 << 31
        let bus: PCIBus
        let address: AddressWindow

        init(bus: PCIBus, address: AddressWindow) {
            self.bus = bus
            self.address = address
        }

        private func target(_ offset: UInt64) -> (bus: UInt8, function: PCIAddress, offset: Int)? {
            let register = address.register
            guard register & enable != 0 else { return nil }
            return (
                UInt8(truncatingIfNeeded: register >> 16),
                PCIAddress(packed: UInt8(truncatingIfNeeded: register >> 8)),
                Int(register & 0xFC | UInt32(truncatingIfNeeded: offset & 3))
            )
        }

        func read(offset: UInt64, size: Int) -> UInt64 {
            guard let place = target(offset) else { return .max }
            return UInt64(
                bus.readConfig(bus: place.bus, function: place.function, offset: place.offset, size: min(size, 4)))
        }

        func write(offset: UInt64, size: Int, value: UInt64) {
            guard let place = target(offset) else { return }
            bus.writeConfig(
                bus: place.bus, function: place.function, offset: place.offset, size: min(size, 4),
                value: UInt32(truncatingIfNeeded: value))
        }
    }

    private let address = AddressWindow()

    /// Maps the two registers into the bus's port space.
    public init(bus: PCIBus) {
        bus.ports.map(address, at: Self.addressPort, count: 4, name: "pci-conf-idx")
        bus.ports.map(
            DataWindow(bus: bus, address: address), at: Self.dataPort, count: 4, name: "pci-conf-data")
    }

    /// Bit 31 clear: the data window leads nowhere.
    public func reset() { address.register = 0 }

    /// Everything that a saved machine keeps.
    public struct State: SavedState, Equatable {
        /// Enable in bit 31, bus, slot, function and register (3.2.2.3.2).
        public internal(set) var address: UInt32
    }

    /// What a saved machine keeps.
    public var state: State {
        get { State(address: address.register) }
        set { address.register = newValue.address }
    }
}

extension PCIConfigPorts: PlainlyStateful {}

/// The enhanced configuration access mechanism: 4 KiB of memory a function (PCI Express Base 3.0, 7.2.2).
final class PCIEnhancedConfigWindow: RegisterWindow {
    private unowned let bus: PCIBus

    init(bus: PCIBus) { self.bus = bus }

    private func target(_ offset: UInt64) -> (bus: UInt8, function: PCIAddress, offset: Int) {
        (
            UInt8(truncatingIfNeeded: offset >> 20), PCIAddress(packed: UInt8(truncatingIfNeeded: offset >> 12)),
            Int(offset & 0xFFF)
        )
    }

    func read(offset: UInt64, size: Int) -> UInt64 {
        if size == 8 { return read(offset: offset, size: 4) | read(offset: offset &+ 4, size: 4) << 32 }
        let place = target(offset)
        return UInt64(bus.readConfig(bus: place.bus, function: place.function, offset: place.offset, size: size))
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        if size == 8 {
            write(offset: offset, size: 4, value: value & 0xFFFF_FFFF)
            write(offset: offset &+ 4, size: 4, value: value >> 32)
            return
        }
        let place = target(offset)
        bus.writeConfig(
            bus: place.bus, function: place.function, offset: place.offset, size: size,
            value: UInt32(truncatingIfNeeded: value))
    }
}
