// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import CharacterStreams
import ControlProtocol
import ControlServer
import GuestMemory
import MachineModel
import MachineRuntime
import MachineSpec
import StreamTestKit
import Testing

@Suite struct HumanMonitorTests {
    let machine: SmallMachine
    private let stream = MemoryStream("compat_monitor0")

    init() throws {
        machine = try SmallMachine(processors: 2)
        machine.server.addMonitor(on: stream, mode: .readline)
    }

    /// What a line prints: without its echo and the next prompt.
    private func run(_ line: String) -> String {
        _ = stream.takeText()
        stream.type(line + "\r")
        machine.pump()
        let text = stream.takeText().replacing("\r\n", with: "\n")
        let body = text.dropFirst(text.prefix { $0 != "\n" }.count + 1)
        return String(body.replacing("(qemu) ", with: ""))
    }

    @Test func greetingAndPrompt() {
        #expect(stream.takeText() == "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ")
    }

    /// The texts that qemu-system-x86_64 7.2 prints for these lines.
    @Test(arguments: [
        ("info status", "VM status: paused (prelaunch)\n"), ("foo", "unknown command: 'foo'\n"),
        ("info foo", "unknown command: 'info foo'\n"), ("print 1+2*3", "0x7\n"), ("p 0", "0\n"), ("p/d 7", "7\n"),
        ("p/u -1", "18446744073709551615\n"),
        ("gva2gpa 0", "gpa: 0\n"), ("info usb", "Error: USB support not enabled\n"),
        ("gpa2hva 0xfffffffff0000000", "Error: No memory is mapped at address 0xfffffffff0000000\n"),
        ("p/x 255", "0xff\n"),
        ("p $eip", "0xfff0\n"), ("p/c 65", "'A'\n"), ("p/o 8", "010\n"),
        ("p $foo", "unknown register\nTry \"help p\" for more information\n"),
        ("p (1", "')' expected\nTry \"help p\" for more information\n"),
        ("x/0", "unexpected end of expression\nTry \"help x\" for more information\n"),
        ("xp/s 0", "invalid char in format: 's'\nTry \"help xp\" for more information\n"),
        ("gva2gpa 0x1000", "gpa: 0x1000\n"), ("cpu 9", "invalid CPU index\n"),
        ("cpu", "unexpected end of expression\nTry \"help cpu\" for more information\n"),
        ("info kvm", "kvm support: disabled\n"), ("info mem", "PG disabled\n"), ("info tlb", "PG disabled\n"),
        ("info cpus", "* CPU #0: thread_id=4242\n  CPU #1: thread_id=4242\n"),
        ("info balloon", "Error: No balloon device has been activated\n"),
        ("set_link x off", "Error: Device 'x' not found\n"), ("chardev-remove x", "Error: Chardev 'x' not found\n"),
        ("system_wakeup", "Error: Unable to wake up: guest is not in suspended state\n"),
        ("sum 0 16", "00000\n"), ("help stop", "stop|s  -- stop emulation\n"),
        ("gdbserver none", "Disabled gdbserver\n"),
        ("info numa", "0 nodes\n"), ("info dump", "Status: none\n"), ("info memdev", "\n"), ("info tpm", ""),
        ("info vm-generation-id", "Error: VM Generation ID device not found\n"),
        ("info trace-events xyz", "unknown event \"xyz\"\n"),
        ("closefd x", "Error: File descriptor named 'x' not found\n"),
        ("ringbuf_read foo 10", "Error: Device 'foo' not found\n"),
        ("qom-get /machine type", "\"pc-q35-7.2-machine\"\n"),
        ("dump-guest-memory -z -l x", "Error: only one of '-z|-l|-s|-w' can be set\n"),
        ("trace-event foo on", "unknown event \"foo\"\n"), ("info uuid", "00000000-0000-0000-0000-000000000000\n"),
        (
            "info network",
            "nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\n"
                + " \\ net0: index=0,type=user,net=10.0.2.0,restrict=off\n"
        ),
    ])
    func answersAsQEMU(line: String, text: String) { #expect(run(line) == text) }

    @Test func addressesOfTheHost() throws {
        let region = try #require(machine.memory.regions.first { $0.start == 0 })
        // The address alone is looked at.
        let base = unsafe UInt(bitPattern: region.base)
        #expect(
            run("gpa2hva 0x10")
                == "Host virtual address for 0x10 (\(region.name)) is 0x\(String(base + 16, radix: 16))\n")
    }

