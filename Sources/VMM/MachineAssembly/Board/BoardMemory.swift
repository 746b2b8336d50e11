// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import HostSystem
internal import MachineSpec

/// Where a board's RAM lies, and what the guest is told of it.
struct BoardMemory {
    /// Bytes below 4 GiB, from address 0.
    let low: UInt64
    /// Bytes from 4 GiB on.
    let high: UInt64

    private static let fourGiB: UInt64 = 1 << 32
    /// Frame buffer and option ROMs of a VGA card: no RAM there.
    static let videoHole: Range<UInt64> = 0xA_0000..<0xC_0000
    /// Firmware and option ROMs; RAM behind them.
    static let shadow: Range<UInt64> = 0xC_0000..<0x10_0000

    /// RAM as QEMU splits it on this kind of board, `size` bytes in all.
    /// - Parameter limit: the most below 4 GiB that a person wants (`max-ram-below-4g`).
    init(kind: BoardSpec.Kind, size: UInt64, limit: UInt64?) {
        // (the size from which on the lower part shrinks, what it shrinks to)
        var split: (from: UInt64, to: UInt64)
        switch kind {
        case .q35:
            split = (0xB000_0000, 0x8000_0000)
            if let limit, limit < (size >= split.from ? split.to : split.from) { split = (limit, limit) }
        case .pc:
            split = (0xE000_0000, 0xC000_0000)
            if let limit { split = (limit, min(limit, split.to)) }
        case .microvm, .none: split = (0xC000_0000, 0xC000_0000)
        }
        low = size >= split.from ? split.to : size
        high = size - low
    }

    /// The address after the last byte of RAM above 4 GiB, or 4 GiB.
    var highEnd: UInt64 { Self.fourGiB + high }

    /// Maps the RAM. In a file that backs it, the part from 4 GiB on follows the lower one.
    func add(to memory: GuestMemory, backing: MemoryBacking) throws(Errno) {
        func add(_ name: String, _ start: UInt64, _ end: UInt64, fileOffset: UInt64) throws(Errno) {
            guard end > start else { return }
            var part = backing
            part.offset = fileOffset
            try memory.addRegion(name: name, start: start, count: end - start, backing: part)
        }
        let shadow = Self.shadow
        try add("pc.ram", 0, min(low, Self.videoHole.lowerBound), fileOffset: 0)
        try add("pc.ram.shadow", shadow.lowerBound, min(low, shadow.upperBound), fileOffset: shadow.lowerBound)
        try add("pc.ram.extended", shadow.upperBound, low, fileOffset: shadow.upperBound)
        try add("pc.ram.high", Self.fourGiB, Self.fourGiB + high, fileOffset: low)
    }
}
