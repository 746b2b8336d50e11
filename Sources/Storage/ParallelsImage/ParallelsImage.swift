// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// The `parallels` format of Parallels Desktop and Virtuozzo: made empty, and read.
public struct ParallelsDriver: ProbingDriver, CreatingDriver {
    /// "parallels".
    public let name = "parallels"
    /// The driver.
    public init() {}

    enum Offset {
        static let version = 16
        static let heads = 20
        static let cylinders = 24
        static let tracks = 28
        static let entries = 32
        static let sectors = 36
        static let dataOffset = 48
        static let table: Int64 = 64
    }

    private static let magics = ["WithoutFreeSpace", "WithouFreSpacExt"]
    private static let version: UInt32 = 2
    private static let defaultCluster: Int64 = 1 << 20
    private static let largestFactor: Int64 = 0x2000_0000 / 4

    private static func kind(_ head: [UInt8]) -> Int? {
        guard head.load(UInt32.self, at: Offset.version) == version else { return nil }
        return magics.firstIndex { head.starts(with: $0.utf8) }
    }

    /// One of two magic texts, and the version.
    public func probe(head: [UInt8], filename: String) -> Int { Self.kind(head) == nil ? 0 : 100 }

    /// Opens an image to read.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withReadOnlyFile(name, isWritableElsewhere: true) { (request, file) throws(BlockError) in
            _ = request.options.take("prealloc-mode")
            _ = try request.options.takeSize("prealloc-size")
            let head = try file.readBytes(at: 0, count: Int(Offset.table))
            guard let kind = Self.kind(head) else {
                throw BlockError(.invalidArgument, "Image not in Parallels format")
            }
            func word(_ offset: Int) -> UInt32 { head.load(at: offset) ?? 0 }
            let tracks = word(Offset.tracks)
            if tracks == 0 { throw BlockError(.invalidArgument, "Invalid image: Zero sectors per track") }
            if tracks > UInt32(Int32.max) / 513 {
                throw BlockError(.outOfRange, "Invalid image: Too big cluster")
            }
            let entries = word(Offset.entries)
            if entries > UInt32(Int32.max) / 4 { throw BlockError(.outOfRange, "Catalog too large") }
            var sectors: UInt64 = head.load(at: Offset.sectors) ?? 0
            if kind == 0 { sectors &= 0xffff_ffff }
            guard sectors <= UInt64(Int64.max) / 512 else {
                throw BlockError(.outOfRange, "Invalid image: \(sectors) sectors are too many")
            }
            let table = try OpenRequest.table(file, at: Offset.table, count: Int64(entries) * 4, largest: 256 << 20)
            return ParallelsNode(
                file: file, table: table, length: Int64(sectors) * 512, cluster: Int64(tracks) * 512,
                unit: kind == 0 ? 512 : Int64(tracks) * 512)
        }
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("cluster_size", .size, "Parallels image cluster size", default: "1048576"),
        ]
    }
    /// None that `create` could name.
    public var supportsBacking: Bool { false }

    /// Makes an empty image.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let size = try request.sectorSize()
        let cluster = request.options.number("cluster_size") ?? Self.defaultCluster
        if cluster >= Int64.max / Self.largestFactor {
            throw BlockError(.invalidArgument, "Cluster size is too large")
        }
        if size >= Self.largestFactor * cluster {
            throw BlockError(.invalidArgument, "Image size is too large for this cluster size")
        }
        if cluster <= 0 || cluster % 512 != 0 {
            throw BlockError(.invalidArgument, "Cluster size must be a multiple of 512 bytes")
        }
        let entries = (size + cluster - 1) / cluster
        let room = (Offset.table + entries * 4 + cluster - 1) / cluster * cluster
        var head = [UInt8](repeating: 0, count: 512)
        head.store(bytes: Array(Self.magics[1].utf8), at: 0)
        head.store(Self.version, at: Offset.version)
        // A geometry that only guests of long ago looked at.
        head.store(UInt32(16), at: Offset.heads)
        head.store(UInt32(truncatingIfNeeded: size / 512 / 16 / 32), at: Offset.cylinders)
        head.store(UInt32(truncatingIfNeeded: cluster / 512), at: Offset.tracks)
        head.store(UInt32(truncatingIfNeeded: entries), at: Offset.entries)
        head.store(UInt64(size / 512), at: Offset.sectors)
        head.store(UInt32(truncatingIfNeeded: room / 512), at: Offset.dataOffset)
        let bytes = head
        try request.withNewFile { (file) throws(BlockError) in
            try file.write(bytes, at: 0)
            if room > 512 { try file.writeZeroes(at: 512, count: room - 512, flags: []) }
        }
    }
}

/// An opened image.
final class ParallelsNode: ReadOnlyDisk, DescribedNode {
    let driverName = "parallels"
    let file: any BlockNode
    let location: NodeLocation
    let length: Int64
    private let table: [UInt8]
    private let cluster: Int64
    /// What the numbers in the table count.
    private let unit: Int64

    init(file: any BlockNode, table: [UInt8], length: Int64, cluster: Int64, unit: Int64) {
        self.file = file
        self.table = table
        self.length = length
        self.cluster = cluster
        self.unit = unit
        location = Self.location(over: file, driver: "parallels")
    }

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        let within = offset % cluster
        let count = min(limit, cluster - within)
        let entry = table.load(UInt32.self, at: Int(offset / cluster) &* 4) ?? 0
        return (entry == 0 ? .unallocated : .stored(file: file, offset: Int64(entry) * unit + within), count)
    }

    /// Not told, as by QEMU.
    var clusterSize: Int? { nil }
    var isEncrypted: Bool { false }
    var isDirty: Bool { false }
    func specificInformation() throws(BlockError) -> SpecificInformation? { nil }
}
