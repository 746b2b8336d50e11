// SPDX-License-Identifier: Apache-2.0

import JSONCoding
import MachineSpec
import Testing

/// The same thing said in different forms.
@Suite struct FormTests {
    /// Flags and the configuration file that means the same.
    @Test(arguments: [
        ("-M q35,hpet=off", "[machine]\n type = \"q35\"\n hpet = \"off\"\n"),
        ("-m 1G", "[memory]\n size = \"1G\"\n"), ("-smp 4,cores=2", "[smp-opts]\n cpus = \"4\"\n cores = \"2\"\n"),
        ("-name guest=a,process=b", "[name]\n guest = \"a\"\n process = \"b\"\n"),
        ("-rtc base=localtime,driftfix=slew", "[rtc]\n base = \"localtime\"\n driftfix = \"slew\"\n"),
        ("-netdev user,id=n,restrict=on", "[netdev \"n\"]\n type = \"user\"\n restrict = \"on\"\n"),
        (
            "-chardev file,id=c,path=/x,append=on",
            "[chardev \"c\"]\n backend = \"file\"\n path = \"/x\"\n append = \"on\"\n"
        ),
        (
            "-drive if=virtio,id=d,file=x,format=raw,cache=none",
            "[drive \"d\"]\n if = \"virtio\"\n file = \"x\"\n format = \"raw\"\n cache = \"none\"\n"
        ),
        ("-device virtio-rng-pci,id=r,period=5", "[device \"r\"]\n driver = \"virtio-rng-pci\"\n period = \"5\"\n"),
        (
            "-global isa-debugcon.iobase=0x402",
            "[global]\n driver = \"isa-debugcon\"\n property = \"iobase\"\n value = \"0x402\"\n"
        ),
        ("-boot order=nc,menu=on", "[boot-opts]\n order = \"nc\"\n menu = \"on\"\n"),
        ("-smbios type=1,serial=42", "[smbios]\n type = \"1\"\n serial = \"42\"\n"),
        ("-msg timestamp=on", "[msg]\n timestamp = \"on\"\n"),
        ("-object iothread,id=t", "[object \"t\"]\n qom-type = \"iothread\"\n"),
    ])
    func filesMeanTheSameAsFlags(_ flags: String, _ file: String) throws {
        let plain = try spec("-uuid 00112233-4455-6677-8899-aabbccddeeff \(flags)")
        let read = try spec("-uuid 00112233-4455-6677-8899-aabbccddeeff -readconfig f", files: ["f": file])
        #expect(plain == read)
        let spaced = "# a remark\n\n" + file.replacing("[", with: "  [").replacing("\n", with: "  \n")
        let again = failure("-readconfig f", files: ["f": spaced])
        #expect(again == "no error" || again.hasPrefix("f:"))
    }

    @Test(arguments: [
        "[machine", "type = \"q35\"", "[machine]\ntype", "[machine]\ntype = q35 x", "[device]\nfoo = \"1\"",
        "[machine]\n= \"x\"", "[chardev]\nbackend = \"null\"", "\u{1}",
    ])
    func brokenFilesAreNamedWithTheirLine(_ text: String) {
        let error = failure("-readconfig f", files: ["f": text])
        #expect(error != "no error" && !error.contains("\n") && error.contains("f"), "\(error)")
    }

    @Test(arguments: [
        (
            "-netdev user,id=n,hostfwd=tcp::1-:2,net=10.0.0.0/8",
            "-netdev {\"type\":\"user\",\"id\":\"n\",\"hostfwd\":[{\"str\":\"tcp::1-:2\"}],\"net\":\"10.0.0.0/8\"}"
        ),
        ("-netdev user,id=n,ipv6=off", "-netdev {\"type\":\"user\",\"id\":\"n\",\"ipv6\":false}"),
        ("-object iothread,id=t", "-object {\"qom-type\":\"iothread\",\"id\":\"t\"}"),
        (
            "-object memory-backend-ram,id=m,size=1M",
            "-object {\"qom-type\":\"memory-backend-ram\",\"id\":\"m\",\"size\":1048576}"
        ),
        (
            "-blockdev driver=qcow2,node-name=n,file.driver=file,file.filename=/x",
            "-blockdev {\"driver\":\"qcow2\",\"node-name\":\"n\",\"file\":{\"driver\":\"file\",\"filename\":\"/x\"}}"
        ),
    ])
    func jsonMeansTheSameAsPairs(_ pairs: String, _ json: String) throws {
        let uuid = "-uuid 00112233-4455-6677-8899-aabbccddeeff "
        #expect(try spec(uuid + pairs) == spec(uuid + json))
    }

    // MARK: Numbers

