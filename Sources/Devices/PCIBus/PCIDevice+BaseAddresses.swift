// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import MachineModel

extension PCIDevice {
    /// Memory windows lie under the board's own devices, port windows over them, as on QEMU's boards.
    private static let memoryPriority = -1, portPriority = 1

    /// Adds a base address register.
    /// - Parameters:
    ///   - index: 0...5; a 64-bit one takes `index` and `index` + 1.
    ///   - size: bytes or ports, rounded up to a power of two, at least 4 ports or 16 bytes.
    ///   - window: who answers in all of the range; nil when parts are added one by one.
    /// - Precondition: the register is free.
    public func addBaseAddress(
        _ index: Int, kind: PCIBaseAddressKind, size: UInt64, isPrefetchable: Bool = false, name: String? = nil,
        window: (any RegisterWindow)? = nil
    ) {
        precondition(baseAddresses.indices.contains(index) && baseAddresses[index] == nil && size <= 1 << 40)
        precondition(kind != .memory64 || (index < 5 && baseAddresses[index + 1] == nil))
        var rounded: UInt64 = kind == .io ? 4 : 16
        while rounded < size { rounded <<= 1 }
        var bar = PCIBaseAddress(index: index, kind: kind, isPrefetchable: isPrefetchable, size: rounded)
        if let window {
            bar.parts = [
                PCIBaseAddressPart(offset: 0, count: rounded, name: name ?? self.name, window: window)
            ]
        }
        config.set(bar.register, bar.typeBits)
        let mask = ~(rounded - 1)
        config.setWritable(bar.register, UInt32(truncatingIfNeeded: mask))
        if kind == .memory64 { config.setWritable(bar.register + 4, UInt32(truncatingIfNeeded: mask >> 32)) }
        baseAddresses[index] = bar
    }

    /// Adds registers to a part of a base address register's range. Parts do not overlap.
    /// - Precondition: the register was added, and the part lies inside.
    public func addWindow(
        _ window: any RegisterWindow, toBaseAddress index: Int, at offset: UInt64, count: UInt64, name: String
    ) {
        guard var bar = baseAddresses[index], offset <= bar.size, count <= bar.size - offset else {
            preconditionFailure("\(self.name): a window outside of base address register \(index)")
        }
        bar.parts.append(PCIBaseAddressPart(offset: offset, count: count, name: name, window: window))
        baseAddresses[index] = bar
    }

    private static func line(_ device: PCIDevice, _ index: Int, _ address: UInt64, _ size: UInt64) -> String {
        "\(device.name) \(device.address) BAR\(index) 0x\(String(address, radix: 16))+0x\(String(size, radix: 16))"
    }

    /// Follows the command register and the base address registers.
    func updateMappings() {
        updateROM()
        guard let bus else { return }
        var changed = false
        for index in baseAddresses.indices {
            guard var bar = baseAddresses[index] else { continue }
            let wanted = bar.address(in: config)
            guard wanted != bar.mappedAt else { continue }
            let space = bar.kind == .io ? bus.ports : bus.memory
            for mapping in bar.mappings { space.unmap(mapping) }
            bar.mappings = []
            if let old = bar.mappedAt { Trace.emit(.pciBARUnmapped, Self.line(self, index, old, bar.size)) }
            if let wanted { Trace.emit(.pciBARMapped, Self.line(self, index, wanted, bar.size)) }
            bar.mappedAt = wanted
            if let wanted {
                let priority = bar.kind == .io ? Self.portPriority : Self.memoryPriority
                bar.mappings = bar.parts.map {
                    space.map(
                        $0.window, at: wanted + $0.offset, count: $0.count, name: $0.name, priority: priority)
                }
            }
            baseAddresses[index] = bar
            changed = true
        }
        if changed { addressesChanged() }
    }

    /// Takes all windows out of the address spaces.
    func unmapAll() {
        unmapROM()
        guard let bus else { return }
        for index in baseAddresses.indices {
            guard var bar = baseAddresses[index] else { continue }
            let space = bar.kind == .io ? bus.ports : bus.memory
            for mapping in bar.mappings { space.unmap(mapping) }
            bar.mappings = []
            bar.mappedAt = nil
            baseAddresses[index] = bar
        }
    }
}
