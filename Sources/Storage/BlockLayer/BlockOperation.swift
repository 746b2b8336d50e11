// SPDX-License-Identifier: Apache-2.0

/// What a disk's controller asks of the image behind it.
public enum BlockOperation: Sendable {
    /// Fills the request's regions from the image.
    case read
    /// Writes the request's regions to the image.
    case write
    /// Makes completed writes durable.
    case flush
    /// Gives a range's storage back, if the image can.
    case discard
    /// Makes a range read as zeroes.
    case writeZeroes

    /// Does the work on the calling thread.
    /// - Parameters:
    ///   - regions: the data of a read or write; together `count` bytes.
    ///   - offset: where the range begins, in bytes.
    ///   - count: the length of the range to discard or to zero, in bytes.
    ///   - isForced: what is written is durable on return.
    ///   - mayUnmap: zeroes may give their storage back.
    public func perform(
        on node: any BlockNode, regions: [ByteRegion], at offset: Int64, count: Int64, isForced: Bool, mayUnmap: Bool
    ) throws(BlockError) {
        switch self {
        case .read: try node.read(regions, at: offset)
        case .write: try node.write(regions, at: offset, flags: isForced ? .forceUnitAccess : [])
        case .flush: try node.flush()
        case .discard: try node.discard(at: offset, count: count)
        case .writeZeroes:
            var flags: ZeroFlags = mayUnmap ? .mayUnmap : []
            if isForced { flags.insert(.forceUnitAccess) }
            try node.writeZeroes(at: offset, count: count, flags: flags)
        }
    }
}
