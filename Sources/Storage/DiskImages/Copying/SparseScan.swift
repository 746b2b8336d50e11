// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// Divides a buffer into what is worth writing and runs of zeroes, sector by sector.
///
/// Short runs of zeroes between data are written with it, and the places where the two meet are moved to multiples of
/// the target's alignment, so that no block of the target is written twice.
struct SparseScan {
    /// What is looked through.
    let region: ByteRegion
    /// Where its first byte goes in the target.
    let position: Int64
    /// Bytes, a power of two and at least a sector.
    let alignment: Int

    private static let sector = 512

    /// All of the region in order.
    /// - Parameter shortest: the bytes of zeroes that are worth leaving out.
    func runs(shortest: Int) -> [(range: Range<Int>, isZero: Bool)] {
        var runs: [(range: Range<Int>, isZero: Bool)] = []
        var start = 0
        while start < region.count {
            let first = piece(from: start)
            var end = first.end
            if !first.isZero {
                var cursor = end
                let enough = min(shortest, region.count - start)
                while cursor < region.count {
                    let next = piece(from: cursor)
                    if next.isZero, next.end - cursor >= enough { break }
                    cursor = next.end
                    if !next.isZero { end = cursor }
                }
            }
            if let last = runs.last, last.isZero == first.isZero {
                runs[runs.count - 1].range = last.range.lowerBound..<end
            } else {
                runs.append((start..<end, first.isZero))
            }
            start = end
        }
        return runs
    }

    /// Sectors from `start` on that are all zero or all not, with the end moved to the alignment.
    private func piece(from start: Int) -> (end: Int, isZero: Bool) {
        var isZero = isZeroSector(start)
        var end = start + Self.sector
        while end < region.count, isZeroSector(end) == isZero { end += Self.sector }
        if end >= region.count { return (region.count, isZero) }
        let tail = Int((position + Int64(end)) & Int64(alignment - 1))
        if tail > 0 {
            // The next block's beginning is written anyway.
            if isZero, end - start <= tail { isZero = false }
            end = isZero ? end - tail : min(end + alignment - tail, region.count)
        }
        return (end, isZero)
    }

    private func isZeroSector(_ offset: Int) -> Bool {
        region.slice(offset, min(Self.sector, region.count - offset)).isZero
    }
}
