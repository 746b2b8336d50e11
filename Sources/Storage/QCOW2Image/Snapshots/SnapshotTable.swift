// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// An entry of the snapshot table (specification, "Snapshots").
struct Snapshot: Equatable {
    var information: SnapshotInformation
    var l1Offset: Int64
    var l1Size: Int
    /// Extra fields past those known here.
    var unknownExtra: [UInt8] = []
    /// How many bytes of extra data the entry has on disk.
    var extraSize = Self.knownExtra
    /// Identifier and name as they are on disk, which need not be text.
    private var rawIdentifier: [UInt8]
    private var rawName: [UInt8]

    init(information: SnapshotInformation, l1Offset: Int64, l1Size: Int) {
        self.information = information
        self.l1Offset = l1Offset
        self.l1Size = l1Size
        rawIdentifier = Array(information.identifier.utf8)
        rawName = Array(information.name.utf8)
    }

    /// Extra data that is known: the large size of machine state, the disk's size, the instruction count.
    static let knownExtra = 24
    /// Extra data that an entry of a version 3 image has at least.
    static let requiredExtra = 16
    static let largestExtra = 1024
    private static let fixedSize = 40

    /// As on disk, padded to 8 bytes.
    var bytes: [UInt8] {
        let extraSize = Self.knownExtra + unknownExtra.count
        let size = (Self.fixedSize + extraSize + rawIdentifier.count + rawName.count + 7) & ~7
        let buffer = AlignedBuffer(zeroed: size)
        let region = buffer.region
        region.storeBigEndian(l1Offset, at: 0)
        region.storeBigEndian(UInt32(truncatingIfNeeded: l1Size), at: 8)
        region.storeBigEndian(UInt16(truncatingIfNeeded: rawIdentifier.count), at: 12)
        region.storeBigEndian(UInt16(truncatingIfNeeded: rawName.count), at: 14)
        region.storeBigEndian(UInt32(truncatingIfNeeded: information.dateSeconds), at: 16)
        region.storeBigEndian(UInt32(truncatingIfNeeded: information.dateNanoseconds), at: 20)
        region.storeBigEndian(information.vmClock, at: 24)
        region.storeBigEndian(UInt32(exactly: information.vmStateSize) ?? 0, at: 32)
        region.storeBigEndian(UInt32(extraSize), at: 36)
        region.storeBigEndian(information.vmStateSize, at: 40)
        region.storeBigEndian(information.diskSize, at: 48)
        region.storeBigEndian(information.instructionCount ?? .max, at: 56)
        region.from(Self.fixedSize + Self.knownExtra).copy(from: unknownExtra)
        region.from(Self.fixedSize + extraSize).copy(from: rawIdentifier)
        region.from(Self.fixedSize + extraSize + rawIdentifier.count).copy(from: rawName)
        return region.bytes
    }

    /// Reads one entry and says how long it is on disk.
    /// - Parameter tooLong: called for an entry with more extra data than is kept; returns to have it cut.
    static func read(
        _ file: any BlockNode, at offset: Int64, diskSize: Int64, tooLong: (_ size: Int) throws(BlockError) -> Void
    ) throws(BlockError) -> (snapshot: Snapshot, count: Int64) {
        let fixed = AlignedBuffer(count: fixedSize)
        try file.read(fixed.region, at: offset)
        let region = fixed.region
        let identifierSize = Int(region.bigEndian(at: 12, as: UInt16.self))
        let nameSize = Int(region.bigEndian(at: 14, as: UInt16.self))
        let extraSize = Int(region.bigEndian(at: 36, as: UInt32.self))
        if extraSize > largestExtra { try tooLong(extraSize) }
        let extra = try file.readBytes(at: offset + Int64(fixedSize), count: min(extraSize, largestExtra))
        let names = try file.readBytes(
            at: offset + Int64(fixedSize + extraSize), count: identifierSize + nameSize)
        let rawIdentifier = Array(names.prefix(identifierSize))
        let rawName = Array(names.dropFirst(identifierSize))
        let information = SnapshotInformation(
            identifier: String(decoding: rawIdentifier.prefix { $0 != 0 }, as: UTF8.self),
            name: String(decoding: rawName.prefix { $0 != 0 }, as: UTF8.self),
            vmStateSize: Int64(region.bigEndian(at: 32, as: UInt32.self)),
            dateSeconds: Int64(region.bigEndian(at: 16, as: UInt32.self)),
            dateNanoseconds: Int64(region.bigEndian(at: 20, as: UInt32.self)), vmClock: region.bigEndian(at: 24),
            diskSize: diskSize)
        var snapshot = Snapshot(
            information: information, l1Offset: region.bigEndian(at: 0),
            l1Size: Int(region.bigEndian(at: 8, as: UInt32.self)))
        snapshot.rawIdentifier = rawIdentifier
        snapshot.rawName = rawName
        snapshot.extraSize = extraSize
        snapshot.takeExtra(extra)
        return (snapshot, Int64(fixedSize + extraSize + identifierSize + nameSize))
    }

