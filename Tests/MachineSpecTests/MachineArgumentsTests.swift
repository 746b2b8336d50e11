// SPDX-License-Identifier: Apache-2.0

import CommandLineKit
import Diagnostics
import JSONCoding
import MachineSpec
import Testing

@Suite struct DefaultsTests {
    @Test func anEmptyCommandLineIsQEMUsDefaultMachine() throws {
        let machine = try spec("")
        #expect(machine.board.kind == .pc && machine.board.name == "pc-i440fx-7.2")
        #expect(machine.memory.bytes == 128 << 20 && machine.topology.count == 1)
        #expect(machine.accelerators == [AcceleratorSpec(kind: .software)] && machine.processor.model == "qemu64")
        #expect(machine.characterDevices.map(\.identifier) == ["serial0"])
        #expect(machine.characterDevices[0].backend == .null && machine.monitors.isEmpty)
        #expect(machine.devices.map(\.typeName) == ["isa-serial", "VGA", "ide-cd", "e1000"])
        #expect(machine.networks.count == 1)
    }

    @Test func nodefaultsLeavesNothing() throws {
        let machine = try spec("-nodefaults")
        #expect(machine.devices.isEmpty && machine.networks.isEmpty && machine.characterDevices.isEmpty)
    }

    @Test func nographicSharesTheTerminal() throws {
        let machine = try spec("-nographic")
        #expect(machine.characterDevices.count == 1 && machine.characterDevices[0].isMultiplexed)
        #expect(machine.characterDevices[0].backend == .stdio(signals: false))
        #expect(machine.monitors == [MonitorSpec(characterDevice: "serial0", mode: .readline)])
    }

    @Test func nographicGivesTheTerminalToWhatIsLeft() throws {
        let serial = try spec("-nographic -monitor none")
        #expect(serial.monitors.isEmpty && serial.characterDevices[0].backend == .stdio(signals: true))
        let monitor = try spec("-serial null -nographic")
        #expect(monitor.monitors.map(\.characterDevice) == ["compat_monitor0"])
    }

    @Test func aCardAndABackEndOfNetAreOneNic() throws {
        let machine = try spec("-net nic,model=virtio,macaddr=52:54:00:aa:bb:cc -net user,hostfwd=tcp::2222-:22")
        #expect(machine.networks.count == 1 && machine.devices.last?.typeName == "virtio-net-pci")
        guard case .virtioNetwork(_, let card)? = machine.devices.last?.model else { throw UserError("no card") }
        #expect(card.address == [0x52, 0x54, 0, 0xAA, 0xBB, 0xCC] && card.network == machine.networks[0].identifier)
        let alone = try spec("-net nic")
        #expect(alone.networks.isEmpty && alone.devices.last?.typeName == "e1000")
    }

    @Test(arguments: ["-nic none", "-net none", "-device virtio-net-pci", "-netdev user,id=n"])
    func ownNetworkReplacesTheDefault(line: String) throws {
        #expect(!(try spec(line)).networks.contains { $0.identifier.hasPrefix("#") })
    }
}

@Suite struct BoardTests {
    @Test func machineOptionsMergeInAnyOrder() throws {
        let machine = try spec("-machine acpi=off -M q35,hpet=off -machine kernel-irqchip=split,graphics=off")
        #expect(machine.board.name == "pc-q35-7.2" && machine.board.acpi == .off && !machine.board.hpet)
        #expect(machine.board.kernelIRQChip == .split && !machine.board.graphics)
    }

    @Test(arguments: [
        ("-accel kvm:tcg", [AcceleratorSpec.Kind.kvm, .software]), ("-accel kvm -accel tcg", [.kvm, .software]),
        ("-M q35,accel=kvm:tcg", [.kvm, .software]), ("-enable-kvm", [.kvm]), ("-machine accel=soft", [.software]),
    ])
    func accelerators(line: String, kinds: [AcceleratorSpec.Kind]) throws {
        #expect(try spec(line).accelerators.map(\.kind) == kinds)
    }

    @Test(arguments: [
        ("-smp 4", 4, 1, 4, 1), ("-smp 4,sockets=2", 4, 2, 2, 1), ("-smp cores=2,threads=2", 4, 1, 2, 2),
        ("-smp 8,cores=2,threads=2", 8, 2, 2, 2), ("-smp 2,maxcpus=2", 2, 1, 2, 1),
        ("-smp 2,maxcpus=4", 2, 1, 4, 1), ("-smp 1,maxcpus=8,sockets=8", 1, 8, 1, 1), ("-smp sockets=3", 3, 3, 1, 1),
        ("-smp cpus=6,cores=3,threads=1", 6, 2, 3, 1),
    ])
    func topologies(line: String, count: Int, sockets: Int, cores: Int, threads: Int) throws {
        let topology = try spec(line).topology
        #expect(topology.count == count && topology.sockets == sockets)
        #expect(topology.cores == cores && topology.threads == threads)
    }

