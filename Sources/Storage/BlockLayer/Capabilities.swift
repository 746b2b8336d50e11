// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import HostSystem

// What only some nodes can do: one small protocol each. A caller asks with `as?` and says so when the answer is no.

/// How storage is reserved when an image is made or grown.
public enum Preallocation: String, Sendable, CaseIterable {
    /// Nothing is reserved.
    case off
    /// The format's own tables are filled in, the data is not reserved.
    case metadata
    /// The host's file system reserves the space.
    case falloc
    /// Zero bytes are written.
    case full
}

/// A node whose length can change.
public protocol ResizableNode: BlockNode {
    /// Makes the node longer (the new part reads as zeroes) or shorter.
    /// - Parameter exact: fail rather than end with a longer node than asked for.
    func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError)
}

/// A node whose unallocated parts read from another node.
public protocol BackedNode: BlockNode {
    /// The opened backing node, nil when there is none or it was left closed.
    var backing: (any BlockNode)? { get }
    /// The name stored in the image.
    var backingName: String? { get }
    /// The format stored in the image.
    var backingFormat: String? { get }
    /// Stores another name (nil: none) and format in the image; does not touch the data.
    func changeBackingReference(name: String?, format: String?) throws(BlockError)
    /// Replaces the opened backing node (nil: none). Requests under way finish first.
    func replaceBacking(_ node: (any BlockNode)?) throws(BlockError)
}

/// A node that can drop everything it has allocated, so that all of it reads from the backing node again.
public protocol EmptyableNode: BlockNode {
    /// Drops all data of this layer.
    func makeEmpty() throws(BlockError)
}

/// A node that can store clusters compressed.
public protocol CompressedWriting: BlockNode {
    /// How the node compresses; the function that it returns is pure and may run on any thread.
    var compressor: ClusterCompressor { get }
    /// Stores one cluster that `compressor` has made smaller. The range must be whole clusters (or end with the image).
    func writeCompressed(_ compressed: ByteRegion, at offset: Int64, count: Int64) throws(BlockError)
    /// Compresses and stores a range, cluster by cluster.
    func writeCompressing(_ region: ByteRegion, at offset: Int64) throws(BlockError)
    /// The format has no other clusters.
    var storesOnlyCompressed: Bool { get }
}

extension CompressedWriting {
    /// Plain clusters can be stored too.
    public var storesOnlyCompressed: Bool { false }
}

/// Compresses one cluster for a node.
public struct ClusterCompressor: Sendable {
    /// The size in bytes of what is compressed at a time.
    public let clusterSize: Int
    /// Writes the compressed form to the second region, which is as long as the cluster, and returns its length; nil
    /// when it does not get smaller.
    public let compress: @Sendable (_ cluster: ByteRegion, _ output: ByteRegion) throws(BlockError) -> Int?

    /// Wraps a driver's function.
    public init(
        clusterSize: Int, compress: @escaping @Sendable (ByteRegion, ByteRegion) throws(BlockError) -> Int?
    ) {
        self.clusterSize = clusterSize
        self.compress = compress
    }
}

/// An internal snapshot.
public struct SnapshotInformation: Sendable, Equatable {
    /// The number as text that the format gives each snapshot.
    public var identifier: String
    /// The name that people give.
    public var name: String
    /// The length in bytes of the machine state stored with it; 0 for none.
    public var vmStateSize: Int64
    /// When it was made, in seconds and nanoseconds since 1970.
    public var dateSeconds: Int64
    /// The nanoseconds of the date.
    public var dateNanoseconds: Int64
    /// The guest's clock in nanoseconds since it was started.
    public var vmClock: UInt64
    /// The guest's instruction counter; nil when it was not recorded.
    public var instructionCount: UInt64?
    /// The disk's length at that time.
    public var diskSize: Int64

