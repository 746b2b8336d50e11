// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// The `qed` format of QEMU 0.14: made empty, and read.
public struct QEDDriver: ProbingDriver, CreatingDriver {
    /// "qed".
    public let name = "qed"
    /// The driver.
    public init() {}

    /// "QED\0".
    public func probe(head: [UInt8], filename: String) -> Int {
        head.load(UInt32.self, at: 0) == QEDHeader.magic ? 100 : 0
    }

    /// Opens an image and its backing file to read.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withReadOnlyFile(name, isWritableElsewhere: true) { (request, file) throws(BlockError) in
            let header = try QEDHeader(parsing: try file.readBytes(at: 0, count: QEDHeader.byteCount), file.length)
            let backingName = try header.readBackingName(file)
            let table = try OpenRequest.table(file, at: Int64(header.tableOffset), count: header.tableBytes)
            let format = header.features & QEDHeader.backingIsRaw != 0 ? "raw" : nil
            let backing = try request.openBacking(name: backingName, format: format, parent: file)
            return QEDNode(
                file: file, header: header, table: table, backing: backing, backingName: backingName,
                backingFormat: backingName == nil ? nil : format)
        }
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("backing_file", .text, "File name of a base image"),
            CreateOption("backing_fmt", .text, "Image format of the base image"),
            CreateOption("cluster_size", .size, "Cluster size (in bytes)", default: "65536"),
            CreateOption("table_size", .size, "L1/L2 table size (in clusters)"),
        ]
    }
    /// Any format.
    public var supportsBacking: Bool { true }

    /// Makes an empty image.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let size = try request.sectorSize()
        let header = try QEDHeader(
            size: size, clusterSize: request.options.number("cluster_size") ?? QEDHeader.defaultCluster,
            tableSize: request.options.number("table_size") ?? QEDHeader.defaultTable)
        let backing = request.options.string("backing_file")
        let isRaw = request.options.string("backing_fmt") == "raw"
        try request.withNewFile { (file) throws(BlockError) in
            try file.write(header.serialized(backing: backing, isRaw: isRaw), at: 0)
            let table = AlignedBuffer(zeroed: Int(header.tableBytes))
            try file.write(table.region, at: Int64(header.tableOffset))
        }
    }
}

/// The header's fields; all numbers are little-endian.
struct QEDHeader: Sendable {
    static let byteCount = 64
    static let magic: UInt32 = 0x0044_4551
    static let hasBacking: UInt64 = 1
    static let needsCheck: UInt64 = 2
    static let backingIsRaw: UInt64 = 4
    static let defaultCluster: Int64 = 65536
    static let defaultTable: Int64 = 4
    private static let clusterSizes: ClosedRange<Int64> = 4096...64 << 20
    private static let tableSizes: ClosedRange<Int64> = 1...16
    private static let longestName = 1023

    var clusterSize: UInt32
    var tableSize: UInt32
    var headerSize: UInt32 = 1
    var features: UInt64 = 0
    var tableOffset: UInt64
    var imageSize: UInt64
    var nameOffset: UInt32 = 0
    var nameSize: UInt32 = 0

    /// Bytes of a table.
    var tableBytes: Int64 { Int64(clusterSize) * Int64(tableSize) }
    /// Entries of a table.
    var entries: Int64 { tableBytes / 8 }

    init(parsing bytes: [UInt8], _ length: Int64) throws(BlockError) {
        func refuse(_ text: String) -> BlockError { BlockError(.invalidArgument, text) }
        func word(_ offset: Int) -> UInt32 { bytes.load(at: offset) ?? 0 }
        guard word(0) == Self.magic else { throw refuse("Image not in QED format") }
        clusterSize = word(4)
        tableSize = word(8)
        headerSize = word(12)
        features = bytes.load(at: 16) ?? 0
        tableOffset = bytes.load(at: 40) ?? 0
        imageSize = bytes.load(at: 48) ?? 0
        nameOffset = word(56)
        nameSize = word(60)
        let unknown = features & ~(Self.hasBacking | Self.needsCheck | Self.backingIsRaw)
        if unknown != 0 {
            throw BlockError(.notSupported, "Unsupported QED features: \(NumberText.hex(unknown))")
        }
        guard Self.isGood(Int64(clusterSize), Self.clusterSizes) else { throw refuse("QED cluster size is invalid") }
        guard Self.isGood(Int64(tableSize), Self.tableSizes) else { throw refuse("QED table size is invalid") }
        guard imageSize % 512 == 0, imageSize <= largestDisk else { throw refuse("QED image size is invalid") }
        let end = UInt64(max(length, 0)) / UInt64(clusterSize) * UInt64(clusterSize)
        guard tableOffset % UInt64(clusterSize) == 0, tableOffset > 0, tableOffset <= end,
            UInt64(tableBytes) <= end - tableOffset
        else { throw refuse("QED table offset is invalid") }
        if headerSize > UInt32.max / clusterSize { throw refuse("QED header size is too large") }
    }

