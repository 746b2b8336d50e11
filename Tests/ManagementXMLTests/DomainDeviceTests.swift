// SPDX-License-Identifier: Apache-2.0

import ManagementXML
import Testing
import XMLTree

@Suite struct DomainDeviceTests {
    private func address(_ device: XMLElement?) -> String {
        guard let address = device?[child: "address"] else { return "" }
        return address.attributes.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
    }

    @Test(arguments: [
        ("hda", "ide", "type=drive controller=0 bus=0 target=0 unit=0"),
        ("hdd", "ide", "type=drive controller=0 bus=1 target=0 unit=1"),
        ("sdh", "scsi", "type=drive controller=0 bus=0 target=0 unit=8"),
        ("sdp", "scsi", "type=drive controller=1 bus=0 target=0 unit=0"),
        ("fdb", "fdc", "type=drive controller=0 bus=0 target=0 unit=1"),
        ("vda", "virtio", "type=pci domain=0x0000 bus=0x00 slot=0x02 function=0x0"),
    ])
    func disksSitWhereTheirNamesSay(_ target: String, _ bus: String, _ place: String) throws {
        let device = target.hasPrefix("fd") ? " device='floppy'" : ""
        let disk = try define("<disk\(device)><source file='/a'/><target dev='\(target)'/></disk>").devices
            .first { $0.name == "disk" }
        #expect(disk?[child: "target"]?["bus"] == bus)
        #expect(address(disk) == place)
        #expect(disk?[child: "driver"]?["type"] == "raw")
    }

    @Test func disksAreSortedByNumberWithinTheirBus() throws {
        let names = try define(
            ["vdb", "hda", "vda"].map { "<disk><source file='/\($0)'/><target dev='\($0)'/></disk>" }.joined()
        ).devices.filter { $0.name == "disk" }.compactMap { $0[child: "target"]?["dev"] }
        #expect(names == ["vda", "vdb", "hda"])
    }

    @Test(arguments: [
        ("/var/lib/libvirt/qemu/channel/target/domain-1-m/org.a", false),
        ("/var/lib/libvirt/qemu/domain-17-m/org.a", false),
        ("/var/lib/libvirt/qemu/domain-m/org.a", true), ("/srv/domain-1-m/org.a", true), ("/run/mine.sock", true),
        ("x", true),
    ])
    func socketsOfARunAreForgotten(_ path: String, _ stays: Bool) throws {
        let channel = try define(
            """
            <channel type='unix'><source mode='bind' path='\(path)'/><target type='virtio' name='org.a' state='connected'/>
            </channel>
            """
        ).devices.first { $0.name == "channel" }
        #expect(channel?[child: "source"]?["path"] == (stays ? path : nil))
        #expect(channel?[child: "target"]?["state"] == nil)
    }

    @Test func aSerialPortIsAConsoleToo() throws {
        for device in ["<serial type='pty'/>", "<console type='pty'/>"] {
            let devices = try define(device).devices
            #expect(devices.filter { $0.name == "serial" }.count == 1)
            #expect(devices.first { $0.name == "console" }?[child: "target"]?["type"] == "serial")
            #expect(devices.first { $0.name == "serial" }?.at("target", "model")?["name"] == "isa-serial")
        }
    }

    @Test func channelsBringTheirController() throws {
        let devices = try define("<channel type='unix'><target type='virtio' name='a'/></channel>").devices
        #expect(devices.contains { $0.name == "controller" && $0["type"] == "virtio-serial" })
        #expect(address(devices.first { $0.name == "channel" }) == "type=virtio-serial controller=0 bus=0 port=1")
    }

    @Test func expressDevicesSitBehindPortsOfTheirOwn() throws {
        let devices = try define(
            """
            <disk><source file='/a'/><target dev='vda'/></disk>
            <interface type='user'><model type='virtio'/></interface>
            """, machine: "q35"
        ).devices
        let ports = devices.filter { $0["model"] == "pcie-root-port" }
        let buses = devices.compactMap { device -> String? in
            device[child: "address"].flatMap { $0["type"] == "pci" && $0["bus"] != "0x00" ? $0["bus"] : nil }
        }
        #expect(Set(buses).count == buses.count)
        #expect(ports.count >= buses.count)
        #expect(ports.first?[child: "address"]?["multifunction"] == "on")
        #expect(ports.first?[child: "target"]?["port"] == "0x10" || ports.first?[child: "target"]?["port"] == "0x8")
    }

    @Test func placesThatAreGivenAreKept() throws {
        let place = "<address type='pci' bus='0' slot='9' function='0'/>"
        let devices = try define("<interface type='user'><model type='virtio'/>\(place)</interface>").devices
        #expect(
            address(devices.first { $0.name == "interface" })
                == "type=pci domain=0x0000 bus=0x00 slot=0x09 function=0x0")
    }

    @Test func interfacesGetAnAddressOfTheirOwn() throws {
        let made = try define("<interface type='user'/>").devices.first { $0.name == "interface" }
        #expect(made?[child: "mac"]?["address"]?.hasPrefix("52:54:00:") == true)
        #expect(made?[child: "model"]?["type"] == "rtl8139")
        #expect(throws: (any Error).self) { try define("<interface type='user'><mac address='x'/></interface>") }
    }

    @Test func displaysBringACard() throws {
        let devices = try define("<graphics type='vnc'/>").devices
        let graphics = devices.first { $0.name == "graphics" }
        #expect(graphics?["port"] == "-1" && graphics?["autoport"] == "yes")
        #expect(graphics?[child: "listen"]?["type"] == "address")
        let model = devices.first { $0.name == "video" }?[child: "model"]
        #expect(model?["type"] == "cirrus" && model?["vram"] == "16384" && model?["primary"] == "yes")
    }

    @Test func disksWithoutAUsableNameAreRefused() {
        for target in ["<target/>", "", "<target dev='zz'/>"] {
            #expect(throws: (any Error).self) { try define("<disk>\(target)</disk>") }
        }
    }
}
