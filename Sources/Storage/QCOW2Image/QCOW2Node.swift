// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import Glibc
internal import HostSystem

/// An opened qcow2 image, version 2 or 3.
///
/// ```
/// read:    lock -> look up -> unlock -> read the host cluster, the backing node, or decompress
/// write:   lock -> plan (allocate) -> unlock -> write data -> lock -> update L2 -> unlock
/// flush:   lock -> refcounts, barrier, L2 tables, barrier, L1 entries, barrier -> release freed clusters -> unlock
/// ```
///
/// What a crash can leave behind: tables are changed in memory and written in the order above, so a table on disk never
/// refers to a cluster whose count or content is not durable; freed clusters are counted and reused only after no table
/// on disk refers to them. Changes of many tables at once (snapshots) prepare new tables and switch by one write of
/// the header. So a crash leaks clusters at most.
///
/// All mutable state is guarded by `lock`, except what says otherwise.
public final class QCOW2Node: BlockNode, @unchecked Sendable {
    /// "qcow2".
    public let driverName = "qcow2"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// The location of the file below, as a qcow2 image.
    public let location: NodeLocation

    let file: any BlockNode
    /// Where guest data is: the same file, or the external one.
    let data: any BlockNode
    /// Changes only with the width of counts, with nothing under way.
    var geometry: Geometry
    /// The file, where it wants to know of requests: asked once, since a cast for each of them is dear.
    let events: (any EventNode)?
    let flags: OpenFlags
    let lock = Lock()
    let tracker: RequestTracker
    let freeList = FreeList()
    let refcounts: RefcountStore
    let l2: TableCache
    let codec: ClusterCodec
    let cipher: (any ClusterCipher)?
    /// The passphrases that `amend` names.
    let secrets: any SecretProvider
    let overlaps: OverlapChecks
    let warn: @Sendable (String) -> Void

    var header: Header
    /// The bytes from the beginning of the file to the end of what the header says, as far as they are known.
    private var headerLength: Int
    var l1: [UInt64] { didSet { l1Version &+= 1 } }
    /// How often L1 was changed.
    private(set) var l1Version: UInt64 = 0
    /// Where clusters were that were used before; unused where a place alone does not say how to read it.
    var recent = RecentPlaces()
    let remembersPlaces: Bool
    /// Another number whenever a cluster may lie elsewhere, or may not be written in place any more.
    var placesVersion: UInt64 { l2.version &+ l1Version &+ reserved.version }
    /// `data`, where ranges of it can be given to the kernel.
    let directData: (any DirectlyMappedNode)?
    /// Requests that the kernel works on.
    var directRequests: [DirectRequest] = []
    var changedL1: Set<Int> = []
    var snapshotList: [Snapshot] = []
    /// The bytes that the snapshot table takes up on disk.
    var snapshotsSize: Int64 = 0
    var bitmapList: [Bitmap] = []
    var bitmapsChanged = false
    /// The directory on disk says that the bitmaps are behind.
    var areBitmapsMarked = false
    var backingNode: (any BlockNode)?
    /// Host clusters of metadata, against writing guest data over them.
    var reserved = ReservedClusters()
    /// The end of the last compressed cluster, where the next one may go.
    var compressedEnd: Int64 = 0
    /// Something that a flush promises to keep was written since the last one. Lowered counts alone do not matter: what
    /// a crash loses of them is leaked clusters.
    var isUnflushed = false
    /// A contradiction was found while writing; nothing more is read or written.
    var isBroken = false
    /// Why `isBroken`, or a contradiction that did no harm, was told.
    var hasToldCorruption = false
    /// L2 tables of snapshots, where the image was opened with all overlap checks.
    var protectedInactiveL2: Set<UInt64> = []
    var isClosed = false
    /// The answer of `preallocatedHoles`.
    var holesKnown: Bool?

