// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import HostSystem

/// The header of a dynamic image, 1024 bytes behind the copy of the footer; numbers are big-endian.
struct VHDDynamicHeader: Sendable {
    static let byteCount = 1024
    static let cookie = Array("cxsparse".utf8)
    static let defaultBlockSize: Int64 = 2 << 20

    enum Offset {
        static let dataOffset = 8
        static let tableOffset = 16
        static let version = 24
        static let entries = 28
        static let blockSize = 32
        static let checksum = 36
    }

    let tableOffset: Int64
    let entries: Int64
    let blockSize: Int64

    /// A bit for each sector, in whole sectors.
    var bitmapSize: Int64 { (blockSize / 512 / 8 + 511) & ~511 }

    /// Checks what was read.
    init(parsing bytes: [UInt8], diskSectors: UInt64, fileLength: Int64) throws(BlockError) {
        guard bytes.starts(with: Self.cookie) else { throw BlockError(.invalidArgument, "Invalid header magic") }
        let block: UInt32 = bytes.load(at: Offset.blockSize, order: .big) ?? 0
        guard block >= 512, block & (block - 1) == 0 else {
            throw BlockError(.invalidArgument, "Invalid block size \(block)")
        }
        let count: UInt32 = bytes.load(at: Offset.entries, order: .big) ?? 0
        guard count <= UInt32(Int32.max) / 4 else {
            throw BlockError(.invalidArgument, "Max Table Entries too large (\(count))")
        }
        let (size, overflow) = UInt64(count).multipliedReportingOverflow(by: UInt64(block))
        guard !overflow, size / 512 >= diskSectors else {
            throw BlockError(.invalidArgument, "Page table too small")
        }
        let offset: UInt64 = bytes.load(at: Offset.tableOffset, order: .big) ?? 0
        guard offset <= UInt64(fileLength), UInt64(count) * 4 <= UInt64(fileLength) - offset else {
            throw BlockError(
                .corrupt, "The block allocation table does not lie inside the file of \(fileLength) bytes",
                errno: .invalidArgument)
        }
        blockSize = Int64(block)
        entries = Int64(count)
        tableOffset = Int64(offset)
    }

    /// The bytes of a new image's header.
    static func make(sectors: Int64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes.store(bytes: cookie, at: 0)
        bytes.store(UInt64.max, at: Offset.dataOffset, order: .big)
        bytes.store(UInt64(VHDFooter.byteCount + byteCount), at: Offset.tableOffset, order: .big)
        bytes.store(UInt32(0x0001_0000), at: Offset.version, order: .big)
        bytes.store(UInt32(truncatingIfNeeded: entries(sectors: sectors)), at: Offset.entries, order: .big)
        bytes.store(UInt32(defaultBlockSize), at: Offset.blockSize, order: .big)
        let sum = VHDFooter.checksum(bytes, skipping: Offset.checksum)
        bytes.store(sum, at: Offset.checksum, order: .big)
        return bytes
    }

    static func entries(sectors: Int64) -> Int64 {
        let perBlock = defaultBlockSize / 512
        return (sectors + perBlock - 1) / perBlock
    }
}
