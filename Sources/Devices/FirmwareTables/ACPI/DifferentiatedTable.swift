// SPDX-License-Identifier: Apache-2.0

/// The machine's devices as ACPI objects: the body of the DSDT.
struct DifferentiatedTable {
    let machine: MachineDescription
    /// Present, enabled, decoding, working; the same without being shown; and without being enabled.
    static let present: AMLTerm = 0x0F, hidden: AMLTerm = 0x0B, disabled: AMLTerm = 0x09

    /// All of the definition block's terms, encoded.
    var body: [UInt8] {
        var terms: [AMLTerm] = []
        if machine.hasPCI { terms += interruptModel }
        terms.append(AML.scope("\\_SB") { systemBus })
        if !machine.hotPlugSlots.isEmpty { terms.append(hotPlugEvent) }
        if machine.processorHotPlugPort != nil { terms.append(processorEvent) }
        terms.append(sleepStates)
        return Array(terms.map(\.bytes).joined())
    }

    @AMLBuilder private var systemBus: [AMLTerm] {
        if machine.hasPCI {
            hostBridge
            linkDevices
        } else {
            isaDevices
        }
        if machine.hasHPET { timerDevice }
        if let base = machine.ecamBase { reservation(of: base) }
        if let port = machine.firmwareConfigPort { firmwareConfig(port) }
        if let device = machine.eventDevice { eventDevice(device) }
        for (index, device) in machine.virtioDevices.enumerated() { virtio(device, index) }
        processorDevices
    }

    /// S5 only: the machine can be switched off, and has no other sleep.
    private var sleepStates: AMLTerm {
        // Without fixed hardware, the value that the sleep control register takes for S5.
        let sleepType: AMLTerm = machine.fixedHardware == nil ? 5 : 0
        return AML.name("\\_S5", AML.package([sleepType, 0, 0, 0]))
    }

    private var timerDevice: AMLTerm {
        AML.device("HPET") {
            AML.name("_HID", AML.eisaID("PNP0103"))
            AML.name("_UID", 0)
            AML.name("_STA", Self.present)
            AML.name(
                "_CRS", AMLResource.template([.memory(UInt32(HPETTable.base), count: 0x400, isWritable: false)]))
        }
    }

    /// Keeps others off configuration space; kernels use ECAM only where it is reserved.
    private func reservation(of base: UInt64) -> AMLTerm {
        AML.device("DRAC") {
            AML.name("_HID", AML.eisaID("PNP0C02"))
            AML.name("_UID", 1)
            AML.name(
                "_CRS",
                AMLResource.template([
                    .memory(UInt32(truncatingIfNeeded: base), count: 0x1000_0000, isWritable: true)
                ]))
        }
    }

    private func firmwareConfig(_ port: UInt16) -> AMLTerm {
        AML.device("FWCF") {
            AML.name("_HID", "QEMU0002")
            AML.name("_STA", Self.hidden)
            AML.name("_CRS", AMLResource.template([.ports(port, count: 12)]))
        }
    }

    private func virtio(_ device: MachineDescription.VirtioDevice, _ index: Int) -> AMLTerm {
        AML.device("VR" + Self.hexadecimal(index, digits: 2)) {
            AML.name("_HID", "LNRO0005")
            AML.name("_UID", AMLTerm(UInt64(index)))
            AML.name("_CCA", 1)
            AML.name("_STA", Self.present)
            AML.name(
                "_CRS",
                AMLResource.template([
                    .memory(device.base, count: device.count, isWritable: true),
                    .interrupts([device.interrupt], isEdge: false, isShared: false),
                ]))
        }
    }

    /// The event device of hardware-reduced machines, and the power button that it stands for.
    @AMLBuilder private func eventDevice(_ device: MachineDescription.GenericEventDevice) -> [AMLTerm] {
        let powerDown: AMLTerm = 2
        let pressed: UInt64 = 0x80
        AML.device("GED") {
            AML.name("_HID", "ACPI0013")
            AML.name("_UID", "GED")
            AML.name(
                "_CRS", AMLResource.template([.interrupts([device.interrupt], isEdge: true, isShared: false)]))
            AML.operationRegion("EREG", .systemMemory, offset: UInt64(device.selector), count: 4)
            AML.field("EREG", accessBytes: 4, [.named("ESEL", bits: 32)])
            AML.method("_EVT", arguments: 1, isSerialized: true) {
                AML.store(.path("ESEL"), in: .local(0))
                AML.ifTrue(AML.equal(AML.and(.local(0), powerDown), powerDown)) {
                    AML.notify("PWRB", pressed)
                }
            }
        }
        AML.device("PWRB") {
            AML.name("_HID", AML.eisaID("PNP0C0C"))
            AML.name("_UID", 0)
        }
    }

    static func hexadecimal(_ value: Int, digits: Int) -> String {
        let text = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
