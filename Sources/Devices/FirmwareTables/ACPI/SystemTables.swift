// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// An ACPI table under construction: the header of 36 bytes and what follows (ACPI 6.4, 5.2.6).
struct SystemTable {
    static let headerCount = 36
    static let checksumOffset = 9

    let signature: String
    let revision: UInt8
    var builder = ByteBuilder()

    /// A table with nothing after its header.
    init(_ signature: String, revision: UInt8) {
        self.signature = signature
        self.revision = revision
        builder.append(text: signature, count: 4)
        builder.append(UInt32(0))
        builder.append(revision)
        builder.append(UInt8(0))
        // The identifiers that QEMU's tables bear; systems key workarounds on them.
        builder.append(text: "BOCHS ", count: 6)
        builder.append(text: "BXPC    ", count: 8)
        builder.append(UInt32(1))
        builder.append(text: "BXPC", count: 4)
        builder.append(UInt32(1))
    }

    /// The bytes with their length; the checksum is left to whoever knows the addresses.
    var bytes: [UInt8] {
        var finished = builder.bytes
        finished.store(UInt32(finished.count), at: 4)
        return finished
    }
}

/// The high-precision event timer (IA-PC HPET Specification 1.0a, 3.2.4).
enum HPETTable {
    static let base: UInt64 = 0xFED0_0000
    /// Intel's vendor number, 3 comparators, 64 bits, legacy replacement, revision 1.
    private static let blockIdentifier: UInt32 = 0x8086_A201

    static func make() -> SystemTable {
        var table = SystemTable("HPET", revision: 1)
        table.builder.append(blockIdentifier)
        table.builder.append(GenericAddress.memory(base, bits: 0))
        table.builder.append(UInt8(0))
        table.builder.append(UInt16(0))
        table.builder.append(UInt8(0))
        return table
    }
}

/// Where configuration space is mapped (PCI Firmware Specification 3.2, 4.1.2).
enum MCFGTable {
    static func make(base: UInt64) -> SystemTable {
        var table = SystemTable("MCFG", revision: 1)
        table.builder.append(UInt64(0))
        table.builder.append(base)
        table.builder.append(UInt16(0))
        table.builder.append(UInt8(0))
        table.builder.append(UInt8.max)
        table.builder.append(UInt32(0))
        return table
    }
}

/// What a guest may leave out because the hardware is emulated (Windows ACPI Emulated Devices Table).
enum WAETTable {
    /// One read of the timer is enough.
    private static let timerIsGood: UInt32 = 2

    static func make() -> SystemTable {
        var table = SystemTable("WAET", revision: 1)
        table.builder.append(timerIsGood)
        return table
    }
}

/// An address with its space (ACPI 6.4, 5.2.3.2).
enum GenericAddress {
    static func ports(_ port: UInt16, bits: UInt8) -> [UInt8] { make(1, bits: bits, UInt64(port)) }
    static func memory(_ address: UInt64, bits: UInt8) -> [UInt8] { make(0, bits: bits, address) }
    static let none = make(0, bits: 0, 0)

    private static func make(_ space: UInt8, bits: UInt8, _ address: UInt64) -> [UInt8] {
        var builder = ByteBuilder([space, bits, 0, 0])
        builder.append(address)
        return builder.bytes
    }
}

extension ByteBuilder {
    mutating func append(_ address: [UInt8]) { append(bytes: address) }
}

/// The interrupt controllers (ACPI 6.4, 5.2.12).
enum MADTTable {
    private enum Entry {
        static let localAPIC: UInt8 = 0, ioAPIC: UInt8 = 1, override: UInt8 = 2, localNMI: UInt8 = 4
        static let localX2APIC: UInt8 = 9, localX2NMI: UInt8 = 10
    }
    private static let localAPICAddress: UInt32 = 0xFEE0_0000
    private static let enabled: UInt32 = 1
    /// Identifiers from here on only fit the x2APIC structure.
    private static let firstX2Identifier: UInt32 = 255
    /// Active high and level-triggered.
    private static let levelHigh: UInt16 = 0x000D

    static func make(_ machine: MachineDescription) -> SystemTable {
        var table = SystemTable("APIC", revision: 1)
        table.builder.append(localAPICAddress)
        table.builder.append(UInt32(machine.hasInterruptControllers ? 1 : 0))
        for (index, identifier) in machine.processors.enumerated() {
            table.builder.append(
                bytes: processorEntry(index, identifier, isPresent: !machine.absentProcessors.contains(index)))
        }
        appendIOAPIC(machine, to: &table.builder)
        table.builder.append([Entry.localNMI, 6, 0xFF, 0, 0, 1])
        if machine.processors.contains(where: { $0 >= firstX2Identifier }) {
            table.builder.append([Entry.localX2NMI, 12, 0, 0])
            table.builder.append(UInt32.max)
            table.builder.append([1, 0, 0, 0])
        }
        return table
    }

    /// The structure for one processor; a system takes one that is not there for one that may come.
    static func processorEntry(_ index: Int, _ identifier: UInt32, isPresent: Bool) -> [UInt8] {
        var builder = ByteBuilder()
        let flags: UInt32 = isPresent ? enabled : 0
        if identifier < firstX2Identifier {
            builder.append([Entry.localAPIC, 8, UInt8(truncatingIfNeeded: index), UInt8(identifier)])
            builder.append(flags)
        } else {
            builder.append([Entry.localX2APIC, 16, 0, 0])
            builder.append(identifier)
            builder.append(flags)
            builder.append(UInt32(index))
        }
        return builder.bytes
    }

    private static func appendIOAPIC(_ machine: MachineDescription, to builder: inout ByteBuilder) {
        builder.append([Entry.ioAPIC, 12, machine.ioAPICIdentifier, 0])
        builder.append(machine.ioAPICAddress)
        builder.append(UInt32(0))
        if machine.hasIntervalTimer { append(override: 0, to: 2, flags: 0, builder: &builder) }
        guard let fixed = machine.fixedHardware else { return }
        // The system control interrupt, and those that PCI links may be put on.
        for number in Set([5, 10, 11, fixed.interrupt]).sorted() {
            append(override: number, to: UInt32(number), flags: levelHigh, builder: &builder)
        }
    }

    private static func append(
        override source: UInt8, to target: UInt32, flags: UInt16, builder: inout ByteBuilder
    ) {
        builder.append([Entry.override, 10, 0, source])
        builder.append(target)
        builder.append(flags)
    }
}
