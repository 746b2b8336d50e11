// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// Several disks read as one, one after the other. Closing it leaves them open.
final class ConcatenatedNode: BlockNode {
    let driverName = "concatenation"
    let length: Int64
    let isReadOnly = true
    let limits = BlockLimits()
    let location = NodeLocation(filename: "several images")
    let children: [NodeChild]
    private let parts: [(start: Int64, node: any BlockNode)]

    init(_ nodes: [any BlockNode]) {
        var start: Int64 = 0
        var parts: [(Int64, any BlockNode)] = []
        for node in nodes {
            parts.append((start, node))
            start += node.length
        }
        self.parts = parts
        length = start
        children = nodes.enumerated().map { NodeChild(role: "\($0.offset)", node: $0.element) }
    }

    private func part(at offset: Int64) -> (start: Int64, node: any BlockNode) {
        parts.last { $0.start <= offset && $0.node.length > 0 } ?? parts[0]
    }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        var done = 0
        while done < region.count {
            let (start, node) = part(at: offset + Int64(done))
            let within = offset + Int64(done) - start
            let count = Int(min(Int64(region.count - done), node.length - within))
            try node.read(region.slice(done, count), at: within)
            done += count
        }
    }

    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        guard offset < length else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        let (start, node) = part(at: offset)
        var status = try node.chainStatus(at: offset - start, count: count, detail: detail).status
        status.isAllocated = true
        return status
    }

    private var refusal: BlockError { BlockError(.readOnly, "several images together are only read") }

    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) { throw refusal }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) { throw refusal }
    func discard(at offset: Int64, count: Int64) throws(BlockError) { throw refusal }
    func flush() throws(BlockError) {}
    func close() throws(BlockError) {}
}
