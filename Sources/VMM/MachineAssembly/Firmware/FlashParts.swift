// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Diagnostics
internal import GuestMemory
internal import HostSystem
internal import MachineModel
internal import MachineSpec
internal import PCChipset

/// The flash chips of -drive if=pflash: the first ends at 4 GiB, the second lies below it.
struct FlashParts {
    private(set) var chips: [ParallelFlash] = []
    private static let fourGiB: UInt64 = 1 << 32
    private static let largest: Int64 = 16 << 20
    private static let storeUnit: Int64 = 512
    private static let shadowCount = 128 << 10, oneMiB: UInt64 = 1 << 20

    /// Makes the chips of the description, and puts their content into memory.
    init(
        _ spec: MachineSpec, storage: StorageParts, memory: GuestMemory, warn: @escaping (String) -> Void
    ) throws(UserError) {
        var end = Self.fourGiB
        var names = spec.board.flash
        for drive in spec.drives where drive.interface == .pflash { names[drive.unit] = drive.identifier }
        for (number, name) in names.sorted(by: { $0.key < $1.key }) {
            if number == 1, chips.isEmpty {
                throw UserError("pflash1 requires pflash0", place: "-drive if=pflash,unit=1")
            }
            let node = try storage.node(name)
            let size = node.length
            guard size > 0, size % Int64(ParallelFlash.sectorSize) == 0, size <= Self.largest else {
                throw UserError(
                    "system firmware block device \(name) has invalid size \(size)",
                    because: "its size must be a non-zero multiple of 0x1000, and at most 16 MiB")
            }
            chips.append(
                try Self.makeChip(node, name: "system.flash\(number)", end: end, memory: memory, warn: warn))
            end -= UInt64(size)
        }
    }

    private static func makeChip(
        _ node: any BlockNode, name: String, end: UInt64, memory: GuestMemory, warn: @escaping (String) -> Void
    ) throws(UserError) -> ParallelFlash {
        let count = Int(node.length)
        let region: GuestMemory.MovableRegion
        do throws(Errno) {
            region = try memory.addMovableRegion(name: name, count: UInt64(count), isReadOnly: true)
        } catch { throw UserError("cannot map \(name)", because: error) }
        let chip = memory.region(region)
        // The region's memory lives as long as `memory`, which the view keeps.
        let content = unsafe ByteRegion(unsafe: chip.base, count: count, owner: memory)
        do throws(BlockError) { try node.read(content, at: 0) } catch {
            throw UserError("cannot read \(name): \(error)")
        }
        return ParallelFlash(
            memory: memory, region: region, base: end - UInt64(count), isReadOnly: node.isReadOnly
        ) { offset, bytes in
            // Whole units, for images that are written around the host's cache.
            let first = Int64(offset) / storeUnit * storeUnit
            let last = min((Int64(offset + bytes.count) + storeUnit - 1) / storeUnit * storeUnit, Int64(count))
            do throws(BlockError) {
                try node.write(content.slice(Int(first), Int(last - first)), at: first)
                return true
            } catch {
                warn("\(name): \(error)")
                return false
            }
        }
    }

    /// Puts the end of the first chip below 1 MiB, as it is seen there after a reset.
    func shadow(into memory: GuestMemory) throws(UserError) {
        guard let bytes = chips.first?.tail(Self.shadowCount) else { return }
        do throws(GuestMemoryError) {
            try memory.write(bytes, at: Self.oneMiB - UInt64(bytes.count), force: true)
        } catch {
            throw UserError("the machine's memory is too small for its firmware; give it at least 2 MiB (-m)")
        }
    }
}
