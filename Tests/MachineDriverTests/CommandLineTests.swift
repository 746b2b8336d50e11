// SPDX-License-Identifier: Apache-2.0

import HostInventory
import MachineDriver
import ManagementModel
import ManagementXML
import Testing
import XMLTree

/// Documents made complete, and their arguments.
private enum Line {
    static let context = DomainContext(
        emulator: { _ in "/emulator" },
        canonicalMachine: { name, _ in ["pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"][name] })

    static func definition(
        machine: String = "pc", system: String = "", devices: String = "", more: String = "", type: String = "qemu"
    ) throws -> DomainDefinition {
        var definition = try DomainDefinition(
            parsing: """
                <domain type='\(type)'><name>m</name><memory unit='MiB'>64</memory>
                <os><type arch='x86_64' machine='\(machine)'>hvm</type>\(system)</os>\(more)
                <devices>\(devices)</devices></domain>
                """, context)
        DeviceAliases.assign(to: &definition)
        return definition
    }

    static func arguments(_ definition: DomainDefinition, devices: Set<String> = []) throws -> [String] {
        let facts = EmulatorFacts(
            path: "/emulator", version: 7_002_000, machines: [], processorModels: [], devices: devices, hasKVM: false)
        var builder = CommandLineBuilder(definition, emulator: facts, socketFolder: "/s")
        return try builder.build()
    }

    /// The values of an option, in order.
    static func values(_ option: String, _ arguments: [String]) -> [String] {
        zip(arguments, arguments.dropFirst()).filter { $0.0 == option }.map(\.1)
    }
}

private let drives = """
    <disk type='file' device='floppy'><source file='/f'/><target dev='fda' bus='fdc'/></disk>
    <disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file'><source file='/b'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>
    <disk type='file' device='cdrom'><source file='/c'/><target dev='hdb' bus='ide'/></disk>
    <interface type='user'/><interface type='user'/>
    """

@Suite struct BootOrderTests {
    @Test func kindsStandForTheirFirstDevices() throws {
        let system = "<boot dev='cdrom'/><boot dev='hd'/><boot dev='network'/><boot dev='fd'/>"
        let definition = try Line.definition(system: system, devices: drives)
        #expect(
            BootOrder(definition).places
                == ["ide0-0-0": "1", "virtio-disk0": "2", "net0": "3", "fdc0-0-0": "4"])
        let arguments = try Line.arguments(definition)
        let devices = Line.values("-device", arguments)
        #expect(devices.filter { $0.contains("bootindex=") }.count == 3)
        #expect(
            devices.contains {
                $0.hasPrefix("virtio-blk-pci") && $0.contains("libvirt-3-format") && $0.contains(",bootindex=2")
            })
        #expect(devices.contains { $0.hasPrefix("ide-cd") && $0.contains(",unit=0,") && $0.hasSuffix("bootindex=1") })
        #expect(Line.values("-global", arguments) == ["isa-fdc.bootindexA=4"])
        #expect(Line.values("-boot", arguments) == ["strict=on"])
    }

    @Test func aMachineBootsFromItsDiskUnlessToldOtherwise() throws {
        let definition = try Line.definition(devices: drives)
        #expect(BootOrder(definition).places == ["virtio-disk0": "1"])
    }

    @Test func devicesMayNameTheirPlaces() throws {
        let definition = try Line.definition(
            devices: """
                <disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
                <disk type='file'><source file='/b'/><target dev='vdb' bus='virtio'/><boot order='2'/></disk>
                <interface type='user'><boot order='1'/></interface>
                """)
        #expect(BootOrder(definition).places == ["virtio-disk1": "2", "net0": "1"])
    }

    @Test func aKindThatIsNotThereTakesNoPlace() throws {
        let definition = try Line.definition(
            system: "<boot dev='network'/><boot dev='hd'/>",
            devices: "<disk type='file' device='lun'><source file='/a'/><target dev='sda' bus='scsi'/></disk>")
        #expect(BootOrder(definition).places == ["scsi0-0-0-0": "2"])
    }
}

