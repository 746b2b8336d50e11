// SPDX-License-Identifier: Apache-2.0

/// What the machine tells its firmware through CMOS memory, at the addresses that SeaBIOS reads on QEMU's machines.
public struct CMOSConfiguration: Equatable, Sendable {
    /// What to try first when booting.
    public enum BootDevice: UInt8, Sendable {
        case none = 0
        case floppy = 1
        case disk = 2
        case cdrom = 3
        case network = 4
    }

    /// RAM below 4 GiB, in bytes.
    public var lowMemory: UInt64
    /// RAM from 4 GiB up, in bytes.
    public var highMemory: UInt64
    /// vCPUs at start, 1...256.
    public var processorCount: Int
    /// At most three count.
    public var bootOrder: [BootDevice]
    /// The firmware checks a floppy's boot signature (`-boot` fd-bootchk, on by default).
    public var checksFloppySignature: Bool

    /// Sizes in bytes; boots disk, CD-ROM and network in this order unless told otherwise.
    public init(
        lowMemory: UInt64, highMemory: UInt64, processorCount: Int,
        bootOrder: [BootDevice] = [.disk, .cdrom, .network], checksFloppySignature: Bool = true
    ) {
        self.lowMemory = lowMemory
        self.highMemory = highMemory
        self.processorCount = processorCount
        self.bootOrder = bootOrder
        self.checksFloppySignature = checksFloppySignature
    }

    /// Writes the bytes into a fresh CMOS image of 128 bytes.
    func fill(_ memory: inout [UInt8]) {
        let base: UInt64 = 640
        Self.store(base, 0x15, 2, in: &memory)
        let extended = min((max(lowMemory, 1 << 20) - (1 << 20)) >> 10, 0xFFFF)
        Self.store(extended, 0x17, 2, in: &memory)
        Self.store(extended, 0x30, 2, in: &memory)
        let above16 = min((max(lowMemory, 16 << 20) - (16 << 20)) >> 16, 0xFFFF)
        Self.store(above16, 0x34, 2, in: &memory)
        Self.store(highMemory >> 16, 0x5B, 3, in: &memory)
        memory[0x5F] = UInt8(truncatingIfNeeded: processorCount - 1)
        // An FPU and a PS/2 mouse.
        memory[0x14] = 0x06
        func device(_ index: Int) -> UInt8 { index < bootOrder.count ? bootOrder[index].rawValue : 0 }
        memory[0x3D] = device(1) << 4 | device(0)
        memory[0x38] = device(2) << 4 | (checksFloppySignature ? 0 : 1)
    }

    private static func store(_ value: UInt64, _ place: Int, _ count: Int, in memory: inout [UInt8]) {
        for index in 0..<count { memory[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8)) }
    }
}
