// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import CharacterStreams
import ControlProtocol
import ControlServer
import GuestMemory
import HostIO
import HostSystem
import MachineModel
import MachineRuntime
import StreamTestKit
import Testing

/// A body as a packet.
private func packet(_ body: String) -> [UInt8] {
    let sum = body.utf8.reduce(UInt8(0)) { $0 &+ $1 }
    let digits = String(sum, radix: 16)
    return Array("$\(body)#\(digits.count == 1 ? "0" : "")\(digits)".utf8)
}

private func hexadecimal(_ text: String) -> String {
    text.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// A client of the stub, on a machine whose threads do not run.
private final class Client {
    let machine: SmallMachine
    let stream = MemoryStream("gdb")

    init(processors: Int = 2) throws {
        machine = try SmallMachine(processors: processors)
        machine.server.setDebugger(on: stream)
        _ = ask("QStartNoAckMode")
    }

    /// The bodies of the packets that answer a packet.
    func ask(_ body: String) -> [String] {
        stream.type(packet(body))
        machine.pump()
        return Self.bodies(stream.takeText())
    }

    static func bodies(_ text: String) -> [String] {
        text.split(separator: "$").dropFirst(text.hasPrefix("$") ? 0 : 1).map { part in
            String(part.prefix { $0 != "#" })
        }
    }
}

@Suite struct DebuggerPacketTests {
    @Test func acknowledgesUntilToldOtherwise() throws {
        let machine = try SmallMachine()
        let stream = MemoryStream("gdb")
        machine.server.setDebugger(on: stream)
        stream.type(packet("?"))
        #expect(stream.takeText() == "+$T05thread:01;#07")
        stream.type("-")
        #expect(stream.takeText() == "$T05thread:01;#07")
        stream.type("$?#00")
        #expect(stream.takeText() == "-")
        stream.type(packet("QStartNoAckMode"))
        #expect(stream.takeText() == "+$OK#9a")
        stream.type(packet("qC"))
        #expect(stream.takeText() == "$QC01#f5")
    }

    @Test func connectingStopsTheMachine() throws {
        let machine = try SmallMachine()
        machine.runner.resume()
        let stream = MemoryStream("gdb", isOpen: false)
        machine.server.setDebugger(on: stream)
        #expect(machine.runner.state == .running)
        stream.setOpen(true)
        #expect(machine.runner.state == .paused)
    }

    @Test func packetsThatAreTooLongOrBrokenAreRefused() throws {
        let client = try Client()
        #expect(client.ask("m0,1" + String(repeating: "0", count: 0x5000)) == [])
        for body in [
            "m", "m0", "m,1", "m0,x", "m0,ffffffffffffffff", "M0,2:0", "M0,1:zz", "p", "pffff", "P", "P0=", "P0=zz",
            "G0",
            "Hx1", "Hg99", "T99", "Z", "Z0", "Z0,,", "Z9,0,0", "Z2,0,ff", "X0,4:ab", "vCont;x", "vCont;s:77",
            "qXfer:features:read:",
            "qXfer:features:read:target.xml:ffffffff,10", "qXfer:features:read:other.xml:0,10", "qRcmd,zz", "c0x", "",
        ] {
            let answer = client.ask(body)
            #expect(answer.count == 1 && (answer[0].isEmpty || answer[0].hasPrefix("E")), "\(body): \(answer)")
        }
    }

    @Test func randomBytesNeverTrap() throws {
        let client = try Client()
        let alphabet = Array("$#+-mMgGpPzZqvXHTs0123456789abcdef,;:=}\u{3}".utf8)
        for _ in 0..<3000 {
            client.stream.type((0..<Int.random(in: 1..<40)).map { _ in alphabet.randomElement() ?? 0 })
            client.machine.pump()
            if client.machine.runner.state == .running { client.machine.runner.pause() }
        }
    }
}

@Suite struct DebuggerStateTests {
    @Test func threadsAreProcessors() throws {
        let client = try Client()
        #expect(client.ask("qfThreadInfo") == ["m01,02"] && client.ask("qsThreadInfo") == ["l"])
        #expect(client.ask("Hg2") == ["OK"] && client.ask("qC") == ["QC02"] && client.ask("T2") == ["OK"])
        client.machine.processors[1].isHalted = true
        #expect(client.ask("qThreadExtraInfo,2") == [hexadecimal("CPU#1 [halted ]")])
        #expect(client.ask("qAttached") == ["1"])
        #expect(client.ask("qSupported:xmlRegisters=i386")[0].contains("qXfer:features:read+"))
    }

    @Test func theTargetDescriptionComesInPieces() throws {
        let client = try Client()
        var document = ""
        while true {
            let part = try #require(
                client.ask("qXfer:features:read:target.xml:\(String(document.utf8.count, radix: 16)),7fb").first)
            document += part.dropFirst()
            if part.hasPrefix("l") { break }
        }
        #expect(document.hasPrefix("<?xml") && document.hasSuffix("</target>\n"))
        #expect(document.contains("<architecture>i386:x86-64</architecture>"))
        // GDB takes a description only with these features complete.
        for name in ["rax", "r15", "rip", "eflags", "gs", "st7", "fop", "xmm15", "mxcsr", "fs_base", "cr3", "ymm15h"] {
            #expect(document.contains("<reg name=\"\(name)\""))
        }
    }

    @Test func registers() throws {
        let client = try Client()
        let processor = client.machine.processors[0]
        processor.registers.efer = 1 << 10
        processor.registers.cs.attributes = 0xA09B
        processor.registers.general[3] = 0x0102_0304_0506_0708
        processor.registers.rip = 0xFFFF_FFFF_8100_0000
        // RBX is GDB's register 1, RIP its 16.
        #expect(client.ask("p1") == ["0807060504030201"] && client.ask("p10") == ["00000081ffffffff"])
        let all = try #require(client.ask("g").first)
        #expect(all.utf8.count == 2 * (24 * 8 - 7 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 9 * 8 + 16 * 16))
        #expect(client.ask("P0=8877665544332211") == ["OK"] && processor.registers.general[0] == 0x1122_3344_5566_7788)
        #expect(client.ask("P28=" + String(repeating: "ab", count: 16)) == ["OK"])
        #expect(processor.registers.fxsave[160..<176].allSatisfy { $0 == 0xAB })
        let changed = "0100000000000000" + all.dropFirst(16)
        #expect(client.ask("G" + changed) == ["OK"] && processor.registers.general[0] == 1)
        // A control register cannot be changed, a selector only in real mode.
        #expect(client.ask("P3c=0000000000000000") == ["E22"])
        #expect(client.ask("P12=34120000") == ["OK"] && processor.registers.cs.base == 0x12340)
    }

    @Test func upperHalvesShowOnlyIn64BitCode() throws {
        let client = try Client()
        client.machine.processors[0].registers.general[0] = 0xFFFF_FFFF_0000_0001
        #expect(client.ask("p0") == ["0100000000000000"])
    }

    @Test func memory() throws {
        let client = try Client()
        client.machine.processors[0].offset = 0x100
        #expect(client.ask("M10,3:010203") == ["OK"])
        #expect(try client.machine.memory.read(at: 0x110, count: 3) == [1, 2, 3])
        #expect(client.ask("m10,4") == ["01020300"])
        client.stream.type(packet("X20,2:}\u{3}"))
        #expect(Client.bodies(client.stream.takeText()) == ["E22"])
        // 0x7D escapes the next byte, which is XORed with 0x20: 0x03 stands for '#'.
        client.stream.type(packet("X20,1:}\u{3}"))
        #expect(Client.bodies(client.stream.takeText()) == ["OK"])
        #expect(try client.machine.memory.read(at: 0x120, count: 1) == [0x23])
        #expect(client.ask("m800000000000000,4") == ["E14"])
        #expect(client.ask("Qqemu.PhyMemMode:1") == ["OK"] && client.ask("m110,3") == ["010203"])
    }

    @Test func monitorCommands() throws {
        let client = try Client()
        #expect(
            client.ask("qRcmd," + hexadecimal("info status")) == [
                "O" + hexadecimal("VM status: paused (prelaunch)\n"), "OK",
            ])
    }

    @Test func pointsReachEveryProcessor() throws {
        let client = try Client()
        #expect(
            client.ask("Z0,1000,1") == ["OK"] && client.ask("Z2,2000,8") == ["OK"] && client.ask("Z4,3000,4") == ["OK"])
        for processor in client.machine.processors {
            #expect(processor.debugPoints.breakpoints == [0x1000])
            #expect(
                processor.debugPoints.watchpoints == [
                    .init(address: 0x2000, count: 8, onRead: false, onWrite: true),
                    .init(address: 0x3000, count: 4, onRead: true, onWrite: true),
                ])
        }
        #expect(client.ask("z0,1000,1") == ["OK"] && client.ask("z2,2000,8") == ["OK"])
        #expect(client.machine.processors[1].debugPoints.watchpoints.count == 1)
        // Detaching takes the rest away and lets the machine go on.
        #expect(client.ask("D") == ["OK"])
        #expect(client.machine.processors[1].debugPoints.isEmpty && client.machine.runner.state == .running)
    }

    @Test func aLostConnectionTakesItsPointsAlong() throws {
        let client = try Client()
        _ = client.ask("Z1,1000,1")
        client.stream.setOpen(false)
        #expect(client.machine.processors[0].debugPoints.isEmpty)
    }

    @Test func interruptingStops() throws {
        let client = try Client()
        #expect(client.ask("c") == [] && client.machine.runner.state == .running)
        client.stream.type([3])
        #expect(Client.bodies(client.stream.takeText()) == ["T02thread:01;"])
        #expect(client.machine.runner.state == .paused)
    }

    @Test func aStopFromElsewhereIsReported() throws {
        let client = try Client()
        _ = client.ask("vCont;c")
        client.machine.runner.pause()
        #expect(Client.bodies(client.stream.takeText()) == ["T02thread:01;"])
    }

    @Test func killingEndsTheProcess() throws {
        let client = try Client()
        var events: [MachineEvent] = []
        client.machine.runner.observe { events.append($0) }
        #expect(client.ask("k") == [])
        #expect(events == [.shutdown(.hostQMPQuit)])
    }
}

