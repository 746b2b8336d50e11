// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import Compression
internal import HostSystem

/// The `qcow` format (version 1) of QEMU 0.6: made empty, and read.
public struct QCOWDriver: ProbingDriver, CreatingDriver {
    /// "qcow".
    public let name = "qcow"
    /// The driver.
    public init() {}

    /// The magic number that qcow2 has too, and version 1.
    public func probe(head: [UInt8], filename: String) -> Int {
        head.load(UInt32.self, at: 0, order: .big) == QCOWHeader.magic
            && head.load(UInt32.self, at: 4, order: .big) == QCOWHeader.version ? 100 : 0
    }

    /// Opens an image and its backing file to read.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withReadOnlyFile(name, isWritableElsewhere: true) { (request, file) throws(BlockError) in
            let header = try QCOWHeader(parsing: try file.readBytes(at: 0, count: QCOWHeader.byteCount))
            let table = try OpenRequest.table(file, at: Int64(header.tableOffset), count: header.tableEntries * 8)
            var backingName: String?
            if header.nameOffset != 0 {
                guard header.nameSize <= 1023, header.nameOffset <= UInt64(Int32.max) else {
                    throw BlockError(.invalidArgument, "Backing file name too long")
                }
                let bytes = try file.readBytes(at: Int64(header.nameOffset), count: Int(header.nameSize))
                backingName = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let backing = try request.openBacking(name: backingName, format: nil, parent: file)
            return QCOWNode(file: file, header: header, table: table, backing: backing, backingName: backingName)
        }
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("backing_file", .text, "File name of a base image"),
            CreateOption("backing_fmt", .text, "Format of the backing image"),
            CreateOption(
                "encryption", .boolean,
                "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"),
            CreateOption("encrypt.format", .text, "Encrypt the image, format choices: 'aes'"),
            CreateOption("encrypt.key-secret", .text, "ID of the secret that provides the AES encryption key"),
        ]
    }
    /// Any format, which is not stored.
    public var supportsBacking: Bool { true }

    /// Makes an empty image.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let size = try request.sectorSize()
        let options = request.options
        guard !options.bool("encryption"), options.string("encrypt.format") == nil else {
            throw BlockError(.notSupported, "Encrypted qcow images are not made; use qcow2 with encrypt.format=luks")
        }
        guard size > 1 else {
            throw BlockError(.invalidArgument, "Image size is too small, cannot be zero length")
        }
        let backing = options.string("backing_file")
        let header = QCOWHeader(size: size, backing: backing)
        try request.withNewFile { (file) throws(BlockError) in
            try file.write(header.serialized(backing: backing), at: 0)
            let bytes = (header.tableEntries * 8 + 511) & ~511
            try file.write(AlignedBuffer(zeroed: Int(bytes)).region, at: Int64(header.tableOffset))
        }
    }
}

/// The header's fields; all numbers are big-endian.
struct QCOWHeader: Sendable {
    static let byteCount = 48
    static let magic: UInt32 = 0x5146_49fb
    static let version: UInt32 = 1

    var nameOffset: UInt64 = 0
    var nameSize: UInt32 = 0
    var size: UInt64
    var clusterBits: UInt8
    var l2Bits: UInt8
    var tableOffset: UInt64

    var cluster: Int64 { 1 << Int64(clusterBits) }
    /// Bytes that one entry of the first table covers.
    var span: Int64 { 1 << Int64(clusterBits + l2Bits) }
    var tableEntries: Int64 { (Int64(size) + span - 1) / span }

    init(parsing bytes: [UInt8]) throws(BlockError) {
        func refuse(_ text: String) -> BlockError { BlockError(.invalidArgument, text) }
        func field<Value: FixedWidthInteger>(_ offset: Int) -> Value { bytes.load(at: offset, order: .big) ?? 0 }
        guard field(0) == Self.magic else { throw refuse("Image not in qcow format") }
        let version: UInt32 = field(4)
        guard version == Self.version else {
            throw BlockError(
                .notSupported, "qcow (v1) does not support qcow version \(version)",
                hint: version == 2 || version == 3 ? "Try the 'qcow2' driver instead." : nil)
        }
        nameOffset = field(8)
        nameSize = field(16)
        size = field(24)
        clusterBits = field(32)
        l2Bits = field(33)
        tableOffset = field(40)
        let method: UInt32 = field(36)
        if size <= 1 { throw refuse("Image size is too small (must be at least 2 bytes)") }
        guard (9...16).contains(clusterBits) else { throw refuse("Cluster size must be between 512 and 64k") }
        guard (6...13).contains(l2Bits) else { throw refuse("L2 table size must be between 512 and 64k") }
        if method > 1 { throw refuse("invalid encryption method in qcow header") }
        if method == 1 { throw BlockError(.notSupported, "encrypted qcow images are not supported") }
        guard size <= UInt64(Int64.max / 2), tableEntries <= Int64(Int32.max) / 8, tableOffset <= UInt64(Int64.max)
        else {
            throw refuse("Image too large")
        }
    }

