// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

extension QCOW2Driver: MeasuringDriver {
    /// The size of a new image: the data clusters, and the tables for all of the disk.
    public func measure(_ options: CreateOptions, source: (any BlockNode)?) throws(BlockError) -> ImageMeasure {
        let header = try Self.measuredHeader(options)
        let cluster = Int64(header.clusterSize)
        let size = source?.length ?? options.number("size") ?? 0
        guard size <= Int64.max - cluster else { throw Self.tooLarge }
        let virtualSize = (size + cluster - 1) & ~(cluster - 1)
        let tables = header.l1EntriesNeeded(for: virtualSize)
        guard tables <= Format.maximumL1Size / 8 else { throw Self.tooLarge }
        var required: Int64 = 0
        if let source {
            required = header.backingName != nil ? virtualSize : try dataBytes(source, cluster)
        }
        if let text = options.string("preallocation") {
            guard let mode = Preallocation(rawValue: text) else {
                throw BlockError(.invalidArgument, "invalid parameter value: \(text)")
            }
            if mode == .full || mode == .falloc { required = virtualSize }
        }
        let secretLength = try measuredSecret(options)
        let full = fullSize(virtualSize, header) + Geometry(header).roundUp(secretLength)
        var bitmaps: Int64?
        if header.version >= 3, let store = source as? any BitmapStore, store.storesBitmaps {
            bitmaps = bitmapBytes(store, cluster)
        }
        return ImageMeasure(required: full - virtualSize + required, fullyAllocated: full, bitmaps: bitmaps)
    }

    private static var tooLarge: BlockError {
        BlockError(.outOfRange, "The image size is too large (try using a larger cluster size)")
    }

    /// What of the options decides about sizes; as for QEMU, which of them go together is for `create` to say.
    private static func measuredHeader(_ options: CreateOptions) throws(BlockError) -> Header {
        var header = Header()
        switch options.string("compat") {
        case nil, "1.1": header.version = 3
        case "0.10": header.version = 2
        case let other?: throw BlockError(.invalidArgument, "Invalid compatibility level: '\(other)'")
        }
        header.clusterBits = try clusterBits(options)
        if options.bool("extended_l2") {
            if header.clusterBits < Format.minimumSubclusteredBits {
                throw BlockError(
                    .invalidArgument,
                    "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes")
            }
            header.incompatible |= Format.Incompatible.extendedL2
        }
        try setWidth(&header, options, newer: "compat=1.1 or greater")
        if let name = options.string("backing_file"), !name.isEmpty { header.backingName = name }
        return header
    }

    /// The bytes of a LUKS header; other ways to encrypt need none.
    private func measuredSecret(_ options: CreateOptions) throws(BlockError) -> Int64 {
        guard options.string("encrypt.format") == EncryptionMethod.luks.name else { return 0 }
        var alone = options
        try alone.set("encryption", "off")
        return try NewEncryption(alone, ciphers, NoSecrets())?.headerLength() ?? 0
    }

    private func dataBytes(_ source: any BlockNode, _ cluster: Int64) throws(BlockError) -> Int64 {
        var total: Int64 = 0
        var offset: Int64 = 0
        while offset < source.length {
            let status = try source.chainStatus(at: offset, count: source.length - offset).status
            var count = max(status.count, 1)
            if !status.isZero, status.isData, status.isAllocated {
                count = ((offset + count + cluster - 1) & ~(cluster - 1)) - offset
                total += (offset & (cluster - 1)) + count
            }
            offset += count
        }
        return total
    }

    private func fullSize(_ virtualSize: Int64, _ header: Header) -> Int64 {
        let cluster = Int64(header.clusterSize)
        let entrySize: Int64 = header.hasExtendedL2 ? 16 : 8
        let perTable = cluster / entrySize
        let l2Entries = (virtualSize / cluster + perTable - 1) / perTable * perTable
        let perL1 = cluster / 8
        let l1Entries = (l2Entries * entrySize / cluster + perL1 - 1) / perL1 * perL1
        let tables = cluster + l2Entries * entrySize + l1Entries * 8
        let counted = (tables + virtualSize) / cluster
        return tables + virtualSize + refcountBytes(counted, header)
    }

    private func refcountBytes(_ clusters: Int64, _ header: Header) -> Int64 {
        let cluster = Int64(header.clusterSize)
        let perBlock = (cluster * 8) >> Int64(header.refcountOrder)
        var table: Int64 = 0
        var blocks: Int64 = 0
        var last: Int64 = -1
        while clusters + blocks + table != last {
            last = clusters + blocks + table
            blocks = (last + perBlock - 1) / perBlock
            table = (blocks + cluster / 8 - 1) / (cluster / 8)
        }
        return (blocks + table) * cluster
    }

    private func bitmapBytes(_ source: any BitmapStore, _ cluster: Int64) -> Int64 {
        var clusters: Int64 = 0
        var directory: Int64 = 0
        for bitmap in source.bitmaps where !bitmap.isInconsistent {
            let bytes = ((source.length + bitmap.granularity - 1) / bitmap.granularity + 7) / 8
            let dataClusters = (bytes + cluster - 1) / cluster
            clusters += dataClusters + (dataClusters * 8 + cluster - 1) / cluster
            directory += (24 + Int64(bitmap.name.utf8.count) + 7) & ~7
        }
        return (clusters + (directory + cluster - 1) / cluster) * cluster
    }
}
