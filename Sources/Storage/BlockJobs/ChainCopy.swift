// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// Copies parts of a chain of images to another node: what jobs have in common.
struct ChainCopy {
    /// The most that is copied at once, in bytes: the time that a guest's write may have to wait.
    static let unit: Int64 = 1 << 20

    let source: any BlockNode
    let target: any BlockNode
    /// The image below which nothing is copied; nil for the whole chain.
    let base: (any BlockNode)?
    /// What no image of the chain has is written as zeroes.
    let copiesHoles: Bool
    private let buffer = AlignedBuffer(count: Int(unit))

    /// Memory of one unit; its user copies nothing at the same time.
    var memory: ByteRegion { buffer.region }

    init(from source: any BlockNode, to target: any BlockNode, above base: (any BlockNode)?, copiesHoles: Bool = false)
    {
        self.copiesHoles = copiesHoles
        self.source = source
        self.target = target
        self.base = base
    }

    /// What begins at a position: how long it is, at most one unit, and whether the target must be given it.
    func look(at offset: Int64, end: Int64) throws(CopyFailure) -> (count: Int64, isNeeded: Bool, isZero: Bool) {
        let found = try CopyFailure.reading { () throws(BlockError) in
            try source.chainStatus(at: offset, count: min(end - offset, Self.unit), above: base, detail: .zeroes)
        }
        let count = min(max(found.status.count, 1), Self.unit)
        let isThere = copiesHoles || found.status.isAllocated || found.status.isData
        return (count, isThere, found.status.isZero && !found.status.isData)
    }

    /// Gives the target a range of at most one unit.
    func copy(at offset: Int64, count: Int64, isZero: Bool) throws(CopyFailure) {
        let region = buffer.region.slice(0, Int(count))
        if !isZero {
            try CopyFailure.reading { () throws(BlockError) in try source.read(region, at: offset) }
        }
        try CopyFailure.writing { () throws(BlockError) in
            if isZero { return try target.writeZeroes(at: offset, count: count, flags: .mayUnmap) }
            try target.write(region, at: offset)
        }
    }

    /// Gives the target a range of any length.
    func copyAll(_ range: Range<Int64>) throws(CopyFailure) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let part = try look(at: offset, end: range.upperBound)
            if part.isNeeded { try copy(at: offset, count: part.count, isZero: part.isZero) }
            offset += part.count
        }
    }
}

/// Makes a node as long as another one.
func adjustLength(of target: any BlockNode, to source: any BlockNode) throws(BlockError) {
    guard target.length < source.length else { return }
    guard let resizable = target as? any ResizableNode else {
        throw BlockError(
            .notSupported, "\(target.location.filename) is shorter than the image and cannot be made longer")
    }
    try resizable.resizeOverBacking(to: source.length)
}
