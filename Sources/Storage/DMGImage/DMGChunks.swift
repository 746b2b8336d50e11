// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import HostSystem

/// One chunk of the disk.
struct DMGChunk: Sendable {
    enum Kind: UInt32, Sendable {
        case zero = 0
        case plain = 1
        case ignored = 2
        case zlib = 0x8000_0005
        case bzip2 = 0x8000_0006
        case xz = 0x8000_0008
    }

    var kind: Kind
    /// The first byte on the disk.
    var start: Int64
    /// Bytes on the disk.
    var count: Int64
    /// The first byte in the file.
    var offset: Int64
    /// Bytes in the file.
    var stored: Int64
}

/// Collects the chunks from an image's description: tables with the mark "mish".
struct DMGChunks {
    let dataFork: UInt64
    private(set) var chunks: [DMGChunk] = []
    /// Types of chunks that are met but cannot be read.
    private(set) var unknownKinds: Set<UInt32> = []

    private static let mark: UInt32 = 0x6d69_7368
    private static let tableHeader = 204
    private static let entrySize = 40
    private static let comment: UInt32 = 0x7fff_fffe
    private static let end: UInt32 = 0xffff_ffff
    private static let mostSectors: UInt64 = (64 << 20) / 512
    private static let longestChunk: UInt64 = 64 << 20
    private static let mostChunks = 8 << 20

    init(dataFork: UInt64) { self.dataFork = dataFork }

    /// A resource fork: tables one after the other, each with its length before it.
    mutating func readResources(_ fork: [UInt8]) throws(BlockError) {
        let start: UInt32 = fork.load(at: 0, order: .big) ?? 0
        let count: UInt32 = fork.load(at: 8, order: .big) ?? 0
        let end = UInt64(start) + UInt64(count)
        guard count != 0, end <= UInt64(fork.count) else {
            throw BlockError(.corrupt, "the resource fork is damaged", errno: .invalidArgument)
        }
        var offset = Int(start)
        while offset < Int(end) {
            guard let size: UInt32 = fork.load(at: offset, order: .big), size != 0,
                let table = fork.bytes(at: offset + 4, count: Int(size))
            else { throw BlockError(.corrupt, "the resource fork is damaged", errno: .invalidArgument) }
            try readTable(table)
            offset += 4 + Int(size)
        }
    }

    /// A property list in XML: tables in base64 between data tags.
    mutating func readPropertyList(_ bytes: [UInt8]) throws(BlockError) {
        let open = Array("<data>".utf8)
        let close = Array("</data>".utf8)
        var position = 0
        while let start = Self.find(open, in: bytes, from: position),
            let end = Self.find(close, in: bytes, from: start + open.count)
        {
            if let table = Base64.decode(bytes[(start + open.count)..<end], passingOver: .whiteSpace) {
                try readTable(table)
            }
            position = end + close.count
        }
    }

    private static func find(_ pattern: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        guard bytes.count >= pattern.count else { return nil }
        var index = start
        while index <= bytes.count - pattern.count {
            if bytes[index] == pattern[0], bytes[index..<index + pattern.count].elementsEqual(pattern) { return index }
            index += 1
        }
        return nil
    }

    private mutating func readTable(_ table: [UInt8]) throws(BlockError) {
        guard table.load(UInt32.self, at: 0, order: .big) == Self.mark,
            table.count >= Self.tableHeader + Self.entrySize
        else { return }
        let firstSector: UInt64 = table.load(at: 8, order: .big) ?? 0
        let data: UInt64 = dataFork &+ (table.load(at: 0x18, order: .big) ?? 0)
        for place in stride(from: Self.tableHeader, through: table.count - Self.entrySize, by: Self.entrySize) {
            let type: UInt32 = table.load(at: place, order: .big) ?? 0
            if type == Self.comment || type == Self.end { continue }
            guard let kind = DMGChunk.Kind(rawValue: type) else {
                unknownKinds.insert(type)
                continue
            }
            func field(_ offset: Int) -> UInt64 { table.load(at: place + offset, order: .big) ?? 0 }
            try add(kind, firstSector &+ field(8), field(0x10), data &+ field(0x18), field(0x20))
        }
    }

    private mutating func add(
        _ kind: DMGChunk.Kind, _ sector: UInt64, _ sectors: UInt64, _ offset: UInt64, _ stored: UInt64
    ) throws(BlockError) {
        let number = chunks.count
        let isStored = kind != .zero && kind != .ignored
        if isStored, sectors > Self.mostSectors {
            throw BlockError(
                .invalidArgument, "sector count \(sectors) for chunk \(number) is larger than max (\(Self.mostSectors))"
            )
        }
        if stored > Self.longestChunk {
            throw BlockError(
                .invalidArgument, "length \(stored) for chunk \(number) is larger than max (\(Self.longestChunk))")
        }
        let limit = UInt64(Int64.max) / 1024
        guard sector <= limit, sectors <= limit, offset <= UInt64(Int64.max) / 2, number < Self.mostChunks else {
            throw BlockError(.corrupt, "chunk \(number) lies outside of any disk", errno: .invalidArgument)
        }
        if sectors == 0 { return }
        chunks.append(
            DMGChunk(
                kind: kind, start: Int64(sector) * 512, count: Int64(sectors) * 512, offset: Int64(offset),
                stored: Int64(stored)))
    }
}
