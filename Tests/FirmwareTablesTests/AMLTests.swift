// SPDX-License-Identifier: Apache-2.0

import FirmwareTables
import Testing

@Suite struct AMLTests {
    static let integers: [(UInt64, [UInt8])] = [
        (0, [0x00]), (1, [0x01]), (2, [0x0A, 2]), (0xFF, [0x0A, 0xFF]), (0x100, [0x0B, 0, 1]),
        (0x1_0000, [0x0C, 0, 0, 1, 0]), (1 << 32, [0x0E, 0, 0, 0, 0, 1, 0, 0, 0]),
    ]

    @Test(arguments: integers)
    func integersTakeTheirShortestForm(value: UInt64, expected: [UInt8]) {
        #expect(AMLTerm(value).bytes == expected)
    }

    @Test(arguments: [
        ("_SB", "_SB_"), ("\\_SB", "\\_SB_"), ("^LNKA", "^LNKA"), ("\\_SB.PCI0", "\\\u{2E}_SB_PCI0"),
        ("A.B.C", "\u{2F}\u{03}A___B___C___"),
    ])
    func namesAreFilledUp(path: String, expected: String) {
        #expect(AMLTerm.path(path).bytes == Array(expected.utf8))
    }

    @Test func identifiersArePacked() {
        #expect(AML.eisaID("PNP0A08").bytes == [0x0C, 0x41, 0xD0, 0x0A, 0x08])
        #expect(AML.eisaID("PNP0C0F").bytes == [0x0C, 0x41, 0xD0, 0x0C, 0x0F])
    }

    @Test func uuidsAreSwapped() {
        let bytes = AML.uuid("33db4d5b-1ff7-401c-9657-7441c03dd766").bytes
        #expect(
            bytes == [
                0x11, 0x13, 0x0A, 0x10, 0x5B, 0x4D, 0xDB, 0x33, 0xF7, 0x1F, 0x1C, 0x40, 0x96, 0x57, 0x74, 0x41, 0xC0,
                0x3D, 0xD7, 0x66,
            ])
    }

    static let lengths: [(Int, [UInt8])] = [
        (58, [63]), (59, [0x41, 0x04]), (4088, [0x4E, 0xFF]), (4089, [0x4F, 0xFF]), (4090, [0x81, 0x00, 0x01]),
        ((1 << 20) - 8, [0x8F, 0xFF, 0xFF]),
    ]

    /// The length counts its own bytes, so each form has a first and a last content size.
    @Test(arguments: lengths)
    func packageLengths(dataCount: Int, expected: [UInt8]) {
        // A scope's content is its name of 4 bytes and what is inside.
        let filler = AMLTerm(bytes: [UInt8](repeating: 0, count: dataCount))
        let bytes = AML.scope("ABCD") { filler }.bytes
        #expect(Array(bytes[1..<1 + expected.count]) == expected)
        #expect(bytes.count == 1 + expected.count + 4 + dataCount)
    }

    @Test func methodsAndConditions() {
        let method = AML.method("TEST", arguments: 2, isSerialized: true) {
            AML.ifTrue(AML.equal(.argument(0), 0)) { AML.giveBack(.local(1)) }
            AML.otherwise { AML.giveBack(1) }
        }
        #expect(
            method.bytes == [0x14, 0x11, 0x54, 0x45, 0x53, 0x54, 0x0A]
                + [0xA0, 0x06, 0x93, 0x68, 0x00, 0xA4, 0x61, 0xA1, 0x03, 0xA4, 0x01])
    }

    @Test func resources() {
        let bytes = AMLResource.template([.ports(0x3F8, count: 8), .isaInterrupt(4)]).bytes
        #expect(
            bytes == [0x11, 0x10, 0x0A, 0x0D] + [0x47, 1, 0xF8, 3, 0xF8, 3, 1, 8] + [0x22, 0x10, 0] + [0x79, 0])
        let window = AMLResource.template([.memoryWindow(0x1_0000_0000..<0x2_0000_0000, isCacheable: true)]).bytes
        #expect(window[4] == 0x8A && window.count == 4 + 46 + 2)
    }
}
