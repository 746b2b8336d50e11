// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// An option ROM behind a function's expansion ROM register (PCI Local Bus 3.0, 6.2.5.2).
final class PCIExpansionROM: RegisterWindow {
    private let bytes: [UInt8]
    /// Bytes of address space: a power of two from 2 KiB.
    let size: UInt64
    var mapping: Int?
    var mappedAt: UInt64?
    private static let smallest: UInt64 = 2048

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var size = Self.smallest
        while size < UInt64(bytes.count) { size <<= 1 }
        self.size = size
    }

    func read(offset: UInt64, size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<UInt64(min(max(size, 0), 8)) {
            let place = offset &+ index
            let byte = place < UInt64(bytes.count) ? bytes[Int(place)] : 0xFF
            value |= UInt64(byte) << (index * 8)
        }
        return value
    }

    /// ROM.
    func write(offset: UInt64, size: Int, value: UInt64) {}
}

extension PCIDevice {
    private static let romPriority = 0

    /// Adds an option ROM, with the identifiers in its header made those of this function.
    /// - Parameter bytes: an image of at most 16 MiB.
    public func addROM(_ bytes: [UInt8]) {
        let rom = PCIExpansionROM(matchingIdentifiers(bytes))
        precondition(rom.size <= 16 << 20)
        self.rom = rom
        let enable: UInt32 = 1
        config.setWritable(PCIRegister.expansionROM, UInt32(truncatingIfNeeded: ~(rom.size - 1)) | enable)
    }

    /// A ROM that serves several cards carries one card's identifiers; firmware runs it only where they match.
    private func matchingIdentifiers(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let pointer = 0x18, checksum = 6
        guard bytes.count > 0x20, bytes[0] == 0x55, bytes[1] == 0xAA else { return bytes }
        let header = Int(bytes[pointer]) | Int(bytes[pointer + 1]) << 8
        guard header + 8 <= bytes.count, Array(bytes[header..<header + 4]) == Array("PCIR".utf8) else { return bytes }
        for index in 0..<4 {
            let new = config.get(PCIRegister.vendor + index, as: UInt8.self)
            let old = bytes[header + 4 + index]
            bytes[header + 4 + index] = new
            bytes[checksum] = bytes[checksum] &+ old &- new
        }
        return bytes
    }

    /// Follows the expansion ROM register and the command register.
    func updateROM() {
        guard let bus, let rom else { return }
        let register: UInt32 = config.get(PCIRegister.expansionROM)
        let base = UInt64(register) & ~(rom.size - 1)
        let isOn = register & 1 != 0 && command & PCICommand.memorySpace != 0 && base != 0
        let wanted = isOn && base + rom.size <= 1 << 32 ? base : nil
        guard wanted != rom.mappedAt else { return }
        if let mapping = rom.mapping { bus.memory.unmap(mapping) }
        rom.mapping = nil
        rom.mappedAt = wanted
        if let wanted {
            rom.mapping = bus.memory.map(
                rom, at: wanted, count: rom.size, name: "\(name).rom", priority: Self.romPriority)
        }
    }

    func unmapROM() {
        guard let bus, let rom else { return }
        if let mapping = rom.mapping { bus.memory.unmap(mapping) }
        rom.mapping = nil
        rom.mappedAt = nil
    }
}