    init(size: Int64, clusterSize: Int64, tableSize: Int64) throws(BlockError) {
        guard Self.isGood(clusterSize, Self.clusterSizes) else {
            throw BlockError(
                .invalidArgument, "QED cluster size must be within range [4096, 67108864] and power of 2")
        }
        guard Self.isGood(tableSize, Self.tableSizes) else {
            throw BlockError(.invalidArgument, "QED table size must be within range [1, 16] and power of 2")
        }
        self.clusterSize = UInt32(clusterSize)
        self.tableSize = UInt32(tableSize)
        tableOffset = UInt64(clusterSize)
        imageSize = UInt64(size)
        guard imageSize <= largestDisk else {
            throw BlockError(
                .invalidArgument,
                "QED image size must be a non-zero multiple of cluster size and less than \(largestDisk) bytes")
        }
    }

    private static func isGood(_ value: Int64, _ range: ClosedRange<Int64>) -> Bool {
        range.contains(value) && value & (value - 1) == 0
    }

    /// What two levels of tables can describe.
    private var largestDisk: UInt64 {
        let (size, overflow) = UInt64(entries * entries).multipliedReportingOverflow(by: UInt64(clusterSize))
        return overflow ? UInt64.max : size
    }

    func readBackingName(_ file: any BlockNode) throws(BlockError) -> String? {
        guard features & Self.hasBacking != 0 else { return nil }
        guard UInt64(nameOffset) + UInt64(nameSize) <= UInt64(clusterSize) * UInt64(headerSize) else {
            throw BlockError(.invalidArgument, "QED backing filename offset is invalid")
        }
        guard nameSize <= Self.longestName else {
            throw BlockError(.invalidArgument, "Failed to read backing filename")
        }
        let bytes = try file.readBytes(at: Int64(nameOffset), count: Int(nameSize))
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    func serialized(backing: String?, isRaw: Bool) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.store(Self.magic, at: 0)
        bytes.store(clusterSize, at: 4)
        bytes.store(tableSize, at: 8)
        bytes.store(headerSize, at: 12)
        bytes.store(tableOffset, at: 40)
        bytes.store(imageSize, at: 48)
        guard let backing else { return bytes }
        bytes.store(Self.hasBacking | (isRaw ? Self.backingIsRaw : 0), at: 16)
        bytes.store(UInt32(Self.byteCount), at: 56)
        bytes.store(UInt32(truncatingIfNeeded: backing.utf8.count), at: 60)
        return bytes + Array(backing.utf8)
    }
}

/// An opened image. The level-2 table that was used last is kept; guarded by `lock`.
final class QEDNode: ReadOnlyDisk, BackedNode, DescribedNode, @unchecked Sendable {
    let driverName = "qed"
    let file: any BlockNode
    let location: NodeLocation
    let backingName: String?
    let backingFormat: String?
    private let header: QEDHeader
    private let table: [UInt8]
    private let lock = Lock()
    private var lower: (any BlockNode)?
    private var current: (offset: UInt64, table: [UInt8])?

    init(
        file: any BlockNode, header: QEDHeader, table: [UInt8], backing: (any BlockNode)?, backingName: String?,
        backingFormat: String?
    ) {
        self.file = file
        self.header = header
        self.table = table
        self.backingName = backingName
        self.backingFormat = backingFormat
        lower = backing
        location = Self.location(over: file, driver: "qed")
    }

    var length: Int64 { Int64(header.imageSize) }
    var backing: (any BlockNode)? { lock.withLock { lower } }
    var lowerNode: (any BlockNode)? { backing }
    var children: [NodeChild] {
        [NodeChild(role: "file", node: file)] + (backing.map { [NodeChild(role: "backing", node: $0)] } ?? [])
    }

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        try lock.withLock { () throws(BlockError) in
            let cluster = Int64(header.clusterSize)
            let span = cluster &* header.entries
            let within = offset % cluster
            let l2: UInt64 = table.load(at: Int(offset / span) &* 8) ?? 0
            guard l2 != 0 else { return (.unallocated, min(limit, span - offset % span)) }
            if current?.offset != l2 {
                guard l2 % UInt64(cluster) == 0, l2 <= UInt64(Int64.max) else { throw damaged(offset) }
                current = (l2, try OpenRequest.table(file, at: Int64(l2), count: header.tableBytes))
            }
            let entry: UInt64 = current?.table.load(at: Int(offset % span / cluster) * 8) ?? 0
            let count = min(limit, cluster - within)
            switch entry {
            case 0: return (.unallocated, count)
            case 1: return (.zero, count)
            default:
                guard entry % UInt64(cluster) == 0, entry <= UInt64(Int64.max) - UInt64(cluster) else {
                    throw damaged(offset)
                }
                return (.stored(file: file, offset: Int64(entry) + within), count)
            }
        }
    }

    private func damaged(_ offset: Int64) -> BlockError {
        BlockError(.corrupt, "\(location.filename): the tables are damaged for offset \(offset)")
    }

    func changeBackingReference(name: String?, format: String?) throws(BlockError) {
        throw BlockError(.notSupported, "images of the format 'qed' are only read")
    }

    func replaceBacking(_ node: (any BlockNode)?) throws(BlockError) { lock.withLock { lower = node } }

    func close() throws(BlockError) {
        try backing?.close()
        try file.close()
    }

    var clusterSize: Int? { Int(header.clusterSize) }
    var isEncrypted: Bool { false }
    var isDirty: Bool { header.features & QEDHeader.needsCheck != 0 }
    func specificInformation() throws(BlockError) -> SpecificInformation? { nil }
}
