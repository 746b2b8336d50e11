// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import Cryptography
internal import HostSystem

/// The `vhdx` format of Hyper-V.
public struct VHDXDriver: ProbingDriver, CreatingDriver {
    /// "vhdx".
    public let name = "vhdx"
    /// The driver.
    public init() {}

    /// The file's signature.
    public func probe(head: [UInt8], filename: String) -> Int { head.starts(with: VHDX.fileMagic) ? 100 : 0 }

    /// Opens an image; a pending log is replayed, which needs write access.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withFile { (request, file) throws(BlockError) in
            let isReadOnly = !request.flags.isWritable || file.isReadOnly
            guard try file.readBytes(at: 0, count: 8) == VHDX.fileMagic else {
                throw VHDX.refuse("not a VHDX image (bad signature)")
            }
            var current = try VHDXHeader.read(file)
            var replayed = 0
            if current.header.hasLog {
                guard !isReadOnly else { throw Self.needsReplay(file.location.filename) }
                var log = try VHDXLog(file: file, header: current.header)
                replayed = try log.replay()
                current.header.logID = [UInt8](repeating: 0, count: 16)
                try VHDXNode.write(&current.header, &current.index, to: file)
                try VHDXNode.write(&current.header, &current.index, to: file)
            }
            let regions = try VHDXRegions.read(file)
            let metadata = try VHDXMetadata.read(file, regions.metadata)
            guard metadata.tableEntries * 8 <= Int64(regions.table.count) else {
                throw VHDX.refuse("The VHDX block table is too small for the disk")
            }
            return VHDXNode(
                VHDXNode.Parts(
                    file: file, header: current, regions: regions, metadata: metadata, replayed: replayed,
                    isReadOnly: isReadOnly))
        }
    }

    private static func needsReplay(_ name: String) -> BlockError {
        BlockError(
            .readOnly,
            """
            VHDX image file '\(name)' opened read-only, but contains a log that needs to be replayed
            To replay the log, run:
            qemu-img check -r all '\(name)'
            """, errno: Errno(1))
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size; max of 64TB."),
            CreateOption("log_size", .size, "Log size; min 1MB.", default: "1048576"),
            CreateOption(
                "block_size", .size, "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
                default: "0"),
            CreateOption(
                "subformat", .text, "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'."),
            CreateOption(
                "block_state_zero", .boolean,
                "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img convert' with subformat=dynamic."
            ),
        ]
    }
    /// Images with a parent are not made.
    public var supportsBacking: Bool { false }

    /// Makes an image.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let options = request.options
        let size = try request.sectorSize()
        guard size <= VHDX.largestDisk else {
            throw BlockError(.invalidArgument, "Image size too large; max of 64TB")
        }
        let subformat = options.string("subformat") ?? "dynamic"
        guard subformat == "dynamic" || subformat == "fixed" else {
            throw CreateRequest.badValue("subformat", subformat)
        }
        let logSize = try Self.logSize(options)
        let block = try Self.blockSize(options, size)
        let metadata = VHDXMetadata(blockSize: block, isFixed: subformat == "fixed", diskSize: size)
        let usesZero = options.isSet("block_state_zero") ? options.bool("block_state_zero") : true
        try request.withNewFile { (file) throws(BlockError) in
            try Self.format(file, metadata, logSize: logSize, usesZero: usesZero)
        }
    }

    private static func logSize(_ options: CreateOptions) throws(BlockError) -> Int64 {
        let size = options.number("log_size") ?? VHDX.mebibyte
        let rounded = size < VHDX.mebibyte && size > 0 ? VHDX.mebibyte : size
        guard rounded > 0, rounded % VHDX.mebibyte == 0 else {
            throw BlockError(.invalidArgument, "Log size must be a multiple of 1 MB")
        }
        guard rounded <= Int64(UInt32.max) else {
            throw BlockError(.invalidArgument, "Log size must be smaller than 4 GB")
        }
        return rounded
    }

    private static func blockSize(_ options: CreateOptions, _ size: Int64) throws(BlockError) -> Int64 {
        let given = options.number("block_size") ?? 0
        if given == 0 {
            let mebibytes: Int64 = size > 32 << 40 ? 64 : size > 100 << 30 ? 32 : size > 1 << 30 ? 16 : 8
            return mebibytes * VHDX.mebibyte
        }
        let raised = max(given, VHDX.blockSizes.lowerBound)
        guard raised % VHDX.mebibyte == 0 else {
            throw BlockError(.invalidArgument, "Block size must be a multiple of 1 MB")
        }
        guard raised & (raised - 1) == 0 else {
            throw BlockError(.invalidArgument, "Block size must be a power of two")
        }
        return min(raised, VHDX.blockSizes.upperBound)
    }

    /// Header section, log, block table and metadata, one after the other in whole mebibytes.
    private static func format(
        _ file: any BlockNode, _ metadata: VHDXMetadata, logSize: Int64, usesZero: Bool
    ) throws(BlockError) {
        let unit = VHDX.mebibyte
        let tableStart = unit + logSize
        let tableSize = max((metadata.tableEntries * 8 + unit - 1) / unit * unit, unit)
        let table = tableStart..<tableStart + tableSize
        let region = table.upperBound..<table.upperBound + unit
        // Some room for metadata that other programs add.
        let dataStart = region.lowerBound + 5 * unit
        let random: [UInt8]
        do {
            random = try randomBytes(48)
        } catch {
            throw BlockError(.inputOutput, "Could not make an identifier: \(error)")
        }
        guard let resizable = file as? any ResizableNode else {
            throw BlockError(.notSupported, "\(file.location.filename): a VHDX image needs a file that can grow")
        }
        let end = dataStart + (metadata.isFixed ? metadata.diskSize : 0)
        try resizable.resize(to: end, preallocation: .off, exact: false)
        try writeTable(file, metadata, at: tableStart, dataStart: dataStart, usesZero: usesZero)
        try file.write(metadata.make(diskID: Array(random.suffix(16))), at: region.lowerBound)
        let regions = VHDXRegions.make(table: table, metadata: region)
        for offset in VHDX.regionOffsets { try file.write(regions, at: offset) }
        var header = VHDXHeader(sequence: 0, identifiers: random, logLength: UInt32(logSize))
        for offset in VHDX.headerOffsets {
            header.sequence += 1
            try file.write(header.serialized, at: offset)
        }
        var identity = VHDX.fileMagic
        for unit in "Roost".utf16 {
            identity += [UInt8(truncatingIfNeeded: unit), UInt8(truncatingIfNeeded: unit >> 8)]
        }
        try file.write(identity, at: 0)
    }

    private static func writeTable(
        _ file: any BlockNode, _ metadata: VHDXMetadata, at start: Int64, dataStart: Int64, usesZero: Bool
    ) throws(BlockError) {
        guard metadata.isFixed || usesZero else { return }
        let table = TablePages(
            file: file, offset: start, byteCount: metadata.tableEntries * 8, order: .little)
        for block in 0..<metadata.blocks {
            let place = UInt64(dataStart + block * metadata.blockSize)
            let entry = metadata.isFixed ? place | VHDX.BlockState.present : VHDX.BlockState.zero
            try table.store(entry, at: block + block / metadata.chunkRatio)
            if table.isFull { try table.writeBack() }
        }
        try table.writeBack()
    }
}