    @Test func memoryDumps() throws {
        try machine.memory.write(
            [0xEA, 0x5B, 0xE0, 0x00, 0xF0, 0x30, 0x36, 0x2F, 0x32, 0x33, 0x2F, 0x39, 0x39, 0x00, 0xFC, 0x00], at: 0x10)
        #expect(run("xp/8xb 0x10") == "0000000000000010: 0xea 0x5b 0xe0 0x00 0xf0 0x30 0x36 0x2f\n")
        #expect(run("xp/2gx 0x10") == "0000000000000010: 0x2f3630f000e05bea 0x00fc0039392f3332\n")
        #expect(run("xp/3dw 0x10") == "0000000000000010:   14703594  792080624  959394610\n")
        #expect(run("xp/4cb 0x10") == "0000000000000010: '\\xea' '[' '\\xe0' '\\x00'\n")
        #expect(run("xp/2oh 0x10") == "0000000000000010: 055752   0340\n")
        #expect(run("xp /2uw 0") == "0000000000000000:          0          0\n")
        machine.processors[0].offset = 0x10
        #expect(run("x/1xb 0") == "0000000000000000: 0xea\n")
        #expect(run("x/4xw 0x8000000000000000") == "8000000000000000: Cannot access memory\n")
        #expect(run("xp/99999999999999999999xb 0xfff0").hasSuffix("0000000000010000: Cannot access memory\n"))
    }