@Suite struct SystemArgumentTests {
    @Test func theMenuAndTheFirmwareHaveTheirOptions() throws {
        let system = """
            <loader readonly='yes' type='pflash'>/code,1.fd</loader><nvram>/vars.fd</nvram><boot dev='hd'/>
            <bootmenu enable='yes' timeout='3000'/><bios rebootTimeout='5'/>
            """
        let arguments = try Line.arguments(Line.definition(machine: "q35", system: system))
        #expect(Line.values("-boot", arguments) == ["menu=on,splash-time=3000,reboot-timeout=5,strict=on"])
        #expect(
            Line.values("-drive", arguments) == [
                "if=pflash,format=raw,unit=0,readonly=on,file=/code,,1.fd",
                "if=pflash,format=raw,unit=1,file=/vars.fd",
            ])
    }

    @Test func otherLoadersAreTheBIOS() throws {
        let arguments = try Line.arguments(Line.definition(system: "<loader type='rom'>/bios.bin</loader>"))
        #expect(Line.values("-bios", arguments) == ["/bios.bin"])
    }

    @Test func tablesOfTheSystemAreHandedOver() throws {
        let more = """
            <sysinfo type='smbios'><bios><entry name='vendor'>Me</entry></bios><system><entry name='serial'>ds=nocloud;s=a,b</entry>
            <entry name='product'>P</entry></system><oemStrings><entry>one</entry><entry>two</entry></oemStrings></sysinfo>
            <sysinfo type='fwcfg'><entry name='opt/x'>text</entry><entry name='opt/y' file='/f'/></sysinfo>
            """
        let arguments = try Line.arguments(Line.definition(system: "<smbios mode='sysinfo'/>", more: more))
        #expect(
            Line.values("-smbios", arguments) == [
                "type=0,vendor=Me", "type=1,product=P,serial=ds=nocloud;s=a,,b", "type=11,value=one,value=two",
            ])
        #expect(Line.values("-fw_cfg", arguments) == ["name=opt/x,string=text", "name=opt/y,file=/f"])
        // Without <smbios mode='sysinfo'/> the tables stay the emulator's own.
        #expect(try Line.values("-smbios", Line.arguments(Line.definition(more: more))).isEmpty)
    }

    @Test func clocksAndPowerStatesFollowTheDocument() throws {
        let more = """
            <clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>
            <timer name='hpet' present='no'/></clock><on_reboot>destroy</on_reboot>
            <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='yes'/></pm>
            """
        let arguments = try Line.arguments(Line.definition(machine: "q35", more: more))
        #expect(Line.values("-rtc", arguments) == ["base=localtime,driftfix=slew"])
        #expect(arguments.contains("-no-hpet") && arguments.contains("-no-reboot") && arguments.contains("-no-acpi"))
        #expect(Line.values("-global", arguments) == ["ICH9-LPC.disable_s3=1", "ICH9-LPC.disable_s4=0"])
        let native = try Line.arguments(Line.definition(more: more, type: "kvm"))
        #expect(
            Line.values("-global", native) == [
                "kvm-pit.lost_tick_policy=delay", "PIIX4_PM.disable_s3=1", "PIIX4_PM.disable_s4=0",
            ])
    }

    @Test func soundHasACardACodecAndSomethingThatPlaysIt() throws {
        let definition = try Line.definition(
            machine: "q35", devices: "<sound model='ich9'/><watchdog model='i6300esb' action='dump'/>")
        let arguments = try Line.arguments(definition)
        #expect(Line.values("-audiodev", arguments) == ["none,id=audio1"])
        let devices = Line.values("-device", arguments)
        #expect(devices.contains { $0.hasPrefix("ich9-intel-hda,id=sound0,bus=pcie.0") })
        #expect(devices.contains("hda-duplex,id=sound0-codec0,bus=sound0.0,cad=0,audiodev=audio1"))
        #expect(Line.values("-action", arguments) == ["watchdog=pause"])
        #expect { try Line.arguments(definition, devices: ["virtio-blk-pci"]) } throws: {
            ($0 as? ManagementError)?.code == .configUnsupported
        }
    }
}

@Suite struct ScreenArgumentTests {
    private func arguments(_ devices: String, hasSpice: Bool = true) throws -> [String] {
        let definition = try Line.definition(devices: devices)
        var facts = EmulatorFacts(
            path: "/emulator", version: 0, machines: [], processorModels: [], devices: [], hasKVM: false)
        facts.hasSpice = hasSpice
        var builder = CommandLineBuilder(definition, emulator: facts, socketFolder: "/s")
        return try builder.build()
    }

