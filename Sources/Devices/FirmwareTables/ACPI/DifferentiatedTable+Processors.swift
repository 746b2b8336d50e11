// SPDX-License-Identifier: Apache-2.0

/// Processors as devices, and where they can come and go, the methods that find out which: names and registers are those
/// of QEMU's boards.
extension DifferentiatedTable {
    private static let deviceCheck: UInt64 = 1, ejectRequest: UInt64 = 3
    private static let registers = "\\_SB.PCI0.PRES"
    /// What the command register takes.
    private enum Command {
        static let next: AMLTerm = 0, event: AMLTerm = 1, status: AMLTerm = 2
    }

    private static func register(_ name: String) -> AMLTerm { .path(registers + "." + name) }
    private static let mutex = registers + ".CPLK"
    private static func processorName(_ index: Int) -> String { "C" + hexadecimal(index, digits: 3) }

    /// Inside the system bus.
    @AMLBuilder var processorDevices: [AMLTerm] {
        if let port = machine.processorHotPlugPort {
            AML.scope("PCI0") { processorRegisters(port) }
            AML.device("CPUS") {
                AML.name("_HID", "ACPI0010")
                AML.name("_CID", AML.eisaID("PNP0A05"))
                processorNotification
                processorStatus
                processorEject
                processorScan
                processorReport
                for index in machine.processors.indices { pluggable(index) }
            }
        } else {
            for index in machine.processors.indices {
                AML.device(Self.processorName(index)) {
                    AML.name("_HID", "ACPI0007")
                    AML.name("_UID", AMLTerm(UInt64(index)))
                    AML.name("_STA", Self.present)
                }
            }
        }
    }

    private func processorRegisters(_ port: UInt16) -> AMLTerm {
        let count: UInt8 = 12
        return AML.device("PRES") {
            AML.name("_HID", AML.eisaID("PNP0A06"))
            AML.name("_UID", "CPU Hotplug resources")
            AML.mutex("CPLK")
            AML.name("_CRS", AMLResource.template([.ports(port, count: count)]))
            AML.operationRegion("PRST", .systemIO, offset: UInt64(port), count: UInt64(count))
            AML.field(
                "PRST", accessBytes: 1, keepsRest: false,
                [
                    .gap(bits: 32), .named("CPEN", bits: 1), .named("CINS", bits: 1), .named("CRMV", bits: 1),
                    .named("CEJ0", bits: 1), .named("CEJF", bits: 1), .gap(bits: 3), .named("CCMD", bits: 8),
                ])
            AML.field(
                "PRST", accessBytes: 4, [.named("CSEL", bits: 32), .gap(bits: 32), .named("CDAT", bits: 32)])
            // From the map of present processors to these registers.
            AML.method("_INI") { AML.store(0, in: .path("CSEL")) }
        }
    }

    /// Tells the system of a processor, whose device is named where it is known which.
    private var processorNotification: AMLTerm {
        AML.method("CTFY", arguments: 2) {
            for index in machine.processors.indices {
                AML.ifTrue(AML.equal(.argument(0), AMLTerm(UInt64(index)))) {
                    AML.notify(Self.processorName(index), .argument(1))
                }
            }
        }
    }

    private var processorStatus: AMLTerm {
        AML.method("CSTA", arguments: 1, isSerialized: true) {
            AML.acquire(Self.mutex)
            AML.store(.argument(0), in: Self.register("CSEL"))
            AML.store(0, in: .local(0))
            AML.ifTrue(AML.equal(Self.register("CPEN"), 1)) { AML.store(Self.present, in: .local(0)) }
            AML.release(Self.mutex)
            AML.giveBack(.local(0))
        }
    }

    private var processorEject: AMLTerm {
        AML.method("CEJ0", arguments: 1, isSerialized: true) {
            AML.acquire(Self.mutex)
            AML.store(.argument(0), in: Self.register("CSEL"))
            AML.store(1, in: Self.register("CEJ0"))
            AML.release(Self.mutex)
        }
    }

    /// What the event runs: each processor that came or is to go is told of once.
    private var processorScan: AMLTerm {
        let hasFound = AMLTerm.local(0)
        return AML.method("CSCN", isSerialized: true) {
            AML.acquire(Self.mutex)
            AML.store(0, in: Self.register("CSEL"))
            AML.store(1, in: hasFound)
            AML.whileTrue(AML.equal(hasFound, 1)) {
                AML.store(0, in: hasFound)
                AML.store(Command.next, in: Self.register("CCMD"))
                AML.ifTrue(AML.equal(Self.register("CINS"), 1)) {
                    AML.call("CTFY", Self.register("CDAT"), AMLTerm(Self.deviceCheck))
                    AML.store(1, in: Self.register("CINS"))
                    AML.store(1, in: hasFound)
                }
                AML.otherwise {
                    AML.ifTrue(AML.equal(Self.register("CRMV"), 1)) {
                        AML.call("CTFY", Self.register("CDAT"), AMLTerm(Self.ejectRequest))
                        AML.store(1, in: Self.register("CRMV"))
                        AML.store(1, in: hasFound)
                    }
                }
            }
            AML.release(Self.mutex)
        }
    }

    /// Passes on what the system says became of an event.
    private var processorReport: AMLTerm {
        AML.method("COST", arguments: 4, isSerialized: true) {
            AML.acquire(Self.mutex)
            AML.store(.argument(0), in: Self.register("CSEL"))
            AML.store(Command.event, in: Self.register("CCMD"))
            AML.store(.argument(1), in: Self.register("CDAT"))
            AML.store(Command.status, in: Self.register("CCMD"))
            AML.store(.argument(2), in: Self.register("CDAT"))
            AML.release(Self.mutex)
        }
    }

    private func pluggable(_ index: Int) -> AMLTerm {
        let number = AMLTerm(UInt64(index))
        return AML.device(Self.processorName(index)) {
            AML.name("_HID", "ACPI0007")
            AML.name("_UID", number)
            AML.method("_STA", isSerialized: true) { AML.giveBack(AML.call("CSTA", number)) }
            AML.name("_MAT", AML.buffer(MADTTable.processorEntry(index, machine.processors[index], isPresent: true)))
            // The first processor stays.
            if index > 0 { AML.method("_EJ0", arguments: 1) { AML.call("CEJ0", number) } }
            AML.method("_OST", arguments: 3, isSerialized: true) {
                AML.call("COST", number, .argument(0), .argument(1), .argument(2))
            }
        }
    }

    /// General-purpose event 2.
    var processorEvent: AMLTerm {
        AML.scope("\\_GPE") {
            AML.method("_E02") { AML.call("\\_SB.CPUS.CSCN") }
        }
    }
}
