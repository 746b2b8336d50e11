// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import ManagementXML
import Testing

@Suite struct DomainChoicesTests {
    /// A device and the code of the refusal.
    struct Wrong: Sendable {
        let device: String
        let code: ErrorCode
    }

    private static let wrong: [Wrong] = [
        Wrong(device: "<disk type='foo'><target dev='vdb'/></disk>", code: .xmlError),
        Wrong(device: "<disk device='foo'><target dev='vdb'/></disk>", code: .xmlError),
        Wrong(device: "<disk type='file'><target dev='vdb'/></disk>", code: .noSource),
        Wrong(device: "<disk><source file='/a'/><target dev='vdb' bus='foo'/></disk>", code: .xmlError),
        Wrong(device: "<disk><source file='/a'/><target dev='vdb'/><boot order='0'/></disk>", code: .xmlError),
        Wrong(device: "<disk><source file='/a'/><target dev='vdb'/><boot order='x'/></disk>", code: .xmlError),
        Wrong(device: "<interface type='foo'/>", code: .xmlError),
        Wrong(device: "<interface type='network'/>", code: .xmlError),
        Wrong(device: "<interface type='user'><mac address='01:00:00:00:00:00'/></interface>", code: .xmlError),
        Wrong(device: "<controller type='foo'/>", code: .xmlError),
        Wrong(device: "<graphics type='foo'/>", code: .xmlError),
        Wrong(device: "<graphics type='vnc' port='x'/>", code: .internalError),
        Wrong(device: "<video><model type='foo'/></video>", code: .configUnsupported),
        Wrong(device: "<input type='foo'/>", code: .configUnsupported),
        Wrong(device: "<sound model='foo'/>", code: .xmlError),
        Wrong(device: "<serial type='foo'/>", code: .configUnsupported),
        Wrong(device: "<channel type='unix'/>", code: .xmlError),
        Wrong(device: "<rng model='virtio'/>", code: .xmlError),
        Wrong(device: "<watchdog model='foo'/>", code: .configUnsupported),
        Wrong(device: "<memballoon model='foo'/>", code: .xmlError),
        Wrong(device: "<hostdev/>", code: .xmlError),
    ]

    @Test(arguments: wrong) func wordsThatNobodyKnowsAreRefused(_ wrong: Wrong) {
        #expect { try define(wrong.device) } throws: { ($0 as? ManagementError)?.code == wrong.code }
    }

    @Test func anInterfaceIsTheUsersUnlessItSaysMore() throws {
        #expect(try define("<interface/>").printed().contains("<interface type='user'>"))
    }

    @Test func whatIsNoDeviceIsNotAttached() {
        #expect { try DomainDefinition.device(parsing: "<x/>") } throws: {
            ($0 as? ManagementError)?.detail == "unknown device type 'x'"
        }
        #expect(throws: Never.self) { try DomainDefinition.device(parsing: "<disk/>") }
    }

    @Test(arguments: [
        (["rtl8139"], "pc", "rtl8139"), (["e1000", "e1000e"], "pc", "e1000"), (["e1000", "e1000e"], "q35", "e1000e"),
        (["e1000", "pcie-pci-bridge"], "q35", "e1000"), ([], "q35", "virtio"), ([], "pc", "virtio"),
    ])
    func aCardIsChosenAmongThoseThatThereAre(_ devices: [String], _ machine: String, _ card: String) throws {
        var limited = context
        limited.hasDevice = { device, _ in devices.contains(device) }
        let definition = try DomainDefinition(
            parsing: """
                <domain type='qemu'><name>m</name><memory>65536</memory>
                <os><type arch='x86_64' machine='\(machine)'>hvm</type></os>
                <devices><interface type='user'/><graphics type='vnc'/><video/></devices></domain>
                """, limited)
        #expect(definition.printed().contains("<model type='\(card)'/>"))
        #expect(definition.printed().contains("<model type='vga'"))
    }
}
