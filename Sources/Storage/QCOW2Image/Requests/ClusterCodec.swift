// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Compression
internal import HostSystem

/// Compresses and decompresses clusters; contexts and the last decompressed cluster are kept under its own lock.
final class ClusterCodec: @unchecked Sendable {
    private let kind: CompressionKind
    private let clusterSize: Int
    // Guarded by `lock`.
    private let lock = Lock()
    private var deflaters: [DeflateCompressor] = []
    private var inflaters: [DeflateDecompressor] = []
    private var zstdCompressors: [ZstdCompressor] = []
    private var zstdDecompressors: [ZstdDecompressor] = []
    private var cachedEntry: UInt64 = 0
    /// Counts calls of `forget`: what was read before one is not kept after it.
    private var generation: UInt64 = 0
    private var cached: AlignedBuffer?

    /// With its window of 32 KiB libdeflate's fastest level makes smaller clusters than zlib's default level does with the
    /// 4 KiB that QEMU uses.
    static let deflateLevel = 1

    init(kind: CompressionKind, clusterSize: Int) {
        self.kind = kind
        self.clusterSize = clusterSize
    }

    /// Compresses a cluster into a region of the same length.
    /// - Returns: the compressed length, nil when it does not get smaller.
    func compress(_ cluster: ByteRegion, into output: ByteRegion) throws(BlockError) -> Int? {
        // One byte less than the cluster: the same length is not worth it.
        let room = output.slice(0, output.count - 1)
        do {
            switch kind {
            case .zlib:
                if try looksLikeNoise(cluster), try isNoise(cluster, output) { return nil }
                let context = try lock.withLock { deflaters.popLast() } ?? DeflateCompressor(level: Self.deflateLevel)
                defer { lock.withLock { deflaters.append(context) } }
                return unsafe context.compress(UnsafeRawBufferPointer(cluster.buffer), into: room.buffer)
            case .zstd:
                let context = try lock.withLock { zstdCompressors.popLast() } ?? ZstdCompressor()
                defer { lock.withLock { zstdCompressors.append(context) } }
                return unsafe context.compress(UnsafeRawBufferPointer(cluster.buffer), into: room.buffer)
            }
        } catch {
            throw BlockError(system: .noMemory, "Could not compress a cluster")
        }
    }

    /// Whether the bytes are as evenly and as randomly distributed as encrypted or compressed data's: the sum of the
    /// squares of 256 counts of n random bytes is n²/256 + n, give or take.
    private func looksLikeNoise(_ cluster: ByteRegion) throws(BlockError) -> Bool {
        let samples = 4096
        guard cluster.count >= samples * 4 else { return false }
        let step = cluster.count / samples
        var counts = [Int32](repeating: 0, count: 256)
        for index in 0..<samples { counts[Int(cluster[index * step])] += 1 }
        let sum = counts.reduce(0) { $0 + Int($1) * Int($1) }
        let expected = samples * samples / 256 + samples
        return abs(sum - expected) < expected / 32
    }

    /// Tries a quarter of the cluster: repetitions do not show in how often each byte occurs.
    private func isNoise(_ cluster: ByteRegion, _ output: ByteRegion) throws -> Bool {
        let part = cluster.slice(cluster.count / 4, cluster.count / 4)
        let context = try lock.withLock { deflaters.popLast() } ?? DeflateCompressor(level: Self.deflateLevel)
        defer { lock.withLock { deflaters.append(context) } }
        let packed = unsafe context.compress(
            UnsafeRawBufferPointer(part.buffer), into: output.slice(0, part.count).buffer)
        return packed.map { $0 > part.count - part.count / 64 } ?? true
    }

    /// Decompresses to exactly the region's length.
    func decompress(_ packed: ByteRegion, into region: ByteRegion) throws(BlockError) {
        do {
            let produced: Int
            switch kind {
            case .zlib: produced = try inflate(packed, into: region)
            case .zstd:
                let context = try lock.withLock { zstdDecompressors.popLast() } ?? ZstdDecompressor()
                defer { lock.withLock { zstdDecompressors.append(context) } }
                produced = try unsafe context.decompress(UnsafeRawBufferPointer(packed.buffer), into: region.buffer)
            }
            if produced == region.count { return }
        } catch CompressionFailure.outOfMemory {
            throw BlockError(system: .noMemory, "Could not decompress a cluster")
        } catch {
            // Told below, like a stream that is too short.
        }
        throw BlockError(.inputOutput, "A compressed cluster is damaged")
    }

    private func inflate(_ packed: ByteRegion, into region: ByteRegion) throws(CompressionFailure) -> Int {
        let context: DeflateDecompressor
        if let kept = lock.withLock({ inflaters.popLast() }) {
            context = kept
        } else {
            context = try DeflateDecompressor()
        }
        defer { lock.withLock { inflaters.append(context) } }
        do throws(CompressionFailure) {
            let result = try unsafe context.decompress(
                UnsafeRawBufferPointer(packed.buffer), into: region.buffer)
            if result.produced == region.count { return result.produced }
        } catch {
            if error == .outOfMemory { throw error }
            // A stream may hold more than a cluster; zlib stops where the cluster is full.
        }
        return try unsafe PartialInflate.decompress(UnsafeRawBufferPointer(packed.buffer), into: region.buffer)
    }

    /// Lends the decompressed cluster of an entry, from the last time if it is the same.
    func withCached(
        _ entry: UInt64, node: QCOW2Node, _ body: (ByteRegion) -> Void
    ) throws(BlockError) {
        let (isHit, started) = lock.withLock {
            guard cachedEntry == entry, let cached else { return (false, generation) }
            body(cached.region)
            return (true, generation)
        }
        if isHit { return }
        let buffer = AlignedBuffer(count: clusterSize)
        try node.decompress(entry, into: buffer.region)
        body(buffer.region)
        lock.withLock {
            guard started == generation else { return }
            cachedEntry = entry
            cached = buffer
        }
    }

    /// Forgets the last cluster: its place may be used again.
    func forget() {
        lock.withLock {
            generation &+= 1
            cachedEntry = 0
            cached = nil
        }
    }
}
