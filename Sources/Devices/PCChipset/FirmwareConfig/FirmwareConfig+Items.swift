// SPDX-License-Identifier: Apache-2.0

extension FirmwareConfig {
    /// The numbers of the items that are not files (QEMU's docs/specs/fw_cfg).
    public enum Item {
        /// The four bytes `QEMU`.
        public static let signature: UInt16 = 0x00
        /// Bit 0: the traditional interface; bit 1: DMA.
        public static let identity: UInt16 = 0x01
        /// The machine's UUID, 16 bytes.
        public static let uuid: UInt16 = 0x02
        /// Memory in bytes, 64 bits.
        public static let ramSize: UInt16 = 0x03
        /// 1 where there is no screen, 16 bits.
        public static let isNographic: UInt16 = 0x04
        /// Processors at the start, 16 bits.
        public static let processorCount: UInt16 = 0x05
        /// The machine's number, which PCs do not use.
        public static let machineIdentifier: UInt16 = 0x06
        /// Where the kernel is to be loaded, 32 bits.
        public static let kernelAddress: UInt16 = 0x07
        /// The kernel's size in bytes, 32 bits.
        public static let kernelSize: UInt16 = 0x08
        /// Where the initial RAM disk is to be loaded, 32 bits.
        public static let initrdAddress: UInt16 = 0x0A
        /// The initial RAM disk's size in bytes, 32 bits.
        public static let initrdSize: UInt16 = 0x0B
        /// The letter of the first boot device, 16 bits.
        public static let bootDevice: UInt16 = 0x0C
        /// The NUMA layout, 64-bit words.
        public static let numaNodes: UInt16 = 0x0D
        /// 1 where the firmware shall offer its menu, 16 bits.
        public static let bootMenu: UInt16 = 0x0E
        /// Highest local APIC identifier plus one, 16 bits.
        public static let maximumProcessors: UInt16 = 0x0F
        /// Where the kernel is entered, 32 bits.
        public static let kernelEntry: UInt16 = 0x10
        /// The kernel itself.
        public static let kernelData: UInt16 = 0x11
        /// The initial RAM disk itself.
        public static let initrdData: UInt16 = 0x12
        /// Where the command line is to be put, 32 bits.
        public static let commandLineAddress: UInt16 = 0x13
        /// The command line's size with its NUL, 32 bits.
        public static let commandLineSize: UInt16 = 0x14
        /// The command line itself.
        public static let commandLineData: UInt16 = 0x15
        /// Where the real-mode setup code is to be loaded, 32 bits.
        public static let setupAddress: UInt16 = 0x16
        /// The setup code's size in bytes, 32 bits.
        public static let setupSize: UInt16 = 0x17
        /// The setup code itself.
        public static let setupData: UInt16 = 0x18
        /// The directory of named files, big-endian.
        public static let fileDirectory: UInt16 = 0x19
        /// The first selector that a named file gets.
        public static let firstFile: UInt16 = 0x20
        /// x86: whether IRQ 0 arrives at I/O APIC pin 2.
        public static let timerOverride: UInt16 = 0x8002
        /// x86: the legacy e820 table, superseded by the file "etc/e820".
        public static let legacyMemoryMap: UInt16 = 0x8003
        /// The table of high precision event timers.
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
        /// What lies there, by ACPI's numbers (ACPI 6.4, table 15.3).
        public enum Kind: UInt32, Sendable { case ram = 1, reserved = 2, acpi = 3, nonVolatile = 4 }
        /// The first address.
        public var start: UInt64
        /// The size in bytes.
        public var count: UInt64
        /// What lies there.
        public var kind: Kind
        /// An entry of the memory map.
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
