// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import Cryptography
internal import HostSystem

/// An opened VMDK disk: one or more extents, and a descriptor.
///
/// The descriptor and what was checked once are guarded by `stateLock`; each extent has its own lock.
public class VMDKNode: BlockNode, @unchecked Sendable {
    /// "vmdk".
    public let driverName = "vmdk"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// The location of the descriptor's file, as a VMDK image.
    public let location: NodeLocation
    /// The disk's length.
    public let length: Int64

    let file: any BlockNode
    let extents: [Placed]
    let backingReference: BackingReference
    private let descriptorPlace: (offset: Int64, room: Int?)
    private let stateLock = Lock()
    private var descriptor: VMDKDescriptor
    private var isIDChanged = false
    private var isParentChecked = false

    /// An extent and where it begins on the disk.
    struct Placed {
        let start: Int64
        let extent: any VMDKExtent
    }

    init(_ parts: Parts) {
        file = parts.file
        descriptor = parts.descriptor
        descriptorPlace = parts.place
        backingReference = parts.backing
        isReadOnly = parts.isReadOnly
        var start: Int64 = 0
        var placed: [Placed] = []
        for extent in parts.extents {
            placed.append(Placed(start: start, extent: extent))
            start += extent.mappedLength
        }
        extents = placed
        length = start
        location = .over(parts.file.location, driver: "vmdk")
    }

    /// What a node is made from.
    struct Parts {
        let file: any BlockNode
        let descriptor: VMDKDescriptor
        /// Where the descriptor's text is, and how many bytes it may have (nil: a file of its own).
        let place: (offset: Int64, room: Int?)
        let extents: [any VMDKExtent]
        let backing: BackingReference
        let isReadOnly: Bool
    }

    /// Grains are the unit of zeroing.
    public var limits: BlockLimits { BlockLimits(clusterSize: clusterSize ?? 0) }

    /// The descriptor's file, the extents' files, and the backing node.
    public var children: [NodeChild] {
        var list = [NodeChild(role: "file", node: file)]
        for (index, placed) in extents.enumerated() where placed.extent.file !== file {
            list.append(NodeChild(role: "extents.\(index)", node: placed.extent.file))
        }
        if let node = backingReference.node { list.append(NodeChild(role: "backing", node: node)) }
        return list
    }

    /// Calls `body` for each extent that a range touches, with the part's place in the extent and in the range.
    private func forEachPart(
        at offset: Int64, count: Int64,
        _ body: (any VMDKExtent, _ within: Int64, Range<Int64>) throws(BlockError) -> Void
    ) throws(BlockError) {
        try checkRange(at: offset, count: count)
        let end = offset + count
        for placed in extents {
            let from = max(offset, placed.start)
            let to = min(end, placed.start + placed.extent.mappedLength)
            if from < to { try body(placed.extent, from - placed.start, (from - offset)..<(to - offset)) }
        }
    }

    /// From the extents.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkParent()
        try forEachPart(at: offset, count: Int64(region.count)) { (extent, within, part) throws(BlockError) in
            try extent.readMapped(region.slice(Int(part.lowerBound), part.count), at: within)
        }
    }

    /// To the extents.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try prepareWrite()
        try forEachPart(at: offset, count: Int64(region.count)) { (extent, within, part) throws(BlockError) in
            try extent.writeMapped(region.slice(Int(part.lowerBound), part.count), at: within)
            try afterWrite(extent)
        }
        if flags.contains(.forceUnitAccess) { try flush() }
    }

    /// By the tables where the extents can.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try prepareWrite()
        try forEachPart(at: offset, count: count) { (extent, within, part) throws(BlockError) in
            try extent.zeroMapped(at: within, count: Int64(part.count), flags: flags)
            try afterWrite(extent)
        }
        if flags.contains(.forceUnitAccess) { try flush() }
    }

    private func afterWrite(_ extent: any VMDKExtent) throws(BlockError) {
        if extent.lock.withLock({ extent.shouldWriteTables }) { try writeBack(extent) }
    }

    /// Grains are not given back.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
    }

    /// Data first, then the tables that refer to it.
    public func flush() throws(BlockError) {
        guard !isReadOnly else { return }
        for placed in extents {
            try writeBack(placed.extent)
            try placed.extent.file.flush()
        }
        if extents.allSatisfy({ $0.extent.file !== file }) { try file.flush() }
    }

    private func writeBack(_ extent: any VMDKExtent) throws(BlockError) {
        guard !isReadOnly else { return }
        try extent.lock.withLock { () throws(BlockError) in
            guard extent.hasChangedTables else { return }
            try extent.file.flush()
            try extent.writeTables()
        }
    }

    /// Writes the tables and closes all files.
    public func close() throws(BlockError) {
        var failure: BlockError?
        do { try flush() } catch { failure = error }
        for placed in extents where placed.extent.file !== file {
            do { try placed.extent.file.close() } catch { failure = failure ?? error }
        }
        do { try file.close() } catch { failure = failure ?? error }
        if let failure { throw failure }
    }

    /// From the extent that the offset lies in.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        guard
            let placed = extents.first(where: { $0.start <= offset && offset < $0.start + $0.extent.mappedLength })
        else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        var status = try placed.extent.mappedStatus(at: offset - placed.start, count: count, detail: detail)
        status.isEnd = offset + status.count == length
        return status
    }

    // MARK: Identifiers

    /// A disk whose parent was written to since is not what it was.
    private func checkParent() throws(BlockError) {
        guard let parent = backingReference.node as? VMDKNode else { return }
        try stateLock.withLock { () throws(BlockError) in
            guard !isParentChecked else { return }
            let found = parent.contentID
            guard found == descriptor.parentID else {
                throw BlockError(
                    .corrupt,
                    "\(location.filename): the backing file has the content ID \(NumberText.hex(found, width: 8)), not \(NumberText.hex(descriptor.parentID, width: 8)): it was changed after this image was made",
                    errno: .invalidArgument)
            }
            isParentChecked = true
        }
    }

    var contentID: UInt32 { stateLock.withLock { descriptor.contentID } }

    /// The first write gives the content a new identifier.
    private func prepareWrite() throws(BlockError) {
        try checkWritable()
        try checkParent()
        try stateLock.withLock { () throws(BlockError) in
            guard !isIDChanged else { return }
            isIDChanged = true
            guard descriptor.value("CID") != nil else { return }
            let changed = descriptor.replacing(contentID: try Self.newContentID())
            try write(changed)
            descriptor = changed
        }
    }

    static func newContentID() throws(BlockError) -> UInt32 {
        do {
            let bytes = try randomBytes(4)
            let value = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            // The mark of "no parent" is no identifier.
            return value == VMDKDescriptor.noParent ? 0 : value
        } catch {
            throw BlockError(.inputOutput, "Could not make a content ID: \(error)")
        }
    }

    private func write(_ changed: VMDKDescriptor) throws(BlockError) {
        var bytes = Array(changed.text.utf8)
        if let room = descriptorPlace.room {
            guard bytes.count <= room else { throw BlockError(.noSpace, "The descriptor does not fit its place") }
            bytes += [UInt8](repeating: 0, count: min(room, (bytes.count + 511) & ~511) - bytes.count)
        } else if let file = file as? any ResizableNode, file.length > Int64(bytes.count) {
            try file.resize(to: Int64(bytes.count), preallocation: .off, exact: false)
        }
        try file.write(bytes, at: descriptorPlace.offset)
    }

    func currentDescriptor() -> VMDKDescriptor { stateLock.withLock { descriptor } }
}
