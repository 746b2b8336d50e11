// SPDX-License-Identifier: Apache-2.0

/// Moves the content of an image (and of those between) into an image below it.
///
/// What the top shows is the same at every instant, also after a crash: the base gets the data and is flushed before the
/// top lets go of it.
public struct CommitJob {
    private let top: any BlockNode
    private let base: any BlockNode
    private static let bufferSize = 2 << 20

    /// - Parameters:
    ///   - top: the image whose content moves down.
    ///   - base: an image of its chain, opened for writing, at least as long.
    public init(top: any BlockNode, base: any BlockNode) {
        self.top = top
        self.base = base
    }

    /// Copies what the base does not have, and makes it durable.
    /// - Parameter progress: gets the bytes dealt with.
    public func copy(progress: (Int64) -> Void = { _ in }) throws(BlockError) {
        let buffer = AlignedBuffer(count: Self.bufferSize)
        let length = top.length
        var offset: Int64 = 0
        while offset < length {
            offset += try part(at: offset, buffer.region)
            progress(offset)
        }
        try base.flush()
    }

    /// Lets the top read everything from below; only after `copy`, and only where the base is right below it.
    /// - Returns: false when the format cannot do that, and the top keeps its data.
    @discardableResult
    public func emptyTop() throws(BlockError) -> Bool {
        guard let top = top as? any EmptyableNode else { return false }
        try top.makeEmpty()
        return true
    }

    /// Copies what begins at `offset`, unless the base has it.
    /// - Returns: the bytes dealt with.
    private func part(at offset: Int64, _ buffer: ByteRegion) throws(BlockError) -> Int64 {
        let found = try top.chainStatus(at: offset, count: top.length - offset, above: base, detail: .zeroes)
        let count = max(found.status.count, 1)
        guard found.status.isAllocated || found.status.isData else { return count }
        if found.status.isZero {
            try base.writeZeroes(at: offset, count: count, flags: .mayUnmap)
            return count
        }
        let region = buffer.slice(0, Int(min(count, Int64(buffer.count))))
        try top.read(region, at: offset)
        try base.write(region, at: offset)
        return Int64(region.count)
    }
}
