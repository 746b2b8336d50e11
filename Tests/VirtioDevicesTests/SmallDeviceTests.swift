// SPDX-License-Identifier: Apache-2.0

import CharacterStreams
import Diagnostics
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import RandomKit
import Testing
import Virtio
import VirtioDevices
import VirtqueueDriver

@Suite struct VirtioEntropyTests {
    @Test func givesBytes() throws {
        let machine = try VirtioTestMachine()
        let driver = try VirtioPCIDriver(VirtioEntropyDevice(), in: machine)
        #expect(driver.configRead(0, 4) == 0x1005_1AF4 && driver.offered == 0x1_3000_0000)
        #expect(driver.start([0]))
        let queue = driver.queues[0]!
        for count in [1, 64, 100_000] { queue.add(writing: [count]) }
        driver.kick(0)
        let used = queue.takeUsed()
        #expect(used.map(\.written) == [1, 64, 4096])
        #expect(Set(used[1].bytes).count > 8)
        #expect(machine.messages.take() == [1])
        // Nothing to write into is no error.
        queue.add(reading: [[1]])
        driver.kick(0)
        #expect(queue.takeUsed().map(\.written) == [0])
    }

    @Test func limits() throws {
        let machine = try VirtioTestMachine()
        let clock = ManualClock()
        let device = VirtioEntropyDevice(limit: .init(bytes: 100, milliseconds: 10, clock: clock))
        let driver = try VirtioPCIDriver(device, in: machine)
        #expect(driver.start([0]))
        let queue = driver.queues[0]!
        for _ in 0..<4 { queue.add(writing: [64]) }
        driver.kick(0)
        #expect(queue.takeUsed().map(\.written) == [64, 36])
        clock.advance(by: 9_999_999)
        #expect(queue.takeUsed().isEmpty)
        clock.advance(by: 1)
        #expect(queue.takeUsed().map(\.written) == [64, 36])
    }

    @Test func randomRings() throws {
        let machine = try VirtioTestMachine()
        let driver = try VirtioPCIDriver(VirtioEntropyDevice(), in: machine)
        try hammer(driver, machine, queues: [0], rounds: 400)
    }
}

/// Fills the rings with rubbish, rings every bell, and begins again.
private func hammer(
    _ driver: VirtioPCIDriver, _ machine: VirtioTestMachine, queues: [Int], rounds: Int
) throws {
    var generator = SeededGenerator(seed: 5)
    driver.queueMemory = 128 << 10
    for _ in 0..<rounds {
        #expect(driver.start(queues))
        for number in queues {
            let queue = driver.queues[number]!
            try machine.memory.write(generator.bytes(Int(queue.size) * 16), at: queue.descriptors)
            queue.setAvailableIndex(UInt16.random(in: 0...queue.size, using: &generator))
            driver.notify(number)
        }
        machine.drain()
        driver.write(0x2000 + UInt64.random(in: 0..<32, using: &generator), 4, generator.next() & 0xFFFF_FFFF)
        driver.status = 0
    }
}

@Suite struct VirtioBalloonTests {
    let machine: VirtioTestMachine
    let device = VirtioBalloonDevice(deflateOnOOM: true, freePageReporting: true)
    let driver: VirtioPCIDriver

    init() throws {
        machine = try VirtioTestMachine()
        driver = try VirtioPCIDriver(device, options: .init(vectors: 0), in: machine)
        #expect(driver.start([0, 1, 2, 3], messages: false))
    }

