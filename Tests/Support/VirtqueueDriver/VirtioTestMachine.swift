// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import HostIO
public import HostSystem
public import MachineModel
public import PCIBus
public import Virtio

/// Keeps the messages that devices send.
public final class MessageRecorder: MessageInterruptSink, @unchecked Sendable {
    private let lock = Lock()
    private var messages: [UInt32] = []

    public func deliver(address: UInt64, data: UInt32) {
        lock.withLock {
            messages.append(data)
            lock.broadcast()
        }
    }

    /// The data of what was sent since the last call.
    public func take() -> [UInt32] {
        lock.withLock {
            defer { messages = [] }
            return messages
        }
    }

    /// Waits until something was sent. False after ten seconds.
    public func wait() -> Bool {
        let deadline = monotonicNanoseconds() + 10_000_000_000
        return lock.withLock {
            while messages.isEmpty { if !lock.wait(until: deadline) { return false } }
            return true
        }
    }
}

/// Memory, a bus and a main loop: what a virtio device needs around it.
public final class VirtioTestMachine {
    public static let memoryCount: UInt64 = 16 << 20
    public let memory = GuestMemory()
    public let lock = Lock()
    public let ports: AddressSpace
    public let space: AddressSpace
    public let messages = MessageRecorder()
    public let bus: PCIBus
    public let loop: EventLoop
    public let executor: MachineExecutor

    public init() throws {
        try memory.addRegion(name: "pc.ram", start: 0, count: Self.memoryCount / 2)
        // A second region right behind, so that buffers may cross.
        try memory.addRegion(name: "more", start: Self.memoryCount / 2, count: Self.memoryCount / 2)
        try memory.addRegion(name: "rom", start: 0xFFF0_0000, count: 1 << 16, isReadOnly: true)
        ports = AddressSpace(machineLock: lock)
        space = AddressSpace(machineLock: lock)
        bus = PCIBus(name: "pcie.0", ports: ports, memory: space, messages: messages)
        let loop = try EventLoop()
        self.loop = loop
        executor = MachineExecutor(lock: lock) { loop.post($0) }
    }

    /// Runs the loop until something holds. False after ten seconds.
    public func pump(until condition: () -> Bool) -> Bool {
        let deadline = monotonicNanoseconds() + 10_000_000_000
        while !condition() {
            guard monotonicNanoseconds() < deadline else { return false }
            loop.runOnce(timeoutMilliseconds: 5)
        }
        return true
    }

    /// Runs what the loop has to do now.
    public func drain() { for _ in 0..<8 { loop.runOnce(timeoutMilliseconds: 0) } }
}

/// A modern or legacy driver of one virtio function.
public final class VirtioPCIDriver {
    public let machine: VirtioTestMachine
    public let function: VirtioPCIDevice
    public let modernBase: UInt64 = 0xFD00_0000
    public let messageBase: UInt64 = 0xFE00_0000
    public let legacyBase: UInt64 = 0xC000
    public private(set) var queues: [Int: VirtqueueDriver] = [:]
    /// Bytes of guest memory for each queue's rings and buffers.
    public var queueMemory: UInt64 = 512 << 10

    /// Puts the function on the bus, gives its ranges addresses and lets it be a bus master.
    public init(_ device: any VirtioDevice, options: VirtioPCIOptions = .init(), in machine: VirtioTestMachine) throws {
        self.machine = machine
        function = VirtioPCIDevice(
            device, memory: machine.memory, executor: machine.executor, options: options)
        try machine.bus.add(function)
        function.reset()
        configWrite(0x10, 4, UInt32(legacyBase))
        configWrite(0x14, 4, UInt32(messageBase))
        configWrite(0x20, 4, UInt32(modernBase))
        configWrite(0x24, 4, 0)
        configWrite(4, 2, 7)
    }