/// With the vCPUs' threads: the loop runs on a thread of its own, the test waits for packets.
@Suite struct DebuggerRunTests {
    /// Collects what the stub sends, on any thread.
    private final class Inbox: @unchecked Sendable {
        private let lock = Lock()
        private var text = ""
        private static let patience: UInt64 = 20_000_000_000

        func add(_ more: String) {
            lock.withLock {
                text += more
                lock.broadcast()
            }
        }

        /// Waits until a packet with this beginning has come, and takes everything.
        func wait(for beginning: String) -> String? {
            lock.withLock {
                let deadline = monotonicNanoseconds() + Self.patience
                while !text.contains("$" + beginning) {
                    if !lock.wait(until: deadline) { return nil }
                }
                defer { text = "" }
                return text
            }
        }
    }

    private final class Session: @unchecked Sendable {
        let machine: SmallMachine
        let stream = MemoryStream("gdb")
        let inbox = Inbox()
        private var thread: HostThread?

        init(_ onRun: [(StillCPU) -> CPUExit]) throws {
            machine = try SmallMachine(processors: onRun.count)
            for (processor, body) in zip(machine.processors, onRun) { processor.onRun = body }
        }

        func start() throws {
            machine.server.setDebugger(on: stream)
            thread = try HostThread(name: "loop") { [self] in
                do { _ = try machine.runner.run(startPaused: true) } catch { Issue.record("\(error)") }
            }
        }

