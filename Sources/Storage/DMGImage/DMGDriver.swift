// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// Apple's disk images (UDIF, `.dmg`), to read: chunks that are plain, zero, or compressed with zlib or bzip2.
public struct DMGDriver: ProbingDriver {
    /// "dmg".
    public let name = "dmg"
    /// The driver.
    public init() {}

    /// Where the trailer's fields are.
    private enum Trailer {
        static let dataFork = 0x18
        static let resourceFork = 0x28
        static let resourceLength = 0x30
        static let propertyList = 0xd8
        static let propertyLength = 0xe0
        static let sectors = 0x1ec
        static let byteCount: Int64 = 512
    }

    private static let largestMetadata: UInt64 = 16 << 20

    /// By the name's ending: there is nothing at the beginning to look at.
    public func probe(head: [UInt8], filename: String) -> Int {
        filename.hasSuffix(".dmg") && filename.utf8.count > ".dmg".utf8.count ? 2 : 0
    }

    /// Opens an image; there are no options.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let warn = request.graph.warn
        return try request.withReadOnlyFile(name) { (_, file) throws(BlockError) in
            let trailer = try Self.readTrailer(file)
            func field(_ offset: Int) -> UInt64 { trailer.load(at: offset, order: .big) ?? 0 }
            let length = UInt64(max(file.length, 0))
            let dataFork = field(Trailer.dataFork)
            let resource = (start: field(Trailer.resourceFork), count: field(Trailer.resourceLength))
            let list = (start: field(Trailer.propertyList), count: field(Trailer.propertyLength))
            for part in [resource, list] where part.start > length || part.count > length - part.start {
                throw BlockError(.corrupt, "the image's description lies outside the file", errno: .invalidArgument)
            }
            guard dataFork <= length else {
                throw BlockError(.corrupt, "the image's data lie outside the file", errno: .invalidArgument)
            }
            var chunks = DMGChunks(dataFork: dataFork)
            if resource.count != 0 {
                try chunks.readResources(try Self.read(file, resource))
            } else if list.count != 0 {
                try chunks.readPropertyList(try Self.read(file, list))
            } else {
                throw BlockError(.invalidArgument, "the image has no description of its chunks")
            }
            for kind in chunks.unknownKinds.sorted() {
                warn("warning: chunks of type 0x\(NumberText.hex(kind)) cannot be read")
            }
            let sectors = field(Trailer.sectors)
            guard sectors <= UInt64(Int64.max) / 512 else {
                throw BlockError(.corrupt, "\(sectors) sectors are too many", errno: .invalidArgument)
            }
            return DMGNode(
                file: file, chunks: chunks.chunks.sorted { $0.start < $1.start }, length: Int64(sectors) * 512)
        }
    }

    private static func read(_ file: any BlockNode, _ part: (start: UInt64, count: UInt64)) throws(BlockError)
        -> [UInt8]
    {
        guard part.count <= largestMetadata else {
            throw BlockError(.corrupt, "the image's description is too long", errno: .invalidArgument)
        }
        return try file.readBytes(at: Int64(part.start), count: Int(part.count))
    }

    /// The last 512 bytes, which may be followed by a few.
    private static func readTrailer(_ file: any BlockNode) throws(BlockError) -> [UInt8] {
        guard file.length >= Trailer.byteCount else {
            throw BlockError(.invalidArgument, "dmg file must be at least 512 bytes long")
        }
        let length = (file.length + 511) & ~511
        let start = max(length - 511 - 512, 0)
        let tail = try file.readBytes(at: start, count: Int(min(length, 515)))
        for index in 0..<(tail.count - 3) where Array(tail[index..<index + 4]) == Array("koly".utf8) {
            return try file.readBytes(at: start + Int64(index), count: Int(Trailer.byteCount))
        }
        throw BlockError(.invalidArgument, "Could not locate UDIF trailer in dmg file")
    }
}
