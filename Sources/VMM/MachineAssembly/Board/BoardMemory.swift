// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import HostSystem

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
    init(kind: BoardKind, size: UInt64) {
        // (the size from which on the lower part shrinks, what it shrinks to)
        let split: (from: UInt64, to: UInt64)
        switch kind {
        case .q35: split = (0xB000_0000, 0x8000_0000)
        case .pc: split = (0xE000_0000, 0xC000_0000)
        case .microvm, .none: split = (0xC000_0000, 0xC000_0000)
        }
        low = size >= split.from ? split.to : size
        high = size - low
    }

    /// The address after the last byte of RAM above 4 GiB, or 4 GiB.
    var highEnd: UInt64 { Self.fourGiB + high }

    /// Maps the RAM.
    func add(to memory: GuestMemory) throws(Errno) {
        try memory.addRegion(name: "pc.ram", start: 0, count: min(low, Self.videoHole.lowerBound))
        if low > Self.shadow.lowerBound {
            let shadowEnd = min(low, Self.shadow.upperBound)
            try memory.addRegion(
                name: "pc.ram.shadow", start: Self.shadow.lowerBound, count: shadowEnd - Self.shadow.lowerBound)
        }
        if low > Self.shadow.upperBound {
            try memory.addRegion(
                name: "pc.ram.extended", start: Self.shadow.upperBound, count: low - Self.shadow.upperBound)
        }
        if high > 0 { try memory.addRegion(name: "pc.ram.high", start: Self.fourGiB, count: high) }
    }
}
