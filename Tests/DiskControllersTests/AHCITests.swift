// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import Testing

/// An AHCI controller with a disk at port 0 and a disc at port 1, and a driver.
private final class Host {
    let memory = GuestMemory()
    let disk = numberedDisk(sectors: 512)
    let controller: AHCIController
    private let registers: AddressSpace
    static let base: UInt64 = 0xFEBF_0000

    final class NoMessages: MessageInterruptSink {
        func deliver(address: UInt64, data: UInt32) {}
    }

    init() throws {
        let lock = Lock()
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        registers = AddressSpace(machineLock: lock)
        let bus = PCIBus(
            name: "pcie.0", ports: AddressSpace(machineLock: lock), memory: registers, messages: NoMessages())
        controller = AHCIController(memory: memory)
        try bus.add(controller)
        controller.attach(
            ATADrive(disk: makeMedium(disk, memory), identity: DriveIdentity(model: "disk", number: 1)), at: 0)
        let disc = MemoryNode((0..<20 * 2048).map { UInt8(truncatingIfNeeded: $0 / 2048) }, isReadOnly: true)
        controller.attach(
            ATADrive(
                cdrom: CDROMCommands(medium: makeMedium(disc, memory)),
                identity: DriveIdentity(model: "disc", number: 2)), at: 1)
        controller.reset()
        controller.writeConfig(offset: 0x24, size: 4, value: UInt32(Self.base))
        controller.writeConfig(offset: 4, size: 2, value: 6)
        for port in 0..<2 {
            write(port, 0x00, 0x1_0000 + UInt64(port) * 0x1000)
            write(port, 0x08, 0x2_0000 + UInt64(port) * 0x1000)
            write(port, 0x14, 0xFFFF_FFFF)
            write(port, 0x18, 0x11)
        }
    }

    func read(_ port: Int, _ register: UInt64) -> UInt64 {
        registers.read(Self.base + 0x100 + UInt64(port) * 0x80 + register, size: 4)
    }

    func write(_ port: Int, _ register: UInt64, _ value: UInt64) {
        registers.write(Self.base + 0x100 + UInt64(port) * 0x80 + register, size: 4, value: value)
    }

    func host(_ register: UInt64) -> UInt64 { registers.read(Self.base + register, size: 4) }

    func fuzz(_ offset: UInt64, _ value: UInt64) { registers.write(Self.base + offset, size: 4, value: value) }

    /// Puts a command into a slot and issues it.
    func issue(
        port: Int, slot: Int = 0, frame: [UInt8], packet: [UInt8] = [], isWrite: Bool = false,
        data: [(UInt64, Int)], queued: Bool = false
    ) throws {
        let table = 0x3_0000 + UInt64(slot) * 0x1000
        let flags = UInt32(5 | (isWrite ? 1 << 6 : 0) | (packet.isEmpty ? 0 : 1 << 5) | data.count << 16)
        let header = 0x1_0000 + UInt64(port) * 0x1000 + UInt64(slot * 32)
        try memory.store(flags, at: header)
        try memory.store(table, at: header + 8)
        try memory.write(frame + [UInt8](repeating: 0, count: 20 - frame.count), at: table)
        try memory.write(packet, at: table + 0x40)
        for (index, piece) in data.enumerated() {
            try memory.store(piece.0, at: table + 0x80 + UInt64(index * 16))
            try memory.store(UInt32(piece.1 - 1), at: table + 0x8C + UInt64(index * 16))
        }
        if queued { write(port, 0x34, 1 << UInt64(slot)) }
        write(port, 0x38, 1 << UInt64(slot))
    }

    func moved(port: Int, slot: Int = 0) throws -> UInt32 {
        try memory.load(at: 0x1_0000 + UInt64(port) * 0x1000 + UInt64(slot * 32) + 4)
    }
}

@Suite struct AHCITests {
    @Test func portsShowTheirDrives() throws {
        let host = try Host()
        #expect(host.host(0x0C) == 0x3F && host.host(0x10) == 0x1_0000 && host.host(0) & 0x1F == 5)
        #expect(host.read(0, 0x24) == 0x101 && host.read(1, 0x24) == 0xEB14_0101)
        #expect(host.read(0, 0x28) == 0x113 && host.read(2, 0x28) == 0)
        // The first frame of a drive says what it is.
        #expect(try host.memory.read(at: 0x2_0040, count: 4) == [0x34, 0, 0x50, 1])
    }

