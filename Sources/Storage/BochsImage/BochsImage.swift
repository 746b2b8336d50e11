// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// Growing disks of the emulator Bochs, to read.
public struct BochsDriver: ProbingDriver {
    /// "bochs".
    public let name = "bochs"
    /// The driver.
    public init() {}

    private enum Offset {
        static let type = 32
        static let subtype = 48
        static let version = 64
        static let header = 68
        static let catalog = 72
        static let bitmap = 76
        static let extent = 80
        static let oldDisk = 84
        static let disk = 88
    }

    private static let headerSize = 512
    private static let magic = "Bochs Virtual HD Image"
    private static let version: UInt32 = 0x0002_0000
    private static let oldVersion: UInt32 = 0x0001_0000
    private static let mostExtents: UInt32 = 0x10_0000
    private static let largestExtent: UInt32 = 0x80_0000

    private static func isBochs(_ head: [UInt8]) -> Bool {
        guard let version = head.load(UInt32.self, at: Offset.version) else { return false }
        return head.text(at: 0, count: 32) == magic && head.text(at: Offset.type, count: 16) == "Redolog"
            && head.text(at: Offset.subtype, count: 16) == "Growing"
            && (version == Self.version || version == oldVersion)
    }

    /// The three texts and the version.
    public func probe(head: [UInt8], filename: String) -> Int { Self.isBochs(head) ? 100 : 0 }

    /// Opens an image; there are no options.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withReadOnlyFile(name) { (_, file) throws(BlockError) in
            let head = try file.readBytes(at: 0, count: Self.headerSize)
            guard Self.isBochs(head) else { throw BlockError(.invalidArgument, "Image not in Bochs format") }
            func word(_ offset: Int) -> UInt32 { head.load(at: offset) ?? 0 }
            let isOld = word(Offset.version) == Self.oldVersion
            let size: UInt64 = head.load(at: isOld ? Offset.oldDisk : Offset.disk) ?? 0
            let count = word(Offset.catalog)
            if count > Self.mostExtents { throw BlockError(.outOfRange, "Catalog size is too large") }
            let start = Int64(word(Offset.header))
            let catalog = try OpenRequest.table(file, at: start, count: Int64(count) * 4)
            let extent = word(Offset.extent)
            if extent < 512 { throw BlockError(.invalidArgument, "Extent size must be at least 512") }
            if extent & (extent - 1) != 0 {
                throw BlockError(.invalidArgument, "Extent size \(extent) is not a power of two")
            }
            if extent > Self.largestExtent { throw BlockError(.invalidArgument, "Extent size \(extent) is too large") }
            let sectors = size / 512
            guard UInt64(count) >= (sectors + UInt64(extent / 512) - 1) / UInt64(extent / 512) else {
                throw BlockError(.invalidArgument, "Catalog size is too small for this disk size")
            }
            let bitmapSectors = Int64((UInt64(word(Offset.bitmap)) + 511) / 512)
            return BochsNode(
                file: file, catalog: catalog, length: Int64(sectors) * 512, extentSize: Int64(extent),
                bitmapSize: bitmapSectors * 512, dataOffset: start + Int64(count) * 4)
        }
    }
}

/// An opened image: extents with a bitmap of their sectors before each.
final class BochsNode: ReadOnlyDisk {
    let driverName = "bochs"
    let file: any BlockNode
    let location: NodeLocation
    let length: Int64
    private let catalog: [UInt8]
    private let extentSize: Int64
    private let bitmapSize: Int64
    private let dataOffset: Int64

    private static let absent: UInt32 = 0xffff_ffff
    private static let sector: Int64 = 512

    init(
        file: any BlockNode, catalog: [UInt8], length: Int64, extentSize: Int64, bitmapSize: Int64, dataOffset: Int64
    ) {
        self.file = file
        self.catalog = catalog
        self.length = length
        self.extentSize = extentSize
        self.bitmapSize = bitmapSize
        self.dataOffset = dataOffset
        location = Self.location(over: file, driver: "bochs")
    }

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        let within = offset % extentSize
        let rest = min(limit, extentSize - within)
        let entry = catalog.load(UInt32.self, at: Int(offset / extentSize) * 4) ?? Self.absent
        guard entry != Self.absent else { return (.zero, rest) }
        let start = dataOffset &+ Int64(entry) &* (extentSize + bitmapSize)
        let first = within / Self.sector
        let last = (within + rest - 1) / Self.sector
        let bits = try file.readBytes(at: start + first / 8, count: Int(last / 8 - first / 8) + 1)
        func isSet(_ sector: Int64) -> Bool { bits[Int(sector / 8 - first / 8)] & (1 << UInt8(sector % 8)) != 0 }
        let isStored = isSet(first)
        var end = first + 1
        while end <= last, isSet(end) == isStored { end += 1 }
        let count = min(rest, end * Self.sector - within)
        return (isStored ? .stored(file: file, offset: start + bitmapSize + within) : .zero, count)
    }
}
