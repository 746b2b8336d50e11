// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// An entry of the snapshot table (specification, "Snapshots").
struct Snapshot: Equatable {
    var information: SnapshotInformation
    var l1Offset: Int64
    var l1Size: Int
    /// Extra fields past those known here.
    var unknownExtra: [UInt8] = []

    /// As on disk, padded to 8 bytes.
    var bytes: [UInt8] {
        let hasCount = information.instructionCount != nil || !unknownExtra.isEmpty
        let extraSize = (hasCount ? 24 : 16) + unknownExtra.count
        let identifier = Array(information.identifier.utf8)
        let name = Array(information.name.utf8)
        let size = (40 + extraSize + identifier.count + name.count + 7) & ~7
        let buffer = AlignedBuffer(zeroed: size)
        let region = buffer.region
        region.storeBigEndian(l1Offset, at: 0)
        region.storeBigEndian(UInt32(l1Size), at: 8)
        region.storeBigEndian(UInt16(identifier.count), at: 12)
        region.storeBigEndian(UInt16(name.count), at: 14)
        region.storeBigEndian(UInt32(truncatingIfNeeded: information.dateSeconds), at: 16)
        region.storeBigEndian(UInt32(truncatingIfNeeded: information.dateNanoseconds), at: 20)
        region.storeBigEndian(information.vmClock, at: 24)
        let fitsShort = information.vmStateSize <= Int64(UInt32.max)
        region.storeBigEndian(fitsShort ? UInt32(information.vmStateSize) : 0, at: 32)
        region.storeBigEndian(UInt32(extraSize), at: 36)
        region.storeBigEndian(information.vmStateSize, at: 40)
        region.storeBigEndian(information.diskSize, at: 48)
        if hasCount { region.storeBigEndian(information.instructionCount ?? .max, at: 56) }
        region.from(40 + extraSize - unknownExtra.count).copy(from: unknownExtra)
        region.from(40 + extraSize).copy(from: identifier)
        region.from(40 + extraSize + identifier.count).copy(from: name)
        return region.bytes
    }

    static let largestExtra = 1024

    /// Reads one entry and says how long it is.
    static func read(
        _ file: any BlockNode, at offset: Int64, diskSize: Int64
    ) throws(BlockError) -> (snapshot: Snapshot, count: Int) {
        let fixed = AlignedBuffer(count: 40)
        try file.read(fixed.region, at: offset)
        let region = fixed.region
        let identifierSize = Int(region.bigEndian(at: 12, as: UInt16.self))
        let nameSize = Int(region.bigEndian(at: 14, as: UInt16.self))
        let extraSize = Int(region.bigEndian(at: 36, as: UInt32.self))
        guard extraSize <= largestExtra else {
            throw BlockError(.outOfRange, "Too much extra metadata in snapshot table entry")
        }
        let rest = try file.readBytes(at: offset + 40, count: extraSize + identifierSize + nameSize)
        var information = SnapshotInformation(
            identifier: String(decoding: rest[extraSize..<extraSize + identifierSize], as: UTF8.self),
            name: String(decoding: rest[(extraSize + identifierSize)...], as: UTF8.self),
            vmStateSize: Int64(region.bigEndian(at: 32, as: UInt32.self)),
            dateSeconds: Int64(region.bigEndian(at: 16, as: UInt32.self)),
            dateNanoseconds: Int64(region.bigEndian(at: 20, as: UInt32.self)), vmClock: region.bigEndian(at: 24),
            diskSize: diskSize)
        var unknown: [UInt8] = []
        rest.prefix(extraSize).withRegionOfCopy { extra in
            if extra.count >= 8 {
                information.vmStateSize = Int64(extra.bigEndian(at: 0, as: UInt64.self) & 0x7fff_ffff_ffff_ffff)
            }
            if extra.count >= 16 {
                information.diskSize = Int64(extra.bigEndian(at: 8, as: UInt64.self) & 0x7fff_ffff_ffff_ffff)
            }
            if extra.count >= 24 {
                let count: UInt64 = extra.bigEndian(at: 16)
                information.instructionCount = count == .max ? nil : count
            }
            if extra.count > 24 { unknown = extra.from(24).bytes }
        }
        let snapshot = Snapshot(
            information: information, l1Offset: region.bigEndian(at: 0),
            l1Size: Int(region.bigEndian(at: 8, as: UInt32.self)), unknownExtra: unknown)
        return (snapshot, (40 + rest.count + 7) & ~7)
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
    /// Reads the snapshot table that the header points to.
    func loadSnapshots() throws(BlockError) {
        var offset = header.snapshotsOffset
        var list: [Snapshot] = []
        for _ in 0..<header.snapshotCount {
            do {
                let (snapshot, count) = try Snapshot.read(file, at: offset, diskSize: header.size)
                list.append(snapshot)
                offset += Int64(count)
            } catch {
                throw BlockError(system: error.errno, "Could not read snapshots").prefixed("")
            }
            guard offset - header.snapshotsOffset <= 64 << 20 else {
                throw BlockError(.outOfRange, "Snapshot table is too large")
            }
        }
        snapshotList = list
    }

    /// Fails on an L1 table of a snapshot that cannot be.
    func checkL1(_ snapshot: Snapshot) throws(BlockError) {
        try header.checkTable(
            snapshot.l1Offset, Int64(snapshot.l1Size), 8, Format.maximumL1Size, "Snapshot L1 table")
    }
}
