// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// A disk in one file of a format that is only read: Bochs, cloop, DMG, Parallels, QED.
///
/// The format says where a range is; walking over ranges, zeroes, the backing image and the refusal to write are here.
public protocol ReadOnlyDisk: HostStorageNode {
    /// The file of the format.
    var file: any BlockNode { get }
    /// What unallocated ranges read from.
    var lowerNode: (any BlockNode)? { get }
    /// Where the byte at `offset` is, and how many bytes from there on are in the same way, at least 1.
    /// - Parameter limit: the longest count of interest.
    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64)
    /// Reads a range that `place` called packed, inside one such place.
    func readPacked(_ region: ByteRegion, at offset: Int64) throws(BlockError)
}

extension ReadOnlyDisk {
    /// No backing.
    public var lowerNode: (any BlockNode)? { nil }
    /// Always.
    public var isReadOnly: Bool { true }
    /// Requests of any alignment.
    public var limits: BlockLimits { BlockLimits() }
    /// The file.
    public var children: [NodeChild] { [NodeChild(role: "file", node: file)] }
    /// What the host has allocated for the file.
    public func allocatedBytes() -> Int64? { (file as? any HostStorageNode)?.allocatedBytes() }

    /// There is none.
    public func readPacked(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        throw BlockError(.corrupt, "\(location.filename): the format has no packed blocks")
    }

    /// Place by place.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        var done = 0
        while done < region.count {
            let position = offset + Int64(done)
            let (place, count) = try place(at: position, limit: Int64(region.count - done))
            let part = region.slice(done, Int(min(max(count, 1), Int64(region.count - done))))
            switch place {
            case .zero: part.fill(0)
            case .unallocated: try readLower(part, at: position)
            case .stored(let file, let start): try file.read(part, at: start)
            case .packed: try readPacked(part, at: position)
            }
            done += part.count
        }
    }

    private func readLower(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        guard let lowerNode, offset < lowerNode.length else { return region.fill(0) }
        let there = Int(min(Int64(region.count), lowerNode.length - offset))
        try lowerNode.read(region.slice(0, there), at: offset)
        region.from(there).fill(0)
    }

    /// From the tables.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        guard offset >= 0, offset < length else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        let limit = min(count, length - offset)
        let (place, found) = try place(at: offset, limit: limit)
        var status = BlockStatus(count: min(max(found, 1), limit))
        switch place {
        case .zero: status.isZero = true
        case .unallocated:
            status.isAllocated = false
            status.isZero = lowerNode == nil
        case .stored(let file, let start):
            status.isData = true
            status.file = file
            status.offset = start
        case .packed:
            status.isData = true
            status.isCompressed = true
        }
        status.isEnd = offset + status.count == length
        return status
    }

    private var refusal: BlockError {
        BlockError(
            .readOnly, "\(location.filename): images of the format '\(driverName)' are only read; convert it first")
    }

    /// Refuses.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) { throw refusal }
    /// Refuses.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) { throw refusal }
    /// Refuses.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) { throw refusal }
    /// Nothing was written.
    public func flush() throws(BlockError) {}
    /// Closes the file.
    public func close() throws(BlockError) { try file.close() }

    /// Where the image is.
    public static func location(over file: any BlockNode, driver: String) -> NodeLocation {
        .over(file.location, driver: driver)
    }
}

extension OpenRequest {
    /// Opens the file for a format that is only read, in the words of the original where that only reads it too.
    /// - Parameter advice: more than the fact that it is read-only.
    public mutating func withReadOnlyFile(
        _ format: String, isWritableElsewhere: Bool = false,
        _ body: (inout OpenRequest, any BlockNode) throws(BlockError) -> any BlockNode
    ) throws(BlockError) -> any BlockNode {
        guard !flags.isWritable else {
            throw BlockError(
                .readOnly,
                isWritableElsewhere ? "Images of the format '\(format)' are only read" : "Block node is read-only",
                errno: .accessDenied, advice: "Convert it to a format that is written as well, like qcow2")
        }
        return try withFile(body)
    }

    /// Reads a table of numbers whose size comes from a header, at most `largest` bytes of it.
    public static func table(
        _ file: any BlockNode, at offset: Int64, count: Int64, largest: Int64 = 512 << 20
    ) throws(BlockError) -> [UInt8] {
        guard offset >= 0, count >= 0, count <= largest, offset <= Int64.max - count else {
            throw BlockError(.corrupt, "a table of \(count) bytes at \(offset) cannot be")
        }
        guard offset + count <= (file.length + 511) & ~511 else {
            throw BlockError(
                .corrupt, "a table ends at byte \(offset + count), but the file has only \(file.length) bytes",
                errno: .invalidArgument)
        }
        return try file.readBytes(at: offset, count: Int(count))
    }
}