    private mutating func takeExtra(_ bytes: [UInt8]) {
        let positive: UInt64 = 0x7fff_ffff_ffff_ffff
        bytes[...].withRegionOfCopy { extra in
            if extra.count >= 8 {
                information.vmStateSize = Int64(extra.bigEndian(at: 0, as: UInt64.self) & positive)
            }
            if extra.count >= 16 { information.diskSize = Int64(extra.bigEndian(at: 8, as: UInt64.self) & positive) }
            if extra.count >= Self.knownExtra {
                let count: UInt64 = extra.bigEndian(at: 16)
                information.instructionCount = count == .max ? nil : count
                unknownExtra = extra.from(Self.knownExtra).bytes
            }
        }
    }
}

extension ArraySlice<UInt8> {
    func withRegionOfCopy<R>(_ body: (ByteRegion) -> R) -> R {
        let copy = AlignedBuffer(count: count)
        copy.region.copy(from: Array(self))
        return body(copy.region)
    }
}

extension QCOW2Node {
    /// The table's entries take up at most this many bytes.
    private static var largestTable: Int64 { 64 << 20 }

    /// Reads the snapshot table that the header points to.
    func loadSnapshots() throws(BlockError) {
        _ = try readSnapshots(repairs: false, { _ in })
    }

    /// What a repair drops from the table.
    private struct Dropped {
        var entries = 0
        var extras = 0
    }

    /// - Parameter repairs: entries and extra data that are too much are dropped rather than refused.
    private func readSnapshots(repairs: Bool, _ report: (String) -> Void) throws(BlockError) -> Dropped {
        var dropped = Dropped()
        var list: [Snapshot] = []
        var end = header.snapshotsOffset
        // As it will be written; what is dropped does not count.
        var length: Int64 = 0
        for index in 0..<header.snapshotCount {
            let start = (end + 7) & ~7
            var isCut = false
            let (snapshot, count) = try Snapshot.read(
                file, at: start, diskSize: header.size,
                tooLong: { size throws(BlockError) in
                    guard repairs else {
                        throw BlockError(
                            .outOfRange, "Too much extra metadata in snapshot table entry \(index)",
                            errno: .fileTooLarge,
                            hint: "You can force-remove this extra metadata with qemu-img check -r all")
                    }
                    report(
                        "Discarding too much extra metadata in snapshot table entry \(index) (\(size) > \(Snapshot.largestExtra))"
                    )
                    dropped.extras += 1
                    isCut = true
                })
            let kept = isCut ? count - Int64(snapshot.extraSize - Snapshot.largestExtra) : count
            length = ((length + 7) & ~7) + kept
            let overhang = header.snapshotCount - index
            if length > Self.largestTable || start + count - header.snapshotsOffset > Int64(Int32.max) {
                guard repairs else {
                    throw BlockError(
                        .outOfRange, "Snapshot table is too big", errno: .fileTooLarge,
                        hint:
                            "You can force-remove all \(overhang) overhanging snapshots with qemu-img check -r all")
                }
                report("Discarding \(overhang) overhanging snapshots (snapshot table is too big)")
                dropped.entries += overhang
                break
            }
            list.append(snapshot)
            end = start + count
        }
        snapshotList = list
        snapshotsSize = end - header.snapshotsOffset
        return dropped
    }

