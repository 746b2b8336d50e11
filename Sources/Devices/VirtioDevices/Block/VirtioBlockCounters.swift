// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// What a disk has done since the machine was made, for `query-blockstats`.
public struct VirtioBlockCounters: Equatable, Sendable {
    /// Requests that succeeded.
    public internal(set) var reads: UInt64 = 0, writes: UInt64 = 0, flushes: UInt64 = 0, discards: UInt64 = 0
    /// Bytes of those; zeroes written count as written.
    public internal(set) var readBytes: UInt64 = 0, writtenBytes: UInt64 = 0, discardedBytes: UInt64 = 0
    /// Time that they took, in nanoseconds.
    public internal(set) var readNanoseconds: UInt64 = 0, writeNanoseconds: UInt64 = 0, flushNanoseconds: UInt64 = 0
    /// Requests that failed; `failedWrites` has all that are not reads.
    public internal(set) var failedReads: UInt64 = 0, failedWrites: UInt64 = 0
    /// The highest byte written + 1.
    public internal(set) var highestWrite: UInt64 = 0

    /// Counts a request that the host is done with.
    mutating func count(_ request: BlockRequest, failed: Bool, nanoseconds: UInt64) {
        let bytes = UInt64(max(request.count, 0))
        switch (request.operation, failed) {
        case (.read, true): failedReads &+= 1
        case (_, true): failedWrites &+= 1
        case (.read, _):
            reads &+= 1
            readBytes &+= bytes
            readNanoseconds &+= nanoseconds
        case (.write, _), (.writeZeroes, _):
            writes &+= 1
            writtenBytes &+= bytes
            writeNanoseconds &+= nanoseconds
            highestWrite = max(highestWrite, UInt64(max(request.offset, 0)) &+ bytes)
        case (.flush, _):
            flushes &+= 1
            flushNanoseconds &+= nanoseconds
        case (.discard, _):
            discards &+= 1
            discardedBytes &+= bytes
        }
    }
}