    @Test func identifiesByProgrammedIO() throws {
        let host = try Host()
        try host.issue(port: 0, frame: [0x27, 0x80, 0xEC], data: [(0x5_0000, 512)])
        #expect(host.read(0, 0x38) == 0 && host.read(0, 0x10) & 3 == 3)
        #expect(try host.memory.read(at: 0x5_0000 + 54, count: 4) == Array("idks".utf8))
        #expect(try host.moved(port: 0) == 512 && host.read(0, 0x20) == 0x50)
    }

    @Test func movesDataByDMAInPieces() throws {
        let host = try Host()
        try host.issue(
            port: 0, frame: [0x27, 0x80, 0x25, 0, 10, 0, 0, 0x40, 0, 0, 0, 0, 3],
            data: [(0x5_0000, 700), (0x6_0000, 836)])
        #expect(try host.moved(port: 0) == 1536)
        #expect(try host.memory.load(UInt8.self, at: 0x5_0000) == 10)
        #expect(try host.memory.load(UInt8.self, at: 0x6_0000 + 835) == 12)
        try host.memory.write([UInt8](repeating: 0x77, count: 512), at: 0x7_0000)
        try host.issue(
            port: 0, frame: [0x27, 0x80, 0xCA, 0, 30, 0, 0, 0x40, 0, 0, 0, 0, 1], isWrite: true,
            data: [(0x7_0000, 512)])
        #expect(host.disk.content[30 * 512 + 5] == 0x77)
    }

    @Test func queuedCommandsEndWithTheirTags() throws {
        let host = try Host()
        for slot in [3, 9] {
            try host.issue(
                port: 0, slot: slot,
                frame: [0x27, 0x80, 0x60, 2, UInt8(slot), 0, 0, 0x40, 0, 0, 0, 0, UInt8(slot << 3)],
                data: [(UInt64(0x5_0000 + slot * 0x1000), 1024)], queued: true)
        }
        #expect(host.read(0, 0x34) == 0 && host.read(0, 0x38) == 0 && host.read(0, 0x10) & 8 == 8)
        #expect(try host.memory.load(UInt8.self, at: 0x5_3000) == 3)
        #expect(try host.memory.load(UInt8.self, at: 0x5_9000 + 1023) == 10)
        #expect(try host.memory.read(at: 0x2_0058, count: 8) == [0xA1, 0x40, 0x50, 0, 0, 2, 0, 0])
        // Past the end of the disk: the command fails and its bit stays.
        try host.issue(
            port: 0, slot: 1, frame: [0x27, 0x80, 0x60, 2, 0xFF, 0xFF, 0, 0x40, 0, 0, 0, 0, 8],
            data: [(0x5_0000, 1024)], queued: true)
        #expect(host.read(0, 0x34) == 2 && host.read(0, 0x10) >> 30 & 1 == 1)
    }

    @Test func packetsReachTheDisc() throws {
        let host = try Host()
        for usesDMA in [0, 1] as [UInt8] {
            try host.memory.write([UInt8](repeating: 0, count: 4096), at: 0x5_0000)
            try host.issue(
                port: 1, frame: [0x27, 0x80, 0xA0, usesDMA, 0, 0, 0x08],
                packet: [0x28, 0, 0, 0, 0, 6, 0, 0, 2, 0, 0, 0],
                data: [(0x5_0000, 4096)])
            #expect(try host.memory.load(UInt8.self, at: 0x5_0000) == 6)
            #expect(try host.memory.load(UInt8.self, at: 0x5_0FFF) == 7)
            #expect(host.read(1, 0x38) == 0 && host.read(1, 0x20) & 0xFF == 0x50)
        }
    }

    @Test func rubbishDoesNoHarm() throws {
        let host = try Host()
        var random = SystemRandomNumberGenerator()
        for round in 0..<10_000 {
            let offset = UInt64.random(in: 0..<0x400, using: &random) & ~3
            var value = UInt64.random(in: 0...UInt64(UInt32.max), using: &random)
            if round % 3 == 0 { value &= 0xFFFFF }
            host.fuzz(offset, value)
            if round % 16 == 0 {
                let place = UInt64.random(in: 0x1_0000..<0x4_0000, using: &random)
                try host.memory.store(UInt64.random(in: 0...UInt64.max, using: &random), at: place)
            }
            if round % 100 == 0 {
                try host.issue(
                    port: Int.random(in: 0..<2, using: &random), slot: Int.random(in: 0..<32, using: &random),
                    frame: [0x27, 0x80] + (0..<14).map { _ in UInt8.random(in: 0...255, using: &random) },
                    packet: (0..<12).map { _ in UInt8.random(in: 0...255, using: &random) },
                    data: [(UInt64.random(in: 0..<0x20_0000, using: &random), 4096)])
            }
        }
    }
}