    /// Reads the table anew for a check, which may drop what is too much.
    /// - Returns: contradictions that the rewritten table will not have, and those repaired already.
    func recheckSnapshots(
        _ repair: RepairOptions, _ report: (String) -> Void
    ) throws(BlockError) -> (found: Int64, fixed: Int64) {
        let repairs = repair.contains(.errors)
        var dropped = 0
        if header.snapshotCount > Format.maximumSnapshots, repairs {
            let overhang = header.snapshotCount - Format.maximumSnapshots
            report("Discarding \(overhang) overhanging snapshots")
            dropped = overhang
            header.snapshotCount = Format.maximumSnapshots
        }
        do throws(BlockError) {
            try header.checkTable(
                header.snapshotsOffset, Int64(header.snapshotCount), 40, Int64(Format.maximumSnapshots) * 40,
                "snapshot table")
        } catch {
            report("ERROR \(error.message)")
            if header.snapshotCount > Format.maximumSnapshots {
                report(
                    "You can force-remove all \(header.snapshotCount - Format.maximumSnapshots) overhanging snapshots with qemu-img check -r all"
                )
            }
            throw BlockError(system: error.kind == .outOfRange ? .fileTooLarge : .invalidArgument)
        }
        let more: Dropped
        do throws(BlockError) {
            more = try readSnapshots(repairs: repairs, report)
        } catch {
            report("ERROR failed to read the snapshot table: \(error.message)")
            if let hint = error.hint { report(hint) }
            throw BlockError(system: error.errno)
        }
        dropped += more.entries
        if dropped > 0 {
            // What the dropped ones held is leaked now, which the rest of the check tells.
            header.snapshotCount = snapshotList.count
            try writeFixedHeader()
        }
        var found = Int64(more.extras)
        if header.version >= 3 {
            for (index, snapshot) in snapshotList.enumerated() where snapshot.extraSize < Snapshot.requiredExtra {
                found += 1
                report("\(repairs ? "Repairing" : "ERROR") snapshot table entry \(index) is incomplete")
            }
        }
        return (found, Int64(dropped))
    }

    /// Writes the table with complete entries to a new place. Called with the lock held.
    func rewriteSnapshotTable() throws(BlockError) {
        let old = (header.snapshotsOffset, geometry.clusters(snapshotsSize) << Int64(geometry.clusterBits))
        let place = try writeSnapshotTable(snapshotList)
        try settleTables()
        var next = header
        next.snapshotsOffset = place.offset
        next.snapshotCount = snapshotList.count
        try switchHeader(to: next)
        snapshotsSize = place.size
        for index in snapshotList.indices {
            snapshotList[index].extraSize = Snapshot.knownExtra + snapshotList[index].unknownExtra.count
        }
        if old.1 > 0 { freeList.add(old.0, old.1, discards: false) }
    }

    /// Writes the entries to free clusters.
    func writeSnapshotTable(_ snapshots: [Snapshot]) throws(BlockError) -> (offset: Int64, size: Int64) {
        guard snapshots.count <= Format.maximumSnapshots else {
            throw BlockError(.outOfRange, "An image holds at most \(Format.maximumSnapshots) snapshots", errno: nil)
        }
        guard !snapshots.isEmpty else { return (0, 0) }
        let bytes = snapshots.flatMap(\.bytes)
        let offset = try refcounts.allocateRow(Int(geometry.clusters(Int64(bytes.count))))
        try file.write(bytes, at: offset)
        return (offset, Int64(bytes.count))
    }

    /// Fails on an L1 table of a snapshot that cannot be.
    /// - Parameter tellsEarlier: the error is to be told in a line of its own.
    func checkL1(_ snapshot: Snapshot, tellsEarlier: Bool = false) throws(BlockError) {
        do throws(BlockError) {
            try header.checkTable(
                snapshot.l1Offset, Int64(snapshot.l1Size), 8, Format.maximumL1Size, "Snapshot L1 table")
        } catch {
            var failure = error
            failure.errno = error.kind == .outOfRange ? .fileTooLarge : .invalidArgument
            if tellsEarlier { failure.earlier = error.message }
            throw failure
        }
        guard snapshot.l1Offset + Int64(snapshot.l1Size) * 8 <= geometry.roundUp(file.length) else {
            throw BlockError(.invalidArgument, "Snapshot L1 table lies past the end of the file")
        }
    }
}
