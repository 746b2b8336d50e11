// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping

extension VMDKDriver: CreatingDriver {
    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption(
                "adapter_type", .text,
                "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX"
            ),
            CreateOption("backing_file", .text, "File name of a base image"),
            CreateOption("backing_fmt", .text, "Must be 'vmdk' if present"),
            CreateOption("compat6", .boolean, "VMDK version 6 image", default: "off"),
            CreateOption("hwversion", .text, "VMDK hardware version", default: "undefined"),
            CreateOption("toolsversion", .text, "VMware guest tools version"),
            CreateOption(
                "subformat", .text,
                "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} "
            ),
            CreateOption("zeroed_grain", .boolean, "Enable efficient zero writes using the zeroed-grain GTE feature"),
        ]
    }
    /// A sparse image can name a parent.
    public var supportsBacking: Bool { true }

    /// The kind of a new image.
    private struct Kind {
        let name: String
        var isFlat: Bool { name == "monolithicFlat" || name == "twoGbMaxExtentFlat" }
        var isSplit: Bool { name.hasPrefix("twoGbMaxExtent") }
        var isCompressed: Bool { name == "streamOptimized" }
        /// The descriptor is inside the only extent.
        var isOneFile: Bool { name == "monolithicSparse" || isCompressed }

        init(_ name: String) throws(BlockError) {
            let known = [
                "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized",
            ]
            guard known.contains(name) else { throw BlockError(.invalidArgument, "invalid parameter value: \(name)") }
            self.name = name
        }
    }

    private static let splitSectors: Int64 = 4_194_304

    /// Makes an image.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let options = request.options
        let kind = try Kind(options.string("subformat") ?? "monolithicSparse")
        let sectors = try request.sectorSize() / 512
        var description = VMDKDescription(
            contentID: try VMDKNode.newContentID(), type: kind.name, extentLines: [],
            hardwareVersion: try Self.hardwareVersion(options), adapter: try Self.adapter(options),
            toolsVersion: options.string("toolsversion") ?? "2147483647", sectors: sectors)
        if kind.isFlat, options.string("backing_file") != nil {
            throw BlockError(.notSupported, "Flat image can't have backing file")
        }
        if kind.isFlat, options.bool("zeroed_grain") {
            throw BlockError(.notSupported, "Flat image can't enable zeroed grain")
        }
        try Self.readParent(request, &description)
        if kind.isOneFile {
            try Self.createOneFile(request, kind, &description)
        } else {
            try Self.createSeveral(request, kind, &description)
        }
    }

    private static func hardwareVersion(_ options: CreateOptions) throws(BlockError) -> String {
        let version = options.string("hwversion") ?? "undefined"
        guard options.bool("compat6") else { return version == "undefined" ? "4" : version }
        guard version == "undefined" else {
            throw BlockError(.invalidArgument, "compat6 cannot be enabled with hwversion set")
        }
        return "6"
    }

    private static func adapter(_ options: CreateOptions) throws(BlockError) -> String {
        let adapter = options.string("adapter_type") ?? "ide"
        guard ["ide", "buslogic", "lsilogic", "legacyESX"].contains(adapter) else {
            throw BlockError(.invalidArgument, "invalid parameter value: \(adapter)")
        }
        return adapter
    }

    /// The parent's identifier goes into the new descriptor.
    private static func readParent(
        _ request: CreateRequest, _ description: inout VMDKDescription
    ) throws(BlockError) {
        guard let name = request.options.string("backing_file"), !name.isEmpty else { return }
        let full = ImageName.combine(request.filename, name)
        var flags = OpenFlags()
        flags.withoutBacking = true
        flags.metadataOnly = true
        let parent = try request.graph.open(full, flags: flags)
        defer {
            // Only read from: closing loses nothing.
            try? parent.close()
        }
        guard let parent = parent as? VMDKNode else {
            throw BlockError(.invalidArgument, "backing_file must be a vmdk image")
        }
        description.parentID = parent.contentID
        description.parentName = name
    }

    private static func header(_ request: CreateRequest, _ kind: Kind, _ sectors: Int64) throws(BlockError)
        -> SparseHeader
    {
        let header = SparseHeader(
            sectors: sectors, isCompressed: kind.isCompressed, hasZeroGrain: request.options.bool("zeroed_grain"))
        guard header.firstGrain <= Int64(UInt32.max), header.tables <= 32 << 20 else {
            throw BlockError(.outOfRange, "The image size is too large for file format 'vmdk'")
        }
        return header
    }

    private static func createOneFile(
        _ request: CreateRequest, _ kind: Kind, _ description: inout VMDKDescription
    ) throws(BlockError) {
        let header = try header(request, kind, description.sectors)
        description.extentLines = ["RW \(description.sectors) SPARSE \"\(base(request.filename))\""]
        let text = description.text
        guard text.utf8.count <= Int(header.descriptorSize) * 512 else {
            throw BlockError(.invalidArgument, "The descriptor is too long: shorten the name of the backing file")
        }
        try request.withNewFile { (file) throws(BlockError) in
            try format(file, header)
            try file.write(Array(text.utf8), at: header.descriptorOffset * 512)
        }
    }

    private static func createSeveral(
        _ request: CreateRequest, _ kind: Kind, _ description: inout VMDKDescription
    ) throws(BlockError) {
        let (stem, suffix) = split(request.filename)
        var rest = description.sectors
        var number = 1
        repeat {
            let part = kind.isSplit ? min(rest, splitSectors) : rest
            let digits = String(repeating: "0", count: max(3 - String(number).count, 0)) + String(number)
            let mark = kind.isSplit ? "\(kind.isFlat ? "f" : "s")\(digits)" : "flat"
            let name = "\(stem)-\(mark)\(suffix)"
            let file = try request.makeFile(name)
            do {
                if kind.isFlat, let file = file as? any ResizableNode {
                    try file.resize(to: part * 512, preallocation: .off, exact: false)
                } else {
                    try format(file, try header(request, kind, part))
                }
            } catch {
                // The failure to fill it is the one to report.
                try? file.close()
                throw error
            }
            try file.close()
            let type = kind.isFlat ? "FLAT" : "SPARSE"
            description.extentLines.append("RW \(part) \(type) \"\(base(name))\"" + (kind.isFlat ? " 0" : ""))
            rest -= part
            number += 1
        } while rest > 0
        let text = description.text
        try request.withNewFile { (file) throws(BlockError) in try file.write(Array(text.utf8), at: 0) }
    }

    /// An empty extent: both directories, and room for the tables, which read as zeroes.
    private static func format(_ file: any BlockNode, _ header: SparseHeader) throws(BlockError) {
        guard let resizable = file as? any ResizableNode else {
            throw BlockError(.notSupported, "\(file.location.filename): a VMDK image needs a file that can grow")
        }
        try resizable.resize(to: header.firstGrain * 512, preallocation: .off, exact: false)
        for start in [header.redundantDirectory, header.directory] where header.tables > 0 {
            let directory = AlignedBuffer(zeroed: Int(header.directorySectors) * 512).region
            for index in 0..<header.tables {
                let sector = start + header.directorySectors + index * header.tableSectors
                directory.storeLittleEndian(UInt32(truncatingIfNeeded: sector), at: Int(index) * 4)
            }
            try file.write(directory, at: start * 512)
        }
        try file.write(header.serialized, at: 0)
    }

    /// The last part of a path, which may have the file protocol before it.
    private static func base(_ name: String) -> String {
        let path = ImageName.scheme(of: name) == "file" ? String(name.dropFirst("file:".utf8.count)) : name
        return path.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? path
    }

    /// A path without its last ending, and the ending with its dot.
    private static func split(_ path: String) -> (stem: String, suffix: String) {
        guard let dot = path.lastIndex(of: "."), !path[dot...].contains("/") else { return (path, "") }
        return (String(path[..<dot]), String(path[dot...]))
    }
}
