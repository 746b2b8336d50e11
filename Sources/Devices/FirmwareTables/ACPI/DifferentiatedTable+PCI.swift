// SPDX-License-Identifier: Apache-2.0

/// The PCI host bridge, where its functions' pins go, and the devices behind the ISA bridge.
extension DifferentiatedTable {
    /// Remembers which interrupt controllers the system uses: 0 for the PICs, 1 for the I/O APIC.
    @AMLBuilder var interruptModel: [AMLTerm] {
        AML.name("\\PICF", 0)
        AML.method("\\_PIC", arguments: 1) { AML.store(.argument(0), in: .path("\\PICF")) }
    }

    var hostBridge: AMLTerm {
        let isExpress = machine.board == .q35
        return AML.device("PCI0") {
            AML.name("_HID", AML.eisaID(isExpress ? "PNP0A08" : "PNP0A03"))
            if isExpress { AML.name("_CID", AML.eisaID("PNP0A03")) }
            AML.name("_ADR", 0)
            AML.name("_UID", 0)
            if isExpress { capabilities }
            AML.name("_CRS", AMLResource.template(windows))
            interruptRouting
            if let fixed = machine.fixedHardware { eventPorts(fixed) }
            southBridge
            hotPlug
        }
    }

    private var windows: [AMLResource] {
        let configAddress: UInt16 = 0xCF8
        let highestBus: UInt16 = 0xFF
        return [
            .busNumbers(0...highestBus),
            .ports(configAddress, count: 8),
            .portWindow(0...configAddress - 1),
            .portWindow(configAddress + 8...UInt16.max),
            .memoryWindow(0xA_0000..<0xC_0000, isCacheable: true),
        ] + machine.pciMemoryWindows.map { .memoryWindow($0, isCacheable: $0.upperBound > 1 << 32) }
    }

    /// Hands native control of PCI Express features to the system (PCI Firmware Specification 3.2, 4.5.1).
    private var capabilities: AMLTerm {
        let granted: AMLTerm = 0x1F
        let unknownUUID: AMLTerm = 0x04, unknownRevision: AMLTerm = 0x08, masked: AMLTerm = 0x10
        let first = AMLTerm.path("CDW1"), third = AMLTerm.path("CDW3")
        return AML.method("_OSC", arguments: 4) {
            AML.createDWordField(.argument(3), at: 0, "CDW1")
            AML.ifTrue(AML.equal(.argument(0), AML.uuid("33db4d5b-1ff7-401c-9657-7441c03dd766"))) {
                AML.createDWordField(.argument(3), at: 4, "CDW2")
                AML.createDWordField(.argument(3), at: 8, "CDW3")
                AML.and(third, granted, into: .local(0))
                AML.ifTrue(AML.not(AML.equal(.argument(1), 1))) { AML.or(first, unknownRevision, into: first) }
                AML.ifTrue(AML.not(AML.equal(third, .local(0)))) { AML.or(first, masked, into: first) }
                AML.store(.local(0), in: third)
            }
            AML.otherwise { AML.or(first, unknownUUID, into: first) }
            AML.giveBack(.argument(3))
        }
    }

    /// The ports of general-purpose events belong to no PCI function.
    private func eventPorts(_ fixed: MachineDescription.FixedHardware) -> AMLTerm {
        AML.device("GPE0") {
            AML.name("_HID", AML.eisaID("PNP0A06"))
            AML.name("_UID", "GPE0 resources")
            AML.name("_STA", Self.hidden)
            AML.name("_CRS", AMLResource.template([.ports(fixed.events, count: fixed.eventCount)]))
        }
    }

    // MARK: Interrupts

    /// The PIRQ (0 for A) of a slot's pin: what the south bridges do.
    private func line(slot: Int, pin: Int) -> Int {
        guard machine.board == .q35 else { return (slot + pin + 3) % 4 }
        let firstChipsetSlot = 25, bridgeSlot = 30
        if slot == bridgeSlot { return pin + 4 }
        return slot >= firstChipsetSlot ? pin : (slot + pin) % 4 + 4
    }

    private func routes(_ target: (Int) -> [AMLTerm]) -> AMLTerm {
        var entries: [AMLTerm] = []
        for slot in 0..<32 {
            for pin in 0..<4 {
                let address = AMLTerm(UInt64(slot) << 16 | 0xFFFF)
                var route = target(line(slot: slot, pin: pin))
                // The power management function's interrupt is wired to the system control interrupt.
                if machine.board == .pc, slot == 1, pin == 0 { route = [.path("\\_SB.LNKS"), 0] }
                entries.append(AML.package([address, AMLTerm(UInt64(pin))] + route))
            }
        }
        return AML.package(entries)
    }

    @AMLBuilder private var interruptRouting: [AMLTerm] {
        let links = routes { [.path("\\_SB." + linkName($0)), 0] }
        if machine.board == .q35 {
            let firstGlobal = 16
            AML.name("PRTP", links)
            AML.name("PRTA", routes { [0, AMLTerm(UInt64(firstGlobal + $0))] })
            AML.method("_PRT") {
                AML.ifTrue(AML.equal(.path("\\PICF"), 0)) { AML.giveBack(.path("PRTP")) }
                AML.otherwise { AML.giveBack(.path("PRTA")) }
            }
        } else {
            AML.name("_PRT", links)
        }
    }

