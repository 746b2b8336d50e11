// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import HostIO
import HostSystem
import PacketPorts
import RandomKit
import Testing
import Virtio
import VirtioDevices
import VirtqueueDriver

/// The far end of the wire.
private final class FarEnd: PacketReceiver {
    var frames: [[UInt8]] = []
    var isBusy = false
    var readiness = 0
    func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        if isBusy { return .busy }
        // Copied within the call.
        unsafe frames.append(Array(frame))
        return .accepted
    }
    func portIsReady() { readiness += 1 }
    func linkChanged(isUp: Bool) {}
}

@Suite struct VirtioNetworkTests {
    private static let address: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56]
    private let machine: VirtioTestMachine
    private let device: VirtioNetworkDevice
    private let driver: VirtioPCIDriver
    private let wire: LoopbackPort
    private let near: LoopbackPort
    private let far = FarEnd()
    private static let mergeable: UInt64 = 1 << 15

    init() throws { try self.init(.init(address: Self.address)) }

    private init(_ options: VirtioNetworkOptions, offloads: PacketOffloads = [], limit: Int = 256) throws {
        machine = try VirtioTestMachine()
        (near, wire) = LoopbackPort.pair(on: machine.loop, limit: limit, offloads: offloads)
        wire.receiver = far
        device = VirtioNetworkDevice(options, port: near, loop: machine.loop)
        driver = try VirtioPCIDriver(device, in: machine)
    }

    private func frame(_ number: Int, count: Int = 80, to target: [UInt8] = address) -> [UInt8] {
        target + [2, 0, 0, 0, 0, 9, 8, 0] + (0..<count - 14).map { UInt8(truncatingIfNeeded: $0 &+ number) }
    }
    private let broadcast = [UInt8](repeating: 0xFF, count: 6)

    // MARK: Registers

    @Test func identityAndRegisters() throws {
        #expect(driver.configRead(0, 4) == 0x1000_1AF4)
        #expect(driver.configRead(8, 4) == 0x0200_0000)
        // What QEMU 7.2 offers on its user-mode network.
        #expect(driver.offered == 0x1_30BF_8024)
        #expect(driver.read(0x2000, 4) == 0x1200_5452)
        #expect(driver.read(0x2004, 4) == 0x0001_5634)
        #expect(driver.read(0x2008, 4) == 0xFFFF_FFFF)
    }

    @Test func offloadsFollowThePort() throws {
        let other = try VirtioNetworkTests(.init(address: Self.address), offloads: .all)
        #expect(other.driver.offered == 0x1_30BF_FFE7)
        #expect(other.driver.start([0, 1, 2]))
        other.machine.drain()
        #expect(other.near.headerSize == 12 && other.near.receiveOffloads == .all)
    }

    @Test func propertiesSwitchFeaturesOff() throws {
        var options = VirtioNetworkOptions(address: Self.address)
        let names = ["csum", "mrg_rxbuf", "status", "ctrl_vq", "guest_tso4"]
        let known = (names + ["colour"]).map { options.disable($0) }
        #expect(known == [true, true, true, true, true, false])
        let other = try VirtioNetworkTests(options, offloads: .all)
        #expect(other.driver.offered == 0x1_3000_7F62)
        #expect(other.device.queueSizes.count == 2)
    }

    @Test func mtu() throws {
        var options = VirtioNetworkOptions(address: Self.address)
        options.mtu = 9000
        let other = try VirtioNetworkTests(options)
        #expect(other.driver.offered & 8 != 0 && other.driver.read(0x200A, 2) == 9000)
    }

    // MARK: Sending

    @Test(arguments: [false, true]) func sends(indirect: Bool) {
        #expect(driver.start([0, 1, 2]))
        machine.drain()
        let queue = driver.queues[1]!
        queue.usesIndirect = indirect
        for number in 0..<100 {
            let bytes = frame(number, count: 60 + number)
            #expect(
                queue.add(reading: [[UInt8](repeating: 0, count: 12), Array(bytes[..<20]), Array(bytes[20...])]) != nil)
            // A header and a frame in one buffer.
            if indirect { queue.add(reading: [[UInt8](repeating: 0, count: 12) + bytes]) }
            driver.kick(1)
            #expect(machine.pump { queue.outstanding == 0 || !queue.takeUsed().isEmpty && queue.outstanding == 0 })
        }
        #expect(machine.pump { far.frames.count == (indirect ? 200 : 100) })
        #expect(far.frames.last == frame(99, count: 159))
    }

    @Test func sendingWaitsForABusyWire() throws {
        let other = try VirtioNetworkTests(.init(address: Self.address), limit: 4)
        #expect(other.driver.start([0, 1]))
        other.machine.drain()
        other.far.isBusy = true
        let queue = other.driver.queues[1]!
        for number in 0..<40 { queue.add(reading: [[UInt8](repeating: 0, count: 12) + other.frame(number)]) }
        other.driver.kick(1)
        other.machine.drain()
        #expect(other.far.frames.isEmpty && queue.takeUsed().count == 4)
        other.far.isBusy = false
        other.wire.receiverIsReady()
        #expect(other.machine.pump { other.far.frames.count == 40 })
        #expect(other.far.frames == (0..<40).map { other.frame($0) })
        _ = other.machine.pump {
            _ = queue.takeUsed(); return queue.outstanding == 0
        }
        #expect(queue.outstanding == 0)
    }

    @Test func shortFramesBreakTheQueue() {
        #expect(driver.start([0, 1]))
        driver.queues[1]!.add(reading: [[1, 2, 3]])
        driver.kick(1)
        #expect(machine.pump { driver.status & 0x40 != 0 })
    }

    // MARK: Receiving

    @Test func receivesIntoOneBuffer() {
        #expect(driver.start([0, 1]))
        machine.drain()
        driver.queues[0]!.add(writing: [1526])
        driver.kick(0)
        _ = wire.send(frame(5))
        machine.drain()
        let used = driver.queues[0]!.takeUsed()
        #expect(used.count == 1 && used[0].written == 92)
        #expect(Array(used[0].bytes[..<12]) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
        #expect(Array(used[0].bytes[12..<92]) == frame(5))
        #expect(machine.messages.take() == [1])
    }

    @Test func spreadsOverBuffers() {
        #expect(driver.start([0, 1]))
        machine.drain()
        for _ in 0..<4 { driver.queues[0]!.add(writing: [64]) }
        driver.kick(0)
        _ = wire.send(frame(5, count: 200))
        machine.drain()
        let used = driver.queues[0]!.takeUsed()
        #expect(used.map(\.written) == [64, 64, 64, 20])
        #expect(used[0].bytes[10] == 4)
        #expect(
            Array((used[0].bytes + used[1].bytes + used[2].bytes + used[3].bytes)[12..<212]) == frame(5, count: 200))
    }

    @Test func framesWaitForBuffers() {
        #expect(driver.start([0, 1]))
        machine.drain()
        for number in 0..<3 { _ = wire.send(frame(number, count: 200)) }
        machine.drain()
        // Too few for one frame: they are kept for later.
        driver.queues[0]!.add(writing: [64])
        driver.kick(0)
        machine.drain()
        #expect(driver.queues[0]!.takeUsed().isEmpty)
        for _ in 0..<11 { driver.queues[0]!.add(writing: [64]) }
        driver.notify(0)
        machine.drain()
        #expect(driver.queues[0]!.takeUsed().count == 12)
    }

    @Test func smallBuffersLoseLongFrames() {
        #expect(driver.start([0, 1], except: Self.mergeable))
        machine.drain()
        driver.queues[0]!.add(writing: [100])
        driver.kick(0)
        _ = wire.send(frame(1, count: 200))
        _ = wire.send(frame(2, count: 80))
        machine.drain()
        let used = driver.queues[0]!.takeUsed()
        #expect(used.count == 1 && Array(used[0].bytes[12..<92]) == frame(2))
    }

    @Test func headersOfThePortPassThrough() throws {
        let other = try VirtioNetworkTests(.init(address: Self.address), offloads: .all)
        #expect(other.driver.start([0, 1]))
        other.machine.drain()
        other.driver.queues[0]!.add(writing: [1526])
        other.driver.kick(0)
        let header: [UInt8] = [1, 1, 66, 0, 0xB4, 5, 34, 0, 16, 0, 0, 0]
        _ = other.wire.send(header + other.frame(3))
        other.machine.drain()
        let used = other.driver.queues[0]!.takeUsed()
        #expect(used.count == 1 && Array(used[0].bytes[..<10]) == Array(header[..<10]) && used[0].bytes[10] == 1)
        other.driver.queues[1]!.add(reading: [header, other.frame(4)])
        other.driver.kick(1)
        other.machine.drain()
        #expect(other.far.frames == [header + other.frame(4)])
    }

    @Test func legacyDriverHasTheShortHeader() throws {
        driver.legacyWrite(0x12, 1, 3)
        driver.legacyWrite(4, 4, 0)
        let queues = [0, 1].map {
            VirtqueueDriver(
                machine.memory, base: 0x40000 + UInt64($0) << 18, end: 0x40000 + UInt64($0 + 1) << 18, size: 256)
        }
        for (number, queue) in queues.enumerated() {
            driver.legacyWrite(0xE, 2, UInt64(number))
            driver.legacyWrite(8, 4, queue.descriptors >> 12)
        }
        driver.legacyWrite(0x12, 1, 7)
        machine.drain()
        queues[0].add(writing: [10, 1514])
        driver.legacyWrite(0x10, 2, 0)
        queues[1].add(reading: [[UInt8](repeating: 0, count: 10), frame(1)])
        driver.legacyWrite(0x10, 2, 1)
        _ = wire.send(frame(2))
        machine.drain()
        #expect(far.frames == [frame(1)])
        let used = queues[0].takeUsed()
        #expect(used.count == 1 && used[0].written == 90 && Array(used[0].bytes[10..<90]) == frame(2))
        #expect(driver.legacyRead(0x13, 1) & 1 == 1)
    }

    // MARK: Control

    private func control(_ bytes: [UInt8]) -> UInt8? {
        driver.queues[2]!.add(reading: [Array(bytes[..<2]), Array(bytes[2...])], writing: [1])
        driver.kick(2)
        return driver.queues[2]!.takeUsed().first?.bytes.first
    }

    private func arrives(_ bytes: [UInt8]) -> Bool {
        driver.queues[0]!.add(writing: [1526])
        driver.notify(0)
        _ = wire.send(bytes)
        machine.drain()
        return !driver.queues[0]!.takeUsed().isEmpty
    }

    @Test func filters() {
        #expect(driver.start([0, 1, 2]))
        machine.drain()
        let other: [UInt8] = [2, 1, 1, 1, 1, 1], group: [UInt8] = [1, 0, 0x5E, 0, 0, 1]
        #expect(arrives(frame(0, to: other)))
        #expect(control([0, 0, 0]) == 0)
        #expect(!arrives(frame(0, to: other)) && arrives(frame(0)) && arrives(frame(0, to: broadcast)))
        #expect(!arrives(frame(0, to: group)))
        #expect(control([1, 0] + [1, 0, 0, 0] + other + [1, 0, 0, 0] + group) == 0)
        #expect(arrives(frame(0, to: other)) && arrives(frame(0, to: group)))
        #expect(control([1, 0] + [0, 0, 0, 0] + [0, 0, 0, 0]) == 0)
        #expect(control([0, 1, 1]) == 0 && arrives(frame(0, to: group)))
        #expect(control([0, 3, 1]) == 0 && !arrives(frame(0, to: group)))
        #expect(control([0, 5, 1]) == 0 && !arrives(frame(0, to: broadcast)))
        #expect(control([0, 2, 1]) == 0 && arrives(frame(0, to: other)))
        #expect(control([0, 4, 1]) == 0 && !arrives(frame(0)))
        #expect(control([0, 4, 0]) == 0)
        #expect(control([1, 1] + other) == 0 && arrives(frame(0, to: other)))
        #expect(driver.read(0x2000, 2) == 0x0102)
    }

    @Test func vlans() {
        #expect(driver.start([0, 1, 2]))
        machine.drain()
        #expect(control([0, 0, 0]) == 0)
        let tagged = Self.address + [2, 0, 0, 0, 0, 9, 0x81, 0, 0x20, 7, 8, 0] + [UInt8](repeating: 0, count: 60)
        #expect(!arrives(tagged))
        #expect(control([2, 0, 7, 0]) == 0 && arrives(tagged))
        #expect(control([2, 1, 7, 0]) == 0 && !arrives(tagged))
        #expect(control([2, 0, 0, 0x10]) == 1)
    }

    @Test(
        arguments: [
            [9, 0, 0], [0, 9, 0], [0, 0], [0, 0, 1, 1], [1, 0, 1, 0, 0, 0], [1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0],
            [1, 1, 1], [2, 0, 1], [3, 0], [3, 1, 0], [4, 0, 1, 0], [5, 0, 0xFF, 0, 0, 0, 0, 0, 0, 0], [5, 0, 1],
        ] as [[UInt8]]) func refusedCommands(bytes: [UInt8])
    {
        #expect(driver.start([0, 1, 2]))
        let queue = driver.queues[2]!
        queue.add(reading: [bytes], writing: [1])
        driver.kick(2)
        #expect(queue.takeUsed().first?.bytes == [1])
    }

    @Test func linkAndAnnouncement() {
        #expect(driver.start([0, 1, 2]))
        machine.drain()
        _ = machine.messages.take()
        device.setLink(isUp: false, machineLockHeld: false)
        #expect(driver.read(0x2006, 2) == 0 && machine.messages.take() == [0])
        #expect(!arrives(frame(1)))
        device.setLink(isUp: true, machineLockHeld: false)
        device.requestAnnouncement(machineLockHeld: false)
        #expect(driver.read(0x2006, 2) == 3)
        driver.queues[2]!.add(reading: [[3, 0]], writing: [1])
        driver.kick(2)
        #expect(driver.read(0x2006, 2) == 1)
    }

    // MARK: Rubbish

    @Test func framesBeforeTheDriverAreLost() {
        _ = wire.send(frame(1))
        machine.drain()
        #expect(driver.start([0, 1]))
        driver.queues[0]!.add(writing: [1526])
        driver.kick(0)
        machine.drain()
        #expect(driver.queues[0]!.takeUsed().isEmpty)
    }

    @Test func randomRings() throws {
        var generator = SeededGenerator(seed: 99)
        for _ in 0..<300 {
            #expect(driver.start([0, 1, 2]))
            for number in 0..<3 {
                let queue = driver.queues[number]!
                try machine.memory.write(generator.bytes(Int(queue.size) * 16), at: queue.descriptors)
                queue.setAvailableIndex(UInt16.random(in: 0...queue.size, using: &generator))
                driver.notify(number)
            }
            _ = wire.send(generator.bytes(200))
            machine.drain()
            driver.status = 0
            machine.drain()
            far.frames = []
        }
        #expect(driver.start([0, 1]))
        machine.drain()
        driver.queues[1]!.add(reading: [[UInt8](repeating: 0, count: 12) + frame(1)])
        driver.kick(1)
        machine.drain()
        #expect(far.frames == [frame(1)])
    }
}
