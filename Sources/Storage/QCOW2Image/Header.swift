// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// The constants of the format (qcow2 specification, "Header" and "Header extensions").
enum Format {
    static let magic: UInt32 = 0x5146_49fb
    static let version2HeaderLength = 72
    static let version3HeaderLength = 112
    static let minimumClusterBits = 9
    /// The smallest clusters that can have subclusters, which are at least 512 bytes long.
    static let minimumSubclusteredBits = 14
    static let maximumClusterBits = 21
    static let maximumL1Size: Int64 = 32 << 20
    static let maximumRefcountTableSize: Int64 = 8 << 20
    static let maximumSnapshots = 65536
    static let maximumBackingName = 1023
    static let maximumRefcountOrder = 6
    static let largestEncryptionHeader: UInt64 = 64 << 20

    enum Extension {
        static let end: UInt32 = 0
        static let backingFormat: UInt32 = 0xe279_2aca
        static let featureNames: UInt32 = 0x6803_f857
        static let bitmaps: UInt32 = 0x2385_2875
        static let encryption: UInt32 = 0x0537_be77
        static let dataFile: UInt32 = 0x4441_5441
    }

    enum Incompatible {
        static let dirty: UInt64 = 1
        static let corrupt: UInt64 = 2
        static let dataFile: UInt64 = 4
        static let compression: UInt64 = 8
        static let extendedL2: UInt64 = 16
        static let known: UInt64 = 31
    }

    static let lazyRefcounts: UInt64 = 1

    enum AutoClear {
        static let bitmaps: UInt64 = 1
        static let rawDataFile: UInt64 = 2
        static let known: UInt64 = 3
    }

