// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// A node that is one `BlockMap` over one file: what all such formats have in common.
///
/// Writes reach the file as they come; table entries stay in memory until a flush has made the data durable.
public protocol MappedNode: BlockMap, BlockNode, HostStorageNode {
    /// The file of the format.
    var file: any BlockNode { get }
    /// Table entries are in memory that the file does not have. Called with the lock held.
    var hasChangedTables: Bool { get }
    /// So many that they should be written now. Called with the lock held.
    var shouldWriteTables: Bool { get }
    /// Writes the tables; the data they refer to is durable. Called with the lock held.
    func writeTables() throws(BlockError)
    /// What is to be written when the image is closed, after all else. Called with the lock held.
    func finishClosing() throws(BlockError)
}

extension MappedNode {
    /// The disk's length.
    public var length: Int64 { mappedLength }
    /// Requests of any alignment; blocks are the unit of zeroing.
    public var limits: BlockLimits { BlockLimits(clusterSize: Int(truncatingIfNeeded: blockSize)) }
    /// The file.
    public var children: [NodeChild] { [NodeChild(role: "file", node: file)] }
    /// What the host has allocated for the file.
    public func allocatedBytes() -> Int64? { (file as? any HostStorageNode)?.allocatedBytes() }
    /// Nothing.
    public func finishClosing() throws(BlockError) {}

    /// Through the table.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        try readMapped(region, at: offset)
    }

    /// Through the table.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: Int64(region.count))
        try writeMapped(region, at: offset)
        try afterWrite(isDurable: flags.contains(.forceUnitAccess))
    }

    /// By the table where the format can.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
        try zeroMapped(at: offset, count: count, flags: flags)
        try afterWrite(isDurable: flags.contains(.forceUnitAccess))
    }

    private func afterWrite(isDurable: Bool) throws(BlockError) {
        if isDurable { return try flush() }
        let isFull = lock.withLock { shouldWriteTables }
        if isFull { try writeBack() }
    }

    /// Blocks are not given back one by one: the hint is not taken.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
    }

    /// Data first, then the tables that refer to it.
    public func flush() throws(BlockError) {
        try writeBack()
        try file.flush()
    }

    private func writeBack() throws(BlockError) {
        guard !isReadOnly else { return }
        try lock.withLock { () throws(BlockError) in
            guard hasChangedTables else { return }
            try file.flush()
            try writeTables()
        }
    }

    /// Writes the tables and closes the file.
    public func close() throws(BlockError) {
        do {
            if !isReadOnly {
                try writeBack()
                try lock.withLock { () throws(BlockError) in try finishClosing() }
            }
        } catch {
            // The first failure is the one to report.
            try? file.close()
            throw error
        }
        try file.close()
    }

    /// From the table.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        try mappedStatus(at: offset, count: count, detail: detail)
    }

    /// The location of the file, as an image of this format.
    public static func location(over file: any BlockNode, driver: String) -> NodeLocation {
        .over(file.location, driver: driver)
    }
}
