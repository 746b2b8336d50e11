// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// The fixed description table (ACPI 6.4, 5.2.9): revision 3, or 6 for a machine without fixed hardware.
enum FixedTable {
    /// Places of the pointers to the FACS and the DSDT.
    static let controlOffset = 36, differentiatedOffset = 40, differentiated64Offset = 140

    private enum Flag {
        static let writeBackInvalidate: UInt32 = 1 << 0, c1: UInt32 = 1 << 2
        static let powerButtonIsDevice: UInt32 = 1 << 4, sleepButtonIsDevice: UInt32 = 1 << 5
        static let resetRegister: UInt32 = 1 << 10, usePlatformTimer: UInt32 = 1 << 15
        static let hardwareReduced: UInt32 = 1 << 20
    }
    private enum BootFlag {
        static let keyboardController: UInt16 = 1 << 1, noVGA: UInt16 = 1 << 2, noRealTimeClock: UInt16 = 1 << 5
    }
    /// C2 and C3 are not supported.
    private static let noLatency: UInt16 = 0xFFF
    private static let century: UInt8 = 0x32
    /// What the reset register of the generic event device takes.
    private static let eventDeviceReset: UInt8 = 0x42

    static func make(_ machine: MachineDescription) -> SystemTable {
        var table = SystemTable("FACP", revision: machine.fixedHardware == nil ? 6 : 3)
        appendLegacyPart(machine, to: &table.builder)
        appendReset(machine, to: &table.builder)
        table.builder.append(UInt64(0))
        table.builder.append(UInt64(0))
        appendBlocks(machine, to: &table.builder)
        if machine.fixedHardware == nil {
            let registers = UInt64(machine.eventDevice?.registers ?? 0)
            table.builder.append(GenericAddress.memory(registers, bits: 8))
            table.builder.append(GenericAddress.memory(registers == 0 ? 0 : registers + 1, bits: 8))
            table.builder.append(UInt64(0))
        }
        return table
    }

    private static func appendLegacyPart(_ machine: MachineDescription, to builder: inout ByteBuilder) {
        let fixed = machine.fixedHardware
        builder.append(UInt32(0))
        builder.append(UInt32(0))
        // Interrupt model: dual PIC and APIC, a field of ACPI 1.0.
        builder.append(UInt8(1))
        builder.append(UInt8(0))
        builder.append(UInt16(fixed?.interrupt ?? 0))
        builder.append(UInt32(fixed?.command?.port ?? 0))
        builder.append([fixed?.command?.enable ?? 0, fixed?.command?.disable ?? 0, 0, 0])
        let base = UInt32(fixed?.base ?? 0)
        let timer = UInt32(machine.timerPort ?? 0)
        let ports: [UInt32] = [base, 0, base == 0 ? 0 : base + 4, 0, 0, base == 0 ? timer : base + 8]
        for port in ports { builder.append(port) }
        builder.append(UInt32(fixed?.events ?? 0))
        builder.append(UInt32(0))
        builder.append(
            fixed == nil ? [0, 0, 0, timer == 0 ? 0 : 4, 0, 0, 0, 0] : [4, 2, 0, 4, fixed?.eventCount ?? 0, 0, 0, 0])
        builder.append(noLatency)
        builder.append(noLatency)
        builder.append(zeros: 4)
        builder.append([0, 0, 0, 0])
        builder.append(machine.hasRealTimeClock ? century : 0)
        builder.append(bootFlags(machine))
        builder.append(UInt8(0))
        builder.append(flags(machine))
    }

    private static func bootFlags(_ machine: MachineDescription) -> UInt16 {
        (machine.hasKeyboardController ? BootFlag.keyboardController : 0) | (machine.hasVGA ? 0 : BootFlag.noVGA)
            | (machine.hasRealTimeClock ? 0 : BootFlag.noRealTimeClock)
    }

    private static func flags(_ machine: MachineDescription) -> UInt32 {
        let common = Flag.writeBackInvalidate | Flag.c1 | Flag.sleepButtonIsDevice | Flag.resetRegister
        guard machine.fixedHardware == nil else { return common | Flag.usePlatformTimer }
        return common | Flag.powerButtonIsDevice | Flag.hardwareReduced
    }

    private static func appendReset(_ machine: MachineDescription, to builder: inout ByteBuilder) {
        if machine.fixedHardware == nil, let device = machine.eventDevice {
            builder.append(GenericAddress.memory(UInt64(device.registers) + 2, bits: 8))
            builder.append(eventDeviceReset)
        } else {
            builder.append(GenericAddress.ports(machine.resetPort, bits: 8))
            builder.append(machine.resetValue)
        }
        builder.append([0, 0, 0])
    }

    private static func appendBlocks(_ machine: MachineDescription, to builder: inout ByteBuilder) {
        guard let fixed = machine.fixedHardware else {
            let timerBlock = 5
            for block in 0..<8 {
                let port = block == timerBlock ? machine.timerPort : nil
                builder.append(port.map { GenericAddress.ports($0, bits: 32) } ?? GenericAddress.none)
            }
            return
        }
        builder.append(GenericAddress.ports(fixed.base, bits: 32))
        builder.append(GenericAddress.none)
        builder.append(GenericAddress.ports(fixed.base &+ 4, bits: 16))
        builder.append(GenericAddress.none)
        builder.append(GenericAddress.none)
        builder.append(GenericAddress.ports(fixed.base &+ 8, bits: 32))
        builder.append(GenericAddress.ports(fixed.events, bits: UInt8(truncatingIfNeeded: Int(fixed.eventCount) * 8)))
        builder.append(GenericAddress.none)
    }
}
