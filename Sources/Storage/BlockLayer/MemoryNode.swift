// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// A disk in memory, for tests and for content that is made rather than stored. It grows when written past its end.
public final class MemoryNode: ResizableNode, @unchecked Sendable {
    // Guarded by `lock`.
    private var bytes: [UInt8]
    private let lock = Lock()

    /// "memory".
    public let driverName = "memory"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// No alignment.
    public let limits = BlockLimits()
    /// A name for messages.
    public let location: NodeLocation
    /// Nothing below.
    public var children: [NodeChild] { [] }

    /// A disk with this content.
    /// - Parameter longest: bytes that it does not grow beyond.
    public init(
        _ bytes: [UInt8] = [], name: String = "memory", isReadOnly: Bool = false, longest: Int64 = 1 << 32
    ) {
        self.longest = longest
        self.bytes = bytes
        self.isReadOnly = isReadOnly
        location = NodeLocation(filename: name)
    }

    /// The length in bytes.
    public var length: Int64 { lock.withLock { Int64(bytes.count) } }
    /// A copy of the whole content.
    public var content: [UInt8] { lock.withLock { bytes } }

    /// Copies out; zeroes past the end.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        lock.withLock {
            region.fill(0)
            let start = Int(min(max(offset, 0), Int64(bytes.count)))
            let count = min(region.count, bytes.count - start)
            region.copy(from: Array(bytes[start..<start + count]))
        }
    }

    /// The longest that it grows, as a file system has a longest file.
    private let longest: Int64

    private func checkEnd(_ offset: Int64, _ count: Int64) throws(BlockError) {
        guard offset >= 0, count >= 0, offset <= longest - min(count, longest) else {
            throw BlockError(system: Errno(EFBIG), "Could not write '\(location.filename)' at \(offset)")
        }
    }

    /// Copies in, growing where needed.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        try checkEnd(offset, Int64(region.count))
        lock.withLock {
            let end = Int(offset) + region.count
            if end > bytes.count { bytes.append(contentsOf: repeatElement(0, count: end - bytes.count)) }
            bytes.replaceSubrange(Int(offset)..<end, with: region.bytes)
        }
    }

    /// Stores zero bytes.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkEnd(offset, count)
        try write(AlignedBuffer(zeroed: Int(count)).region, at: offset, flags: [])
    }

    /// Keeps the bytes.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) { try checkWritable() }
    /// Nothing to do.
    public func flush() throws(BlockError) {}
    /// Nothing to do.
    public func close() throws(BlockError) {}

    /// All data.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let limit = max(min(count, length - offset), 0)
        return BlockStatus(
            count: limit, isData: limit > 0, isZero: limit == 0, offset: offset, file: self,
            isEnd: offset + limit == length)
    }

    /// Cuts or appends zeroes.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        try checkWritable()
        try checkEnd(length, 0)
        lock.withLock {
            if Int(length) <= bytes.count {
                bytes.removeLast(bytes.count - Int(length))
            } else {
                bytes.append(contentsOf: repeatElement(0, count: Int(length) - bytes.count))
            }
        }
    }
}
