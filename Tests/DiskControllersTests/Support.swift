// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import HostSystem
import MachineModel
import PCIBus

/// A disk whose sectors say which they are.
func numberedDisk(sectors: Int) -> MemoryNode {
    MemoryNode((0..<sectors).flatMap { sector in [UInt8](repeating: UInt8(truncatingIfNeeded: sector), count: 512) })
}

func makeMedium(_ node: (any BlockNode)?, _ memory: GuestMemory) -> DriveMedium {
    DriveMedium(node, memory: memory, pool: nil) { $0() }
}

/// An IDE channel with a disk and a CD-ROM drive, and a guest that talks to its ports.
final class Channel {
    let memory = GuestMemory()
    let disk: MemoryNode
    let interrupt = InterruptLine { _ in }
    let channel: IDEChannel
    let compactDisc: CDROMCommands

    /// - Parameter medium: a disk other than one whose sectors say which they are.
    init(sectors: Int = 256, disc: MemoryNode? = nil, medium: ((GuestMemory) -> DriveMedium)? = nil) throws {
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        disk = numberedDisk(sectors: sectors)
        channel = IDEChannel(memory: memory, interrupt: interrupt)
        channel.attach(
            ATADrive(
                disk: medium?(memory) ?? makeMedium(disk, memory),
                identity: DriveIdentity(model: "QEMU HARDDISK", number: 1)), at: 0)
        compactDisc = CDROMCommands(medium: makeMedium(disc, memory))
        channel.attach(ATADrive(cdrom: compactDisc, identity: DriveIdentity(model: "QEMU DVD-ROM", number: 2)), at: 1)
    }

    func out(_ register: UInt64, _ value: UInt64) {
        channel.commandBlock.write(offset: register, size: 1, value: value)
    }
    func read(_ register: UInt64) -> UInt8 { UInt8(channel.commandBlock.read(offset: register, size: 1)) }
    var status: UInt8 { UInt8(channel.controlBlock.read(offset: 0, size: 1)) }

    /// Sets the registers for 28 bits and starts a command.
    func command(_ code: UInt8, sector: UInt64 = 0, count: UInt8 = 1, drive: UInt64 = 0, feature: UInt8 = 0) {
        out(6, 0xE0 | drive << 4 | sector >> 24 & 0xF)
        out(1, UInt64(feature))
        out(2, UInt64(count))
        out(3, sector & 0xFF)
        out(4, sector >> 8 & 0xFF)
        out(5, sector >> 16 & 0xFF)
        out(7, UInt64(code))
    }

    func readBlock(_ count: Int) -> [UInt8] {
        (0..<count / 2).flatMap { _ -> [UInt8] in
            let word = channel.commandBlock.read(offset: 0, size: 2)
            return [UInt8(word & 0xFF), UInt8(word >> 8)]
        }
    }

    func writeBlock(_ bytes: [UInt8]) {
        for index in stride(from: 0, to: bytes.count, by: 4) {
            var value: UInt64 = 0
            for byte in 0..<4 { value |= UInt64(bytes[index + byte]) << UInt64(byte * 8) }
            channel.commandBlock.write(offset: 0, size: 4, value: value)
        }
    }

    /// A packet command by PIO.
    func packet(_ bytes: [UInt8], limit: UInt64 = 0x800) {
        out(6, 0xB0)
        out(1, 0)
        out(4, limit & 0xFF)
        out(5, limit >> 8)
        out(7, 0xA0)
        writeBlock(bytes + [UInt8](repeating: 0, count: 12 - bytes.count))
    }
}
