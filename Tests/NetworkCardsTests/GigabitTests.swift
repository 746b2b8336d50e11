// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import HostIO
import HostSystem
import MachineModel
import NetworkCards
import PacketPorts
import PCIBus
import StateCoding
import Testing

/// The far end of the wire.
private final class FarEnd: PacketReceiver {
    var frames: [[UInt8]] = []
    func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        // Copied within the call.
        unsafe frames.append(Array(frame))
        return .accepted
    }
    func portIsReady() {}
    func linkChanged(isUp: Bool) {}
}

private final class Messages: MessageInterruptSink {
    var sent: [UInt32] = []
    func deliver(address: UInt64, data: UInt32) { sent.append(data) }
}

/// A card on a bus, with a driver's hands.
private final class Bench {
    static let address: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56]
    static let registers: UInt64 = 0xE000_0000, ring: UInt64 = 0x1000, receiveRing: UInt64 = 0x2000
    let loop: EventLoop
    let memory = GuestMemory()
    let space: AddressSpace, ports: AddressSpace
    let messages = Messages()
    let bus: PCIBus
    let card: GigabitController
    let far = FarEnd()
    let wire: LoopbackPort, near: LoopbackPort

    init(_ model: GigabitModel = .i82540EM) throws {
        loop = try EventLoop()
        let lock = Lock()
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        (space, ports) = (AddressSpace(machineLock: lock), AddressSpace(machineLock: lock))
        bus = PCIBus(name: "pci.0", ports: ports, memory: space, messages: messages)
        (near, wire) = LoopbackPort.pair(on: loop)
        wire.receiver = far
        card = GigabitController(
            model, address: Self.address, memory: memory, port: near, loop: loop, machineLock: lock)
        try bus.add(card)
        card.writeConfig(offset: 0x10, size: 4, value: UInt32(Self.registers))
        card.writeConfig(offset: 4, size: 2, value: 7)
    }

    func read(_ offset: UInt64) -> UInt32 { UInt32(space.read(Self.registers + offset, size: 4)) }
    func write(_ offset: UInt64, _ value: UInt32) {
        space.write(Self.registers + offset, size: 4, value: UInt64(value))
    }
    func run() { for _ in 0..<6 { loop.runOnce(timeoutMilliseconds: 0) } }

    /// A ring of 8 descriptors.
    func startTransmitting() {
        write(0x3800, UInt32(Self.ring))
        write(0x3808, 128)
        write(0x400, 2)
    }
    func descriptor(_ index: Int, _ words: [UInt32]) throws {
        for (place, word) in words.enumerated() {
            try memory.store(word, at: Self.ring + UInt64(index * 16 + place * 4))
        }
    }
    func startReceiving(_ control: UInt32 = 0x8002, buffers: UInt32 = 4) throws {
        for index in 0..<8 {
            try memory.store(UInt64(0x4000 + index * 0x800), at: Self.receiveRing + UInt64(index * 16))
        }
        write(0x2800, UInt32(Self.receiveRing))
        write(0x2808, 128)
        write(0x2818, buffers)
        write(0x100, control)
    }
    func arrive(_ frame: [UInt8]) {
        _ = wire.send(frame)
        run()
    }
}

@Suite struct GigabitTests {
    private func frame(_ count: Int = 100, to target: [UInt8] = Bench.address) -> [UInt8] {
        target + [2, 0, 0, 0, 0, 9, 8, 0] + (0..<count - 14).map { UInt8(truncatingIfNeeded: $0) }
    }

    @Test(arguments: [(GigabitModel.i82540EM, UInt32(0x100E_8086)), (.i82574L, 0x10D3_8086)])
    func theIdentityIsIntels(_ model: GigabitModel, _ identity: UInt32) throws {
        let bench = try Bench(model)
        #expect(bench.card.readConfig(offset: 0, size: 4) == identity)
        #expect(bench.card.classCode == 0x02_0000)
        #expect(bench.read(0x5400) == 0x1200_5452)
        #expect(bench.read(0x5404) == 0x8000_5634)
        #expect(bench.read(0x8) & 2 != 0)
    }