    init(size: Int64, backing: String?) {
        self.size = UInt64(size)
        // Small clusters spare copying from the backing file.
        clusterBits = backing == nil ? 12 : 9
        l2Bits = backing == nil ? 9 : 12
        let names = backing?.utf8.count ?? 0
        if backing != nil {
            nameOffset = UInt64(Self.byteCount)
            nameSize = UInt32(names)
        }
        tableOffset = UInt64((Self.byteCount + names + 7) & ~7)
    }

    func serialized(backing: String?) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.store(Self.magic, at: 0, order: .big)
        bytes.store(Self.version, at: 4, order: .big)
        bytes.store(nameOffset, at: 8, order: .big)
        bytes.store(nameSize, at: 16, order: .big)
        bytes.store(size, at: 24, order: .big)
        bytes.store(clusterBits, at: 32)
        bytes.store(l2Bits, at: 33)
        bytes.store(tableOffset, at: 40, order: .big)
        return bytes + Array((backing ?? "").utf8)
    }
}

/// An opened image. The second-level table and the compressed cluster used last are kept; guarded by `lock`.
final class QCOWNode: ReadOnlyDisk, BackedNode, DescribedNode, @unchecked Sendable {
    let driverName = "qcow"
    let file: any BlockNode
    let location: NodeLocation
    let backingName: String?
    let backingFormat: String? = nil
    private let header: QCOWHeader
    private let table: [UInt8]
    private let lock = Lock()
    private var lower: (any BlockNode)?
    private var current: (offset: UInt64, table: [UInt8])?
    private var unpacked: (entry: UInt64, content: ByteRegion)?

    private static let compressed: UInt64 = 1 << 63

    init(file: any BlockNode, header: QCOWHeader, table: [UInt8], backing: (any BlockNode)?, backingName: String?) {
        self.file = file
        self.header = header
        self.table = table
        self.backingName = backingName
        lower = backing
        location = Self.location(over: file, driver: "qcow")
    }

    var length: Int64 { Int64(header.size) / 512 * 512 }
    var backing: (any BlockNode)? { lock.withLock { lower } }
    var lowerNode: (any BlockNode)? { backing }
    var children: [NodeChild] {
        [NodeChild(role: "file", node: file)] + (backing.map { [NodeChild(role: "backing", node: $0)] } ?? [])
    }

    /// The entry of a cluster. Called with the lock held.
    private func entry(at offset: Int64) throws(BlockError) -> UInt64 {
        let l2: UInt64 = table.load(at: Int(offset / header.span) &* 8, order: .big) ?? 0
        guard l2 != 0 else { return 0 }
        if current?.offset != l2 {
            guard l2 <= UInt64(Int64.max) else { throw damaged(offset) }
            current = (l2, try OpenRequest.table(file, at: Int64(l2), count: 8 << Int64(header.l2Bits)))
        }
        return current?.table.load(at: Int(offset % header.span / header.cluster) * 8, order: .big) ?? 0
    }

    private func damaged(_ offset: Int64) -> BlockError {
        BlockError(.corrupt, "\(location.filename): the tables are damaged for offset \(offset)")
    }

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        try lock.withLock { () throws(BlockError) in
            let within = offset % header.cluster
            let count = min(limit, header.cluster - within)
            let entry = try entry(at: offset)
            if entry == 0 { return (.unallocated, count) }
            if entry & Self.compressed != 0 { return (.packed, count) }
            guard entry <= UInt64(Int64.max - header.cluster) else { throw damaged(offset) }
            return (.stored(file: file, offset: Int64(entry) + within), count)
        }
    }

    func readPacked(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try lock.withLock { () throws(BlockError) in
            let entry = try entry(at: offset)
            if unpacked?.entry != entry { unpacked = (entry, try unpack(entry, offset)) }
            guard let content = unpacked?.content else { return }
            region.copy(from: content.slice(Int(offset % header.cluster), region.count))
        }
    }

    private func unpack(_ entry: UInt64, _ offset: Int64) throws(BlockError) -> ByteRegion {
        let shift = UInt64(63 - header.clusterBits)
        let start = Int64(entry & ((1 << shift) - 1))
        let count = Int(entry >> shift) & Int(header.cluster - 1)
        let packed = AlignedBuffer(count: count).region
        try file.read(packed, at: start)
        let content = AlignedBuffer(count: Int(header.cluster)).region
        do throws(CompressionFailure) {
            // Both buffers live until the call returns.
            let made = try unsafe PartialInflate.decompress(
                UnsafeRawBufferPointer(packed.buffer), into: content.buffer)
            if Int64(made) == header.cluster { return content }
        } catch {
            throw damaged(offset)
        }
        throw damaged(offset)
    }

    func changeBackingReference(name: String?, format: String?) throws(BlockError) {
        throw BlockError(.notSupported, "images of the format 'qcow' are only read")
    }

    func replaceBacking(_ node: (any BlockNode)?) throws(BlockError) { lock.withLock { lower = node } }

    func close() throws(BlockError) {
        try backing?.close()
        try file.close()
    }

    var clusterSize: Int? { Int(header.cluster) }
    var isEncrypted: Bool { false }
    var isDirty: Bool { false }
    func specificInformation() throws(BlockError) -> SpecificInformation? { nil }
}
