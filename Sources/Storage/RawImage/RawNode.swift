// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem
internal import Glibc

/// A raw image: a file, a device, or a part of one.
///
/// Holds no changing state of its own but the size, which only `resize` changes (atomic in the node below).
public final class RawNode: ResizableNode, HostStorageNode, DirectlyMappedNode, DescribedNode, @unchecked Sendable {
    /// Says whether the first bytes, were they written, would still be taken for a raw image.
    typealias HeadGuard = @Sendable ([UInt8]) -> Bool

    /// "raw".
    public let driverName = "raw"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    private let file: any BlockNode
    private let start: Int64
    private let fixedSize: Int64?
    private let given: BlockOptions
    private let headGuard: HeadGuard?

    /// - Parameter given: the options that `start` and `size` were told with.
    init(
        file: any BlockNode, start: Int64, size: Int64?, isReadOnly: Bool, given: BlockOptions = BlockOptions(),
        headGuard: HeadGuard?
    ) {
        self.file = file
        self.given = given
        self.start = start
        self.isReadOnly = isReadOnly
        self.headGuard = headGuard
        fixedSize = size
    }

    /// A raw disk over any node.
    public convenience init(file: any BlockNode) {
        self.init(file: file, start: 0, size: nil, isReadOnly: file.isReadOnly, headGuard: nil)
    }

    /// The file's length, or the part's, in whole sectors.
    public var length: Int64 {
        let length = fixedSize ?? file.length - start
        // A last sector that is incomplete reads as filled up with zeroes.
        return (length + Self.sector - 1) & ~(Self.sector - 1)
    }

    private static let sector: Int64 = 512

    /// As the file's.
    public var limits: BlockLimits { file.limits }
    /// As the file's, with the driver's name for `json:`.
    public var location: NodeLocation {
        .over(file.location, driver: "raw", extra: given)
    }
    /// The file.
    public var children: [NodeChild] { [NodeChild(role: "file", node: file)] }
    /// Has no clusters.
    public var clusterSize: Int? { nil }
    /// Never.
    public var isEncrypted: Bool { false }
    /// Never.
    public var isDirty: Bool { false }

    /// Nothing beyond the file itself.
    public func specificInformation() throws(BlockError) -> SpecificInformation? { nil }

    /// From the file.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        try file.read(region, at: start + offset)
    }

    /// From the file.
    public func read(_ regions: [ByteRegion], at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: total(regions))
        try file.read(regions, at: start + offset)
    }

    /// To the file.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try prepareWrite(offset, Int64(region.count), [region])
        try file.write(region, at: start + offset, flags: flags)
    }

    /// To the file.
    public func write(_ regions: [ByteRegion], at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try prepareWrite(offset, total(regions), regions)
        try file.write(regions, at: start + offset, flags: flags)
    }

    private func total(_ regions: [ByteRegion]) -> Int64 { regions.reduce(0) { $0 &+ Int64($1.count) } }

    private func prepareWrite(_ offset: Int64, _ count: Int64, _ regions: [ByteRegion]) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
        guard let headGuard, offset < Self.sector, count > 0 else { return }
        // What the first sector will be, so that a guest cannot turn its disk into another format.
        var head = try file.readBytes(at: start, count: Int(Self.sector))
        var position = Int(offset)
        for region in regions where position < head.count {
            let part = min(region.count, head.count - position)
            head.replaceSubrange(position..<position + part, with: region.slice(0, part).bytes)
            position += part
        }
        guard headGuard(head) else {
            throw BlockError(
                .accessDenied,
                "\(location.filename): refusing to write the header of another image format into a raw image whose format was guessed; give the format to allow it",
                errno: Errno(EPERM))
        }
    }

    /// In the file.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
        try file.writeZeroes(at: start + offset, count: count, flags: flags)
    }

    /// In the file.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
        try file.discard(at: start + offset, count: count)
    }

    /// The file's.
    public func flush() throws(BlockError) { try file.flush() }
    /// The file's.
    public func close() throws(BlockError) { try file.close() }

    /// The file's, shifted.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let limit = min(count, length - offset)
        guard limit > 0 else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        var status = try file.status(at: start + offset, count: limit, detail: detail)
        // The rounding up of the last sector.
        if status.count == 0 { status = BlockStatus(count: limit, isZero: true, offset: start + offset, file: file) }
        // The end of the last sector is as the file's last bytes.
        if start + offset + status.count == file.length, status.count < limit { status.count = limit }
        status.isAllocated = true
        status.isEnd = offset + status.count == length
        return status
    }

    /// Resizes the file.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        try checkWritable()
        guard fixedSize == nil else { throw BlockError(.notSupported, "Cannot resize fixed-size raw disks") }
        guard let file = file as? any ResizableNode else {
            throw BlockError(.notSupported, "Image format driver does not support resize")
        }
        guard length <= Int64.max - start else {
            throw BlockError(.outOfRange, "Disk size too large for the chosen offset")
        }
        try file.resize(to: start + length, preallocation: preallocation, exact: exact)
    }

    /// The file's.
    public func allocatedBytes() -> Int64? { (file as? any HostStorageNode)?.allocatedBytes() }

    /// The file's range, except where the first sector is guarded.
    public func beginDirect(at offset: Int64, count: Int, isWrite: Bool) -> DirectMapping? {
        if isWrite, isReadOnly || (headGuard != nil && offset < Self.sector) { return nil }
        guard offset >= 0, count >= 0, Int64(count) <= length &- offset else { return nil }
        return (file as? any DirectlyMappedNode)?.beginDirect(at: start + offset, count: count, isWrite: isWrite)
    }

    /// The file's.
    public func endDirect(at offset: Int64, count: Int, isWrite: Bool) {
        (file as? any DirectlyMappedNode)?.endDirect(at: start + offset, count: count, isWrite: isWrite)
    }
}
