// SPDX-License-Identifier: Apache-2.0

/// What a disk has done since the machine was made, for `query-blockstats`.
public struct BlockCounters: Equatable, Sendable {
    /// Requests that succeeded.
    public private(set) var reads: UInt64 = 0, writes: UInt64 = 0, flushes: UInt64 = 0, discards: UInt64 = 0
    /// Bytes of those; zeroes written count as written.
    public private(set) var readBytes: UInt64 = 0, writtenBytes: UInt64 = 0, discardedBytes: UInt64 = 0
    /// Time that they took, in nanoseconds.
    public private(set) var readNanoseconds: UInt64 = 0, writeNanoseconds: UInt64 = 0
    public private(set) var flushNanoseconds: UInt64 = 0, discardNanoseconds: UInt64 = 0
    /// Requests that failed.
    public private(set) var failedReads: UInt64 = 0, failedWrites: UInt64 = 0
    public private(set) var failedFlushes: UInt64 = 0, failedDiscards: UInt64 = 0
    /// The highest byte written + 1.
    public private(set) var highestWrite: UInt64 = 0
    /// Monotonic time of the last end of a request; 0 before the first.
    public private(set) var lastEnd: UInt64 = 0

    /// Nothing done yet.
    public init() {}

    /// Counts a request that the host is done with.
    /// - Parameters:
    ///   - offset: in bytes, and so `count`.
    ///   - start: monotonic nanoseconds, and so `end`.
    public mutating func count(
        _ operation: BlockOperation, at offset: Int64, count: Int64, failed: Bool, start: UInt64, end: UInt64
    ) {
        let bytes = UInt64(max(count, 0)), time = end &- start
        lastEnd = end
        switch (operation, failed) {
        case (.read, true): failedReads &+= 1
        case (.write, true), (.writeZeroes, true): failedWrites &+= 1
        case (.flush, true): failedFlushes &+= 1
        case (.discard, true): failedDiscards &+= 1
        case (.read, false):
            reads &+= 1
            readBytes &+= bytes
            readNanoseconds &+= time
        case (.write, false), (.writeZeroes, false):
            writes &+= 1
            writtenBytes &+= bytes
            writeNanoseconds &+= time
            highestWrite = max(highestWrite, UInt64(max(offset, 0)) &+ bytes)
        case (.flush, false):
            flushes &+= 1
            flushNanoseconds &+= time
        case (.discard, false):
            discards &+= 1
            discardedBytes &+= bytes
            discardNanoseconds &+= time
        }
    }
}