    private func pages(_ numbers: [UInt32]) -> [UInt8] {
        numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32($0 * 8)) } }
    }

    @Test func registers() throws {
        #expect(driver.configRead(0, 4) == 0x1002_1AF4)
        #expect(driver.offered == 0x1_3000_0036)
        #expect(VirtioBalloonDevice().features.rawValue == 0x12)
        machine.lock.withLock { device.setTarget(12 << 20, of: 16 << 20) }
        #expect(driver.read(0x2000, 4) == 1024)
        #expect(driver.read(0x1000, 1) == 3)
        var changes = 0
        device.actualChanged = { changes += 1 }
        driver.write(0x2004, 4, 512)
        #expect(changes == 1 && device.ballooned == 2 << 20)
    }

    @Test func inflatedPagesBecomeZero() throws {
        let first: UInt32 = 0x600
        for page in 0..<8 { try machine.memory.store(UInt64(1), at: UInt64(first + UInt32(page)) << 12) }
        // Ascending, descending and far apart; a page that is not memory, and a read-only one.
        driver.queues[0]!.add(reading: [
            pages([first, first + 1, first + 3, first + 2, first + 7, 0xFFFF_FFFF, 0xFFF00])
        ])
        driver.notify(0)
        #expect(driver.queues[0]!.takeUsed().count == 1)
        let left = try (0..<8).map { try machine.memory.load(UInt64.self, at: UInt64(first + $0) << 12) }
        #expect(left == [0, 0, 0, 0, 1, 1, 1, 0])
        driver.queues[1]!.add(reading: [pages([first])])
        driver.notify(1)
        #expect(driver.queues[1]!.takeUsed().count == 1)
    }

    @Test func runsAcrossRegionsAreSplit() throws {
        let boundary = UInt32(VirtioTestMachine.memoryCount / 8192)
        for page in [boundary - 1, boundary] { try machine.memory.store(UInt64(1), at: UInt64(page) << 12) }
        driver.queues[0]!.add(reading: [pages([boundary - 1, boundary])])
        driver.notify(0)
        #expect(try machine.memory.load(UInt64.self, at: UInt64(boundary) << 12) == 0)
        #expect(try machine.memory.load(UInt64.self, at: UInt64(boundary - 1) << 12) == 0)
    }

    @Test func reportedPagesBecomeZero() throws {
        let queue = driver.queues[3]!
        queue.setDescriptor(0, address: 0x600800, count: 0x2000, flags: 2)
        for page in [0x600800, 0x601000, 0x602000] as [UInt64] { try machine.memory.store(UInt64(1), at: page) }
        queue.makeAvailable(0)
        driver.notify(3)
        // Only the whole page inside.
        #expect(try machine.memory.load(UInt64.self, at: 0x600800) == 1)
        #expect(try machine.memory.load(UInt64.self, at: 0x601000) == 0)
        #expect(try machine.memory.load(UInt64.self, at: 0x602000) == 1)
    }

    @Test func statistics() {
        var told = 0
        device.statisticsChanged = { told += 1 }
        #expect(!device.requestStatistics())
        let entry: [UInt8] = [4, 0, 0, 0x10, 0, 0, 0, 0, 0, 0] + [99, 0, 1, 0, 0, 0, 0, 0, 0, 0] + [5, 0, 1]
        driver.queues[2]!.add(reading: [entry])
        driver.notify(2)
        #expect(told == 1 && device.statistics == [.freeMemory: 4096])
        #expect(driver.queues[2]!.takeUsed().isEmpty)
        #expect(machine.lock.withLock { device.requestStatistics() })
        #expect(driver.queues[2]!.takeUsed().count == 1)
    }

    @Test func randomRings() throws { try hammer(driver, machine, queues: [0, 1, 2, 3], rounds: 200) }
}

/// The host's end of a stream, in memory.
private final class Stream: CharacterBackend, @unchecked Sendable {
    let label = "test"
    let filename = "test"
    var isOpen = true
    weak var frontend: (any CharacterFrontend)?
    var sent: [UInt8] = []
    var room = Int.max
    var resumed = 0
    func send(_ bytes: ArraySlice<UInt8>) -> Int {
        let count = min(bytes.count, room)
        sent += bytes.prefix(count)
        room -= count
        return count
    }
    func resumeInput() { resumed += 1 }
    func close() {}
    /// Hands bytes in as far as there is room.
    func type(_ text: String) -> Int {
        var rest = Array(text.utf8)[...]
        while let frontend, !rest.isEmpty {
            let room = frontend.receiveCapacity
            guard room > 0 else { break }
            frontend.receive(rest.prefix(room))
            rest = rest.dropFirst(room)
        }
        return text.utf8.count - rest.count
    }
}

@Suite struct VirtioSerialTests {
    private let machine: VirtioTestMachine
    private let device: VirtioSerialDevice
    private let driver: VirtioPCIDriver
    private let console = Stream(), agent = Stream()
    private let ports: [VirtioSerialPort]

    init() throws {
        machine = try VirtioTestMachine()
        device = VirtioSerialDevice(machineLock: machine.lock)
        ports = [
            VirtioSerialPort(isConsole: true, backend: console),
            VirtioSerialPort(isConsole: false, name: "org.test.0", backend: agent),
        ]
        for port in ports { try device.add(port) }
        driver = try VirtioPCIDriver(device, options: .init(vectors: 2), in: machine)
        driver.queueMemory = 128 << 10
    }

    private func messages() -> [[UInt8]] {
        driver.queues[2]!.takeUsed().map { Array($0.bytes.prefix($0.written)) }
    }

    private func control(_ port: UInt8, _ event: UInt8, _ value: UInt8) {
        driver.queues[3]!.add(reading: [[port, 0, 0, 0, event, 0, value, 0]])
        driver.notify(3)
    }

    private func startMultiport() {
        #expect(driver.start([0, 1, 2, 3, 4, 5]))
        for _ in 0..<16 { driver.queues[2]!.add(writing: [64]) }
        driver.notify(2)
    }