    /// All parts.
    public init(
        identifier: String, name: String, vmStateSize: Int64 = 0, dateSeconds: Int64, dateNanoseconds: Int64 = 0,
        vmClock: UInt64 = 0, instructionCount: UInt64? = nil, diskSize: Int64 = 0
    ) {
        self.identifier = identifier
        self.name = name
        self.vmStateSize = vmStateSize
        self.dateSeconds = dateSeconds
        self.dateNanoseconds = dateNanoseconds
        self.vmClock = vmClock
        self.instructionCount = instructionCount
        self.diskSize = diskSize
    }
}

/// A node with snapshots inside the image. Arguments named `key` are an identifier or, failing that, a name.
public protocol SnapshotStore: BlockNode {
    /// The snapshots, oldest first.
    var snapshots: [SnapshotInformation] { get }
    /// Takes a snapshot of the disk. The identifier is chosen by the node when empty.
    func createSnapshot(_ information: SnapshotInformation) throws(BlockError)
    /// Makes the disk what it was.
    func applySnapshot(identifier: String) throws(BlockError)
    /// Forgets a snapshot.
    func deleteSnapshot(identifier: String) throws(BlockError)
    /// A read-only view of the disk as it was.
    func openSnapshot(identifier: String) throws(BlockError) -> any BlockNode
}

/// A node that can hold a machine's state beside the disk's content.
public protocol VMStateStore: BlockNode {
    /// Reads machine state; positions count from 0 at its beginning.
    func readVMState(_ region: ByteRegion, at position: Int64) throws(BlockError)
    /// Writes machine state.
    func writeVMState(_ region: ByteRegion, at position: Int64) throws(BlockError)
}

/// A persistent dirty bitmap.
public struct BitmapInformation: Sendable, Equatable {
    /// The name.
    public var name: String
    /// The bytes that one bit stands for.
    public var granularity: Int64
    /// New writes are recorded.
    public var isEnabled: Bool
    /// It was in use when the image was last closed: its content cannot be trusted.
    public var isInconsistent: Bool

    /// All parts.
    public init(name: String, granularity: Int64, isEnabled: Bool, isInconsistent: Bool = false) {
        self.name = name
        self.granularity = granularity
        self.isEnabled = isEnabled
        self.isInconsistent = isInconsistent
    }
}

/// A node with persistent dirty bitmaps.
public protocol BitmapStore: BlockNode {
    /// Whether the image's version can hold bitmaps at all.
    var storesBitmaps: Bool { get }
    /// The bitmaps in the image.
    var bitmaps: [BitmapInformation] { get }
    /// Adds an empty bitmap.
    func addBitmap(_ information: BitmapInformation) throws(BlockError)
    /// Removes a bitmap, also an inconsistent one.
    func removeBitmap(_ name: String) throws(BlockError)
    /// Clears all bits.
    func clearBitmap(_ name: String) throws(BlockError)
    /// Starts or stops recording.
    func setBitmap(_ name: String, enabled: Bool) throws(BlockError)
    /// The dirty ranges in bytes, in order, joined.
    func dirtyRanges(of name: String) throws(BlockError) -> [Range<Int64>]
    /// Marks ranges as dirty.
    func markDirty(_ ranges: [Range<Int64>], in name: String) throws(BlockError)
}

/// What may be repaired while checking.
public struct RepairOptions: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// From the bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Free clusters that nothing refers to.
    public static let leaks = RepairOptions(rawValue: 1)
    /// Everything else.
    public static let errors = RepairOptions(rawValue: 2)
}

/// The outcome of a check.
public struct CheckResult: Sendable, Equatable {
    /// Contradictions that can lose data.
    public var corruptions: Int64 = 0
    /// Clusters that nothing refers to.
    public var leaks: Int64 = 0
    /// Places that could not be checked (errors while reading).
    public var checkErrors: Int64 = 0
    /// Contradictions that were repaired.
    public var corruptionsFixed: Int64 = 0
    /// Leaks that were repaired.
    public var leaksFixed: Int64 = 0
    /// Clusters of the whole image; 0 when the format does not say.
    public var totalClusters: Int64 = 0
    /// Clusters in use.
    public var allocatedClusters: Int64 = 0
    /// Of these, those that do not follow the one before.
    public var fragmentedClusters: Int64 = 0
    /// Of these, compressed ones.
    public var compressedClusters: Int64 = 0
    /// Where the image's data ends in the file; 0 when the format does not say.
    public var imageEndOffset: Int64 = 0

