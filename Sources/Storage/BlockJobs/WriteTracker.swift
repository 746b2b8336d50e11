// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Which parts of a disk were written since somebody looked: a bit for each piece of the disk.
public final class WriteTracker: @unchecked Sendable {
    /// Bytes of a piece where nobody asks for another size.
    public static let granularity: Int64 = 64 << 10

    /// Bytes of a piece: a power of two.
    public let granularity: Int64
    private let lock = Lock()
    // Guarded by `lock`.
    private var words: [UInt64] = []
    private var marked = 0
    private var length: Int64 = 0
    private var ignoresWrites = false

    /// A tracker for a disk of so many bytes, with nothing marked.
    /// - Parameter granularity: bytes of a piece, a power of two from 512 on.
    public init(length: Int64, granularity: Int64 = WriteTracker.granularity) {
        self.granularity = granularity
        resize(to: length)
    }

    /// Bytes in marked pieces, at most the whole disk.
    public var markedBytes: Int64 { lock.withLock { min(Int64(marked) * granularity, length) } }

    /// Bytes in marked pieces, the last of which may go past the end of the disk.
    public var markedWholePieces: Int64 { lock.withLock { Int64(marked) * granularity } }

    /// Bytes of the disk.
    public var trackedLength: Int64 { lock.withLock { length } }

    /// Whether `note` marks anything; on at first.
    public var isRecording: Bool {
        get { lock.withLock { !ignoresWrites } }
        set { lock.withLock { ignoresWrites = !newValue } }
    }

    /// The disk has another length: what it lost is forgotten, what it got is unmarked.
    public func resize(to bytes: Int64) {
        lock.withLock {
            length = max(bytes, 0)
            let pieces = (length + granularity - 1) / granularity
            let count = Int((pieces + 63) / 64)
            if count < words.count { words.removeLast(words.count - count) }
            words.append(contentsOf: repeatElement(0, count: count - words.count))
            if pieces & 63 != 0 { words[count - 1] &= (1 << UInt64(pieces & 63)) - 1 }
            marked = words.reduce(0) { $0 + $1.nonzeroBitCount }
        }
    }

    /// A write of the guest's: marks the pieces that it touched while the tracker records.
    public func note(at offset: Int64, count: Int64) { lock.withLock { if !ignoresWrites { set(offset, count) } } }

    /// Marks the pieces that a range touches; what lies outside the disk is left out.
    public func mark(at offset: Int64, count: Int64) { lock.withLock { set(offset, count) } }

    private func set(_ offset: Int64, _ count: Int64) {
        guard let range = pieces(offset, count) else { return }
        for piece in range {
            let bit: UInt64 = 1 << UInt64(piece & 63)
            if words[piece >> 6] & bit == 0 {
                words[piece >> 6] |= bit
                marked += 1
            }
        }
    }

    private func pieces(_ offset: Int64, _ count: Int64) -> ClosedRange<Int>? {
        guard count > 0, offset < length, offset > -count else { return nil }
        let first = max(offset, 0) / granularity
        let (sum, isLong) = offset.addingReportingOverflow(count)
        let last = ((isLong ? length : min(sum, length)) - 1) / granularity
        return first <= last ? Int(first)...Int(last) : nil
    }

    /// Nothing is marked any more.
    public func clear() {
        lock.withLock {
            words = [UInt64](repeating: 0, count: words.count)
            marked = 0
        }
    }

    /// The marked pieces in bytes, in order, joined, cut at the end of the disk.
    public var ranges: [Range<Int64>] {
        lock.withLock {
            var found: [Range<Int64>] = []
            var next = firstMarked(from: 0)
            while let first = next {
                var end = first
                while isMarked(end) { end += 1 }
                found.append(Int64(first) * granularity..<min(Int64(end) * granularity, length))
                next = firstMarked(from: end)
            }
            return found
        }
    }

    /// Takes the first run of marked pieces at or behind a position out, and begins anew at 0 when there is none.
    /// - Returns: a range in bytes, at most `limit` long; nil when nothing is marked.
    public func take(from position: Int64, limit: Int64) -> Range<Int64>? {
        lock.withLock {
            guard marked > 0 else { return nil }
            let start = Int(max(position, 0) / granularity)
            guard let first = firstMarked(from: start) ?? firstMarked(from: 0) else { return nil }
            return take(first, before: Int.max, limit)
        }
    }

    /// Takes the first run of marked pieces out that a range touches.
    /// - Returns: a range of whole pieces in bytes, at most `limit` long; nil when the range touches none.
    public func take(touching offset: Int64, count: Int64, limit: Int64) -> Range<Int64>? {
        lock.withLock {
            guard let range = pieces(offset, count), let first = firstMarked(from: range.lowerBound),
                first <= range.upperBound
            else { return nil }
            return take(first, before: range.upperBound + 1, limit)
        }
    }

    private func take(_ first: Int, before bound: Int, _ limit: Int64) -> Range<Int64> {
        let most = max(Int(limit / granularity), 1)
        var end = first
        while end - first < most, end < bound, isMarked(end) {
            words[end >> 6] &= ~(1 << UInt64(end & 63))
            end += 1
        }
        marked -= end - first
        return Int64(first) * granularity..<min(Int64(end) * granularity, length)
    }

    private func isMarked(_ piece: Int) -> Bool {
        piece >> 6 < words.count && words[piece >> 6] & 1 << UInt64(piece & 63) != 0
    }

    private func firstMarked(from piece: Int) -> Int? {
        guard piece >> 6 < words.count else { return nil }
        var word = piece >> 6
        var bits = words[word] & (UInt64.max << UInt64(piece & 63))
        while bits == 0 {
            word += 1
            guard word < words.count else { return nil }
            bits = words[word]
        }
        return word * 64 + bits.trailingZeroBitCount
    }
}