    @Test func registers() {
        #expect(driver.configRead(0, 4) == 0x1003_1AF4)
        #expect(driver.offered == 0x1_3000_0006)
        #expect(driver.read(0x12, 2) == 64)
        #expect(VirtioPCIDevice(device, memory: machine.memory, executor: machine.executor).msix?.vectorCount == 2)
        #expect(driver.read(0x2004, 4) == 31)
    }

    @Test func portsAnnounceThemselves() {
        startMultiport()
        control(0, 0, 1)
        #expect(messages() == [[0, 0, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 1, 0, 1, 0]])
        control(0, 3, 1)
        #expect(messages() == [[0, 0, 0, 0, 4, 0, 1, 0], [0, 0, 0, 0, 6, 0, 1, 0]])
        control(1, 3, 1)
        #expect(messages() == [[1, 0, 0, 0, 7, 0, 1, 0] + Array("org.test.0".utf8), [1, 0, 0, 0, 6, 0, 1, 0]])
    }

    @Test func bytesGoBothWays() {
        startMultiport()
        driver.queues[5]!.add(reading: [Array("hello".utf8), Array(" host".utf8)])
        driver.notify(5)
        #expect(String(decoding: agent.sent, as: UTF8.self) == "hello host")
        #expect(driver.queues[5]!.takeUsed().count == 1)
        // Nothing goes to a guest that has not opened the port.
        #expect(agent.type("early") == 0)
        control(1, 6, 1)
        #expect(agent.resumed > 0)
        #expect(agent.type("early") == 0)
        driver.queues[4]!.add(writing: [4])
        driver.queues[4]!.add(writing: [4])
        driver.notify(4)
        #expect(agent.type("0123456789") == 8)
        #expect(driver.queues[4]!.takeUsed().map { String(decoding: $0.bytes, as: UTF8.self) } == ["0123", "4567"])
    }

    @Test func outputWaitsForSlowStreams() {
        startMultiport()
        console.room = 3
        driver.queues[1]!.add(reading: [Array("abcdef".utf8)])
        driver.queues[1]!.add(reading: [Array("gh".utf8)])
        driver.notify(1)
        #expect(console.sent == Array("abc".utf8) && driver.queues[1]!.takeUsed().isEmpty)
        console.room = .max
        ports[0].outputIsReady()
        #expect(console.sent == Array("abcdefgh".utf8) && driver.queues[1]!.takeUsed().count == 2)
    }

    @Test func hostSideOpensAndCloses() {
        startMultiport()
        ports[1].handle(.closed)
        #expect(messages() == [[1, 0, 0, 0, 6, 0, 0, 0]])
        driver.queues[5]!.add(reading: [[1, 2, 3]])
        driver.notify(5)
        #expect(agent.sent.isEmpty && driver.queues[5]!.takeUsed().count == 1)
        ports[1].handle(.opened)
        #expect(messages() == [[1, 0, 0, 0, 6, 0, 1, 0]])
    }

    @Test func messagesWaitForBuffers() {
        #expect(driver.start([0, 1, 2, 3]))
        control(0, 0, 1)
        #expect(messages().isEmpty)
        driver.queues[2]!.add(writing: [64])
        driver.notify(2)
        #expect(messages().count == 1)
        driver.queues[2]!.add(writing: [64])
        driver.notify(2)
        #expect(messages().count == 1)
    }

    @Test func singlePortDrivers() {
        #expect(driver.start([0, 1], except: 2))
        driver.queues[0]!.add(writing: [16])
        driver.notify(0)
        #expect(console.type("x") == 1)
        #expect(driver.queues[0]!.takeUsed().count == 1)
    }

    @Test func emergencyWrite() {
        driver.write(0x2008, 4, 0x41)
        #expect(console.sent == [0x41])
    }

    @Test func numbersAreChecked() throws {
        #expect(throws: UserError("virtio-serial-bus: A port already exists at id 1")) {
            try device.add(VirtioSerialPort(isConsole: false, number: 1, backend: nil))
        }
        #expect(throws: UserError("virtio-serial-bus: Out-of-range port id specified, max. allowed: 30")) {
            try device.add(VirtioSerialPort(isConsole: false, number: 31, backend: nil))
        }
        #expect(throws: UserError("virtio-serial-bus: A port already exists by name org.test.0")) {
            try device.add(VirtioSerialPort(isConsole: false, name: "org.test.0", backend: nil))
        }
        #expect(throws: UserError.self) {
            try device.add(VirtioSerialPort(isConsole: false, number: 0, backend: nil))
        }
        for _ in 0..<29 { try device.add(VirtioSerialPort(isConsole: false, backend: nil)) }
        #expect(throws: UserError("virtio-serial-bus: Maximum port limit for this device reached")) {
            try device.add(VirtioSerialPort(isConsole: false, backend: nil))
        }
    }

    @Test func randomRings() throws { try hammer(driver, machine, queues: [0, 1, 2, 3, 4, 5, 6, 7], rounds: 200) }
}
