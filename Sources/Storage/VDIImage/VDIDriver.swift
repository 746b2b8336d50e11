// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import Cryptography

/// The `vdi` format of VirtualBox.
public struct VDIDriver: ProbingDriver, CreatingDriver {
    /// "vdi".
    public let name = "vdi"
    /// The driver.
    public init() {}

    /// The signature.
    public func probe(head: [UInt8], filename: String) -> Int {
        head.load(UInt32.self, at: VDIHeader.Offset.signature) == VDIHeader.signature ? 100 : 0
    }

    /// Opens an image; there are no options.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        try request.withFile { (request, file) throws(BlockError) in
            let header = try VDIHeader(parsing: try file.readBytes(at: 0, count: VDIHeader.byteCount))
            // Entries that the file does not have are zeroes, as in an image that was cut: all name the first block.
            let end = Int64(header.tableOffset) + Int64(header.blockCount) * 4
            guard end <= (file.length + 511) & ~511 || !request.flags.isWritable else {
                throw BlockError(
                    .corrupt, "The block map ends at byte \(end), but the file has only \(file.length) bytes")
            }
            return VDINode(file: file, header: header, isReadOnly: !request.flags.isWritable || file.isReadOnly)
        }
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("static", .boolean, "VDI static (pre-allocated) image", default: "off"),
        ]
    }
    /// None.
    public var supportsBacking: Bool { false }

    /// Makes an image; a static one has all of its blocks, as a hole in the file.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let size = UInt64(try request.sectorSize())
        guard size <= VDIHeader.largestDisk else { throw VDIHeader.tooLarge(size) }
        let isFixed = request.options.bool("static")
        let random = try Self.random()
        let header = VDIHeader(size: size, kind: isFixed ? .fixed : .dynamic, identifiers: random)
        try request.withNewFile { (file) throws(BlockError) in
            try Self.writeTable(file, header, isFixed: isFixed)
            try file.write(header.serialized, at: 0)
            if isFixed, let file = file as? any ResizableNode {
                let end = Int64(header.dataOffset) + Int64(header.blockCount) * Int64(VDIHeader.blockSize)
                try file.resize(to: end, preallocation: .off, exact: false)
            }
        }
    }

    private static func random() throws(BlockError) -> [UInt8] {
        do {
            return try randomBytes(32)
        } catch {
            throw BlockError(.inputOutput, "Could not make a UUID: \(error)")
        }
    }

    private static func writeTable(_ file: any BlockNode, _ header: VDIHeader, isFixed: Bool) throws(BlockError) {
        let perChunk: UInt32 = 1 << 18
        let total = (header.dataOffset - header.tableOffset) / 4
        var first: UInt32 = 0
        while first < total {
            let count = min(perChunk, total - first)
            let chunk = AlignedBuffer(zeroed: Int(count) * 4).region
            for index in 0..<count where first + index < header.blockCount {
                chunk.storeLittleEndian(isFixed ? first + index : VDINode.unallocated, at: Int(index) * 4)
            }
            try file.write(chunk, at: Int64(header.tableOffset) + Int64(first) * 4)
            first += count
        }
    }
}
