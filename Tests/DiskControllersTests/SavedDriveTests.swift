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

extension IDEFunction {
    /// One region at 0x2000 for a transfer of so many bytes.
    fileprivate func table(_ count: UInt32) throws { try table([(0x2000, 0x8000_0000 | count)]) }

    fileprivate func words(_ count: Int) -> [UInt64] { (0..<count).map { _ in ports.read(0x1F0, size: 2) } }

    /// The same machine elsewhere, its memory included.
    fileprivate func moved() throws -> IDEFunction {
        let other = try IDEFunction()
        let restore = try other.function.checkState(function.saveState(as: "ide"))
        try other.memory.write(memory.read(at: 0, count: 0x10000), at: 0)
        restore()
        return other
    }
}

@Suite struct SavedDriveTests {
    @Test func inTheMiddleOfABlock() throws {
        let guest = try IDEFunction()
        guest.command(0x20, sector: 7, count: 2)
        #expect(guest.words(100).allSatisfy { $0 == 0x0707 })
        let other = try guest.moved()
        #expect(other.words(156).allSatisfy { $0 == 0x0707 })
        #expect(other.ports.read(0x1F7, size: 1) & 8 != 0)
        #expect(other.words(256).allSatisfy { $0 == 0x0808 })
        #expect(other.ports.read(0x1F7, size: 1) == 0x50)
    }

    @Test func beforeTheGuestHasFilledABlock() throws {
        let guest = try IDEFunction()
        guest.command(0x30, sector: 9, count: 1)
        for _ in 0..<100 { guest.ports.write(0x1F0, size: 2, value: 0xABAB) }
        let other = try guest.moved()
        for _ in 0..<156 { other.ports.write(0x1F0, size: 2, value: 0xABAB) }
        #expect(other.disk.content[9 * 512..<10 * 512].allSatisfy { $0 == 0xAB })
    }

    @Test func beforeATransferBegins() throws {
        let guest = try IDEFunction()
        try guest.table(1024)
        guest.command(0xC8, sector: 5, count: 2)
        let other = try guest.moved()
        other.ports.write(0xC000, size: 1, value: 9)
        #expect(other.ports.read(0xC002, size: 1) & 5 == 4)
        #expect(try other.memory.load(UInt8.self, at: 0x2000 + 1023) == 6)
    }

    /// What threads have under way ends before the state is taken, and its data is in memory.
    @Test func whileTheHostWorks() throws {
        let guest = try IDEFunction(isSlow: true)
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
