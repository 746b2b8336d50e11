// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// A file in memory that keeps a log of what was written, so that a test can look at everything that a crash could have
/// left of it.
public final class RecordingNode: ResizableNode, @unchecked Sendable {
    /// One entry of the log.
    public enum Event: Sendable {
        /// Bytes at an offset.
        case write(Int, [UInt8])
        /// A new length.
        case resize(Int)
        /// Everything before is durable.
        case flush
        /// A place in the log that the test wants to find again.
        case mark(Int)
    }

    private let memory: MemoryNode
    private let journal: RecordingJournal
    private let file: Int
    private let name: String

    /// An empty file.
    /// - Parameters:
    ///   - journal: where several files write what happened in which order.
    ///   - file: the file's number there.
    ///   - name: what it is opened by.
    public init(journal: RecordingJournal = RecordingJournal(), file: Int = 0, name: String = "recording") {
        self.name = name
        memory = MemoryNode()
        self.journal = journal
        self.file = file
    }

    /// The log so far.
    public var log: [Event] { journal.entries.filter { $0.file == file }.map(\.event) }
    private func note(_ event: Event) { journal.note(file, event) }
    /// Notes a place in the log.
    public func mark(_ number: Int) { note(.mark(number)) }

    /// "recording".
    public var driverName: String { "recording" }
    /// The file's length.
    public var length: Int64 { memory.length }
    /// Never.
    public var isReadOnly: Bool { false }
    /// None.
    public var limits: BlockLimits { BlockLimits() }
    /// A name for messages.
    public var location: NodeLocation {
        NodeLocation(
            filename: name, path: name,
            options: BlockOptions([("driver", .string("file")), ("filename", .string(name))]))
    }
    /// Nothing below.
    public var children: [NodeChild] { [] }

    /// From memory.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) { try memory.read(region, at: offset) }

    /// To memory and the log.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        note(.write(Int(offset), region.bytes))
        try memory.write(region, at: offset, flags: flags)
    }

    /// Past the end a new length, else bytes.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        if offset >= length { return try resize(to: offset + count, preallocation: .off, exact: true) }
        try write(AlignedBuffer(zeroed: Int(count)).region, at: offset)
    }

    /// The host may do what it wants with the range; here it becomes garbage.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        let inside = Int(max(min(count, length - offset), 0))
        if inside > 0 { try write([UInt8](repeating: 0xdd, count: inside), at: offset) }
    }

    /// Into the log.
    public func flush() throws(BlockError) { note(.flush) }
    /// Nothing.
    public func close() throws(BlockError) {}

    /// As memory.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        var status = try memory.status(at: offset, count: count, detail: detail)
        status.file = self
        return status
    }

    /// To memory and the log.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        note(.resize(Int(length)))
        try memory.resize(to: length, preallocation: preallocation, exact: exact)
    }
}

/// What happened to files, in order.
public final class RecordingJournal: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var list: [(file: Int, event: RecordingNode.Event)] = []

    /// Nothing has happened.
    public init() {}

    /// Everything so far.
    public var entries: [(file: Int, event: RecordingNode.Event)] { lock.withLock { list } }
    /// Notes a place in the log that belongs to no file in particular.
    public func mark(_ number: Int) { note(0, .mark(number)) }
    func note(_ file: Int, _ event: RecordingNode.Event) { lock.withLock { list.append((file, event)) } }
}

/// The bytes of a file at some instant.
public struct FileImage: Sendable {
    /// The content.
    public private(set) var bytes: [UInt8] = []

    /// An empty file.
    public init() {}

    /// Applies one event; `sectors` (by index in the write) that are false did not reach the disk.
    public mutating func apply(_ event: RecordingNode.Event, sectors: ((Int) -> Bool)? = nil) {
        switch event {
        case .write(let offset, let data):
            let end = offset + data.count
            if end > bytes.count { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
            guard let sectors else { return bytes.replaceSubrange(offset..<end, with: data) }
            var position = offset
            while position < end {
                // A sector of the disk is written whole or not at all.
                let next = min(end, (position / 512 + 1) * 512)
                if sectors(position / 512) {
                    bytes.replaceSubrange(position..<next, with: data[position - offset..<next - offset])
                }
                position = next
            }
        case .resize(let length):
            if length < bytes.count {
                bytes.removeLast(bytes.count - length)
            } else {
                bytes += [UInt8](repeating: 0, count: length - bytes.count)
            }
        case .flush, .mark: break
        }
    }
}