    @Test func passwordsAreNotOnTheCommandLine() throws {
        let line = try arguments("<graphics type='vnc' port='5907' passwd='secret'/>")
        #expect(Line.values("-vnc", line) == ["127.0.0.1:7,password=on"])
        #expect(!line.contains { $0.contains("secret") })
        let spice = try arguments("<graphics type='spice' port='5908' passwd='secret'/>")
        #expect(Line.values("-spice", spice) == ["port=5908,addr=127.0.0.1,seamless-migration=on"])
        #expect(!spice.contains { $0.contains("secret") })
    }

    @Test func momentsAreCountedFrom1970() {
        #expect(MachineDriver.moment("1970-01-01T00:00:00") == 0)
        #expect(MachineDriver.moment("2000-02-29T12:00:01") == 951_825_601)
        #expect(MachineDriver.moment("2026-11-21T15:00:00") == 1_795_273_200)
        #expect(MachineDriver.moment("2026-13-21T15:00:00") == nil)
        #expect(MachineDriver.moment("tomorrow") == nil)
    }

    @Test func aScreenSaysWhereItIsServed() throws {
        var screen = try XMLParser.parse("<graphics type='vnc' port='5901'><listen type='address'/></graphics>")
        screen.completeListening()
        #expect(screen["listen"] == "127.0.0.1" && screen[child: "listen"]?["address"] == "127.0.0.1")
        var open = try XMLParser.parse("<graphics type='vnc'><listen type='address' address='0.0.0.0'/></graphics>")
        open.completeListening()
        #expect(open["listen"] == "0.0.0.0")
        var socket = try XMLParser.parse("<graphics type='vnc'><listen type='socket' socket='/s'/></graphics>")
        socket.completeListening()
        #expect(socket["listen"] == nil)
    }

    @Test func spiceHasItsChannelsAndDevices() throws {
        let devices = """
            <graphics type='spice' port='5908'><image compression='off'/></graphics><sound model='ich6'/>
            <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
            <redirdev bus='usb' type='spicevmc'/>
            """
        let line = try arguments(devices)
        #expect(
            Line.values("-spice", line)
                == ["port=5908,addr=127.0.0.1,disable-ticketing=on,image-compression=off,seamless-migration=on"])
        let ends = Line.values("-chardev", line)
        #expect(ends.contains("spicevmc,id=charredir0,name=usbredir"))
        #expect(ends.contains("spicevmc,id=charchannel0,name=vdagent"))
        #expect(Line.values("-audiodev", line) == ["spice,id=audio1"])
        #expect(!line.contains("none"))
        #expect { try arguments(devices, hasSpice: false) } throws: {
            ($0 as? ManagementError)?.code == .configUnsupported
        }
    }
}

@Suite struct FirmwareChoiceTests {
    private let installed = [
        FirmwareDescription(
            parsing: """
                {"interface-types":["uefi"],"mapping":{"device":"flash","executable":{"filename":"/code","format":"raw"},
                "nvram-template":{"filename":"/template","format":"raw"}},
                "targets":[{"architecture":"x86_64","machines":["pc-q35-*"]}],
                "features":["secure-boot","requires-smm"]}
                """)
    ].compactMap { $0 }

    @Test func aKindBecomesAFirmwareAndAStore() throws {
        var definition = try Line.definition(machine: "q35", system: "<loader secure='yes'/>")
        definition.root[child: "os"]?["firmware"] = "efi"
        try definition.chooseFirmware(among: installed, store: "/store")
        let text = definition.printed()
        #expect(text.contains("<loader readonly='yes' secure='yes' type='pflash'>/code</loader>"))
        #expect(text.contains("<nvram template='/template'>/store</nvram>"))
        #expect(text.contains("<smm state='on'/>") && !text.contains("firmware="))
    }

    @Test func aKindThatIsNotInstalledIsSaid() throws {
        var definition = try Line.definition()
        definition.root[child: "os"]?["firmware"] = "efi"
        #expect { try definition.chooseFirmware(among: installed, store: "/store") } throws: {
            ($0 as? ManagementError)?.code == .operationFailed
        }
    }
}
