// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import HostIO
import HostSystem
import MachineModel
import PCIBus
import StateCoding
import Testing

/// A PIIX3's IDE function with a disk whose requests threads do, and which nobody hears of before he asks.
private final class SlowController {
    let memory = GuestMemory()
    let ports: AddressSpace
    let function: PIIXIDEController
    let disk = numberedDisk(sectors: 512)

    final class NoMessages: MessageInterruptSink {
        func deliver(address: UInt64, data: UInt32) {}
    }

    init(isSlow: Bool = false) throws {
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        let lock = Lock()
        ports = AddressSpace(machineLock: lock)
        let bus = PCIBus(name: "pci.0", ports: ports, memory: AddressSpace(machineLock: lock), messages: NoMessages())
        function = PIIXIDEController(memory: memory, ports: ports, interrupts: [.unconnected(), .unconnected()])
        try bus.add(function)
        let pool = isSlow ? try WorkerPool(name: "disk", count: 2) : nil
        let medium = DriveMedium(disk, memory: memory, pool: pool) { work in if !isSlow { work() } }
        function.channels[0].attach(ATADrive(disk: medium, identity: DriveIdentity(model: "disk", number: 1)), at: 0)
        function.reset()
        function.writeConfig(offset: 0x20, size: 4, value: 0xC000)
        function.writeConfig(offset: 4, size: 2, value: 5)
    }

    func command(_ code: UInt64, sector: UInt64, count: UInt64) {
        for (port, value) in [(0x1F6, 0xE0), (0x1F2, count), (0x1F3, sector), (0x1F4, 0), (0x1F5, 0), (0x1F7, code)]
            as [(UInt64, UInt64)]
        {
            ports.write(port, size: 1, value: value)
        }
    }

    /// One region at 0x2000 for a transfer of so many bytes.
    func table(_ count: UInt32) throws {
        try memory.store(UInt32(0x2000), at: 0x1000)
        try memory.store(0x8000_0000 | count, at: 0x1004)
        ports.write(0xC004, size: 4, value: 0x1000)
    }

    func words(_ count: Int) -> [UInt64] { (0..<count).map { _ in ports.read(0x1F0, size: 2) } }

    /// The same machine elsewhere, its memory included.
    func moved() throws -> SlowController {
        let other = try SlowController()
        let restore = try other.function.checkState(function.saveState(as: "ide"))
        try other.memory.write(memory.read(at: 0, count: 0x10000), at: 0)
        restore()
        return other
    }
}

@Suite struct SavedDriveTests {
    @Test func inTheMiddleOfABlock() throws {
        let guest = try SlowController()
        guest.command(0x20, sector: 7, count: 2)
        #expect(guest.words(100).allSatisfy { $0 == 0x0707 })
        let other = try guest.moved()
        #expect(other.words(156).allSatisfy { $0 == 0x0707 })
        #expect(other.ports.read(0x1F7, size: 1) & 8 != 0)
        #expect(other.words(256).allSatisfy { $0 == 0x0808 })
        #expect(other.ports.read(0x1F7, size: 1) == 0x50)
    }

    @Test func beforeTheGuestHasFilledABlock() throws {
        let guest = try SlowController()
        guest.command(0x30, sector: 9, count: 1)
        for _ in 0..<100 { guest.ports.write(0x1F0, size: 2, value: 0xABAB) }
        let other = try guest.moved()
        for _ in 0..<156 { other.ports.write(0x1F0, size: 2, value: 0xABAB) }
        #expect(other.disk.content[9 * 512..<10 * 512].allSatisfy { $0 == 0xAB })
    }

    @Test func beforeATransferBegins() throws {
        let guest = try SlowController()
        try guest.table(1024)
        guest.command(0xC8, sector: 5, count: 2)
        let other = try guest.moved()
        other.ports.write(0xC000, size: 1, value: 9)
        #expect(other.ports.read(0xC002, size: 1) & 5 == 4)
        #expect(try other.memory.load(UInt8.self, at: 0x2000 + 1023) == 6)
    }

    /// What threads have under way ends before the state is taken, and its data is in memory.
    @Test func whileTheHostWorks() throws {
        let guest = try SlowController(isSlow: true)
        try guest.table(0x8000)
        guest.command(0xC8, sector: 3, count: 64)
        guest.ports.write(0xC000, size: 1, value: 9)
        let other = try guest.moved()
        #expect(try other.memory.load(UInt8.self, at: 0x2000 + 63 * 512) == 66)
        #expect(other.ports.read(0x1F7, size: 1) == 0x50 && other.ports.read(0xC002, size: 1) & 5 == 4)
    }

    /// A queued read by several threads of an AHCI port.
    @Test func queuedCommandsEndBefore() throws {
        let memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        let medium = DriveMedium(
            numberedDisk(sectors: 512), memory: memory, pool: try WorkerPool(name: "disk", count: 2)
        ) { _ in }
        var told = 0
        let drive = ATADrive(disk: medium, identity: DriveIdentity(model: "disk", number: 1))
        let controller = AHCIController(memory: memory)
        controller.attach(drive, at: 0)
        for sector in 0..<8 {
            medium.write([UInt8](repeating: 1, count: 512), at: Int64(sector) * 512) { _ in told += 1 }
        }
        _ = try controller.saveState(as: "ahci")
        #expect(told == 8)
    }
}