    @Test func memorySizes() throws {
        #expect(try spec("-m 512").memory.bytes == 512 << 20)
        #expect(try spec("-m 1.5G").memory.bytes == 3 << 29)
        #expect(try spec("-m size=1048576k").memory.bytes == 1 << 30)
        #expect(try spec("-m 1G,slots=0,maxmem=1G").memory.bytes == 1 << 30)
    }

    @Test func processorFeatures() throws {
        let processor = try spec("-cpu max,+x2apic,-sse4_1,avx2=off,vendor=GenuineIntel,enforce").processor
        #expect(processor.model == "max" && processor.enforces && processor.properties == ["vendor": "GenuineIntel"])
        #expect(processor.feature("x2apic") == true && processor.feature("sse4.1") == false)
        #expect(processor.feature("avx2") == false && processor.feature("sse2") == nil)
    }

    @Test func identity() throws {
        let machine = try spec(
            "-name guest=web,debug-threads=on -uuid 00112233-4455-6677-8899-AABBCCDDEEFF -rtc base=2006-06-17T16:01:21")
        #expect(machine.identity.name == "web" && machine.identity.debugThreads)
        #expect(machine.identity.uuid.description == "00112233-4455-6677-8899-aabbccddeeff")
        #expect(machine.clock.base == .start(1_150_560_081))
    }
}

@Suite struct WholeLineTests {
    @Test func kvmUnitTests() throws {
        let machine = try spec(
            "-nodefaults -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none -serial stdio "
                + "-device pci-testdev -machine accel=tcg -kernel x.flat -smp 2 -append args -cpu max,+x2apic -m 2048")
        #expect(machine.devices.map(\.model).contains(.isaDebugExit(port: 0xF4, size: 4)))
        #expect(machine.devices.map(\.typeName) == ["isa-serial", "pc-testdev", "isa-debug-exit", "pci-testdev"])
        #expect(machine.boot.kernel == "x.flat" && machine.boot.commandLine == "args")
        #expect(machine.topology.count == 2 && machine.memory.bytes == 2 << 30)
        #expect(machine.characterDevices[0].backend == .stdio(signals: true))
    }

    @Test func libvirt() throws {
        let machine = try spec(
            """
            -name guest=x,debug-threads=on -S -object \
            {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/k.aes"} \
            -machine pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram \
            -accel tcg -cpu qemu64 -m 1024 -object {"qom-type":"memory-backend-ram","id":"pc.ram","size":1073741824} \
            -overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1 -uuid 7d9b3f3e-0000-4000-8000-000000000001 \
            -display none -no-user-config -nodefaults -chardev socket,id=charmonitor,path=/m.sock,server=on,wait=off \
            -mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc,driftfix=slew \
            -global kvm-pit.lost_tick_policy=delay -no-hpet -no-shutdown -global ICH9-LPC.disable_s3=1 \
            -global ICH9-LPC.disable_s4=1 -boot strict=on \
            -device {"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","multifunction":true,\
            "addr":"0x2"} -blockdev {"driver":"file","filename":"/d.img","node-name":"libvirt-1-storage",\
            "auto-read-only":true,"discard":"unmap"} \
            -blockdev {"node-name":"libvirt-1-format","read-only":false,"driver":"raw","file":"libvirt-1-storage"} \
            -device {"driver":"virtio-blk-pci","bus":"pci.1","addr":"0x0","drive":"libvirt-1-format","id":"virtio-disk0",\
            "bootindex":1} -netdev {"type":"user","id":"hostnet0"} \
            -device {"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:00:00:01","bus":"pcie.0",\
            "addr":"0x1"} -chardev pty,id=charserial0 -device {"driver":"isa-serial","chardev":"charserial0",\
            "id":"serial0","index":0} -audiodev {"id":"audio1","driver":"none"} \
            -device {"driver":"virtio-balloon-pci","id":"balloon0","bus":"pcie.0","addr":"0x3"} \
            -object {"qom-type":"rng-random","id":"objrng0","filename":"/dev/urandom"} \
            -device {"driver":"virtio-rng-pci","rng":"objrng0","id":"rng0"} -msg timestamp=on
            """)
        #expect(machine.lifecycle.startsPaused && machine.lifecycle.shutdownPauses && !machine.board.hpet)
        #expect(machine.blockNodes.map(\.name) == ["libvirt-1-storage", "libvirt-1-format"])
        #expect(machine.blockNodes[0].flatOptions.contains { $0.key == "auto-read-only" && $0.value == true })
        #expect(machine.monitors == [MonitorSpec(characterDevice: "charmonitor", mode: .control)])
        let disk = try #require(machine.devices.first { $0.identifier == "virtio-disk0" })
        #expect(disk.placement.bus == "pci.1" && disk.placement.slot == 0)
        #expect(machine.process.messagesShowTime && machine.clock.catchesUp && machine.boot.isStrict)
    }