    /// What the feature name extension says of the bits above: (type, bit, name).
    static let featureNames: [(UInt8, UInt8, String)] = [
        (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"), (0, 3, "compression type"),
        (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"), (2, 0, "bitmaps"), (2, 1, "raw external data"),
    ]
}

/// How clusters are compressed.
enum CompressionKind: UInt8 {
    case zlib = 0
    case zstd = 1

    var name: String { self == .zlib ? "zlib" : "zstd" }
}

/// A header extension, kept as it is when not known.
struct HeaderExtension: Equatable {
    var type: UInt32
    var data: [UInt8]
}

/// The header and its extensions.
struct Header: Equatable {
    var version: UInt32 = 3
    var backingOffset: Int64 = 0
    var backingName: String?
    var clusterBits = 16
    var size: Int64 = 0
    var cryptMethod: UInt32 = 0
    var l1Size = 0
    var l1Offset: Int64 = 0
    var refcountTableOffset: Int64 = 0
    var refcountTableClusters = 0
    var snapshotCount = 0
    var snapshotsOffset: Int64 = 0
    var incompatible: UInt64 = 0
    var compatible: UInt64 = 0
    var autoClear: UInt64 = 0
    var refcountOrder = 4
    var headerLength = Format.version3HeaderLength
    var compression = CompressionKind.zlib
    /// Header fields past those known here, kept when the header is written again.
    var unknownFields: [UInt8] = []
    var extensions: [HeaderExtension] = []

    var clusterSize: Int { 1 << clusterBits }
    var hasExtendedL2: Bool { incompatible & Format.Incompatible.extendedL2 != 0 }
    var hasDataFile: Bool { incompatible & Format.Incompatible.dataFile != 0 }

    func extensionData(_ type: UInt32) -> [UInt8]? { extensions.last { $0.type == type }?.data }

    mutating func setExtension(_ type: UInt32, _ data: [UInt8]?) {
        // Of several the last one counts, and only one is kept.
        let index = extensions.lastIndex { $0.type == type }
        switch (index, data) {
        case (let index?, let data?): extensions[index].data = data
        case (let index?, nil): extensions.remove(at: index)
        case (nil, let data?): extensions.append(HeaderExtension(type: type, data: data))
        case (nil, nil): break
        }
    }

    func extensionText(_ type: UInt32) -> String? { extensionData(type).map { String(decoding: $0, as: UTF8.self) } }

    /// Where the header of the encryption lies in the file, when the extension that says so can be.
    var encryptionHeader: Range<Int64>? {
        guard cryptMethod == 2, let data = extensionData(Format.Extension.encryption), data.count == 16 else {
            return nil
        }
        let (start, count) = data[...].withRegionOfCopy {
            ($0.bigEndian(at: 0, as: UInt64.self), $0.bigEndian(at: 8, as: UInt64.self))
        }
        guard start <= UInt64(Int64.max) / 2, count <= Format.largestEncryptionHeader else { return nil }
        return Int64(start)..<Int64(start + count)
    }

    /// The fixed fields in their order, without names and extensions.
    var fixedFields: [UInt8] {
        let buffer = AlignedBuffer(zeroed: Format.version3HeaderLength)
        let region = buffer.region
        region.storeBigEndian(Format.magic, at: 0)
        region.storeBigEndian(version, at: 4)
        region.storeBigEndian(backingOffset, at: 8)
        region.storeBigEndian(UInt32(backingOffset == 0 ? 0 : backingName?.utf8.count ?? 0), at: 16)
        region.storeBigEndian(UInt32(clusterBits), at: 20)
        region.storeBigEndian(size, at: 24)
        region.storeBigEndian(cryptMethod, at: 32)
        region.storeBigEndian(UInt32(truncatingIfNeeded: l1Size), at: 36)
        region.storeBigEndian(l1Offset, at: 40)
        region.storeBigEndian(refcountTableOffset, at: 48)
        region.storeBigEndian(UInt32(truncatingIfNeeded: refcountTableClusters), at: 56)
        region.storeBigEndian(UInt32(truncatingIfNeeded: snapshotCount), at: 60)
        region.storeBigEndian(snapshotsOffset, at: 64)
        if version >= 3 {
            region.storeBigEndian(incompatible, at: 72)
            region.storeBigEndian(compatible, at: 80)
            region.storeBigEndian(autoClear, at: 88)
            region.storeBigEndian(UInt32(refcountOrder), at: 96)
            region.storeBigEndian(UInt32(headerLength), at: 100)
            region[104] = compression.rawValue
        }
        let length = version >= 3 ? min(headerLength, Format.version3HeaderLength) : Format.version2HeaderLength
        return Array(region.bytes.prefix(length)) + (version >= 3 ? unknownFields : [])
    }

    /// Those that are known in their fixed order, one of each kind, and then the others.
    private var orderedExtensions: [HeaderExtension] {
        let known = [
            Format.Extension.backingFormat, Format.Extension.dataFile, Format.Extension.encryption,
            Format.Extension.featureNames, Format.Extension.bitmaps,
        ]
        return known.compactMap { type in extensions.last { $0.type == type } }
            + extensions.filter { !known.contains($0.type) }
    }

    /// The whole header as it stands at the beginning of the file; also sets where the backing name goes.
    mutating func serialize() throws(BlockError) -> [UInt8] {
        // The names only make messages nicer; QEMU leaves them out where they would take a good part of the cluster.
        if clusterSize <= Self.smallClusters { setExtension(Format.Extension.featureNames, nil) }
        var tail: [UInt8] = []
        for item in orderedExtensions { Self.append(item.type, item.data, to: &tail) }
        Self.append(Format.Extension.end, [], to: &tail)
        let start = version >= 3 ? headerLength : Format.version2HeaderLength
        if let backingName {
            backingOffset = Int64(start + tail.count)
            tail.append(contentsOf: backingName.utf8)
        } else {
            backingOffset = 0
        }
        guard start + tail.count <= clusterSize else {
            if extensionData(Format.Extension.featureNames) != nil {
                // The names only make messages nicer; small clusters have no room for them.
                setExtension(Format.Extension.featureNames, nil)
                return try serialize()
            }
            throw BlockError(
                .noSpace, "The header with its extensions and the backing file's name does not fit into a cluster")
        }
        return fixedFields + tail
    }

    /// The bytes up to the end of the extensions and of the backing file's name, where the file has it.
    var length: Int {
        let start = version >= 3 ? headerLength : Format.version2HeaderLength
        let extensions = extensions.reduce(start + 8) { $0 + 8 + ($1.data.count + 7) & ~7 }
        return max(extensions, Int(clamping: backingOffset) + (backingName?.utf8.count ?? 0))
    }

    private static let smallClusters = 4096

    private static func append(_ type: UInt32, _ data: [UInt8], to bytes: inout [UInt8]) {
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: type >> UInt32(shift)))
        }
        let count = UInt32(data.count)
        for shift in stride(from: 24, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: count >> UInt32(shift)))
        }
        bytes.append(contentsOf: data)
        bytes.append(contentsOf: repeatElement(0, count: (8 - data.count % 8) % 8))
    }

    /// The content of the feature name extension.
    static var featureNameTable: [UInt8] {
        var bytes: [UInt8] = []
        for (type, bit, name) in Format.featureNames {
            bytes += [type, bit] + Array(name.utf8)
            bytes += [UInt8](repeating: 0, count: 46 - name.utf8.count)
        }
        return bytes
    }
}
