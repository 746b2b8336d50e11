// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// The `vmdk` format of VMware.
public struct VMDKDriver: ProbingDriver {
    /// "vmdk".
    public let name = "vmdk"
    /// The driver.
    public init() {}

    /// The magic number of an extent, or the first line of a descriptor with its version.
    public func probe(head: [UInt8], filename: String) -> Int {
        if head.starts(with: SparseHeader.magic) || head.starts(with: SparseHeader.oldMagic) { return 100 }
        for line in head.split(separator: UInt8(ascii: "\n")) {
            let isBlank = line.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }
            if line.first == UInt8(ascii: "#") || isBlank { continue }
            let text = line.filter { $0 != UInt8(ascii: "\r") }
            return ["version=1", "version=2", "version=3"].contains { text.elementsEqual($0.utf8) } ? 100 : 0
        }
        return 0
    }

    /// Opens an image with its extents and its parent; there are no options of its own.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        var opened: [any BlockNode] = []
        do {
            let file = try request.openFile()
            opened.append(file)
            return try open(&request, file, &opened)
        } catch {
            // Why the image cannot be opened is what counts.
            for node in opened { try? node.close() }
            throw error
        }
    }

    private func open(
        _ request: inout OpenRequest, _ file: any BlockNode, _ opened: inout [any BlockNode]
    ) throws(BlockError) -> any BlockNode {
        let isReadOnly = !request.flags.isWritable || file.isReadOnly
        let backing = BackingReference()
        let head = try file.readBytes(at: 0, count: SparseHeader.byteCount)
        var extents: [any VMDKExtent]
        var descriptor: VMDKDescriptor
        var place: (offset: Int64, room: Int?) = (0, nil)
        if head.starts(with: SparseHeader.magic) {
            let header = try SparseHeader(parsing: head)
            let room = Int(min(header.descriptorSize * 512, Int64(VMDKDescriptor.longest)))
            place = (header.descriptorOffset * 512, room)
            descriptor = VMDKDescriptor(
                header.descriptorOffset == 0 ? [] : try file.readBytes(at: place.offset, count: room))
            if header.capacity == 0, header.descriptorOffset != 0, descriptor.createType != nil,
                descriptor.createType != "monolithicSparse", descriptor.createType != "streamOptimized"
            {
                extents = try openExtents(&request, descriptor, file, backing, &opened)
            } else {
                extents = [
                    try Self.sparse(file, head, type: "", length: nil, start: 0, backing, isWritable: !isReadOnly)
                ]
            }
        } else if head.starts(with: SparseHeader.oldMagic) {
            descriptor = VMDKDescriptor([])
            extents = [try Self.sparse(file, head, type: "", length: nil, start: 0, backing, isWritable: !isReadOnly)]
        } else {
            descriptor = VMDKDescriptor(
                try file.readBytes(at: 0, count: Int(min(file.length, Int64(VMDKDescriptor.longest)))))
            extents = try openExtents(&request, descriptor, file, backing, &opened)
        }
        backing.node = try request.openBacking(name: descriptor.parentName, format: "vmdk", parent: file)
        let parts = VMDKNode.Parts(
            file: file, descriptor: descriptor, place: place, extents: extents, backing: backing,
            isReadOnly: isReadOnly)
        return extents.count == 1 && extents[0].isCompressed ? CompressedVMDKNode(parts) : VMDKNode(parts)
    }

    private func openExtents(
        _ request: inout OpenRequest, _ descriptor: VMDKDescriptor, _ file: any BlockNode,
        _ backing: BackingReference, _ opened: inout [any BlockNode]
    ) throws(BlockError) -> [any VMDKExtent] {
        guard let type = descriptor.createType else {
            throw BlockError(.invalidArgument, "invalid VMDK image descriptor")
        }
        guard VMDKDescriptor.knownTypes.contains(type) else {
            throw BlockError(.notSupported, "Unsupported image type '\(type)'")
        }
        let lines = try descriptor.extents()
        guard !lines.isEmpty else { throw BlockError(.invalidArgument, "The descriptor names no extents") }
        var result: [any VMDKExtent] = []
        var start: Int64 = 0
        for (index, line) in lines.enumerated() {
            let node = try openExtentFile(&request, line, index, file)
            opened.append(node)
            let extent = try Self.extent(
                line, node, start: start, backing, isWritable: request.flags.isWritable && !node.isReadOnly)
            result.append(extent)
            guard start <= Int64.max / 2 - extent.mappedLength else {
                throw BlockError(.outOfRange, "The extents are longer than a disk can be")
            }
            start += extent.mappedLength
        }
        return result
    }

    private func openExtentFile(
        _ request: inout OpenRequest, _ line: VMDKDescriptor.Extent, _ index: Int, _ file: any BlockNode
    ) throws(BlockError) -> any BlockNode {
        let role = "extents.\(index)"
        if !request.options.hasSubtree(role) {
            let isAbsolute = line.filename.hasPrefix("/")
            guard isAbsolute || file.location.path != nil else {
                throw BlockError(
                    .invalidArgument,
                    "Cannot use relative paths with VMDK descriptor file '\(file.location.filename)': Cannot generate a base directory for \(file.driverName) nodes"
                )
            }
            let name = ImageName.join(file.location.path ?? "", line.filename)
            let driver = try request.graph.protocolDriver(for: name)
            request.options.add(try driver.parse(filename: name), under: role)
            request.options["\(role).driver"] = .string(driver.name)
        }
        return try request.openFile(role)
    }

    private static func extent(
        _ line: VMDKDescriptor.Extent, _ file: any BlockNode, start: Int64, _ backing: BackingReference,
        isWritable: Bool
    ) throws(BlockError) -> any VMDKExtent {
        let length = line.sectors * 512
        switch line.type {
        case "FLAT", "VMFS":
            return FlatExtent(file: file, type: "FLAT", length: length, offset: line.offset * 512)
        case "SESPARSE":
            return try SESparseExtent.open(file, length: length, start: start, backing, isWritable: isWritable)
        default:
            let head = try file.readBytes(at: 0, count: SparseHeader.byteCount)
            return try sparse(
                file, head, type: line.type, length: length, start: start, backing, isWritable: isWritable)
        }
    }

    private static func sparse(
        _ file: any BlockNode, _ head: [UInt8], type: String, length: Int64?, start: Int64,
        _ backing: BackingReference, isWritable: Bool
    ) throws(BlockError) -> SparseExtent {
        var header: SparseHeader
        if head.starts(with: SparseHeader.oldMagic) {
            header = try SparseHeader(parsingOld: head)
        } else {
            header = try SparseHeader(parsing: head)
            if header.isAtEnd { header = try footer(file) }
            try header.validate(fileLength: file.length, isWritable: isWritable)
        }
        guard header.directory * 512 + header.tables * 4 <= file.length + 511 else {
            throw BlockError(
                .corrupt, "The grain directory lies outside the file of \(file.length) bytes", errno: .invalidArgument)
        }
        return SparseExtent(
            file: file, type: type, header: header, length: length ?? header.capacity * 512, start: start,
            backing: backing)
    }

    /// The header at the end of a stream: three sectors, of which the middle one is the header with the table's place.
    private static func footer(_ file: any BlockNode) throws(BlockError) -> SparseHeader {
        let bytes = try file.readBytes(at: max(file.length - 1536, 0), count: 1536)
        let footerMark: UInt32 = 3
        guard bytes.load(UInt32.self, at: 8) == 0, bytes.load(UInt32.self, at: 12) == footerMark,
            bytes.load(UInt64.self, at: 1024) == 0, bytes.load(UInt32.self, at: 1032) == 0,
            let field = bytes.bytes(at: 512, count: 512)
        else { throw BlockError(.invalidArgument, "The VMDK stream has no footer") }
        let header = try SparseHeader(parsing: field)
        guard !header.isAtEnd else { throw BlockError(.invalidArgument, "The VMDK stream's footer is damaged") }
        return header
    }
}
