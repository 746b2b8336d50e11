// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

extension Header {
    /// Reads and checks the header.
    /// - Parameter forChecking: accept what a repair can deal with.
    static func read(_ file: any BlockNode, forChecking: Bool, isWritable: Bool) throws(BlockError) -> Header {
        let fixed = AlignedBuffer(zeroed: Format.version3HeaderLength)
        do {
            try file.read(fixed.region, at: 0)
        } catch {
            throw BlockError(system: error.errno, "Could not read qcow2 header")
        }
        var header = Header()
        try header.parseVersion2(fixed.region)
        if header.version >= 3 {
            try header.parseVersion3(fixed.region, file)
        } else {
            header.headerLength = Format.version2HeaderLength
        }
        try header.parseExtensions(file)
        try header.checkFeatures(isWritable: isWritable)
        try header.parseBackingName(fixed.region, file)
        try header.checkTables(forChecking: forChecking)
        return header
    }

    private mutating func parseVersion2(_ region: ByteRegion) throws(BlockError) {
        guard region.bigEndian(at: 0, as: UInt32.self) == Format.magic else {
            throw BlockError(.invalidArgument, "Image is not in qcow2 format")
        }
        version = region.bigEndian(at: 4)
        guard version == 2 || version == 3 else {
            throw BlockError(.notSupported, "Unsupported qcow2 version \(version)")
        }
        let bits: UInt32 = region.bigEndian(at: 20)
        guard bits >= Format.minimumClusterBits, bits <= Format.maximumClusterBits else {
            throw BlockError(.invalidArgument, "Unsupported cluster size: 2^\(bits)")
        }
        clusterBits = Int(bits)
        backingOffset = region.bigEndian(at: 8)
        let rawSize: UInt64 = region.bigEndian(at: 24)
        cryptMethod = region.bigEndian(at: 32)
        l1Size = Int(region.bigEndian(at: 36, as: UInt32.self))
        l1Offset = region.bigEndian(at: 40)
        refcountTableOffset = region.bigEndian(at: 48)
        refcountTableClusters = Int(region.bigEndian(at: 56, as: UInt32.self))
        snapshotCount = Int(region.bigEndian(at: 60, as: UInt32.self))
        snapshotsOffset = region.bigEndian(at: 64)
        // What does not fit is refused as too big below.
        size = Int64(exactly: rawSize & ~511) ?? .max
    }

    private mutating func parseVersion3(_ region: ByteRegion, _ file: any BlockNode) throws(BlockError) {
        incompatible = region.bigEndian(at: 72)
        compatible = region.bigEndian(at: 80)
        autoClear = region.bigEndian(at: 88)
        let order: UInt32 = region.bigEndian(at: 96)
        let length: UInt32 = region.bigEndian(at: 100)
        guard length >= 104 else { throw BlockError(.invalidArgument, "qcow2 header too short") }
        guard length <= UInt32(clusterSize) else {
            throw BlockError(.invalidArgument, "qcow2 header exceeds cluster size")
        }
        headerLength = Int(length)
        let rawCompression = length > 104 ? region[104] : 0
        if headerLength > Format.version3HeaderLength {
            unknownFields = try file.readBytes(
                at: Int64(Format.version3HeaderLength), count: headerLength - Format.version3HeaderLength)
        }
        try parseCompression(rawCompression)
        // The width is looked at after the features: one of them may explain a strange value.
        refcountOrder = Int(order)
    }

    private mutating func parseCompression(_ raw: UInt8) throws(BlockError) {
        let isFlagged = incompatible & Format.Incompatible.compression != 0
        if isFlagged, raw == 0 {
            throw BlockError(.invalidArgument, "qcow2: Compression type incompatible feature bit must not be set")
        }
        if !isFlagged, raw != 0 {
            throw BlockError(.invalidArgument, "qcow2: Compression type incompatible feature bit must be set")
        }
        guard let kind = CompressionKind(rawValue: raw) else {
            throw BlockError(.notSupported, "qcow2: unknown compression type: \(raw)")
        }
        compression = kind
    }

    /// Bytes that hold header, extensions and backing name of nearly every image.
    private static let usualExtent = 4096

    private mutating func parseExtensions(_ file: any BlockNode) throws(BlockError) {
        guard backingOffset >= 0, backingOffset <= Int64(clusterSize) else {
            throw BlockError(.invalidArgument, "Invalid backing file offset")
        }
        let end = backingOffset > 0 ? Int(backingOffset) : clusterSize
        var position = headerLength
        guard position < end else { return }
        // Nearly always all of it lies in the first bytes of the cluster.
        var buffer = AlignedBuffer(zeroed: min(end, max(Self.usualExtent, position + 8)))
        try file.read(buffer.region.from(position), at: Int64(position))
        func require(_ needed: Int) throws(BlockError) {
            guard needed > buffer.region.count else { return }
            buffer = AlignedBuffer(zeroed: end)
            try file.read(buffer.region.from(headerLength), at: Int64(headerLength))
        }
        while position + 8 <= end {
            try require(position + 8)
            let type: UInt32 = buffer.region.bigEndian(at: position)
            let count = Int(buffer.region.bigEndian(at: position + 4, as: UInt32.self))
            position += 8
            if type == Format.Extension.end { return }
            guard count <= end - position else { throw BlockError(.invalidArgument, "Header extension too large") }
            try require(position + count)
            extensions.append(
                HeaderExtension(type: type, data: buffer.region.slice(position, count).bytes))
            position += (count + 7) & ~7
        }
    }

