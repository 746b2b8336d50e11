// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import MachineModel
import PCChipset
import RandomKit
import Testing

@Suite struct FirmwareConfigTests {
    let bench = Bench()
    let memory = GuestMemory()
    let config: FirmwareConfig

    init() throws {
        try memory.addRegion(name: "ram", start: 0, count: 1 << 20)
        config = FirmwareConfig(memory: memory)
        config.map(in: bench.ports)
    }

    private func read(_ item: UInt16, _ count: Int) -> [UInt8] {
        bench.out(0x510, UInt64(item), size: 2)
        return (0..<count).map { _ in UInt8(bench.in(0x511)) }
    }

    /// Runs a DMA command and gives what its control word says then.
    private func transfer(_ control: UInt32, count: UInt32, address: UInt64, at place: UInt64 = 0x8000) throws -> UInt32
    {
        try memory.store(control.byteSwapped, at: place)
        try memory.store(count.byteSwapped, at: place + 4)
        try memory.store(address.byteSwapped, at: place + 8)
        bench.out(0x514, UInt64(UInt32(place >> 32).byteSwapped), size: 4)
        bench.out(0x518, UInt64(UInt32(truncatingIfNeeded: place).byteSwapped), size: 4)
        return try memory.load(UInt32.self, at: place).byteSwapped
    }

    @Test func signatureAndIdentity() {
        #expect(read(0, 4) == Array("QEMU".utf8))
        #expect(read(1, 4) == [3, 0, 0, 0])
        #expect(read(0x7777, 2) == [0, 0])
        #expect(bench.in(0x514, size: 4) == 0x554D_4551)
        #expect(bench.in(0x514, size: 8) == 0x4746_4320_554D_4551)
    }

    @Test func integersAndText() {
        config.setMachine(ramSize: 0x1_2345_6000, processors: 2, maximumProcessors: 8, showsBootMenu: true)
        #expect(read(FirmwareConfig.Item.ramSize, 8) == [0, 0x60, 0x45, 0x23, 1, 0, 0, 0])
        #expect(read(FirmwareConfig.Item.processorCount, 3) == [2, 0, 0])
        #expect(read(FirmwareConfig.Item.maximumProcessors, 2) == [8, 0])
        config.set(FirmwareConfig.Item.commandLineData, to: "quiet")
        #expect(read(FirmwareConfig.Item.commandLineData, 7) == Array("quiet".utf8) + [0, 0])
        config.set(0x100, to: UInt8(7))
        #expect(read(0x100, 1) == [7])
    }

    @Test func directoryIsSortedAndBigEndian() {
        config.addFile("etc/zeta", [1, 2, 3])
        config.addFile("bootorder", [9])
        let directory = read(FirmwareConfig.Item.fileDirectory, 4 + 128)
        #expect(Array(directory[0..<4]) == [0, 0, 0, 2])
        #expect(Array(directory[4..<12]) == [0, 0, 0, 1, 0, 0x21, 0, 0])
        #expect(Array(directory[12..<21]) == Array("bootorder".utf8))
        #expect(Array(directory[68..<76]) == [0, 0, 0, 3, 0, 0x20, 0, 0])
        #expect(read(0x20, 4) == [1, 2, 3, 0])
    }

    @Test func namesAndCountsAreBounded() {
        #expect(!config.addFile(String(repeating: "x", count: 56), []))
        for index in 0..<FirmwareConfig.maximumFiles { #expect(config.addFile("f\(index)", [])) }
        #expect(!config.addFile("one more", []))
        #expect(config.addFile("f3", [1]))
        #expect(config.contents(ofFile: "f3") == [1])
    }

    @Test func memoryMap() {
        config.addMemoryMap([.init(start: 0x1000, count: 0x2000, kind: .ram)])
        #expect(
            config.contents(ofFile: "etc/e820") == [0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    }

    @Test func providersAreAskedAtSelection() {
        var calls: UInt8 = 0
        config.addFile("etc/acpi/tables", [0]) {
            calls += 1
            return [calls]
        }
        #expect(read(0x20, 1) == [1])
        #expect(read(0x20, 1) == [2])
    }

    @Test func dmaReadsSelectsAndSkips() throws {
        config.addFile("data", (0..<100).map { UInt8($0) })
        #expect(try transfer(0x0020_000A, count: 10, address: 0x1000) == 0)
        #expect(try memory.read(at: 0x1000, count: 10) == Array(0..<10))
        #expect(try transfer(0x4, count: 80, address: 0) == 0)
        #expect(try transfer(0x2, count: 20, address: 0x1000) == 0)
        #expect(try memory.read(at: 0x1000, count: 20) == Array(90..<100) + [UInt8](repeating: 0, count: 10))
    }

    @Test func dmaWritesOnlyWhereAllowed() throws {
        config.addFile("fixed", [1, 2, 3, 4])
        config.addFile("open", [1, 2, 3, 4], isWritable: true)
        try memory.write([7, 8], at: 0x1000)
        #expect(try transfer(0x0020_0018, count: 2, address: 0x1000) == 1)
        #expect(try transfer(0x0021_0018, count: 2, address: 0x1000) == 0)
        #expect(config.contents(ofFile: "open") == [7, 8, 3, 4])
        #expect(try transfer(0x0021_0018, count: 5, address: 0x1000) == 1)
    }

    @Test func dmaBeyondMemoryIsAnError() throws {
        #expect(try transfer(0x0000_000A, count: 16, address: 0xFFFF_FFFF_FFFF_FFF8) == 1)
        #expect(try transfer(0x0000_000A, count: .max, address: 0x9000) == 1)
        // A command structure that is no memory at all changes nothing.
        bench.out(0x518, 0xFFFF_FFFF, size: 4)
        #expect(read(0, 4) == Array("QEMU".utf8))
    }

    @Test func randomAccessesNeverTrap() throws {
        config.addFile("open", [UInt8](repeating: 0, count: 64), isWritable: true)
        var random = SeededGenerator(seed: 1)
        for place in stride(from: UInt64(0), to: 1 << 20, by: 8) {
            try memory.store(random.next() & 0xFFFF_001F_00FF_003F, at: place)
        }
        bench.abuse([0x510, 0x514], spread: 8, rounds: 5000)
        for _ in 0..<2000 {
            bench.out(0x514, 0, size: 4)
            bench.out(0x518, UInt64(UInt32(random.next() & 0xFFFFF).byteSwapped), size: 4)
        }
    }
}