    init(_ parts: Parts) throws(BlockError) {
        file = parts.file
        events = parts.file as? any EventNode
        data = parts.data
        directData = parts.data as? any DirectlyMappedNode
        header = parts.header
        headerLength = parts.header.length
        geometry = Geometry(parts.header)
        remembersPlaces = parts.cipher == nil && events == nil && !geometry.hasExtendedL2
        flags = parts.flags
        isReadOnly = !parts.flags.isWritable
        backingNode = parts.backing
        cipher = parts.cipher
        secrets = parts.secrets
        warn = parts.warn
        overlaps = parts.overlaps
        tracker = RequestTracker(lock: lock)
        codec = ClusterCodec(kind: parts.header.compression, clusterSize: parts.header.clusterSize)
        refcounts = try RefcountStore(
            file: parts.file, header: parts.header, geometry: geometry, memory: Self.refcountMemory,
            isDeferred: !parts.flags.isWritable && !parts.flags.forChecking)
        l2 = TableCache(file: parts.file, clusterSize: geometry.clusterSize, memory: parts.l2Memory)
        l1 = try Self.readL1(parts.file, offset: parts.header.l1Offset, entries: parts.header.l1Size)
        location = Self.location(of: parts.file, options: parts.ownOptions)
        if parts.flags.isWritable {
            // What is written back to its place must have one.
            let end = geometry.roundUp(parts.file.length)
            guard l1.isEmpty || parts.header.l1Offset + Int64(l1.count) * 8 <= end else {
                throw BlockError(.invalidArgument, "Active L1 table lies past the end of the image file")
            }
            let table = Int64(parts.header.refcountTableClusters) * Int64(geometry.clusterSize)
            guard parts.flags.forChecking || parts.header.refcountTableOffset + table <= end else {
                throw BlockError(.invalidArgument, "Reference count table lies past the end of the image file")
            }
        }
        refcounts.updateHeader = { [unowned self] (offset, clusters) throws(BlockError) in
            var next = header
            next.refcountTableOffset = offset
            next.refcountTableClusters = clusters
            try switchHeader(to: next)
        }
        refcounts.vet = { [unowned self] (offset, clusters, purpose) throws(BlockError) in
            try vetAllocation(offset, clusters, purpose)
        }
        refcounts.vetBlock = { [unowned self] (offset) throws(BlockError) in
            try refuseDisputedTable(offset, .refcountBlock)
        }
        refcounts.corruption = { [unowned self] text in corruption(text) }
        refcounts.reserve = { [unowned self] (offset, clusters) in
            reserved.insert(cluster: offset >> Int64(geometry.clusterBits), count: Int64(clusters))
        }
        refcounts.release = { [unowned self] (offset, clusters) in
            freeList.add(offset, Int64(clusters) * Int64(geometry.clusterSize), discards: false)
        }
    }

    /// What a node is made from.
    struct Parts {
        let file: any BlockNode
        let data: any BlockNode
        let header: Header
        let flags: OpenFlags
        let backing: (any BlockNode)?
        let cipher: (any ClusterCipher)?
        let secrets: any SecretProvider
        let l2Memory: Int
        var overlaps = OverlapChecks()
        let ownOptions: BlockOptions
        let warn: @Sendable (String) -> Void
    }

    static let refcountMemory = 2 << 20

    private static func location(of file: any BlockNode, options: BlockOptions) -> NodeLocation {
        .over(file.location, driver: "qcow2", extra: options)
    }

    static func readL1(_ file: any BlockNode, offset: Int64, entries: Int) throws(BlockError) -> [UInt64] {
        guard entries > 0 else { return [] }
        let buffer = AlignedBuffer(count: entries * 8)
        do {
            try file.read(buffer.region, at: offset)
        } catch {
            throw BlockError(system: error.errno, "Could not read L1 table")
        }
        return (0..<entries).map { buffer.region.bigEndian(at: $0 * 8) }
    }

    /// The virtual disk's size.
    public var length: Int64 { lock.withLock { header.size } }
    /// Zeroing and discarding work in clusters; requests may have any alignment.
    public var limits: BlockLimits { BlockLimits(clusterSize: geometry.clusterSize) }
    /// "file", "data-file" and "backing".
    public var children: [NodeChild] {
        var list = [NodeChild(role: "file", node: file)]
        if geometry.hasDataFile { list.append(NodeChild(role: "data-file", node: data)) }
        if let backingNode = lock.withLock({ backingNode }) {
            list.append(NodeChild(role: "backing", node: backingNode))
        }
        return list
    }

