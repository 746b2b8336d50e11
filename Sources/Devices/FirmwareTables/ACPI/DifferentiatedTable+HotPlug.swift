// SPDX-License-Identifier: Apache-2.0

/// Functions that come and go on pc's conventional bus: the registers that the board has for it, a device for each slot,
/// and the event that makes the system look.
extension DifferentiatedTable {
    private static let ports: UInt64 = 0xAE00, portCount: UInt8 = 0x18
    /// Values of Notify: look for what is new; give it back.
    private static let deviceCheck: UInt64 = 1, ejectRequest: UInt64 = 3

    private func slotName(_ slot: Int) -> String { "S" + Self.hexadecimal(slot << 3, digits: 2) + "_" }

    /// Inside the host bridge's scope.
    @AMLBuilder var hotPlug: [AMLTerm] {
        if !machine.hotPlugSlots.isEmpty {
            AML.device("PHPR") {
                AML.name("_HID", AML.eisaID("PNP0A06"))
                AML.name("_UID", "PCI hot plug resources")
                AML.name("_STA", Self.hidden)
                AML.name(
                    "_CRS", AMLResource.template([.ports(UInt16(Self.ports), count: Self.portCount)]))
            }
            AML.operationRegion("PCST", .systemIO, offset: Self.ports, count: 0x14)
            AML.field(
                "PCST", accessBytes: 4,
                [
                    .named("PCIU", bits: 32), .named("PCID", bits: 32), .named("B0EJ", bits: 32), .gap(bits: 32),
                    .named("BNUM", bits: 32),
                ])
            AML.method("PCEJ", arguments: 1, isSerialized: true) {
                AML.store(0, in: .path("BNUM"))
                AML.store(AML.shiftLeft(1, by: .argument(0)), in: .path("B0EJ"))
            }
            for slot in machine.hotPlugSlots { slotDevice(slot) }
            AML.method("PCNT", isSerialized: true) {
                AML.store(0, in: .path("BNUM"))
                AML.store(.path("PCIU"), in: .local(0))
                AML.store(.path("PCID"), in: .local(1))
                for slot in machine.hotPlugSlots {
                    let bit = AMLTerm(UInt64(1) << UInt64(slot))
                    AML.ifTrue(AML.and(.local(0), bit)) { AML.notify(slotName(slot), Self.deviceCheck) }
                    AML.ifTrue(AML.and(.local(1), bit)) { AML.notify(slotName(slot), Self.ejectRequest) }
                }
            }
        }
    }

    private func slotDevice(_ slot: Int) -> AMLTerm {
        AML.device(slotName(slot)) {
            AML.name("_SUN", AMLTerm(UInt64(slot)))
            AML.name("_ADR", AMLTerm(UInt64(slot) << 16))
            AML.method("_EJ0", arguments: 1) { AML.call("PCEJ", AMLTerm(UInt64(slot))) }
        }
    }

    /// General-purpose event 1.
    var hotPlugEvent: AMLTerm {
        AML.scope("\\_GPE") {
            AML.method("_E01") { AML.call("\\_SB.PCI0.PCNT") }
        }
    }
}
