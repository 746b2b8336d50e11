// SPDX-License-Identifier: Apache-2.0

import CommandLineKit
import MachineSpec
import RandomKit
import StorageTestKit
import Testing

/// Properties of every flag of the table.
@Suite struct FlagTableTests {
    @Test(arguments: VMMFlags.table.flags.map(\.name)) func flagsWithAnArgumentNeedIt(_ name: String) throws {
        let flag = try #require(VMMFlags.table.flags.first { $0.name == name })
        let alone = failure("-\(name)")
        if flag.argument != nil {
            #expect(alone.hasPrefix("-\(name): requires an argument"), "\(alone)")
        } else {
            #expect(!alone.contains("requires an argument"))
        }
    }

    @Test(arguments: VMMFlags.table.flags.map(\.name)) func theHelpNamesEachFlag(_ name: String) throws {
        let text = try printed("-help")
        #expect(text.contains("\n-\(name) ") || text.contains("\n-\(name)\n") || text.contains("-\(name)"))
    }

    /// Values that are wrong for nearly every flag.
    @Test(arguments: VMMFlags.table.flags.filter { $0.argument != nil }.map(\.name))
    func anyValueIsTakenOrRefusedInOneLine(_ name: String) {
        let values = [
            "", ",", ",,", "=", "a=", "=a", "{", "{}", "[]", "null", "{\"a\":{\"b\":[1,2,{}]}}", "-1", "0", "1e9",
            "18446744073709551616", "99999999999999999999999999999999", "\u{0}", "é", "a\nb", "/", "../..", "on", "off",
            "id=", "id=a,id=a", "file=x", String(repeating: "a", count: 5000), String(repeating: ",", count: 3000),
            String(repeating: "{\"a\":", count: 500), String(repeating: "[", count: 5000), "help,", "driver=", "%s%n",
            "0x", "0xfffffffffffffffff", "1.2.3.4.5", ":", "::", "[::1]:5", "tcp:", "unix:", "type=user,id=1",
        ]
        for value in values {
            guard case .failure(let text) = outcome(["-\(name)", value]) else { continue }
            #expect(!text.isEmpty && text.utf8.count < 12_000)
        }
    }

    private enum Outcome {
        case machine
        case failure(String)
    }

    private func outcome(_ arguments: [String]) -> Outcome {
        do {
            _ = try request(arguments)
            return .machine
        } catch { return .failure("\(error)") }
    }

    /// Lines that people and programs really type.
    private static let lines = [
        "-M q35,accel=kvm:tcg,kernel-irqchip=split -cpu max,+x2apic,-avx,vendor=GenuineIntel -smp 4,sockets=2,cores=2",
        "-m 1.5G -mem-path /dev/shm -mem-prealloc -nodefaults -no-user-config -vga std -vnc 127.0.0.1:5,to=9,share=ignore",
        "-drive file=a,,b.qcow2,if=virtio,cache=none,aio=io_uring,discard=unmap,file.locking=off,werror=stop,serial=s1",
        "-blockdev {\"driver\":\"qcow2\",\"node-name\":\"n\",\"file\":{\"driver\":\"file\",\"filename\":\"/x\"}}",
        "-netdev user,id=n,net=10.0.2.0/24,host=10.0.2.2,dhcpstart=10.0.2.15,hostfwd=tcp:127.0.0.1:22-10.0.2.15:22",
        "-netdev tap,id=t,ifname=tap0,script=no,downscript=no -netdev socket,id=s,listen=:1234 -nic none",
        "-device {\"driver\":\"virtio-net-pci\",\"netdev\":\"n\",\"mac\":\"52:54:00:00:00:01\",\"bus\":\"pcie.0\",\"addr\":\"0x1.7\"}",
        "-chardev socket,id=c,host=::1,port=80,server=on,wait=off,telnet=on,reconnect=0,logfile=/l,logappend=on",
        "-serial mon:stdio -monitor unix:/m,server,nowait -qmp tcp:localhost:4444,server=on,wait=off -debugcon file:d",
        "-rtc base=2006-06-17T16:01:21,clock=vm,driftfix=slew -boot order=nc,once=d,menu=on,splash-time=5,strict=on",
        "-smbios type=4,sock_pfx=S,max-speed=3000 -fw_cfg name=opt/a,string=x -uuid 00112233-4455-6677-8899-aabbccddeeff",
        "-object memory-backend-file,id=m,size=1G,mem-path=/x,share=on -object secret,id=s,data=a,format=base64,iv=x",
        "-sandbox on,obsolete=deny,spawn=deny -action reboot=shutdown,panic=none -trace enable=virtio_*,file=/t -d cpu,in_asm",
    ]

    /// Real lines with bytes changed, words swapped, pieces repeated and cut.
    @Test func damagedLinesAreMachinesOrOneLine() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<6000 {
            var words = (Self.lines.randomElement(using: &random) ?? "").split(separator: " ").map { Array($0.utf8) }
            for _ in 0..<Int.random(in: 1...4, using: &random) { damage(&words, &random) }
            guard case .failure(let text) = outcome(words.map { String(decoding: $0, as: UTF8.self) }) else { continue }
            #expect(!text.isEmpty)
        }
    }

    private func damage(_ words: inout [[UInt8]], _ random: inout SeededGenerator) {
        let place = Int.random(in: 0..<words.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: words.swapAt(place, Int.random(in: 0..<words.count, using: &random))
        case 1: words.insert(words[place], at: place)
        case 2: words[place] = Array(words[place].prefix(Int.random(in: 0...words[place].count, using: &random)))
        case 3: words[place] += [0x2c] + words[Int.random(in: 0..<words.count, using: &random)]
        case 4:
            let special = Array(",=:{}[]\"0-9.@/ \\\u{7f}".utf8)
            let at = Int.random(in: 0...words[place].count, using: &random)
            words[place].insert(special.randomElement(using: &random) ?? 0, at: at)
        default:
            guard !words[place].isEmpty else { return }
            let at = Int.random(in: 0..<words[place].count, using: &random)
            words[place][at] = UInt8.random(in: 1...255, using: &random)
        }
    }

    @Test func theLinesAreMachinesThemselves() {
        for line in Self.lines {
            // Some name files or back ends that are not given here; none is unreadable.
            let text = failure(line)
            #expect(!text.contains("Invalid parameter") && !text.contains("invalid option"), "\(line): \(text)")
        }
    }
}