    /// Runs `body` with the lock held and no write under way.
    func exclusively<R>(_ body: () throws(BlockError) -> R) throws(BlockError) -> R {
        try lock.withLock { () throws(BlockError) in
            tracker.drain()
            return try body()
        }
    }

    /// Writes the fixed fields of the header, in one sector, durably.
    func writeFixedHeader() throws(BlockError) {
        try file.write(header.fixedFields, at: 0)
        try file.flush()
    }

    /// Makes new tables the image's. When that fails the old ones are made sure of: nobody knows then which header the
    /// disk has, and where it cannot be settled either nothing more is served. Called with the lock held.
    func switchHeader(to next: Header) throws(BlockError) {
        let old = header
        header = next
        do throws(BlockError) {
            try writeFixedHeader()
        } catch {
            header = old
            do throws(BlockError) { try writeFixedHeader() } catch { isBroken = true }
            throw error
        }
    }

    /// Writes the header with its extensions and the backing name, durably.
    func writeWholeHeader() throws(BlockError) {
        let bytes = try header.serialize()
        // What used to follow the extensions must not be taken for one.
        let padded = bytes + [UInt8](repeating: 0, count: geometry.clusterSize - bytes.count)
        defer { headerLength = bytes.count }
        guard padded.count > Self.sector else {
            try file.write(padded, at: 0)
            return try file.flush()
        }
        // The sector that tells of the rest goes last, or first when the rest goes: a crash leaves the one header or the
        // other. Where both have a rest, and it changes, there is no such order.
        let (first, rest) = (Array(padded[..<Self.sector]), Array(padded[Self.sector...]))
        if headerLength <= Self.sector {
            try file.write(rest, at: Int64(Self.sector))
            try file.flush()
            try file.write(first, at: 0)
        } else if bytes.count <= Self.sector {
            try file.write(first, at: 0)
            try file.flush()
            try file.write(rest, at: Int64(Self.sector))
        } else {
            try file.write(padded, at: 0)
        }
        try file.flush()
    }

    /// What a disk writes as a whole.
    private static let sector = 512

    /// A contradiction in the image: it is marked, so that the next opening for writing asks for a repair, and this node
    /// serves nothing more. An image opened for reading goes on.
    /// - Parameters:
    ///   - isFatal: what was found makes further writes dangerous.
    ///   - offset: where the write would have gone, for the event that tells a machine's monitor.
    func corruption(_ text: String, isFatal: Bool = true, offset: Int64? = nil, count: Int64? = nil) -> BlockError {
        let isFatal = isFatal && !isReadOnly
        let isMarked = header.incompatible & Format.Incompatible.corrupt != 0
        if !hasToldCorruption || (isFatal && !isMarked) {
            warn(
                isFatal
                    ? "qcow2: Marking image as corrupt: \(text); further corruption events will be suppressed"
                    : "qcow2: Image is corrupt: \(text); further non-fatal corruption events will be suppressed")
            if isFatal { markCorrupt() }
            hasToldCorruption = true
        }
        // The line above is all that the original says; the number is what callers tell.
        return BlockError(system: .inputOutput)
    }

    private func markCorrupt() {
        isBroken = true
        header.incompatible |= Format.Incompatible.corrupt
        guard header.version >= 3 else { return }
        // The contradiction itself is what gets reported; that it could not be noted in the image comes second.
        do { try writeFixedHeader() } catch { warn("qcow2: the corrupt bit could not be written: \(error)") }
    }

    /// Fails once the image was marked as corrupt. Called with the lock held.
    func checkUsable() throws(BlockError) {
        if isBroken { throw BlockError(system: .noMedium) }
    }
}

extension Errno {
    /// File too large.
    static let fileTooLarge = Errno(EFBIG)
    /// No medium found: what an image answers once it was found to be corrupt.
    static let noMedium = Errno(ENOMEDIUM)
}

/// A number as messages have it: with 0x, but for zero.
func hexadecimal(_ value: UInt64) -> String { value == 0 ? "0" : "0x" + String(value, radix: 16) }