    @Test(arguments: [GigabitModel.i82540EM, .i82574L])
    func theEEPROMAddsUp(_ model: GigabitModel) throws {
        let bench = try Bench(model)
        let shift: UInt32 = model == .i82574L ? 2 : 8, done: UInt32 = model == .i82574L ? 2 : 0x10
        var sum: UInt16 = 0
        for word in UInt32(0)..<64 {
            bench.write(0x14, 1 | word << shift)
            #expect(bench.read(0x14) & done != 0)
            sum &+= UInt16(bench.read(0x14) >> 16)
            if word == 0 { #expect(bench.read(0x14) >> 16 == 0x5452) }
        }
        #expect(sum == 0xBABA)
    }

    @Test func theEEPROMsWiresGiveTheSameWords() throws {
        let bench = try Bench()
        func word(_ index: UInt32) -> UInt32 {
            func clock(_ bit: UInt32) {
                bench.write(0x10, 2 | bit << 2)
                bench.write(0x10, 3 | bit << 2)
                bench.write(0x10, 2 | bit << 2)
            }
            bench.write(0x10, 2)
            for shift in stride(from: UInt32(8), through: 0, by: -1) { clock((6 << 6 | index) >> shift & 1) }
            var value: UInt32 = 0
            for _ in 0..<16 {
                bench.write(0x10, 3)
                value = value << 1 | bench.read(0x10) >> 3 & 1
                bench.write(0x10, 2)
            }
            bench.write(0x10, 0)
            return value
        }
        for index in [UInt32(0), 1, 2, 13, 63] {
            bench.write(0x14, 1 | index << 8)
            #expect(word(index) == bench.read(0x14) >> 16)
        }
    }

    @Test func theTransceiverAnswers() throws {
        let bench = try Bench()
        bench.write(0x20, 2 << 26 | 1 << 21 | 2 << 16)
        #expect(bench.read(0x20) & 0x1000_FFFF == 0x1000_0141)
        bench.write(0x20, 2 << 26 | 1 << 21 | 1 << 16)
        #expect(bench.read(0x20) & 0x24 == 0x24)
        // Another address has nobody.
        bench.write(0x20, 2 << 26 | 2 << 21 | 1 << 16)
        #expect(bench.read(0x20) & 0x4000_0000 != 0)
        bench.card.setLink(false)
        #expect(bench.read(0x8) & 2 == 0 && bench.read(0xC0) & 4 != 0)
    }

    @Test func framesAreSentAndReported() throws {
        let bench = try Bench()
        bench.startTransmitting()
        let sent = frame()
        try bench.memory.write(sent, at: 0x8000)
        try bench.descriptor(0, [0x8000, 0, 60 | 0, 0])
        try bench.descriptor(1, [0x8000 + 60, 0, 40 | 0x0B00_0000, 0])
        bench.write(0xD0, 1)
        bench.write(0x3818, 2)
        bench.run()
        #expect(bench.far.frames == [sent])
        #expect(try bench.memory.load(UInt32.self, at: Bench.ring + 28) & 1 == 1)
        #expect(bench.read(0x3810) == 2)
        #expect(bench.read(0xC0) & 3 == 3)
        // Reading took the causes back.
        #expect(bench.read(0xC0) == 0)
    }

    @Test func longSegmentsAreCut() throws {
        let bench = try Bench(.i82574L)
        bench.startTransmitting()
        // Ethernet, IPv4 and TCP headers of 54 bytes and 250 bytes of payload, in pieces of 100.
        var packet = frame(14)
        packet += [0x45, 0, 0, 0, 0x10, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]
        packet += [0x30, 0x39, 0, 80, 0, 0, 1, 0, 0, 0, 0, 0, 0x50, 0x19, 0x20, 0, 0x12, 0x34, 0, 0]
        packet += (0..<250).map { UInt8($0) }
        try bench.memory.write(packet, at: 0x8000)
        try bench.descriptor(0, [14 | 24 << 8 | 33 << 16, 34 | 50 << 8, 250 | 0x2700_0000, 54 << 8 | 100 << 16])
        try bench.descriptor(1, [0x8000, 0, UInt32(packet.count) | 0x2D10_0000, 0x300])
        bench.write(0x3818, 2)
        bench.run()
        #expect(bench.far.frames.map(\.count) == [154, 154, 104])
        for (index, part) in bench.far.frames.enumerated() {
            func sum(_ bytes: ArraySlice<UInt8>, _ start: UInt32 = 0) -> UInt32 {
                var total = start
                for place in stride(from: bytes.startIndex, to: bytes.endIndex, by: 2) {
                    total += UInt32(bytes[place]) << 8 | (place + 1 < bytes.endIndex ? UInt32(bytes[place + 1]) : 0)
                }
                while total >> 16 != 0 { total = total & 0xFFFF + total >> 16 }
                return total
            }
            #expect(sum(part[14..<34]) == 0xFFFF)
            #expect(Int(part[16]) << 8 | Int(part[17]) == part.count - 14)
            #expect(Int(part[19]) == index)
            #expect(Int(part[40]) << 8 | Int(part[41]) == 0x100 + index * 100)
            #expect(part[47] & 9 == (index == 2 ? 9 : 0))
        }
    }

    @Test func framesAreReceivedInOrder() throws {
        let bench = try Bench()
        try bench.startReceiving()
        bench.write(0xD0, 0x80)
        bench.arrive(frame())
        bench.arrive(frame(70, to: [UInt8](repeating: 0xFF, count: 6)))
        // Of somebody else.
        bench.arrive(frame(70, to: [2, 2, 2, 2, 2, 2]))
        #expect(bench.read(0x2810) == 2)
        #expect(try bench.memory.read(at: 0x4000, count: 100) == frame())
        let words = try (0..<2).map { try bench.memory.load(UInt32.self, at: Bench.receiveRing + 8 + UInt64($0 * 4)) }
        // With the checksum's four bytes; done and end of packet.
        #expect(words[0] & 0xFFFF == 104 && words[1] & 3 == 3)
        #expect(bench.read(0xC0) & 0x80 != 0)
    }

    @Test func extendedDescriptorsAndVectorsOfTheExpressCard() throws {
        let bench = try Bench(.i82574L)
        bench.write(0x5008, 0x8000)
        try bench.startReceiving(0x0400_8002)
        let bar: UInt64 = 0xE010_0000
        bench.card.writeConfig(offset: 0x1C, size: 4, value: UInt32(bar))
        bench.space.write(bar + 16, size: 8, value: 0xFEE0_0000)
        bench.space.write(bar + 24, size: 8, value: 0x41)
        bench.card.writeConfig(offset: 0xA2, size: 2, value: 0x8000)
        bench.write(0xE4, 8 | 1)
        bench.write(0xDC, 1 << 20)
        bench.write(0xD0, 1 << 20)
        bench.arrive(frame())
        #expect(bench.messages.sent == [0x41])
        #expect(try bench.memory.load(UInt32.self, at: Bench.receiveRing + 8) & 3 == 3)
        #expect(try bench.memory.load(UInt16.self, at: Bench.receiveRing + 12) == 100)
        // The vector took its cause and its mask along; the driver opens it again.
        bench.arrive(frame())
        #expect(bench.messages.sent.count == 1)
        bench.write(0xD0, 1 << 20)
        #expect(bench.messages.sent.count == 2)
    }

    /// Linux's handler of the gathered causes reads them, which takes them back, and opens the mask again: one message a
    /// change of the link, and none for the mask.
    @Test func linkChangesAreToldOnceByVector() throws {
        let bench = try Bench(.i82574L)
        let bar: UInt64 = 0xE010_0000, other: UInt32 = 1 << 24, linkChanged: UInt32 = 4
        bench.card.writeConfig(offset: 0x1C, size: 4, value: UInt32(bar))
        bench.space.write(bar + 32, size: 8, value: 0xFEE0_0000)
        bench.space.write(bar + 40, size: 8, value: 0x42)
        bench.card.writeConfig(offset: 0xA2, size: 2, value: 0x8000)
        // Linux's settings: the vector of the gathered causes is 2, which masks itself and is not taken back by itself.
        bench.write(0xE4, 0xA << 16)
        bench.write(0xE0, 0xFFFF_FFFF)
        bench.write(0x18, 0x9140_0000)
        bench.write(0xDC, 0x50_0000)
        bench.write(0xD0, other | linkChanged)
        for round in 1...3 {
            bench.card.setLink(round % 2 == 0)
            #expect(bench.messages.sent == Array(repeating: 0x42, count: round))
            #expect(bench.read(0xC0) & (other | linkChanged) == other | linkChanged)
            bench.write(0xD0, other | linkChanged)
            #expect(bench.messages.sent.count == round)
            #expect(bench.read(0xC0) == 0)
        }
        // What is not read stays, and is told once, however often the mask is written.
        bench.card.setLink(true)
        for _ in 0..<3 { bench.write(0xD4, 0) }
        bench.write(0xD0, linkChanged)
        #expect(bench.messages.sent.count == 4)
        bench.write(0xC0, other)
        #expect(bench.read(0xC0) == 0)
    }

    @Test func aFullRingWaits() throws {
        let bench = try Bench()
        try bench.startReceiving(buffers: 1)
        for count in [80, 90, 100] { bench.arrive(frame(count)) }
        #expect(bench.read(0x2810) == 1)
        bench.write(0x2818, 4)
        bench.run()
        #expect(bench.read(0x2810) == 3)
        #expect(try bench.memory.read(at: 0x5000, count: 100) == frame(100))
    }

    @Test func aStateComesBack() throws {
        let bench = try Bench(.i82574L), other = try Bench(.i82574L)
        try bench.startReceiving()
        bench.write(0x20, 1 << 26 | 1 << 21 | 4 << 16 | 0x1234)
        bench.arrive(frame())
        try other.card.checkState(try bench.card.saveState(as: "card"))()
        #expect(other.read(0x2810) == 1 && other.read(0x100) == 0x8002)
        #expect(try other.card.saveState(as: "card") == bench.card.saveState(as: "card"))
        #expect(throws: StateError.self) { _ = try Bench().card.checkState(try bench.card.saveState(as: "card")) }
    }

    @Test func rubbishInTheRegistersDoesNoHarm() throws {
        var random = SystemRandomNumberGenerator()
        for model in GigabitModel.all {
            let bench = try Bench(model)
            for round in 0..<3000 {
                let places: [UInt64] = [
                    0, 0x10, 0x14, 0x20, 0xC0, 0xC8, 0xD0, 0x100, 0x400, 0x2800, 0x2808, 0x2810, 0x2818, 0x3800, 0x3808,
                    0x3810, 0x3818, 0x5008, .random(in: 0..<0x20000, using: &random),
                ]
                let value = UInt32.random(in: 0...(.max), using: &random)
                bench.write(places.randomElement(using: &random)!, round % 3 == 0 ? value & 0xFFFF : value)
                _ = bench.read(places.randomElement(using: &random)! & ~3)
                if round % 16 == 0 { bench.arrive(frame(.random(in: 14...1600, using: &random))) }
            }
        }
    }
}
