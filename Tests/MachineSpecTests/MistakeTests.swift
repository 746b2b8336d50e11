// SPDX-License-Identifier: Apache-2.0

import MachineSpec
import Testing

@Suite struct MistakeTests {
    /// The beginnings are what qemu-system-x86_64 7.2 prints; Roost adds what helps.
    @Test(arguments: [
        ("-foo", "-foo: invalid option"), ("-m", "-m: requires an argument"),
        ("-m x", "-m x: Parameter 'size' expects a non-negative number below 2^64"),
        ("-m size=1G,foo=1", "-m size=1G,foo=1: Invalid parameter 'foo'"),
        ("-m 99999999T", "-m 99999999T: Value '99999999T' is out of range for parameter 'size'"),
        (
            "-smp 2,cores=3",
            "-smp 2,cores=3: Invalid CPU topology: product of the hierarchy must match maxcpus: sockets ("
        ),
        ("-device foo", "-device foo: 'foo' is not a valid device model name"),
        ("-device virtio-blk-pci", "-device virtio-blk-pci: drive property not set"),
        ("-device virtio-rng-pci,foo=1", "-device virtio-rng-pci,foo=1: Property 'virtio-rng-pci.foo' not found"),
        (
            "-device virtio-rng-pci,addr=99",
            "-device virtio-rng-pci,addr=99: Property 'virtio-rng-pci.addr' doesn't take value '99'"
        ),
        ("-device isa-debug-exit,iobase=x", "-device isa-debug-exit,iobase=x: Parameter 'iobase' expects integer"),
        ("-device {", "-device {: JSON parse error, premature EOI"),
        ("-device {}", "-device {}: Parameter 'driver' is missing"),
        ("-device virtio-rng-pci,id=1", "-device virtio-rng-pci,id=1: Parameter 'id' expects an identifier"),
        ("-netdev foo,id=x", "-netdev foo,id=x: Parameter 'type' does not accept value 'foo'"),
        ("-netdev user", "-netdev user: Parameter 'id' is missing"),
        ("-netdev user,id=a,foo=1", "-netdev user,id=a,foo=1: Invalid parameter 'foo'"),
        (
            "-netdev user,id=n,hostfwd=x",
            "-netdev user,id=n,hostfwd=x: Invalid host forwarding rule 'x' (No : separators)"
        ),
        ("-chardev foo,id=x", "-chardev foo,id=x: 'foo' is not a valid char driver name"),
        ("-chardev stdio", "-chardev stdio: chardev: no id specified"),
        ("-chardev null,id=a -chardev null,id=a", "-chardev null,id=a: Duplicate ID 'a' for chardev"),
        ("-serial foo", "-serial foo: 'foo' is not a valid char driver"),
        ("-mon foo", "-mon foo: chardev \"foo\" not found"),
        ("-name a,foo=b", "-name a,foo=b: Invalid parameter 'foo'"),
        ("-uuid x", "-uuid x: failed to parse UUID string: wrong format"),
        ("-rtc foo=1", "-rtc foo=1: Invalid parameter 'foo'"), ("-msg foo=on", "-msg foo=on: Invalid parameter 'foo'"),
        ("-action x=y", "-action x=y: Invalid parameter 'x'"),
        ("-action reboot=x", "-action reboot=x: Parameter 'reboot' does not accept value 'x'"),
        ("-drive if=foo", "-drive if=foo: unsupported bus type 'foo'"),
        ("-object foo,id=x", "-object foo,id=x: Parameter 'qom-type' does not accept value 'foo'"),
        ("-object rng-random", "-object rng-random: Parameter 'id' is missing"),
        ("-object rng-random,id=a,foo=1", "-object rng-random,id=a,foo=1: Invalid parameter 'foo'"),
        ("-accel foo", "-accel foo: invalid accelerator foo"),
        ("-append x", "-append only allowed with -kernel option"),
        ("-initrd x", "-initrd only allowed with -kernel option"),
        ("-nic foo", "-nic foo: Parameter 'type' does not accept value 'foo'"),
        ("-fw_cfg foo", "-fw_cfg foo: name, plus exactly one of file"),
        ("-smbios type=99", "-smbios type=99: Don't know how to build fields for SMBIOS type 99"),
        (
            "-msg timestamp=maybe", "-msg timestamp=maybe: Parameter 'timestamp' expects 'on' or 'off'"
        ),
        ("-readconfig /no", "-readconfig /no: Could not open '/no': No such file or directory"),
    ])
    func beginsAsQEMUsLine(line: String, beginning: String) {
        let text = failure("-nodefaults " + line)
        #expect(text.hasPrefix(beginning), "\(text)")
        #expect(!text.contains("\n"))
    }

