// SPDX-License-Identifier: Apache-2.0

extension FirmwareConfig {
    /// The numbers of the items that are not files (QEMU's docs/specs/fw_cfg).
    public enum Item {
        public static let signature: UInt16 = 0x00
        /// Bit 0: the traditional interface; bit 1: DMA.
        public static let identity: UInt16 = 0x01
        public static let uuid: UInt16 = 0x02
        public static let ramSize: UInt16 = 0x03
        public static let isNographic: UInt16 = 0x04
        public static let processorCount: UInt16 = 0x05
        public static let machineIdentifier: UInt16 = 0x06
        public static let kernelAddress: UInt16 = 0x07
        public static let kernelSize: UInt16 = 0x08
        public static let initrdAddress: UInt16 = 0x0A
        public static let initrdSize: UInt16 = 0x0B
        public static let bootDevice: UInt16 = 0x0C
        public static let numaNodes: UInt16 = 0x0D
        public static let bootMenu: UInt16 = 0x0E
        public static let maximumProcessors: UInt16 = 0x0F
        public static let kernelEntry: UInt16 = 0x10
        public static let kernelData: UInt16 = 0x11
        public static let initrdData: UInt16 = 0x12
        public static let commandLineAddress: UInt16 = 0x13
        public static let commandLineSize: UInt16 = 0x14
        public static let commandLineData: UInt16 = 0x15
        public static let setupAddress: UInt16 = 0x16
        public static let setupSize: UInt16 = 0x17
        public static let setupData: UInt16 = 0x18
        public static let fileDirectory: UInt16 = 0x19
        public static let firstFile: UInt16 = 0x20
        /// x86: whether IRQ 0 arrives at I/O APIC pin 2.
        public static let timerOverride: UInt16 = 0x8002
        /// x86: the legacy e820 table, superseded by the file "etc/e820".
        public static let legacyMemoryMap: UInt16 = 0x8003
        public static let hpet: UInt16 = 0x8004
    }

    /// Sets an integer item, little-endian.
    public func set<Value: FixedWidthInteger>(_ item: UInt16, to value: Value) {
        var rest = value
        var bytes: [UInt8] = []
        for _ in 0..<(Value.bitWidth / 8) {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest = Value.bitWidth > 8 ? rest >> 8 : 0
        }
        set(item, to: bytes)
    }

    /// Sets a text item with its terminating zero.
    public func set(_ item: UInt16, to text: String) { set(item, to: Array(text.utf8) + [0]) }

    /// What every PC shows: sizes, processor counts and the boot menu.
    public func setMachine(ramSize: UInt64, processors: Int, maximumProcessors: Int, showsBootMenu: Bool) {
        set(Item.ramSize, to: ramSize)
        set(Item.processorCount, to: UInt16(clamping: processors))
        set(Item.maximumProcessors, to: UInt16(clamping: maximumProcessors))
        set(Item.bootMenu, to: UInt16(showsBootMenu ? 1 : 0))
        set(Item.isNographic, to: UInt16(0))
        set(Item.timerOverride, to: UInt32(1))
        // No NUMA nodes, and no processor assigned to one.
        set(Item.numaNodes, to: [UInt8](repeating: 0, count: 8 + 8 * max(0, min(maximumProcessors, 4096))))
    }

    /// One range of the guest's memory map, as the file "etc/e820" lists them.
    public struct MemoryRange: Equatable, Sendable {
        public enum Kind: UInt32, Sendable { case ram = 1, reserved = 2, acpi = 3, nonVolatile = 4 }
        public var start: UInt64
        public var count: UInt64
        public var kind: Kind
        public init(start: UInt64, count: UInt64, kind: Kind) {
            (self.start, self.count, self.kind) = (start, count, kind)
        }
    }

    /// Adds the file "etc/e820".
    public func addMemoryMap(_ ranges: [MemoryRange]) {
        var bytes: [UInt8] = []
        for range in ranges {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: range.start >> shift))
            }
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: range.count >> shift))
            }
            for shift in stride(from: UInt32(0), to: 32, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: range.kind.rawValue >> shift))
            }
        }
        addFile("etc/e820", bytes)
    }
}
