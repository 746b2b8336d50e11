// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import Testing
import USBDevices

final class Messages: MessageInterruptSink {
    var sent: [UInt32] = []
    func deliver(address: UInt64, data: UInt32) { sent.append(data) }
}

/// A disk whose sectors say which they are.
func numberedDisk(sectors: Int) -> MemoryNode {
    MemoryNode((0..<sectors).flatMap { sector in [UInt8](repeating: UInt8(truncatingIfNeeded: sector), count: 512) })
}

func makeMedium(_ node: (any BlockNode)?, _ memory: GuestMemory) -> DriveMedium {
    DriveMedium(node, memory: memory, pool: nil) { $0() }
}

/// One block of a ring as a driver writes it.
struct Block {
    var parameter: UInt64 = 0
    var status: UInt32 = 0
    var control: UInt32

    init(
        _ type: UInt32, parameter: UInt64 = 0, status: UInt32 = 0, flags: UInt32 = 0, slot: UInt32 = 0,
        endpoint: UInt32 = 0
    ) {
        self.parameter = parameter
        self.status = status
        control = type << 10 | flags | slot << 24 | endpoint << 16
    }
}

/// An event as a driver reads it.
struct Event: Equatable {
    var type: UInt32
    var parameter: UInt64
    var code: UInt32
    var length: UInt32
    var slot: UInt32
    var endpoint: UInt32
}

/// A ring in guest memory that a driver fills.
final class DriverRing {
    let base: UInt64
    private let memory: GuestMemory
    private var index = 0
    private var cycle: UInt32 = 1
    static let count = 64

    init(_ memory: GuestMemory, at base: UInt64) { (self.memory, self.base) = (memory, base) }

    /// Appends a block; the last place is a link to the first.
    /// - Returns: where it is.
    @discardableResult
    func append(_ block: Block) throws -> UInt64 {
        let place = base + UInt64(index * 16)
        try memory.store(block.parameter, at: place)
        try memory.store(block.status, at: place + 8)
        try memory.store(block.control | cycle, at: place + 12)
        index += 1
        if index == Self.count - 1 {
            let link = base + UInt64(index * 16), toggle: UInt32 = 2
            try memory.store(base, at: link)
            try memory.store(UInt32(0), at: link + 8)
            try memory.store(6 << 10 | toggle | cycle, at: link + 12)
            (index, cycle) = (0, cycle ^ 1)
        }
        return place
    }

    var pointer: UInt64 { base + UInt64(index * 16) | UInt64(cycle) }
}

/// A controller on a bus, with a driver's hands.
final class Bench {
    static let window: UInt64 = 0xE000_0000
    static let contexts: UInt64 = 0x1000, commands: UInt64 = 0x2000, table: UInt64 = 0x3000, events: UInt64 = 0x4000
    static let input: UInt64 = 0x6000, outputs: UInt64 = 0x8000, rings: UInt64 = 0x10000, buffers: UInt64 = 0x40000
    static let eventCount = 64
    static let memoryCount: UInt64 = 0x40_0000
    let memory = GuestMemory()
    let space: AddressSpace, ports: AddressSpace
    let messages = Messages()
    let bus: PCIBus
    let clock = ManualClock()
    let controller: XHCIController
    let commands: DriverRing
    private(set) var transfers: [UInt64: DriverRing] = [:]
    private var eventIndex = 0
    private var eventCycle: UInt32 = 1

    init(_ model: XHCIController.Model = .qemu, ports portCount: Int = 4) throws {
        let lock = Lock()
        try memory.addRegion(name: "ram", start: 0, count: Self.memoryCount)
        (space, ports) = (AddressSpace(machineLock: lock), AddressSpace(machineLock: lock))
        bus = PCIBus(name: "pcie.0", ports: ports, memory: space, messages: messages)
        controller = XHCIController(
            model, busName: "usb.0", usb2Ports: portCount, usb3Ports: portCount, memory: memory, clock: clock)
        commands = DriverRing(memory, at: Self.commands)
        try bus.add(controller)
        controller.writeConfig(offset: 0x10, size: 4, value: UInt32(Self.window))
        controller.writeConfig(offset: 4, size: 2, value: 6)
    }

    func read(_ offset: UInt64) -> UInt32 { UInt32(space.read(Self.window + offset, size: 4)) }
    func write(_ offset: UInt64, _ value: UInt32) { space.write(Self.window + offset, size: 4, value: UInt64(value)) }

    /// Rings, interrupts by the pin, and the run bit.
    func start() throws {
        write(0x70, UInt32(Self.contexts))
        write(0x58, UInt32(Self.commands) | 1)
        write(0x78, 8)
        try memory.store(Self.events, at: Self.table)
        try memory.store(UInt32(Self.eventCount), at: Self.table + 8)
        write(0x1028, 1)
        write(0x1038, UInt32(Self.events))
        write(0x1030, UInt32(Self.table))
        write(0x1034, 0)
        write(0x1020, 2)
        write(0x40, 5)
    }