    @Test func flagsStandInAnyOrder() throws {
        let parts = [
            "-device virtio-blk-pci,drive=d", "-drive if=none,id=d,file=a.img,format=raw", "-m 1G", "-M q35",
            "-nographic", "-netdev user,id=n,hostfwd=tcp::2222-:22", "-device virtio-net,netdev=n", "-smp 2",
        ]
        let forwards = try spec(parts.joined(separator: " "))
        let backwards = try spec(parts.reversed().joined(separator: " "))
        #expect(Set(forwards.devices.map(\.typeName)) == Set(backwards.devices.map(\.typeName)))
        #expect(forwards.networks == backwards.networks && forwards.drives == backwards.drives)
    }

    @Test func configurationFilesMeanTheSame() throws {
        let file = """
            [machine]
              type = "q35"
            [memory]
              size = "256M"
            [drive "d"]
              if = "none"
              file = "a,b.img"
            [device "disk"]
              driver = "virtio-blk-pci"
              drive = "d"
            """
        let machine = try spec("-readconfig c", files: ["c": file])
        #expect(machine.board.kind == .q35 && machine.memory.bytes == 256 << 20)
        #expect(machine.drives[0].file == "a,b.img" && machine.devices.last?.identifier == "disk")
        #expect(try spec("@f", files: ["f": "-M q35\n-append 'a b' -kernel k"]).boot.commandLine == "a b")
        #expect(
            failure("-readconfig c", files: ["c": "[nothing]"]).hasPrefix("c:1: There is no option group 'nothing'"))
    }
}

@Suite struct BackendTests {
    @Test func drivesOnTheBoardsController() throws {
        let pc = try spec("-M pc -hda a -cdrom c -drive file=b,format=raw,id=two")
        #expect(pc.drives.map(\.identifier) == ["ide0-hd0", "ide1-cd0", "two"])
        #expect(pc.drives.map { [$0.bus, $0.unit] } == [[0, 0], [1, 0], [0, 1]])
        #expect(pc.drives[1].isReadOnly && pc.devices.filter { $0.typeName == "ide-cd" }.count == 1)
        let q35 = try spec("-M q35 -nodefaults -drive file=b,index=3 -device VGA,vgamem_mb=32,romfile=")
        #expect(q35.drives.map(\.identifier) == ["ide3-hd0"] && q35.devices.last?.placement.romFile == "")
        let flash = try spec("-drive if=pflash,file=code,readonly=on -drive if=pflash,file=vars -vga std")
        #expect(flash.drives.prefix(2).map(\.unit) == [0, 1] && flash.drives[0].isReadOnly)
        #expect(flash.devices.contains { $0.typeName == "VGA" })
    }

    @Test func drives() throws {
        let machine = try spec(
            "-drive file=a.qcow2,if=virtio,cache=none,aio=io_uring,discard=unmap,file.locking=off -drive if=none,id=x,"
                + "file=b,readonly=on,werror=stop -device virtio-blk,drive=x,serial=42,num-queues=2")
        #expect(machine.drives.map(\.identifier) == ["virtio0", "x", "ide1-cd0"])
        #expect(machine.drives[0].cache == "none" && machine.drives[0].options["discard"] == "unmap")
        #expect(machine.drives[0].options["file"]?["locking"] == "off" && machine.drives[1].isReadOnly)
        guard case .virtioBlock(let transport, let block)? = machine.devices.last?.model else {
            Issue.record("no disk")
            return
        }
        #expect(block.serial == "42" && block.queueCount == 2 && transport.bus == .pci)
        #expect(machine.devices.last?.typeName == "virtio-blk-pci")
    }

    @Test func hostForwarding() throws {
        let machine = try spec("-nic user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-10.0.2.15:53,id=u")
        guard case .user(let user) = machine.networks[0].backend else {
            Issue.record("no user network")
            return
        }
        #expect(user.forwards.map(\.hostPort) == [2222, 53] && user.forwards[1].isUDP)
        #expect(user.forwards[0].hostAddress == "127.0.0.1" && user.forwards[1].guestAddress == "10.0.2.15")
    }

    @Test(arguments: [
        ("null", CharacterBackendSpec.null), ("file:/a:b,c", .file(path: "/a:b,c", input: nil, appends: false)),
        ("pty", .pty(path: nil)), ("pipe:/p", .pipe(path: "/p")), ("/dev/ttyS0", .terminal(path: "/dev/ttyS0")),
    ])
    func shortCharacterDevices(text: String, backend: CharacterBackendSpec) throws {
        #expect(try spec("-serial \(text)").characterDevices[0].backend == backend)
    }

