// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import BlockLayer
internal import HostSystem
internal import Synchronization

/// A file in memory one of whose requests fails, as on a full disk or a bad sector; what follows goes well again.
public final class FailingNode: ResizableNode, Sendable {
    /// What fails.
    public enum Fault: Sendable {
        /// The write (or zeroing, or growing) with this number, from 0, as a full disk answers.
        case write(Int)
        /// The flush with this number.
        case flush(Int)
        /// Every read that touches a range of the file, as a bad sector answers.
        case read(Range<Int64>)
    }

    private struct State {
        var fault: Fault?
        var writes = 0
        var flushes = 0
        var hits = 0
    }

    private let inner: MemoryNode
    private let state = Mutex(State())

    /// A file with this content.
    public init(_ bytes: [UInt8] = []) { inner = MemoryNode(bytes) }

    /// Sets what fails, counted from now on; nil for nothing.
    public func arm(_ fault: Fault?) { state.withLock { $0 = State(fault: fault) } }
    /// How often the fault has occurred.
    public var hits: Int { state.withLock { $0.hits } }
    /// A copy of the whole content.
    public var content: [UInt8] { inner.content }

    private func countWrite() throws(BlockError) {
        let fails = state.withLock { state in
            defer { state.writes += 1 }
            guard case .write(let number)? = state.fault, number == state.writes else { return false }
            state.hits += 1
            return true
        }
        if fails { throw BlockError(system: .noSpace, "Could not write 'failing'") }
    }

    /// "failing".
    public var driverName: String { "failing" }
    /// The present length.
    public var length: Int64 { inner.length }
    /// Never.
    public var isReadOnly: Bool { false }
    /// No alignment.
    public var limits: BlockLimits { inner.limits }
    /// A name for messages.
    public var location: NodeLocation { inner.location }
    /// None.
    public var children: [NodeChild] { [] }

    /// Reads, unless the range is bad.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let fails = state.withLock { state in
            guard case .read(let range)? = state.fault, range.overlaps(offset..<offset + Int64(region.count)) else {
                return false
            }
            state.hits += 1
            return true
        }
        if fails { throw BlockError(system: .inputOutput, "Could not read 'failing'") }
        try inner.read(region, at: offset)
    }

    /// Writes, unless it is this one's turn to fail.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try countWrite()
        try inner.write(region, at: offset, flags: flags)
    }

    /// Zeroes, unless it is this one's turn to fail.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try countWrite()
        try inner.writeZeroes(at: offset, count: count, flags: flags)
    }

    /// Takes no notice.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try inner.discard(at: offset, count: count)
    }

    /// Flushes, unless it is this one's turn to fail.
    public func flush() throws(BlockError) {
        let fails = state.withLock { state in
            defer { state.flushes += 1 }
            guard case .flush(let number)? = state.fault, number == state.flushes else { return false }
            state.hits += 1
            return true
        }
        if fails { throw BlockError(system: .inputOutput, "Could not flush 'failing'") }
    }

    /// Does nothing.
    public func close() throws(BlockError) {}

    /// All data.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        try inner.status(at: offset, count: count, detail: detail)
    }

    /// Cuts or grows, unless it is this one's turn to fail.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        try countWrite()
        try inner.resize(to: length, preallocation: preallocation, exact: exact)
    }
}