    private mutating func checkFeatures(isWritable: Bool) throws(BlockError) {
        let unknown = incompatible & ~Format.Incompatible.known
        guard unknown == 0 else {
            throw BlockError(.notSupported, "Unsupported qcow2 feature(s): \(featureText(unknown))")
        }
        if incompatible & Format.Incompatible.corrupt != 0, isWritable {
            throw BlockError(
                .accessDenied, "qcow2: Image is corrupt; cannot be opened read/write",
                advice: "Repair it with: roost-img check -r all FILE")
        }
        guard refcountOrder <= Format.maximumRefcountOrder else {
            throw BlockError(.invalidArgument, "Reference count entry width too large; may not exceed 64 bits")
        }
        guard cryptMethod <= 2 else {
            throw BlockError(.invalidArgument, "Unsupported encryption method \(cryptMethod)")
        }
        if hasExtendedL2, clusterBits < Format.minimumSubclusteredBits {
            throw BlockError(.invalidArgument, "Unsupported subcluster size: \(clusterSize / 32)")
        }
        if let format = extensionData(Format.Extension.backingFormat), format.count >= 16 {
            throw BlockError(.invalidArgument, "ERROR: ext_backing_format: len=\(format.count) too large (>=16)")
        }
        if cryptMethod != 2, extensionData(Format.Extension.encryption) != nil {
            throw BlockError(
                .invalidArgument, "CRYPTO header extension only expected with LUKS encryption method")
        }
    }

    /// The names in the image's own table for feature bits that are not known here.
    private func featureText(_ bits: UInt64) -> String {
        // Of several tables the last one counts.
        var table = extensions.last { $0.type == Format.Extension.featureNames }?.data ?? []
        // A last name may be cut off.
        table += [UInt8](repeating: 0, count: (48 - table.count % 48) % 48)
        var names: [String] = []
        var rest = bits
        for start in stride(from: 0, to: table.count - table.count % 48, by: 48) {
            let bit = table[start + 1]
            guard table[start] == 0, bit < 64, rest & (1 << UInt64(bit)) != 0 else { continue }
            rest &= ~(1 << UInt64(bit))
            names.append(String(decoding: table[start + 2..<start + 48].prefix { $0 != 0 }, as: UTF8.self))
        }
        if rest != 0 { names.append("Unknown incompatible feature: \(String(rest, radix: 16))") }
        return names.joined(separator: ", ")
    }

    private mutating func parseBackingName(_ fixed: ByteRegion, _ file: any BlockNode) throws(BlockError) {
        guard backingOffset != 0 else { return }
        let count = Int(fixed.bigEndian(at: 16, as: UInt32.self))
        guard count <= min(Format.maximumBackingName, clusterSize - Int(backingOffset)) else {
            throw BlockError(.invalidArgument, "Backing file name too long")
        }
        backingName =
            count == 0 ? nil : String(decoding: try file.readBytes(at: backingOffset, count: count), as: UTF8.self)
    }

    private func checkTables(forChecking: Bool) throws(BlockError) {
        if refcountTableClusters == 0, !forChecking {
            throw BlockError(.invalidArgument, "Image does not contain a reference count table")
        }
        try checkTable(
            refcountTableOffset, Int64(refcountTableClusters) * Int64(clusterSize / 8), 8,
            Format.maximumRefcountTableSize, "Reference count table")
        if !forChecking {
            try checkTable(
                snapshotsOffset, Int64(snapshotCount), 40, Int64(Format.maximumSnapshots) * 40, "Snapshot table")
        }
        try checkTable(l1Offset, Int64(l1Size), 8, Format.maximumL1Size, "Active L1 table")
        let needed = l1EntriesNeeded(for: size)
        guard size < Int64.max - Int64(clusterSize), needed <= Format.maximumL1Size / 8 else {
            throw BlockError(.outOfRange, "Image is too big")
        }
        guard Int64(l1Size) >= needed else { throw BlockError(.invalidArgument, "L1 table is too small") }
    }

    /// Checks a table's place and size, as the header gives them.
    func checkTable(
        _ offset: Int64, _ entries: Int64, _ entrySize: Int64, _ maximum: Int64, _ name: String
    ) throws(BlockError) {
        guard entries <= maximum / entrySize else { throw BlockError(.outOfRange, "\(name) too large") }
        guard offset >= 0, offset <= Int64.max - entries * entrySize, offset & Int64(clusterSize - 1) == 0 else {
            throw BlockError(.invalidArgument, "\(name) offset invalid")
        }
    }

    /// The L1 entries that a disk of this size needs.
    func l1EntriesNeeded(for size: Int64) -> Int64 {
        let shift = Int64(clusterBits + (clusterBits - (hasExtendedL2 ? 4 : 3)))
        return (size >> shift) + (size & ((1 << shift) - 1) == 0 ? 0 : 1)
    }
}
