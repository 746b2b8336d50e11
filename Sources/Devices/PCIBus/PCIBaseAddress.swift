// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// What a base address register decodes.
public enum PCIBaseAddressKind: Equatable, Sendable {
    /// Port space.
    case io
    /// Memory below 4 GiB.
    case memory32
    /// Memory anywhere; takes this register and the next.
    case memory64
}

/// A part of a base address register's range and who answers there.
struct PCIBaseAddressPart {
    let offset: UInt64
    let count: UInt64
    let name: String
    let window: any RegisterWindow
}

/// One base address register and where it is mapped now.
public struct PCIBaseAddress {
    /// 0...5.
    public let index: Int
    /// Whether the guest may place it among ports, below 4 GiB or anywhere.
    public let kind: PCIBaseAddressKind
    /// Bit 3 of the register: reads have no side effects.
    public let isPrefetchable: Bool
    /// Bytes or ports; a power of two.
    public let size: UInt64
    /// The first address while the command register enables it and the address is a possible one.
    public internal(set) var mappedAt: UInt64?
    var parts: [PCIBaseAddressPart] = []
    var mappings: [Int] = []

    /// Where the register stands in configuration space.
    public var register: Int { PCIRegister.baseAddress + index * 4 }

    /// The read-only type bits.
    var typeBits: UInt32 {
        switch kind {
        case .io: 1
        case .memory32: isPrefetchable ? 8 : 0
        case .memory64: isPrefetchable ? 0xC : 4
        }
    }

    /// Where the registers say it begins; nil while the range is off or impossible.
    func address(in config: PCIConfigSpace) -> UInt64? {
        let command: UInt16 = config.get(PCIRegister.command)
        let enable = kind == .io ? PCICommand.ioSpace : PCICommand.memorySpace
        guard command & enable != 0 else { return nil }
        let low: UInt32 = config.get(register)
        var base = UInt64(low)
        if kind == .memory64 { base |= UInt64(config.get(register + 4, as: UInt32.self)) << 32 }
        base &= ~(size &- 1)
        let (last, overflow) = base.addingReportingOverflow(size - 1)
        guard base != 0, !overflow, last < highest else { return nil }
        return base
    }

    private var highest: UInt64 {
        switch kind {
        case .io: 0x1_0000
        case .memory32: 0xFFFF_FFFF
        case .memory64: 1 << 52
        }
    }
}
