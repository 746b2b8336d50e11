// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import Compression
internal import HostSystem

/// Compressed loop images (cloop, version 2), to read: blocks compressed with zlib.
public struct CloopDriver: ProbingDriver {
    /// "cloop".
    public let name = "cloop"
    /// The driver.
    public init() {}

    private static let magic = """
        #!/bin/sh
        #V2.0 Format
        modprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1

        """
    private static let headerOffset: Int64 = 128
    private static let largestBlock: UInt32 = 64 << 20
    private static let largestTable: UInt64 = 512 << 20

    /// The script at the beginning; one that was changed counts less.
    public func probe(head: [UInt8], filename: String) -> Int {
        head.starts(with: Self.magic.utf8) ? 2 : 0
    }

    /// Opens an image; there are no options.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withReadOnlyFile(name) { (_, file) throws(BlockError) in
            let head = try file.readBytes(at: Self.headerOffset, count: 8)
            let block: UInt32 = head.load(at: 0, order: .big) ?? 0
            let count: UInt32 = head.load(at: 4, order: .big) ?? 0
            if block % 512 != 0 {
                throw BlockError(.invalidArgument, "block_size \(block) must be a multiple of 512")
            }
            if block == 0 { throw BlockError(.invalidArgument, "block_size cannot be zero") }
            if block > Self.largestBlock {
                throw BlockError(
                    .invalidArgument, "block_size \(block) must be \(Self.largestBlock >> 20) MB or less")
            }
            let most = (UInt32.max - 1) / 8
            if count > most { throw BlockError(.invalidArgument, "n_blocks \(count) must be \(most) or less") }
            if (UInt64(count) + 1) * 8 > Self.largestTable {
                throw BlockError(
                    .invalidArgument, "image requires too many offsets, try increasing block size")
            }
            let bytes = try OpenRequest.table(file, at: Self.headerOffset + 8, count: (Int64(count) + 1) * 8)
            try Self.check(bytes, count)
            return CloopNode(file: file, offsets: bytes, blockSize: Int64(block), blocks: Int64(count))
        }
    }

    private static func check(_ table: [UInt8], _ count: UInt32) throws(BlockError) {
        var previous: UInt64 = table.load(at: 0, order: .big) ?? 0
        for index in 1..<(Int(count) + 1) {
            let offset: UInt64 = table.load(at: index * 8, order: .big) ?? 0
            if offset < previous {
                throw BlockError(
                    .invalidArgument,
                    "offsets not monotonically increasing at index \(index), image file is corrupt")
            }
            if offset - previous > 2 * UInt64(largestBlock) || offset > UInt64(Int64.max) {
                throw BlockError(
                    .invalidArgument, "invalid compressed block size at index \(index), image file is corrupt")
            }
            previous = offset
        }
    }
}

/// An opened image. The last block that was read is kept; guarded by `lock`.
final class CloopNode: ReadOnlyDisk, @unchecked Sendable {
    let driverName = "cloop"
    let file: any BlockNode
    let location: NodeLocation
    let length: Int64
    private let offsets: [UInt8]
    private let blockSize: Int64
    private let lock = Lock()
    private var current: (block: Int64, content: ByteRegion)?

    init(file: any BlockNode, offsets: [UInt8], blockSize: Int64, blocks: Int64) {
        self.file = file
        self.offsets = offsets
        self.blockSize = blockSize
        length = blockSize * blocks
        location = Self.location(over: file, driver: "cloop")
    }

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        (.packed, min(limit, blockSize - offset % blockSize))
    }

    func readPacked(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try lock.withLock { () throws(BlockError) in
            let block = offset / blockSize
            if current?.block != block { current = (block, try inflate(block)) }
            guard let content = current?.content else { return }
            region.copy(from: content.slice(Int(offset % blockSize), region.count))
        }
    }

    private func inflate(_ block: Int64) throws(BlockError) -> ByteRegion {
        let start: UInt64 = offsets.load(at: Int(block) * 8, order: .big) ?? 0
        let end: UInt64 = offsets.load(at: Int(block + 1) * 8, order: .big) ?? 0
        let packed = AlignedBuffer(count: Int(end - start)).region
        try file.read(packed, at: Int64(start))
        let content = AlignedBuffer(count: Int(blockSize)).region
        do throws(CompressionFailure) {
            // Both buffers live until the call returns.
            let count = try unsafe PartialInflate.decompress(
                UnsafeRawBufferPointer(packed.buffer), into: content.buffer, container: .zlib)
            if Int64(count) == blockSize { return content }
        } catch {
            throw BlockError(.corrupt, "\(location.filename): block \(block) cannot be decompressed")
        }
        throw BlockError(.corrupt, "\(location.filename): block \(block) is too short")
    }
}
