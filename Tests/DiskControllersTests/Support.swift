// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import HostIO
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

/// A PIIX3's IDE function with a disk on a bus.
final class IDEFunction {
    let memory = GuestMemory()
    let ports: AddressSpace
    let disk = numberedDisk(sectors: 512)
    let function: PIIXIDEController

    private final class NoMessages: MessageInterruptSink {
        func deliver(address: UInt64, data: UInt32) {}
    }

    /// - Parameter isSlow: threads do the disk's requests, and nobody hears of their ends before he asks.
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

    /// The regions of a transfer, addresses and counts, in a table at 0x1000.
    func table(_ regions: [(UInt32, UInt32)]) throws {
        for (index, region) in regions.enumerated() {
            try memory.store(region.0, at: 0x1000 + UInt64(index * 8))
            try memory.store(region.1, at: 0x1004 + UInt64(index * 8))
        }
        ports.write(0xC004, size: 4, value: 0x1000)
    }
}