    /// Everything that the controller has told since the last call.
    func takeEvents() throws -> [Event] {
        var found: [Event] = []
        while true {
            let place = Self.events + UInt64(eventIndex * 16)
            let control: UInt32 = try memory.load(at: place + 12), status: UInt32 = try memory.load(at: place + 8)
            guard control & 1 == eventCycle else { break }
            found.append(
                Event(
                    type: control >> 10 & 0x3F, parameter: try memory.load(at: place), code: status >> 24,
                    length: status & 0xFF_FFFF, slot: control >> 24, endpoint: control >> 16 & 0x1F))
            eventIndex += 1
            if eventIndex == Self.eventCount { (eventIndex, eventCycle) = (0, eventCycle ^ 1) }
        }
        write(0x1038, UInt32(Self.events) + UInt32(eventIndex * 16) | 8)
        write(0x103C, 0)
        write(0x1020, 3)
        return found
    }

    /// Does a command.
    /// - Returns: its event.
    @discardableResult
    func command(_ block: Block) throws -> Event {
        let place = try commands.append(block)
        write(0x2000, 0)
        return try #require(try takeEvents().first { $0.type == 33 && $0.parameter == place })
    }

    // MARK: devices

    /// Resets a port, enables a slot and gives the device there its address.
    /// - Parameter port: of the root hub, from 1.
    /// - Returns: the slot.
    func address(port: Int) throws -> UInt32 {
        write(0x440 + UInt64(port - 1) * 16, 0x210)
        _ = try takeEvents()
        let slot = try command(Block(9)).slot
        try memory.store(Self.outputs + UInt64(slot) * 0x400, at: Self.contexts + UInt64(slot) * 8)
        try setInput(add: 3)
        try memory.store(UInt32(1) << 27, at: Self.input + 32)
        try memory.store(UInt32(port) << 16, at: Self.input + 36)
        try endpointInput(1, type: 4, packet: 64, slot: slot)
        #expect(try command(Block(11, parameter: Self.input, slot: slot)).code == 1)
        return slot
    }

    func setInput(drop: UInt32 = 0, add: UInt32) throws {
        try memory.write([UInt8](repeating: 0, count: 0x800), at: Self.input)
        try memory.store(drop, at: Self.input)
        try memory.store(add, at: Self.input + 4)
    }

    /// The context of an endpoint in the input, with a ring of its own.
    func endpointInput(_ index: Int, type: UInt32, packet: UInt32, slot: UInt32) throws {
        let place = Self.input + UInt64(index + 1) * 32, key = UInt64(slot) << 8 | UInt64(index)
        let base = Self.rings + UInt64(transfers.count) * 0x400
        transfers[key] = DriverRing(memory, at: base)
        try memory.store(UInt32(type << 3 | packet << 16), at: place + 4)
        try memory.store(base | 1, at: place + 8)
    }

    func ring(_ slot: UInt32, _ endpoint: Int) -> DriverRing { transfers[UInt64(slot) << 8 | UInt64(endpoint)]! }

    /// Configures endpoints.
    func configure(_ slot: UInt32, _ endpoints: [(index: Int, type: UInt32, packet: UInt32)]) throws {
        try setInput(add: 1 | endpoints.reduce(0) { $0 | 1 << UInt32($1.index) })
        try memory.store(UInt32(31) << 27, at: Self.input + 32)
        for endpoint in endpoints {
            try endpointInput(endpoint.index, type: endpoint.type, packet: endpoint.packet, slot: slot)
        }
        #expect(try command(Block(12, parameter: Self.input, slot: slot)).code == 1)
    }

    func ringDoorbell(_ slot: UInt32, _ endpoint: Int) { write(0x2000 + UInt64(slot) * 4, UInt32(endpoint)) }

    /// A control transfer.
    /// - Returns: the bytes that came, and the code of the last event.
    func control(_ slot: UInt32, _ setup: USBSetup, data: [UInt8] = []) throws -> (bytes: [UInt8], code: UInt32) {
        let ring = ring(slot, 1), isIn = setup.isToHost, count = UInt32(setup.length)
        let immediate: UInt32 = 0x40, event: UInt32 = 0x20, short: UInt32 = 4, toHost: UInt32 = 1 << 16
        try memory.write(data.isEmpty ? [UInt8](repeating: 0xEE, count: Int(count)) : data, at: Self.buffers)
        try ring.append(Block(2, parameter: setup.packet, status: 8, flags: immediate))
        if count > 0 {
            try ring.append(Block(3, parameter: Self.buffers, status: count, flags: short | (isIn ? toHost : 0)))
        }
        try ring.append(Block(4, flags: event | (isIn ? 0 : toHost)))
        ringDoorbell(slot, 1)
        let told = try takeEvents().filter { $0.type == 32 }
        let last = try #require(told.last)
        let missing = told.first { $0.code == 13 }?.length ?? 0
        let bytes = isIn ? try memory.read(at: Self.buffers, count: Int(count - missing)) : []
        return (bytes, last.code)
    }

    /// Puts a transfer into a ring and rings the doorbell.
    /// - Returns: where it is.
    @discardableResult
    func transfer(_ slot: UInt32, _ endpoint: Int, at address: UInt64, count: Int, flags: UInt32 = 0x24) throws
        -> UInt64
    {
        let place = try ring(slot, endpoint).append(Block(1, parameter: address, status: UInt32(count), flags: flags))
        ringDoorbell(slot, endpoint)
        return place
    }
}

/// A CD-ROM drive without a disc.
enum CDROMTarget {
    static func make(_ bench: Bench) -> CDROMCommands { CDROMCommands(medium: makeMedium(nil, bench.memory)) }
}