    @Test func registersInRealMode() {
        machine.processors[0].registers.general[2] = 0x60FB1
        machine.processors[0].registers.cs = X86Segment(
            selector: 0xF000, base: 0xFFFF_0000, limit: 0xFFFF, attributes: 0x9B)
        machine.processors[0].registers.ss.attributes = 0x93
        let lines = run("info registers").split(separator: "\n").map(String.init)
        #expect(
            lines.prefix(4) == [
                "CPU#0", "EAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1",
                "ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000",
                "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0",
            ])
        #expect(
            lines.contains("CS =f000 ffff0000 0000ffff 00009b00")
                && lines.contains("SS =0000 00000000 0000ffff 00009300"))
        #expect(lines.contains("CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000"))
        #expect(lines.contains("DR6=00000000ffff0ff0 DR7=0000000000000400"))
        #expect(run("info registers -a").contains("\nCPU#1\n"))
    }

    @Test func registersInLongMode() {
        var registers = X86Registers()
        registers.cr0 = 0x8000_0011
        registers.efer = 0xD00
        registers.cs = X86Segment(selector: 0x10, base: 0, limit: 0xFFFF_FFFF, attributes: 0xA09B)
        registers.tr = X86Segment(selector: 0x40, base: 0xFFFF_8000_0000_0000, limit: 0x206F, attributes: 0x8B)
        registers.rflags = 0x246
        registers.rip = 0xFFFF_FFFF_8100_0000
        machine.processors[0].registers = registers
        let text = run("info registers")
        #expect(text.contains("RIP=ffffffff81000000 RFL=00000246 [---Z-P-] CPL=0"))
        #expect(text.contains("CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\n"))
        #expect(text.contains("TR =0040 ffff800000000000 0000206f 00008b00 DPL=0 TSS64-busy\n"))
        #expect(text.contains("XMM14=") && text.contains("GDT=     0000000000000000 0000ffff\n"))
    }

    @Test func pageTables() throws {
        // Four levels at 0x1000...: linear 0xFFFF800000000000 maps a 4 KiB page and the next 2 MiB one at once.
        try machine.memory.store(0x2003 as UInt64, at: 0x1000 + 256 * 8)
        try machine.memory.store(0x3003 as UInt64, at: 0x2000)
        try machine.memory.store(0x4003 as UInt64, at: 0x3000)
        try machine.memory.store(0x20_0183 as UInt64, at: 0x3008)
        try machine.memory.store(0x8000_0000_0000_5061 as UInt64, at: 0x4000 + 511 * 8)
        machine.processors[0].registers.cr0 = 0x8000_0001
        machine.processors[0].registers.cr3 = 0x1000
        machine.processors[0].registers.efer = 0x500
        #expect(
            run("info tlb")
                == "ffff8000001ff000: 0000000000005000 X--DA----\nffff800000200000: 0000000000200000 -GP-----W\n")
        #expect(
            run("info mem")
                == "ffff8000001ff000-ffff800000200000 0000000000001000 -r-\n"
                + "ffff800000200000-ffff800000400000 0000000000200000 -rw\n")
    }

    @Test func tablesThatLoopEnd() throws {
        for entry in 0..<512 { try machine.memory.store(0x1007 as UInt64, at: UInt64(0x1000 + entry * 8)) }
        machine.processors[0].registers.cr0 = 0x8000_0001
        machine.processors[0].registers.cr3 = 0x1000
        machine.processors[0].registers.efer = 0x500
        #expect(run("info mem").hasSuffix("(stopped: the tables are too large or loop)\n"))
    }

    @Test func stoppingAndGoingOn() {
        #expect(run("c") == "" && machine.runner.state == .running)
        #expect(run("info status") == "VM status: running\n")
        #expect(run("s") == "" && machine.runner.state == .paused && run("info status") == "VM status: paused\n")
        #expect(run("nmi") == "" && machine.nonMaskableInterrupts == 1)
        #expect(run("cpu 1") == "" && run("info cpus").hasPrefix("  CPU #0"))
    }

    @Test func linesAreEdited() {
        _ = stream.takeText()
        stream.type("info statux\u{7F}s\r")
        #expect(stream.takeText().contains("VM status: paused"))
        stream.type("\u{1B}[A\r")
        #expect(stream.takeText().contains("VM status: paused"))
        stream.type("nfo status\u{1}i\u{5}\r")
        #expect(stream.takeText().contains("VM status: paused"))
        stream.type("info stat\t\r")
        #expect(stream.takeText().contains("VM status: paused"))
        stream.type("garbage\u{15}\r")
        #expect(!stream.takeText().contains("unknown command"))
    }

    @Test func randomKeysNeverTrap() {
        let keys: [UInt8] = [
            1, 2, 4, 5, 6, 8, 9, 11, 13, 14, 16, 21, 23, 27, 91, 65, 66, 67, 68, 51, 126, 120, 32, 47, 255,
        ]
        for _ in 0..<500 {
            stream.type((0..<40).map { _ in keys.randomElement() ?? 0 })
            machine.pump()
        }
        #expect(!stream.takeText().isEmpty)
    }

    @Test func randomExpressionsNeverTrap() {
        let parts = [
            "1", "0x", "$eip", "(", ")", "+", "-", "*", "/", "%", "&", "~", "'", " ", "9223372036854775807", "0",
        ]
        for _ in 0..<2000 {
            let line = (0..<Int.random(in: 1..<12)).map { _ in parts.randomElement() ?? "" }.joined()
            _ = run("p \(line)")
            _ = run("xp/\(Int.random(in: 0..<40))xg \(line)")
        }
    }

    @Test func everyHelpedCommandExists() {
        let help = run("help")
        #expect(help.contains("x /fmt addr  -- virtual memory dump starting at 'addr'\n"))
        for line in run("info").split(separator: "\n") {
            let topic = line.split(separator: " ")[1]
            #expect(!run("info \(topic)").contains("unknown command"))
        }
    }
}
