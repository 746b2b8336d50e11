// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: AmendableNode {
    /// Changes version, refcount width, lazy refcounts and size.
    public func amend(
        _ options: CreateOptions, force: Bool, progress: (Double) -> Void
    ) throws(BlockError) {
        try checkWritable()
        let target = try AmendTarget(options, self)
        if target.version > header.version { try setVersion(3) }
        if target.changesKeys {
            try cipher?.amend(force: force, secrets: secrets) { name in
                options.isSet("encrypt.\(name)") ? options.string("encrypt.\(name)") : nil
            }
        }
        let changesWidth = target.refcountOrder != header.refcountOrder
        if changesWidth { try changeWidth(to: target.refcountOrder, progress) }
        if let isLazy = target.isLazy { try setLazy(isLazy) }
        if let name = target.dataFile {
            try exclusively { () throws(BlockError) in
                header.setExtension(Format.Extension.dataFile, name.isEmpty ? nil : Array(name.utf8))
                try writeWholeHeader()
            }
        }
        if let size = target.size, size != length { try resize(to: size, preallocation: .off, exact: false) }
        if let isRaw = target.isRaw { try setRaw(isRaw) }
        if target.version < header.version { try downgrade(progress) }
    }

    private func setVersion(_ version: UInt32) throws(BlockError) {
        try exclusively { () throws(BlockError) in
            header.version = version
            header.headerLength = version >= 3 ? Format.version3HeaderLength : Format.version2HeaderLength
            header.setExtension(Format.Extension.featureNames, version >= 3 ? Header.featureNameTable : nil)
            try writeWholeHeader()
            // Version 3 wants entries with the disk's size in them.
            if version >= 3, snapshotList.contains(where: { $0.extraSize < Snapshot.requiredExtra }) {
                try rewriteSnapshotTable()
                try settle()
            }
        }
    }

    private func setLazy(_ isLazy: Bool) throws(BlockError) {
        try exclusively { () throws(BlockError) in
            try settle()
            header.compatible =
                isLazy ? header.compatible | Format.lazyRefcounts : header.compatible & ~Format.lazyRefcounts
            try writeFixedHeader()
        }
    }

    private func setRaw(_ isRaw: Bool) throws(BlockError) {
        try exclusively { () throws(BlockError) in
            let bit = Format.AutoClear.rawDataFile
            header.autoClear = isRaw ? header.autoClear | bit : header.autoClear & ~bit
            try writeFixedHeader()
        }
    }

    /// Whether the disk or one of its snapshots has compressed clusters.
    private func holdsCompressed() throws(BlockError) -> Bool {
        var disks: [any BlockNode] = [self]
        for snapshot in snapshots { disks.append(try openSnapshot(identifier: snapshot.identifier)) }
        for disk in disks {
            var offset: Int64 = 0
            while offset < disk.length {
                let status = try disk.status(at: offset, count: disk.length - offset, detail: .allocation)
                if status.isCompressed { return true }
                offset += max(status.count, 1)
            }
        }
        return false
    }

    /// Version 2 knows no zero clusters, so they get bytes.
    private func downgrade(_ progress: (Double) -> Void) throws(BlockError) {
        if let first = snapshotList.first(where: {
            $0.information.diskSize != header.size || $0.information.vmStateSize > Int64(UInt32.max)
        }) {
            throw BlockError(
                .notSupported, "Internal snapshots prevent downgrade of image",
                advice: "Snapshot '\(first.information.name)' has a state that version 2 cannot describe")
        }
        if header.compression != .zlib, try holdsCompressed() {
            throw BlockError(
                .notSupported, "Cannot downgrade an image with zstd compression type and existing compressed clusters")
        }
        do throws(BlockError) {
            try expandZeroes(progress)
        } catch {
            var failure = BlockError(system: error.errno, "Failed to turn zero into data clusters")
            failure.earlier = error.earlier
            throw failure
        }
        try exclusively { () throws(BlockError) in
            try settle()
            header.compatible = 0
            header.incompatible = 0
            header.compression = .zlib
            header.autoClear = 0
            header.unknownFields = []
        }
        try setVersion(2)
    }
}

/// What `amend` is to arrive at.
private struct AmendTarget {
    var version: UInt32
    var isLazy: Bool?
    var isRaw: Bool?
    var dataFile: String?
    var size: Int64?
    var refcountOrder: Int
    var changesKeys = false

    init(_ options: CreateOptions, _ node: QCOW2Node) throws(BlockError) {
        let header = node.header
        version = header.version
        refcountOrder = header.refcountOrder
        switch options.isSet("compat") ? options.string("compat") : nil {
        case nil: break
        case "0.10", "v2": version = 2
        case "1.1", "v3": version = 3
        case let other?: throw BlockError(.invalidArgument, "Unknown compatibility level \(other)")
        }
        if options.isSet("lazy_refcounts") { isLazy = options.bool("lazy_refcounts") }
        if options.isSet("data_file") {
            guard header.hasDataFile else {
                throw BlockError(
                    .invalidArgument, "data-file can only be set for images that use an external data file")
            }
            dataFile = options.string("data_file")
        }
        if options.isSet("data_file_raw") {
            isRaw = options.bool("data_file_raw")
            if isRaw == true, header.autoClear & Format.AutoClear.rawDataFile == 0 {
                throw BlockError(.invalidArgument, "data-file-raw cannot be set on existing images")
            }
        }
        size = options.isSet("size") ? options.number("size") : nil
        if let size, size & 511 != 0 { throw BlockError(.invalidArgument, "The new size must be a multiple of 512") }
        if options.isSet("backing_file") || options.isSet("backing_fmt") {
            let hasSameName = options.string("backing_file") == header.backingName
            let format = options.isSet("backing_fmt") ? options.string("backing_fmt") : nil
            if !hasSameName || format != header.extensionText(Format.Extension.backingFormat) {
                throw BlockError(
                    .invalidArgument, "Cannot amend the backing file", hint: "You can use 'qemu-img rebase' instead.")
            }
        }
        changesKeys = options.setNames.contains { $0.hasPrefix("encrypt.") }
        if changesKeys, header.cryptMethod == 0 {
            throw BlockError(.invalidArgument, "Can't amend encryption options - encryption not present")
        }
        try checkWidth(options, header)
    }

    private mutating func checkWidth(_ options: CreateOptions, _ header: Header) throws(BlockError) {
        if options.isSet("refcount_bits") {
            let bits = options.number("refcount_bits") ?? 0
            guard bits > 0, bits <= 64, bits & (bits - 1) == 0 else {
                throw BlockError(.invalidArgument, "Refcount width must be a power of two and may not exceed 64 bits")
            }
            refcountOrder = bits.trailingZeroBitCount
            if refcountOrder != 4, version < 3 {
                throw BlockError(
                    .invalidArgument,
                    "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)"
                )
            }
        } else if version < 3, refcountOrder != 4 {
            throw BlockError(.invalidArgument, "compat=0.10 requires refcount_bits=16")
        }
        if version < 3, isLazy == true {
            throw BlockError(
                .invalidArgument,
                "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)")
        }
        if version < 3, header.version >= 3 {
            if header.hasDataFile { throw BlockError(.notSupported, "Cannot downgrade an image with a data file") }
            // Which way to compress goes with the version, if nothing is compressed.
            let rest = header.incompatible & ~Format.Incompatible.dirty & ~Format.Incompatible.compression
            if rest != 0 {
                throw BlockError(
                    .notSupported, "Cannot downgrade an image with incompatible features \(hexadecimal(rest)) set")
            }
        }
    }
}