    /// A clean result.
    public init() {}
}

/// A node that can check its metadata.
public protocol CheckableNode: BlockNode {
    /// Checks and, where told to, repairs.
    /// - Parameter report: gets one line for each finding.
    func check(repair: RepairOptions, report: (String) -> Void) throws(BlockError) -> CheckResult
    /// Whether anything can be repaired.
    var canRepair: Bool { get }
}

/// A node whose creation options can be changed afterwards.
public protocol AmendableNode: BlockNode {
    /// Changes the options given, keeps the others.
    /// - Parameter progress: gets the part done, 0 ... 1.
    func amend(
        _ options: CreateOptions, force: Bool, progress: (Double) -> Void
    ) throws(BlockError)
}

/// What `info` shows of a node beyond name and size.
public protocol DescribedNode: BlockNode {
    /// The cluster size in bytes, nil when the format has none.
    var clusterSize: Int? { get }
    /// The content is encrypted.
    var isEncrypted: Bool { get }
    /// The image was not closed cleanly.
    var isDirty: Bool { get }
    /// The format's own facts, in the order to be shown; nil for none.
    func specificInformation() throws(BlockError) -> SpecificInformation?
}

/// Facts of one format for `info`: the type's name and an ordered tree.
public struct SpecificInformation: Sendable {
    /// The format's name.
    public let type: String
    /// The facts.
    public let facts: [(String, Fact)]

    /// A value of the tree.
    public indirect enum Fact: Sendable {
        /// Text.
        case text(String)
        /// A number.
        case number(Int64)
        /// true / false.
        case flag(Bool)
        /// Named values.
        case group([(String, Fact)])
        /// Values in order.
        case list([Fact])
    }

    /// All parts.
    public init(type: String, facts: [(String, Fact)]) {
        self.type = type
        self.facts = facts
    }
}

/// A node on the host's storage.
public protocol HostStorageNode: BlockNode {
    /// The bytes that the host has allocated; nil when unknown.
    func allocatedBytes() -> Int64?
}

/// A node whose ranges can be submitted to the kernel directly (io_uring), past `read` and `write`.
public protocol DirectlyMappedNode: BlockNode {
    /// The descriptor and offset of a range that is stored one byte after the other and whose reading or in-place
    /// writing needs no change of metadata; nil when it must go through `read` or `write`. The mapping holds until
    /// `endDirect` is called with the same range.
    func beginDirect(at offset: Int64, count: Int, isWrite: Bool) -> DirectMapping?
    /// Ends a request that `beginDirect` allowed.
    func endDirect(at offset: Int64, count: Int, isWrite: Bool)
}

/// A range of an open file of the host.
public struct DirectMapping: Sendable {
    /// Lets the host copy bytes to another file (or share them with it), without their passing through this process.
    /// - Returns: false when the host cannot do it for these files, or could not do all of it.
    public func copy(to target: DirectMapping, count: Int) -> Bool {
        var done = 0
        while done < count {
            let position = Int64(done)
            let result = try? retrying {
                roost_copy_range(
                    descriptor, offset + position, target.descriptor, target.offset + position, count - done)
            }
            guard let result, result > 0 else { return false }
            done += Int(result)
        }
        return true
    }

    /// The open file; it stays open as long as the node.
    public let descriptor: Int32
    /// The offset in bytes in that file.
    public let offset: Int64
    /// What the addresses and lengths of the memory must be multiples of: a power of two, 1 where anything goes.
    public let memoryAlignment: Int

    /// All parts.
    public init(descriptor: Int32, offset: Int64, memoryAlignment: Int = 1) {
        self.descriptor = descriptor
        self.offset = offset
        self.memoryAlignment = memoryAlignment
    }
}