    public func configRead(_ offset: Int, _ size: Int) -> UInt32 {
        machine.lock.withLock { function.readConfig(offset: offset, size: size) }
    }
    public func configWrite(_ offset: Int, _ size: Int, _ value: UInt32) {
        machine.lock.withLock { function.writeConfig(offset: offset, size: size, value: value) }
    }
    public func read(_ offset: UInt64, _ size: Int) -> UInt64 { machine.space.read(modernBase + offset, size: size) }
    public func write(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        machine.space.write(modernBase + offset, size: size, value: value)
    }
    public func legacyRead(_ offset: UInt64, _ size: Int) -> UInt64 {
        machine.ports.read(legacyBase + offset, size: size)
    }
    public func legacyWrite(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        machine.ports.write(legacyBase + offset, size: size, value: value)
    }

    /// Programs vector `n` of the table with data `n`, for all, and enables MSI-X.
    public func enableMessages() {
        guard let msix = function.msix else { return }
        for vector in 0..<msix.vectorCount {
            let entry = messageBase + UInt64(vector) * 16
            machine.space.write(entry, size: 4, value: 0xFEE0_0000)
            machine.space.write(entry + 4, size: 4, value: 0)
            machine.space.write(entry + 8, size: 4, value: UInt64(vector))
            machine.space.write(entry + 12, size: 4, value: 0)
        }
        configWrite(msix.offset + 2, 2, 0x8000)
    }

    public var offered: UInt64 {
        write(0, 4, 0)
        let low = read(4, 4)
        write(0, 4, 1)
        return low | read(4, 4) << 32
    }

    public var status: UInt8 {
        get { UInt8(read(0x14, 1)) }
        set { write(0x14, 1, UInt64(newValue)) }
    }

    /// Acknowledges and settles features. False when the device refuses them.
    public func negotiate(_ features: UInt64) -> Bool {
        status = 0
        status = 1
        status = 3
        write(8, 4, 0)
        write(0xC, 4, features & 0xFFFF_FFFF)
        write(8, 4, 1)
        write(0xC, 4, features >> 32)
        status = 0xB
        return status & 8 != 0
    }

    /// Sets a queue up; its interrupts are message `vector`.
    @discardableResult
    public func setUp(_ number: Int, size: UInt16? = nil, vector: UInt16 = 0xFFFF, features: UInt64) -> VirtqueueDriver
    {
        write(0x16, 2, UInt64(number))
        let size = size ?? UInt16(read(0x18, 2))
        let base = 0x10000 + UInt64(queues.count) * queueMemory
        let queue = VirtqueueDriver(machine.memory, base: base, end: base + queueMemory, size: size)
        queue.usesEventIndex = features & 1 << 29 != 0
        write(0x18, 2, UInt64(size))
        write(0x1A, 2, UInt64(vector))
        write(0x20, 4, queue.descriptors)
        write(0x24, 4, 0)
        write(0x28, 4, queue.available)
        write(0x2C, 4, 0)
        write(0x30, 4, queue.used)
        write(0x34, 4, 0)
        write(0x1C, 2, 1)
        queues[number] = queue
        return queue
    }

    /// Negotiates everything but `except`, sets up the queues and starts the device. Queue n interrupts with message
    /// n + 1 as far as there are vectors, changes with 0.
    public func start(_ numbers: [Int], except: UInt64 = 0, messages: Bool = true) -> Bool {
        let features = offered & ~except
        guard negotiate(features) else { return false }
        if messages {
            enableMessages()
            write(0x10, 2, 0)
        }
        let last = (function.msix?.vectorCount ?? 1) - 1
        for number in numbers {
            setUp(number, vector: messages ? UInt16(min(number + 1, last)) : 0xFFFF, features: features)
        }
        status = 0xF
        return status == 0xF
    }

    public func notify(_ queue: Int) { write(0x3000 + UInt64(queue) * 4, 2, UInt64(queue)) }

    /// Tells the device if it wants to be told.
    public func kick(_ number: Int) { if queues[number]?.wantsNotification == true { notify(number) } }
}
