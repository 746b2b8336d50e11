// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// A step of the script by which firmware puts tables into memory (QEMU's docs/specs, "BIOS linker loader").
public enum TableLoaderCommand: Equatable, Sendable {
    /// Gets memory for a file: anywhere, or below 1 MiB where systems search for anchors.
    case allocate(file: String, alignment: UInt32, belowOneMegabyte: Bool)
    /// Adds the address of `source` to the pointer of `size` bytes at `offset` of `file`.
    case addPointer(file: String, source: String, offset: Int, size: UInt8)
    /// Makes `count` bytes from `start` of `file` sum up to 0 by the byte at `offset`.
    case addChecksum(file: String, offset: Int, start: Int, count: Int)

    private static let entryCount = 128, nameCount = 56

    /// The 128 bytes of `etc/table-loader`.
    var encoded: [UInt8] {
        var entry = ByteBuilder()
        switch self {
        case .allocate(let file, let alignment, let below):
            entry.append(UInt32(1))
            entry.append(text: file, count: Self.nameCount)
            entry.append(alignment)
            entry.append(UInt8(below ? 2 : 1))
        case .addPointer(let file, let source, let offset, let size):
            entry.append(UInt32(2))
            entry.append(text: file, count: Self.nameCount)
            entry.append(text: source, count: Self.nameCount)
            entry.append(UInt32(offset))
            entry.append(size)
        case .addChecksum(let file, let offset, let start, let count):
            entry.append(UInt32(3))
            entry.append(text: file, count: Self.nameCount)
            entry.append(UInt32(offset))
            entry.append(UInt32(start))
            entry.append(UInt32(count))
        }
        entry.pad(to: Self.entryCount)
        return entry.bytes
    }
}