    /// As qemu-system-x86_64 7.2 reads them: without a letter megabytes, with fractions, decimal or hexadecimal.
    @Test(
        arguments: [
            ("1", 1 << 20), ("1M", 1 << 20), ("1m", 1 << 20), ("2048K", 2 << 20), ("2048k", 2 << 20), ("1G", 1 << 30),
            ("1.5G", 3 << 29), ("0.5G", 1 << 29), ("0x20", 32 << 20), ("1048576B", 1 << 20), ("1T", 1 << 40),
            ("1.25M", 5 << 18), ("4097k", 4097 << 10), ("8191", 8191 << 20),
        ] as [(String, UInt64)])
    func sizesOfMemory(_ text: String, _ bytes: UInt64) throws {
        // Sizes are rounded up to whole pages of 8 KiB.
        let page: UInt64 = 8192
        #expect(try spec("-m \(text)").memory.bytes == (bytes + page - 1) / page * page)
    }

    @Test(arguments: ["x", "-1", "1Q", "1MM", "1.5", "0x1.5", "1e3M", "", "1 M", "16E", "0x", "+1", "1.G.", "NaN"])
    func sizesThatAreNone(_ text: String) throws {
        let error = { () -> String in
            do {
                _ = try request(["-m", text])
                return "no error"
            } catch { return "\(error)" }
        }()
        // A fraction of a megabyte is a number all the same.
        #expect(["1.5", "1.G.", ""].contains(text) || error != "no error", "\(text)")
    }

    @Test(
        arguments: [
            ("1970-01-01", 0), ("1970-01-02T00:00:00", 86400), ("2000-02-29", 951_782_400),
            ("2006-06-17T16:01:21", 1_150_560_081), ("2038-01-19T03:14:08", 2_147_483_648),
            ("2100-03-01", 4_107_542_400),
        ] as [(String, Int64)])
    func dates(_ text: String, _ seconds: Int64) throws {
        #expect(try spec("-rtc base=\(text)").clock.base == .start(seconds))
    }

    @Test(arguments: [
        "1969-12-31", "2001-02-29", "2100-02-29", "2000-13-01", "2000-00-10", "2000-01-00", "2000-01-32",
        "2000-01-01T24:00:00", "2000-01-01T00:60:00", "2000-01-01T00:00:60", "2000-01-01T", "2000-01", "2000-01-01T1",
        "x", "99999999999999999999-01-01", "2000--1-01", "now",
    ])
    func datesThatAreNone(_ text: String) {
        let error = failure("-rtc base=\(text)")
        #expect(error.contains("invalid datetime format") && error.contains("2006-06-17T16:01:21"), "\(error)")
    }

    // MARK: Escapes

    @Test func twoCommasAreOne() throws {
        #expect(try spec("-drive file=a,,b,,,,c,if=virtio").drives.first { $0.interface == .virtio }?.file == "a,b,,c")
        #expect(try spec("-name a,,b").identity.name == "a,b")
        #expect(try spec("-fw_cfg name=opt/x,string=1,,2").firmware.entries[0].content == .text("1,2"))
        guard case .run(let machine) = try request(["-kernel", "k", "-append", "a,b c=d  e"]) else { return }
        #expect(machine.boot.commandLine == "a,b c=d  e")
        #expect(
            try spec("-nodefaults -serial file:/a,b:c").characterDevices[0].backend
                == .file(path: "/a,b:c", input: nil, appends: false))
    }

    @Test func aWordWithoutAValueIsASwitch() throws {
        #expect(
            try spec("-chardev socket,id=c,path=/s,server,nowait").characterDevices.contains {
                if case .socket(let socket) = $0.backend { socket.isServer && !socket.waits } else { false }
            })
        // The first word of -boot is the order, whatever it looks like.
        #expect(failure("-boot menu") != "no error")
    }

    @Test func flagsMayHaveTwoDashes() throws {
        let uuid = "-uuid 00112233-4455-6677-8899-aabbccddeeff"
        #expect(try spec("\(uuid) --nodefaults --smp 2") == spec("\(uuid) -nodefaults -smp 2"))
    }

    @Test func filesOfArgumentsAreSplitLikeAShellDoes() throws {
        let machine = try spec(
            "@f", files: ["f": "-name 'a b' \\\n  -kernel \"k c\" -append x\\ y\n# a remark\n-m 64\n"])
        #expect(machine.identity.name == "a b" && machine.boot.kernel == "k c")
        #expect(machine.boot.commandLine == "x y" && machine.memory.bytes == 64 << 20)
        #expect(failure("@none").contains("none"))
        #expect(failure("@f", files: ["f": "-name 'a"]) != "no error")
        // A file that names itself ends.
        #expect(failure("@f", files: ["f": "@f"]) != "no error")
    }
}