        /// Sends a packet from the loop's thread and waits for an answer that begins so.
        func ask(_ body: String, _ beginning: String) -> String? {
            machine.loop.post { [self] in
                stream.type(packet(body))
                pass()
            }
            // Stop replies come from events: look again whenever one has been handled.
            machine.loop.post { [self] in pass() }
            return inbox.wait(for: beginning)
        }

        func pass() { inbox.add(stream.takeText()) }

        func end() {
            machine.runner.requestExit(status: 0, cause: .hostQMPQuit)
            thread?.join()
        }
    }

    @Test func aBreakpointAndAStepStopEverything() throws {
        let steps = LockedCount()
        let session = try Session([
            { processor in
                if processor.debugPoints.singleStep {
                    processor.registers.rip &+= 1
                    steps.add()
                    return .debug(.step)
                }
                processor.registers.rip = 0x1000
                return .debug(.breakpoint)
            },
            { _ in .kicked },
        ])
        try session.start()
        session.machine.runner.observe { [session] _ in session.machine.loop.post { session.pass() } }
        #expect(session.ask("QStartNoAckMode", "OK") != nil)
        #expect(session.ask("Z0,1000,1", "OK") != nil)
        #expect(session.ask("vCont;c", "T05thread:01;")?.contains("$T05thread:01;#07") == true)
        #expect(session.ask("p10", "0010")?.contains("$0010000000000000#") == true)
        #expect(session.ask("vCont;s:1", "T05thread:01;") != nil)
        #expect(session.ask("p10", "0110") != nil && steps.value == 1)
        #expect(session.ask("vCont;s:1;c", "T05thread:01;") != nil && steps.value == 2)
        session.end()
    }

    @Test func aWatchpointNamesItsAddress() throws {
        let session = try Session([{ _ in .debug(.watchpoint(address: 0x2000)) }])
        try session.start()
        session.machine.runner.observe { [session] _ in session.machine.loop.post { session.pass() } }
        #expect(session.ask("Z4,2000,8", "OK") != nil)
        #expect(session.ask("c", "T05thread:01;awatch:2000;") != nil)
        session.end()
    }
}

/// A counter for closures on other threads.
private final class LockedCount: @unchecked Sendable {
    private let lock = Lock()
    private var count = 0
    func add() { lock.withLock { count += 1 } }
    var value: Int { lock.withLock { count } }
}