    private func linkName(_ line: Int) -> String { "LNK" + Self.letter(line) }
    private static func letter(_ line: Int) -> String { String(UnicodeScalar(UInt8(ascii: "A") + UInt8(line))) }

    /// The links between PIRQs and ISA interrupts, which the routing registers hold.
    @AMLBuilder var linkDevices: [AMLTerm] {
        let possible: [UInt32] = [5, 10, 11]
        AML.method("IQST", arguments: 1) {
            AML.ifTrue(AML.and(0x80, .argument(0))) { AML.giveBack(Self.disabled) }
            AML.giveBack(Self.hidden)
        }
        AML.method("IQCR", arguments: 1, isSerialized: true) {
            AML.name("PRR0", AMLResource.template([.interrupts([0], isEdge: false, isShared: true)]))
            AML.createDWordField(.path("PRR0"), at: 5, "PRRI")
            AML.and(.argument(0), 0x0F, into: .path("PRRI"))
            AML.giveBack(.path("PRR0"))
        }
        for line in 0..<(machine.board == .q35 ? 8 : 4) {
            let register = AMLTerm.path("\\_SB.PCI0.ISA.PRQ" + Self.letter(line))
            AML.device(linkName(line)) {
                AML.name("_HID", AML.eisaID("PNP0C0F"))
                AML.name("_UID", AMLTerm(UInt64(line)))
                AML.name("_PRS", AMLResource.template([.interrupts(possible, isEdge: false, isShared: true)]))
                AML.method("_STA") { AML.giveBack(AML.call("IQST", register)) }
                AML.method("_DIS") { AML.or(register, 0x80, into: register) }
                AML.method("_CRS") { AML.giveBack(AML.call("IQCR", register)) }
                AML.method("_SRS", arguments: 1) {
                    AML.createDWordField(.argument(0), at: 5, "PRRI")
                    AML.store(.path("PRRI"), in: register)
                }
            }
        }
        if machine.board == .pc { systemControlLink }
    }

    private var systemControlLink: AMLTerm {
        let resources = AMLResource.template([
            .interrupts([UInt32(machine.fixedHardware?.interrupt ?? 9)], isEdge: false, isShared: true)
        ])
        return AML.device("LNKS") {
            AML.name("_HID", AML.eisaID("PNP0C0F"))
            AML.name("_UID", 4)
            AML.name("_PRS", resources)
            AML.name("_CRS", resources)
            AML.name("_STA", Self.hidden)
            AML.method("_DIS") {}
            AML.method("_SRS", arguments: 1) {}
        }
    }

    // MARK: ISA

    private var southBridge: AMLTerm {
        let isQ35 = machine.board == .q35
        let letters = (0..<(isQ35 ? 8 : 4)).map { AMLFieldUnit.named("PRQ" + Self.letter($0), bits: 8) }
        let units = isQ35 ? letters[0..<4] + [.gap(bits: 32)] + letters[4..<8] : letters[0..<4]
        return AML.device("ISA") {
            AML.name("_ADR", isQ35 ? 0x1F_0000 : 0x1_0000)
            AML.operationRegion("PIRQ", .pciConfig, offset: 0x60, count: isQ35 ? 12 : 4)
            AML.field("PIRQ", accessBytes: 1, Array(units))
            isaDevices
        }
    }

    @AMLBuilder var isaDevices: [AMLTerm] {
        if machine.hasKeyboardController {
            isaDevice("KBD", "PNP0303", [.ports(0x60, count: 1), .ports(0x64, count: 1), .isaInterrupt(1)])
            isaDevice("MOU", "PNP0F13", [.isaInterrupt(12)])
        }
        for (index, serial) in machine.serialPorts.enumerated() {
            isaDevice(
                "COM\(index + 1)", "PNP0501", [.ports(serial.port, count: 8), .isaInterrupt(serial.interrupt)],
                number: index + 1)
        }
        if machine.hasRealTimeClock { isaDevice("RTC", "PNP0B00", [.ports(0x70, count: 8), .isaInterrupt(8)]) }
        if machine.hasInterruptControllers {
            isaDevice("PIC", "PNP0000", [.ports(0x20, count: 2), .ports(0xA0, count: 2), .isaInterrupt(2)])
        }
        if machine.hasIntervalTimer {
            isaDevice("TIMR", "PNP0100", [.ports(0x40, count: 4), .isaInterrupt(0)])
        }
    }

    private func isaDevice(
        _ name: String, _ identifier: String, _ resources: [AMLResource], number: Int? = nil
    ) -> AMLTerm {
        AML.device(name) {
            AML.name("_HID", AML.eisaID(identifier))
            if let number { AML.name("_UID", AMLTerm(UInt64(number))) }
            AML.name("_STA", Self.present)
            AML.name("_CRS", AMLResource.template(resources))
        }
    }
}
