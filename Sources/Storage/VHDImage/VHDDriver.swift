// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import Cryptography

/// The `vpc` format: VHD, of Virtual PC and Hyper-V.
public struct VHDDriver: ProbingDriver, CreatingDriver {
    /// "vpc".
    public let name = "vpc"
    /// The driver.
    public init() {}

    /// The cookie, which only dynamic images have at the beginning.
    public func probe(head: [UInt8], filename: String) -> Int { head.starts(with: VHDFooter.cookie) ? 100 : 0 }

    /// Opens an image. `force_size_calc` (auto, chs, current_size) says which size in the footer holds.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let rule = try Self.rule(request.options.take("force_size_calc"))
        return try request.withFile { (request, file) throws(BlockError) in
            let isReadOnly = !request.flags.isWritable || file.isReadOnly
            let head = try Self.findFooter(file)
            guard head.footer.isIntact else { throw BlockError(.invalidArgument, "Incorrect header checksum") }
            let sectors = head.footer.diskSectors(rule)
            guard sectors <= UInt64(VHDFooter.mostSectors) else {
                throw BlockError(.outOfRange, "The disk has \(sectors) sectors, more than the format allows")
            }
            var dynamic: VHDDynamicHeader?
            if !head.isAtEnd {
                dynamic = try Self.readDynamic(file, head.footer, sectors)
            }
            return try VHDNode(
                file: file, footer: head.footer, length: Int64(sectors) * 512, dynamic: dynamic, isReadOnly: isReadOnly)
        }
    }

    private static func rule(_ text: String?) throws(BlockError) -> VHDSizeRule {
        switch text {
        case nil, "auto": return .automatic
        case "chs": return .geometry
        case "current_size": return .currentSize
        case let other?:
            throw BlockError(.invalidArgument, "Invalid size calculation algorithm '\(other)'")
        }
    }

    private static func findFooter(_ file: any BlockNode) throws(BlockError) -> (footer: VHDFooter, isAtEnd: Bool) {
        let first = try file.readBytes(at: 0, count: VHDFooter.byteCount)
        if let footer = VHDFooter(parsing: first), footer.kind != VHDFooter.fixedKind { return (footer, false) }
        let end = file.length - Int64(VHDFooter.byteCount)
        guard end >= 0 else { throw BlockError(.invalidArgument, "File too small for a VHD header") }
        guard let footer = VHDFooter(parsing: try file.readBytes(at: end, count: VHDFooter.byteCount)),
            footer.kind == VHDFooter.fixedKind
        else { throw BlockError(.invalidArgument, "invalid VPC image") }
        return (footer, true)
    }

    private static func readDynamic(
        _ file: any BlockNode, _ footer: VHDFooter, _ sectors: UInt64
    ) throws(BlockError) -> VHDDynamicHeader {
        guard footer.kind == VHDFooter.dynamicKind else {
            throw BlockError(.notSupported, "VHD images of type \(footer.kind) (differencing) are not supported")
        }
        guard footer.dataOffset <= UInt64(Int64.max) - UInt64(VHDDynamicHeader.byteCount) else {
            throw BlockError(.invalidArgument, "Invalid header magic")
        }
        let bytes = try file.readBytes(at: Int64(footer.dataOffset), count: VHDDynamicHeader.byteCount)
        return try VHDDynamicHeader(parsing: bytes, diskSectors: sectors, fileLength: file.length)
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption(
                "subformat", .text,
                "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} "),
            CreateOption(
                "force_size", .boolean,
                "Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation"
            ),
        ]
    }
    /// Differencing images are not made.
    public var supportsBacking: Bool { false }

    /// Makes an image. Its size is what a geometry can express, unless `force_size` is on.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let subformat = request.options.string("subformat") ?? "dynamic"
        guard subformat == "dynamic" || subformat == "fixed" else {
            throw CreateRequest.badValue("subformat", subformat)
        }
        let isExact = request.options.bool("force_size")
        let wanted = try request.sectorSize() / 512
        let largest = VHDGeometry(cylinders: 65535, heads: 16, sectors: 255)
        let geometry = isExact ? largest : VHDGeometry.holding(wanted)
        let isBySize = geometry.product >= VHDFooter.geometrySectors
        let sectors = isBySize ? wanted : geometry.product
        guard sectors <= VHDFooter.mostSectors else {
            throw BlockError(.outOfRange, "The image size is too large for file format 'vpc'")
        }
        let footer = VHDFooter(
            sectors: sectors, geometry: geometry, isFixed: subformat == "fixed", exactSize: isExact,
            uuid: try Self.random())
        try request.withNewFile { (file) throws(BlockError) in
            if subformat == "fixed" {
                try Self.makeFixed(file, footer, sectors)
            } else {
                try Self.makeDynamic(file, footer, sectors)
            }
        }
    }

    private static func random() throws(BlockError) -> [UInt8] {
        do {
            return try randomBytes(16)
        } catch {
            throw BlockError(.inputOutput, "Could not make a UUID: \(error)")
        }
    }

    private static func makeFixed(_ file: any BlockNode, _ footer: VHDFooter, _ sectors: Int64) throws(BlockError) {
        try file.write(footer.bytes, at: sectors * 512)
    }

    private static func makeDynamic(_ file: any BlockNode, _ footer: VHDFooter, _ sectors: Int64) throws(BlockError) {
        let start = Int64(VHDFooter.byteCount + VHDDynamicHeader.byteCount)
        let tableBytes = (VHDDynamicHeader.entries(sectors: sectors) * 4 + 511) & ~511
        let table = AlignedBuffer(count: Int(tableBytes)).region
        table.fill(0xff)
        try file.write(footer.bytes, at: start + tableBytes)
        try file.write(table, at: start)
        try file.write(VHDDynamicHeader.make(sectors: sectors), at: Int64(VHDFooter.byteCount))
        try file.write(footer.bytes, at: 0)
    }
}
