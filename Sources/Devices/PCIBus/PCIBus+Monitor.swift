// SPDX-License-Identifier: Apache-2.0

extension PCIBus {
    /// All functions as the monitor's `info pci` lists them, each line with its end. The machine lock is held.
    public var monitorDescription: String {
        devices.map { $0.monitorDescription(busNumber: number) }.joined()
    }
}

extension PCIDevice {
    fileprivate func monitorDescription(busNumber: UInt8) -> String {
        let identifiers: (UInt16, UInt16) = (config.get(PCIRegister.vendor), config.get(PCIRegister.device))
        let subsystem: (UInt16, UInt16) = (config.get(PCIRegister.subsystemVendor), config.get(PCIRegister.subsystem))
        var text =
            "  Bus \(padded(Int(busNumber), 2)), device \(padded(address.slot, 3)), function \(address.function):\n"
        text += "    \(className): PCI device \(hexadecimal(identifiers.0)):\(hexadecimal(identifiers.1))\n"
        text += "      PCI subsystem \(hexadecimal(subsystem.0)):\(hexadecimal(subsystem.1))\n"
        if interruptPin != 0 {
            let letter = ["A", "B", "C", "D"][(interruptPin - 1) & 3]
            text += "      IRQ \(config.get(PCIRegister.interruptLine, as: UInt8.self)), pin \(letter)\n"
        }
        for case let bar? in baseAddresses { text += "      BAR\(bar.index): \(bar.monitorDescription).\n" }
        return text + "      id \"\(identifier ?? "")\"\n"
    }

    /// What the class code stands for: "Ethernet controller", or "Class 0255".
    public var className: String {
        let number = UInt16(truncatingIfNeeded: classCode >> 8)
        return PCIClassNames.names[number] ?? "Class \(padded(Int(number), 4, filler: "0"))"
    }
}

extension PCIBaseAddress {
    fileprivate var monitorDescription: String {
        // A range that is not mapped stands at all ones.
        let base = mappedAt ?? .max
        let last = base &+ (size &- 1)
        if kind == .io { return "I/O at 0x\(hexadecimal(base, 4)) [0x\(hexadecimal(last, 4))]" }
        let width = kind == .memory64 ? 64 : 32
        return "\(width) bit\(isPrefetchable ? " prefetchable" : "") memory at 0x\(hexadecimal(base, 8)) "
            + "[0x\(hexadecimal(last, 8))]"
    }
}

private func padded(_ number: Int, _ width: Int, filler: Character = " ") -> String {
    let text = String(number)
    return String(repeating: filler, count: max(0, width - text.count)) + text
}

private func hexadecimal(_ number: some BinaryInteger, _ width: Int = 4) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, width - text.count)) + text
}