    @Test func sockets() throws {
        func socket(_ line: String) throws -> CharacterSocketSpec {
            guard case .socket(let socket) = try spec("-nodefaults " + line).characterDevices[0].backend else {
                throw TestFailure()
            }
            return socket
        }
        let unix = try socket("-qmp unix:/q.sock,server=on,wait=off")
        #expect(unix.isServer && !unix.waits && unix.address == .unix(path: "/q.sock", isAbstract: false))
        let old = try socket("-qmp unix:/q.sock,server,nowait")
        #expect(old == unix)
        let tcp = try socket("-serial telnet::4321,server,nodelay")
        #expect(tcp.isTelnet && tcp.isServer && tcp.waits && tcp.noDelay)
        let client = try socket("-chardev socket,id=c,host=::1,port=80,reconnect=2")
        #expect(!client.isServer && client.reconnectSeconds == 2)
        let debugger = try spec("-s")
        #expect(debugger.debugger == "gdb")
    }

    private struct TestFailure: Error {}

    @Test func globalsAreDefaultsOfDevices() throws {
        let machine = try spec("-debugcon file:log -global isa-debugcon.iobase=0x402")
        #expect(
            machine.devices.contains {
                $0.model == .isaDebugConsole(port: 0x402, readback: 0xE9, characterDevice: "debugcon")
            })
    }

    @Test func firmwareAndProcess() throws {
        let machine = try spec(
            "-fw_cfg name=opt/a,string=x -smbios type=1,serial=42 -boot order=nc,menu=on -pidfile /p -d unimp -D /l "
                + "-trace virtio_* -no-reboot -action panic=none -echr 2")
        #expect(machine.firmware.entries == [FirmwareSpec.Entry(name: "opt/a", content: .text("x"))])
        #expect(machine.firmware.smbios[1] == ["serial": "42"] && machine.boot.order == "nc" && machine.boot.menu)
        #expect(machine.process.pidFile == "/p" && machine.process.logItems == "unimp")
        #expect(machine.process.tracePatterns == ["virtio_*"] && machine.lifecycle.resetShutsDown)
        #expect(machine.lifecycle.panic == .ignore && machine.process.terminalEscape == 2)
    }
}

@Suite struct HelpTests {
    @Test func texts() throws {
        #expect(try printed("-version") == "QEMU emulator version 7.2.22 (Roost)\n")
        #expect(
            try printed("-M q35 -M help").contains("pc                   Standard PC (i440FX + PIIX, 1996) (alias of"))
        #expect(try printed("-accel help").hasSuffix("tcg\nkvm\n"))
        #expect(try printed("-netdev help") == "Available netdev backend types:\nuser\ntap\nsocket\n")
        #expect(try printed("-chardev help").contains("  socket\n"))
        #expect(try printed("-d help").hasPrefix("Log items"))
        #expect(try printed("-q35 -h".replacing("-q35 ", with: "")).contains("-nographic"))
        #expect(try request("-cpu help") == .listProcessors)
    }

    @Test func deviceLists() throws {
        let list = try printed("-device help")
        #expect(list.contains("\nname \"virtio-blk-pci\", bus PCI, alias \"virtio-blk\"\n"))
        #expect(list.contains("name \"pci-testdev\", bus PCI, desc \"PCI Test Device\"\n"))
        #expect(try printed("-device pc-testdev,help") == "There are no options for pc-testdev.\n")
        #expect(
            try printed("-device isa-debug-exit,help")
                == "isa-debug-exit options:\n  iobase=<uint32>        -  (default: 1281)\n"
                + "  iosize=<uint32>        -  (default: 2)\n")
        #expect(
            try printed("-device virtio-rng,help").contains(
                "  addr=<int32>           - Slot and optional function number, example: 06.0 or 06 (default: -1)\n"))
    }

    /// Every property in the tables is one that the reader knows: none is refused as unknown.
    @Test(arguments: DeviceType.all.map(\.name))
    func everyPropertyIsRead(name: String) throws {
        let type = try #require(DeviceType.named(name))
        for property in type.properties {
            let text = failure("-nodefaults -M q35 -device \(name),\(property.name)=impossible")
            #expect(!text.contains(".\(property.name)' not found"), "\(name).\(property.name): \(text)")
        }
    }

    /// Every flag of the table has a reader: with a senseless value it may fail, but not as unsupported by the parser.
    @Test func everyFlagIsRead() {
        for flag in VMMFlags.table.flags where flag.name != "help" {
            let text = failure("-\(flag.name)" + (flag.argument == nil ? "" : " 1"))
            #expect(!text.hasSuffix(": not supported"), "-\(flag.name): \(text)")
        }
    }
}
