// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import HostSystem

/// The header of a sparse extent: VMDK's own ("KDMV") or the older one of ESX ("COWD"). Little-endian; units of
/// sectors.
struct SparseHeader: Sendable {
    static let magic = Array("KDMV".utf8)
    static let oldMagic = Array("COWD".utf8)
    static let byteCount = 512
    /// The table is at the end of the file, where a footer says.
    static let atEnd = UInt64.max
    static let entriesPerTable: Int64 = 512
    static let oldEntriesPerTable: Int64 = 4096
    static let grainSectors: Int64 = 128

    enum Flag {
        static let newlineTest: UInt32 = 1
        static let redundantTable: UInt32 = 2
        static let zeroGrain: UInt32 = 4
        static let compressed: UInt32 = 1 << 16
        static let markers: UInt32 = 1 << 17
    }

    enum Offset {
        static let version = 4
        static let flags = 8
        static let capacity = 12
        static let grain = 20
        static let descriptor = 28
        static let descriptorSize = 36
        static let entries = 44
        static let redundantDirectory = 48
        static let directory = 56
        static let firstGrain = 64
        static let newlines = 73
        static let algorithm = 77
    }

    var version: UInt32 = 1
    var flags: UInt32 = 0
    var capacity: Int64 = 0
    var grain: Int64 = SparseHeader.grainSectors
    var descriptorOffset: Int64 = 1
    var descriptorSize: Int64 = 20
    var entries: Int64 = SparseHeader.entriesPerTable
    var redundantDirectory: Int64 = 0
    var directory: Int64 = 0
    var firstGrain: Int64 = 0
    var algorithm: UInt16 = 0
    var isAtEnd = false

    /// Sectors that one grain table covers.
    var tableSpan: Int64 { entries &* grain }
    var tables: Int64 { tableSpan > 0 ? (capacity + tableSpan - 1) / tableSpan : 0 }
    var isCompressed: Bool { flags & Flag.compressed != 0 && algorithm == 1 }

    init() {}

    /// Reads the fields; only those whose form is wrong in itself are refused.
    init(parsing bytes: [UInt8]) throws(BlockError) {
        guard bytes.starts(with: Self.magic) else {
            throw BlockError(.invalidArgument, "not a VMDK sparse extent (bad magic)")
        }
        version = bytes.load(at: Offset.version) ?? 0
        flags = bytes.load(at: Offset.flags) ?? 0
        algorithm = bytes.load(at: Offset.algorithm) ?? 0
        entries = Int64(bytes.load(UInt32.self, at: Offset.entries) ?? 0)
        capacity = try Self.sectors(bytes, Offset.capacity)
        grain = try Self.sectors(bytes, Offset.grain)
        descriptorOffset = try Self.sectors(bytes, Offset.descriptor)
        descriptorSize = try Self.sectors(bytes, Offset.descriptorSize)
        redundantDirectory = try Self.sectors(bytes, Offset.redundantDirectory)
        isAtEnd = bytes.load(UInt64.self, at: Offset.directory) == Self.atEnd
        directory = isAtEnd ? 0 : try Self.sectors(bytes, Offset.directory)
        firstGrain = try Self.sectors(bytes, Offset.firstGrain)
    }

    /// Sector numbers whose bytes can be counted in 62 bits.
    private static func sectors(_ bytes: [UInt8], _ offset: Int) throws(BlockError) -> Int64 {
        let value: UInt64 = bytes.load(at: offset) ?? 0
        guard value < 1 << 53 else {
            let text =
                offset == Offset.capacity ? "L1 size too big" : "The VMDK header's field at \(offset) is out of range"
            throw BlockError(.corrupt, text, errno: .invalidArgument)
        }
        return Int64(value)
    }

    /// Refuses what cannot be served.
    func validate(fileLength: Int64, isWritable: Bool) throws(BlockError) {
        if version > 3 { throw BlockError(.notSupported, "Unsupported VMDK version \(version)") }
        if version == 3, isWritable, algorithm != 1 {
            throw BlockError(.invalidArgument, "VMDK version 3 must be read only")
        }
        if entries > Self.entriesPerTable { throw BlockError(.invalidArgument, "L2 table size too big") }
        try validateGranularity()
        if fileLength < firstGrain * 512 {
            throw BlockError(
                .invalidArgument, "File truncated, expecting at least \(firstGrain * 512) bytes")
        }
    }

    /// 8 MiB, in sectors.
    private static let largestPackedGrain: Int64 = 16384

    func validateGranularity() throws(BlockError) {
        guard entries > 0, grain > 0 else {
            throw BlockError(.invalidArgument, "Invalid granularity, image may be corrupt")
        }
        if grain > 0x20_0000 { throw BlockError(.outOfRange, "Invalid granularity, image may be corrupt") }
        // Compressed images have grains of 64 KiB; what is much larger keeps a program busy for nothing.
        if flags & Flag.compressed != 0, grain > Self.largestPackedGrain {
            throw BlockError(.outOfRange, "Invalid granularity, image may be corrupt")
        }
        if tables > 32 << 20 { throw BlockError(.outOfRange, "L1 size too big") }
    }

    /// The older header.
    init(parsingOld bytes: [UInt8]) throws(BlockError) {
        guard bytes.starts(with: Self.oldMagic) else {
            throw BlockError(.invalidArgument, "not a VMDK sparse extent (bad magic)")
        }
        func word(_ offset: Int) -> Int64 { Int64(bytes.load(UInt32.self, at: offset) ?? 0) }
        capacity = word(12)
        grain = word(16)
        directory = word(20)
        entries = Self.oldEntriesPerTable
        try validateGranularity()
    }

    /// The layout of a new extent.
    init(sectors: Int64, isCompressed: Bool, hasZeroGrain: Bool) {
        capacity = sectors
        version = isCompressed ? 3 : hasZeroGrain ? 2 : 1
        flags = Flag.newlineTest | Flag.redundantTable
        if isCompressed { flags |= Flag.compressed | Flag.markers }
        if hasZeroGrain { flags |= Flag.zeroGrain }
        algorithm = isCompressed ? 1 : 0
        redundantDirectory = descriptorOffset + descriptorSize
        directory = redundantDirectory + directorySectors + tables * tableSectors
        let end = directory + directorySectors + tables * tableSectors
        firstGrain = (end + grain - 1) / grain * grain
    }

    var directorySectors: Int64 { (tables * 4 + 511) / 512 }
    var tableSectors: Int64 { (entries * 4 + 511) / 512 }

    var serialized: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.store(bytes: Self.magic, at: 0)
        bytes.store(version, at: Offset.version)
        bytes.store(flags, at: Offset.flags)
        bytes.store(capacity, at: Offset.capacity)
        bytes.store(grain, at: Offset.grain)
        bytes.store(descriptorOffset, at: Offset.descriptor)
        bytes.store(descriptorSize, at: Offset.descriptorSize)
        bytes.store(UInt32(truncatingIfNeeded: entries), at: Offset.entries)
        bytes.store(redundantDirectory, at: Offset.redundantDirectory)
        bytes.store(directory, at: Offset.directory)
        bytes.store(firstGrain, at: Offset.firstGrain)
        // A copy in text mode changes these, and shows by it.
        bytes.store(bytes: [0x0a, 0x20, 0x0d, 0x0a], at: Offset.newlines)
        bytes.store(algorithm, at: Offset.algorithm)
        return bytes
    }
}
