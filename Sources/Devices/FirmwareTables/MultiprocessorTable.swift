// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// Processors, I/O APIC and ISA interrupts for systems that run without ACPI (Intel MultiProcessor Specification 1.4, 4).
public struct MultiprocessorTable: Sendable {
    private let machine: MachineDescription

    private enum Entry {
        static let processor: UInt8 = 0, bus: UInt8 = 1, ioAPIC: UInt8 = 2, interrupt: UInt8 = 3, local: UInt8 = 4
    }
    private enum InterruptType {
        static let vectored: UInt8 = 0, nonMaskable: UInt8 = 1, external: UInt8 = 3
    }
    private static let pointerCount = 16, headerCount = 44
    private static let specification: UInt8 = 4
    private static let apicVersion: UInt8 = 0x14, ioAPICVersion: UInt8 = 0x11
    private static let localAPICAddress: UInt32 = 0xFEE0_0000
    /// Family 6 with an FPU and an APIC; systems ask CPUID.
    private static let signature: UInt32 = 0x600, features: UInt32 = 0x201
    private static let isaInterrupts: UInt8 = 16
    private static let everyProcessor: UInt8 = 0xFF
    private static let busIdentifier: UInt8 = 0

    /// The table of a machine; its PCI interrupts, if any, are not listed.
    public init(_ machine: MachineDescription) { self.machine = machine }

    /// The floating pointer and the table behind it, as they stand at a multiple of 16 below 1 MiB.
    public func bytes(at address: UInt64) -> [UInt8] {
        var pointer = ByteBuilder()
        pointer.append(text: "_MP_", count: 4)
        pointer.append(UInt32(truncatingIfNeeded: address) &+ UInt32(Self.pointerCount))
        pointer.append(bytes: [1, Self.specification, 0, 0, 0, 0, 0, 0])
        return Self.summed(pointer.bytes, at: 10) + Self.summed(table, at: 7)
    }

    private static func summed(_ bytes: [UInt8], at place: Int) -> [UInt8] {
        var result = bytes
        result[place] = 0 &- bytes.reduce(0, &+)
        return result
    }

    private var table: [UInt8] {
        let identifiers = machine.processors.filter { $0 < UInt32(Self.everyProcessor) }
        var entries = ByteBuilder()
        for (index, identifier) in identifiers.enumerated() {
            // Enabled, and the first is the one that starts.
            entries.append(bytes: [Entry.processor, UInt8(identifier), Self.apicVersion, index == 0 ? 3 : 1])
            entries.append(Self.signature)
            entries.append(Self.features)
            entries.append(zeros: 8)
        }
        entries.append(bytes: [Entry.bus, Self.busIdentifier])
        entries.append(text: "ISA   ", count: 6)
        entries.append(bytes: [Entry.ioAPIC, machine.ioAPICIdentifier, Self.ioAPICVersion, 1])
        entries.append(machine.ioAPICAddress)
        var count = identifiers.count + 2
        // Pin 2 is the timer's; the cascade has no wire.
        for interrupt in 0..<Self.isaInterrupts where interrupt != 2 {
            entries.append(
                bytes: [
                    Entry.interrupt, InterruptType.vectored, 0, 0, Self.busIdentifier, interrupt,
                    machine.ioAPICIdentifier, interrupt == 0 ? 2 : interrupt,
                ])
            count += 1
        }
        for (type, input) in [(InterruptType.external, 0), (InterruptType.nonMaskable, 1)] {
            entries.append(
                bytes: [Entry.local, type, 0, 0, Self.busIdentifier, 0, Self.everyProcessor, UInt8(input)])
            count += 1
        }
        var header = ByteBuilder()
        header.append(text: "PCMP", count: 4)
        header.append(UInt16(truncatingIfNeeded: Self.headerCount + entries.count))
        header.append(bytes: [Self.specification, 0])
        header.append(text: "BOCHSCPU", count: 8)
        header.append(text: "0.1         ", count: 12)
        header.append(UInt32(0))
        header.append(UInt16(0))
        header.append(UInt16(truncatingIfNeeded: count))
        header.append(Self.localAPICAddress)
        header.append(UInt32(0))
        return header.bytes + entries.bytes
    }
}