    @Test(arguments: [
        ("-nographc", "did you mean '-nographic'?"), ("-M q53", "did you mean 'q35'?"),
        ("-device virtio-blk-pic,drive=a", "did you mean 'virtio-blk-pci'?"),
        ("-device virtio-rng-pci,max-byts=1", "did you mean 'max-bytes'?"),
        ("-netdev usr,id=a", "did you mean 'user'?"),
        ("-chardev sdtio,id=a", "did you mean 'stdio'?"), ("-serial stido", "did you mean 'stdio'?"),
        ("-netdev user,id=a,hostfw=x", "did you mean 'hostfwd'?"),
        ("-drive if=virtoi,file=x", "did you mean 'virtio'?"),
        ("-netdev user,id=net0 -device virtio-net-pci,netdev=nte0", "did you mean 'net0'?"),
    ])
    func offersTheNearest(line: String, remedy: String) {
        #expect(failure(line).hasSuffix(remedy), "\(failure(line))")
    }

    @Test(arguments: [
        "-smp 0", "-smp 10000", "-smp 4,maxcpus=2", "-smp 2,dies=2", "-smp 99999999999999999999", "-m 9E",
        "-hda x -hda y", "-drive if=floppy,file=x", "-device ide-hd", "-device ide-cd,bus=ide.9", "-dtb x",
        "-vga cirrus", "-vnc 1", "-display gtk", "-usbdevice braille", "-icount 1",
        "-sandbox on,spawn=maybe", "-M q35,max-ram-below-4g=5G", "-smbios type=4,max-speed=fast",
        "-smbios type=0,release=1", "-M microvm,usb=on", "-M pc,nvdimm=on", "-m 1G,slots=2,maxmem=4G", "-net user",
        "-net nic -net nic -net user", "-net nic -net user -net tap", "-net nic,model=e1001", "-net nic,netdev=x",
        "-seed 1", "-option-rom x", "-preconfig",
        "-nic user,model=rtl8139", "-device rtl8139", "-device virtio-blk-pci,drive=x,scsi=on",
        "-netdev tap,id=t,vhost=on", "-netdev bridge,id=b",
        "-drive file=x,index=1,bus=0",
        "-drive file=x,if=virtio,bps=100", "-global a.b=c", "-global kvm-pit.lost_tick_policy=catchup",
        "-chardev vc,id=v", "-no-fd-bootchk", "-k de", "-parallel stdio", "-audiodev alsa,id=a",
        "-object tls-creds-x509,id=t", "-overcommit mem-lock=maybe", "-incoming bogus:1", "-incoming tcp",
        "-accel tcg,kernel-irqchip=split",
        "-cpu", "-rtc base=2006-13-01",
        "-M microvm -device virtio-rng-pci", "-M none -device isa-debug-exit", "-M q35 -device virtio-rng-device",
        "-M q35 -device pcie-root-port,id=a -device pcie-root-port,id=b", "-M q35 -device pcie-root-port,slot=8192",
        "-M pc -device virtio-rng-pci,bus=pcie.0", "-serial stdio -monitor stdio", "-serial mon:stdio -serial stdio",
        "-device virtserialport,chardev=x", "-device virtio-rng-pci,id=a -device virtio-rng-pci,id=a",
        "-chardev null,id=c -device isa-serial,chardev=c -mon c", "-nographic -daemonize",
        "-serial null -serial null -serial null -serial null -serial null",
        "-drive if=virtio,file=a,id=d -device virtio-blk-pci,drive=d", "-blockdev driver=file,filename=x",
        "-device virtio-blk-pci,drive=x,queue-size=100", "-device virtio-net-pci,mac=1", "-boot order=cc", "-boot x1",
        "-machine memory-backend=m", "-m 2M -object memory-backend-ram,id=m,size=1M -machine memory-backend=m",
        "-chardev socket,id=a", "-chardev socket,id=a,path=/x,wait=off", "-netdev socket,id=s",
        "-netdev socket,id=s,listen=:1,connect=:2", "-echr 300", "-add-fd fd=1,set=1",
    ])
    func isRefusedInOneLine(line: String) {
        let text = failure(line)
        #expect(text != "no error" && !text.contains("\n") && text.count < 300, "\(line): \(text)")
    }

    /// Words of real options put together at random: each is a machine or one line, never a trap.
    @Test func randomLinesNeverTrap() {
        let words = [
            "-m", "-smp", "1", "-device", "virtio-blk-pci,drive=x", "=", ",", ",,", "{", "{\"a\":[1]}", "-M", "q35,",
            "a=b",
            "-drive", "if=none,file=", "-netdev", "user,id=n,net=1.2.3.4/99", "-chardev", "socket,id=a,port=99999",
            "-cpu",
            "+", "-rtc", "base=9999-99-99", "-serial", "tcp::", "udp:", "mon:", "-object", "secret,id=s,data=", "-smp",
            "99999999999999999999", "cores=4294967296", "-blockdev", "a.b=1,a=2,driver=x", "-global", ".=", "-trace",
            "",
        ]
        for _ in 0..<3000 {
            let line = (0..<Int.random(in: 0..<8)).map { _ in words.randomElement() ?? "" }
            do { _ = try request(line) } catch { #expect(!"\(error)".isEmpty) }
        }
    }
}
