// SPDX-License-Identifier: Apache-2.0

import LibvirtProtocol
import LibvirtRPC
import LibvirtService
import ManagementModel
import Testing
import XDRCoding

@Suite struct ServiceTableTests {
    /// What virsh, virt-install, virt-manager, the bindings and the usual tools around them call.
    private static let everyday: [Int32] =
        Array(1...8) + Array(9...60) + [64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 76, 77, 78, 79, 80, 81, 82, 83, 84]
        + [
            85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 110, 111, 112, 113,
            114,
        ]
        + [
            115, 121, 122, 125, 142, 144, 146, 149, 150, 151, 152, 153, 154, 155, 156, 157, 159, 160, 161, 163, 164,
            174,
        ]
        + [
            175, 178, 179, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194, 196, 199, 200, 201, 202,
            204,
        ]
        + [
            207, 208, 209, 210, 211, 212, 226, 227, 228, 229, 230, 231, 234, 235, 236, 237, 238, 240, 242, 243, 244,
            245,
        ]
        + [
            246, 251, 254, 255, 256, 257, 258, 259, 260, 262, 264, 265, 271, 272, 273, 274, 277, 281, 282, 283, 284,
            285,
        ]
        + [
            286, 287, 290, 291, 293, 298, 312, 313, 314, 316, 317, 337, 341, 342, 343, 344, 345, 349, 350, 353, 358,
            360,
        ]
        + [361, 368, 369, 374, 375, 380, 381, 388, 392, 418, 426, 433, 435, 436]

    @Test func everydayCallsAreAnswered() {
        let answered = Set(ServiceTable.make().numbers(of: .remote))
        let missing = Self.everyday.filter { !answered.contains($0) }
        #expect(missing.isEmpty)
    }

    @Test func theEmulatorsOwnCallsAreAnswered() {
        #expect(Set(ServiceTable.make().numbers(of: .qemu)).isSuperset(of: [1, 3, 4, 5]))
    }
}

@Suite struct FlagRuleTests {
    private func check(_ number: Int32, _ payload: [UInt8]) throws {
        let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: number, type: .call, serial: 1)
        try FlagRules.check(header, XDRReader(payload))
    }

    @Test func bitsThatACallDoesNotKnowAreRefused() throws {
        // Shutting down knows two bits.
        try check(258, [0, 0, 0, 0, 0, 0, 0, 3])
        #expect {
            try check(258, [0, 0, 0, 0, 0, 0x10, 0, 1])
        } throws: {
            let error = $0 as? ManagementError
            return error?.code == .invalidArg
                && error?.detail == "unsupported flags (0x100000) in function qemuDomainShutdownFlags"
        }
    }

    @Test func callsWithoutFlagsAndShortOnesAreLeftAlone() throws {
        try check(9, [0xff, 0xff, 0xff, 0xff])
        try check(258, [0xff])
        try check(-1, [0xff, 0xff, 0xff, 0xff])
    }

    @Test func whatIsCheckedIsThere() {
        #expect(FlagRules.numbers.count > 120)
        #expect(FlagRules.numbers == FlagRules.numbers.sorted())
    }
}

@Suite struct MachineListFilterTests {
    @Test(arguments: [UInt32(0), 3, 0xf, 0xffff, 0xc000]) func allBitsOfAGroupAreAsGoodAsNone(_ flags: UInt32) {
        #expect(MachineListFilter(flags).takesAll)
    }

    @Test(arguments: [UInt32(1), 2, 4, 0x10, 0x70, 0x100, 0x400, 0x1000, 0x4000])
    func otherBitsLeaveSomethingOut(_ flags: UInt32) { #expect(!MachineListFilter(flags).takesAll) }
}
