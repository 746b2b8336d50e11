// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Which parts of a disk were written since somebody looked: a bit for each piece of the disk.
public final class WriteTracker: @unchecked Sendable {
    /// Bytes of a piece.
    public static let granularity: Int64 = 64 << 10

    private let lock = Lock()
    // Guarded by `lock`.
    private var words: [UInt64]
    private var marked = 0
    private let length: Int64

    /// A tracker for a disk of so many bytes, with nothing marked.
    public init(length: Int64) {
        self.length = max(length, 0)
        let pieces = (self.length + Self.granularity - 1) / Self.granularity
        words = [UInt64](repeating: 0, count: Int((pieces + 63) / 64))
    }

    /// Bytes in marked pieces, at most the whole disk.
    public var markedBytes: Int64 { lock.withLock { min(Int64(marked) * Self.granularity, length) } }

    /// Marks the pieces that a range touches; what lies outside the disk is left out.
    public func mark(at offset: Int64, count: Int64) {
        guard count > 0, offset < length, offset > -count else { return }
        let first = max(offset, 0) / Self.granularity
        let last = (min(offset &+ count, length) - 1) / Self.granularity
        guard first <= last else { return }
        lock.withLock {
            for piece in Int(first)...Int(last) {
                let bit: UInt64 = 1 << UInt64(piece & 63)
                if words[piece >> 6] & bit == 0 {
                    words[piece >> 6] |= bit
                    marked += 1
                }
            }
        }
    }

    /// Takes the first run of marked pieces at or behind a position out, and begins anew at 0 when there is none.
    /// - Returns: a range in bytes, at most `limit` long; nil when nothing is marked.
    public func take(from position: Int64, limit: Int64) -> Range<Int64>? {
        lock.withLock {
            guard marked > 0 else { return nil }
            let start = Int(max(position, 0) / Self.granularity)
            let first = firstMarked(from: start) ?? firstMarked(from: 0)
            guard let first else { return nil }
            let most = max(Int(limit / Self.granularity), 1)
            var end = first
            while end - first < most, end >> 6 < words.count, words[end >> 6] & 1 << UInt64(end & 63) != 0 {
                words[end >> 6] &= ~(1 << UInt64(end & 63))
                end += 1
            }
            marked -= end - first
            return Int64(first) * Self.granularity..<min(Int64(end) * Self.granularity, length)
        }
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
