// SPDX-License-Identifier: Apache-2.0

/// The registers of a disk (Virtio 1.2, 5.2.4).
struct VirtioBlockConfig {
    /// In sectors of 512 bytes.
    let capacity: UInt64
    let options: VirtioBlockOptions
    let hasWriteCache: Bool

    /// The geometry that drivers for BIOS partitions compute with.
    private static let heads: UInt64 = 16, sectorsPerTrack: UInt64 = 63, maximumCylinders: UInt64 = 16383

    var bytes: [UInt8] {
        let block = options.logicalBlockSize
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        bytes.append(register: capacity)
        // The longest segment is not limited.
        bytes.append(register: UInt32(0))
        bytes.append(register: UInt32(options.queueSize) - 2)
        let cylinders = min(max(capacity / (Self.heads * Self.sectorsPerTrack), 2), Self.maximumCylinders)
        bytes.append(register: UInt16(cylinders))
        bytes.append(UInt8(Self.heads))
        let blockSectors = UInt64(block) / UInt64(VirtioBlockDevice.sectorSize)
        bytes.append(UInt8(truncatingIfNeeded: Self.sectorsPerTrack & ~(blockSectors - 1)))
        bytes.append(register: UInt32(truncatingIfNeeded: block))
        bytes.append(UInt8((options.physicalBlockSize / block).trailingZeroBitCount))
        bytes.append(0)
        bytes.append(register: UInt16(clamping: options.minimumIOSize / block))
        bytes.append(register: UInt32(clamping: options.optimalIOSize / block))
        bytes.append(hasWriteCache ? 1 : 0)
        bytes.append(0)
        bytes.append(register: UInt16(truncatingIfNeeded: options.queueCount))
        bytes.append(register: VirtioBlockDevice.maximumDiscard)
        bytes.append(register: UInt32(1))
        let granularity = options.discardGranularity ?? block
        bytes.append(register: UInt32(clamping: max(granularity, 512) / 512))
        bytes.append(register: VirtioBlockDevice.maximumDiscard)
        bytes.append(register: UInt32(1))
        // Zeroing may give storage back.
        bytes.append(1)
        return bytes
    }
}
