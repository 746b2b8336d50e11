// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping
internal import Compression
internal import HostSystem

/// An opened DMG image. The chunk that was read last is kept; guarded by `lock`.
final class DMGNode: ReadOnlyDisk, @unchecked Sendable {
    let driverName = "dmg"
    let file: any BlockNode
    let location: NodeLocation
    let length: Int64
    /// Ordered by their place on the disk.
    private let chunks: [DMGChunk]
    private let lock = Lock()
    private var current: (start: Int64, content: ByteRegion)?

    init(file: any BlockNode, chunks: [DMGChunk], length: Int64) {
        self.file = file
        self.chunks = chunks
        self.length = length
        location = Self.location(over: file, driver: "dmg")
    }

    /// The last chunk that begins at or before an offset.
    private func index(at offset: Int64) -> Int? {
        var (low, high) = (0, chunks.count)
        while low < high {
            let middle = (low + high) / 2
            if chunks[middle].start <= offset { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : low - 1
    }

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        let index = index(at: offset)
        guard let index, offset < chunks[index].start + chunks[index].count else {
            throw BlockError(.inputOutput, "\(location.filename): no chunk has the data at offset \(offset)")
        }
        let chunk = chunks[index]
        let within = offset - chunk.start
        let count = min(limit, chunk.count - within)
        switch chunk.kind {
        case .zero, .ignored: return (.zero, count)
        case .plain: return (.stored(file: file, offset: chunk.offset + within), count)
        case .zlib, .bzip2, .xz: return (.packed, count)
        }
    }

    func readPacked(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        guard let index = index(at: offset) else { return }
        let chunk = chunks[index]
        try lock.withLock { () throws(BlockError) in
            if current?.start != chunk.start { current = (chunk.start, try unpack(chunk)) }
            guard let content = current?.content else { return }
            region.copy(from: content.slice(Int(offset - chunk.start), region.count))
        }
    }

    private func unpack(_ chunk: DMGChunk) throws(BlockError) -> ByteRegion {
        let packed = AlignedBuffer(count: Int(chunk.stored)).region
        try file.read(packed, at: chunk.offset)
        let content = AlignedBuffer(count: Int(chunk.count)).region
        do throws(CompressionFailure) {
            // Both buffers live until the calls return.
            let source = unsafe UnsafeRawBufferPointer(packed.buffer)
            let count =
                switch chunk.kind {
                case .bzip2: try unsafe Bzip2.decompress(source, into: content.buffer)
                case .xz: try unsafe XZ.decompress(source, into: content.buffer)
                default: try unsafe PartialInflate.decompress(source, into: content.buffer, container: .zlib)
                }
            if Int64(count) == chunk.count { return content }
        } catch {
            throw BlockError(.inputOutput, "\(location.filename): the chunk at \(chunk.start) cannot be decompressed")
        }
        throw BlockError(.inputOutput, "\(location.filename): the chunk at \(chunk.start) is too short")
    }
}
