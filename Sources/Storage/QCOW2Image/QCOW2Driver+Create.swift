// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Driver: CreatingDriver, AmendingDriver {
    /// The options of `create`, in the order in which they are told.
    public var createOptions: [CreateOption] {
        [
            CreateOption(
                "encryption", .boolean,
                "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)"),
            CreateOption("encrypt.format", .text, "Encrypt the image, format choices: 'aes', 'luks'"),
            CreateOption("encrypt.key-secret", .text, "ID of secret providing qcow AES key or LUKS passphrase"),
            CreateOption("encrypt.cipher-alg", .text, "Name of encryption cipher algorithm"),
            CreateOption("encrypt.cipher-mode", .text, "Name of encryption cipher mode"),
            CreateOption("encrypt.ivgen-alg", .text, "Name of IV generator algorithm"),
            CreateOption("encrypt.ivgen-hash-alg", .text, "Name of IV generator hash algorithm"),
            CreateOption("encrypt.hash-alg", .text, "Name of encryption hash algorithm"),
            CreateOption("encrypt.iter-time", .number, "Time to spend in PBKDF in milliseconds"),
            CreateOption("cluster_size", .size, "qcow2 cluster size", default: "65536"),
            CreateOption("extended_l2", .boolean, "Extended L2 tables", default: "off"),
            CreateOption("preallocation", .text, "Preallocation mode (allowed values: off, metadata, falloc, full)"),
            CreateOption(
                "compression_type", .text, "Compression method used for image cluster compression", default: "zlib"),
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("compat", .text, "Compatibility level (v2 [0.10] or v3 [1.1])"),
            CreateOption("backing_file", .text, "File name of a base image"),
            CreateOption("backing_fmt", .text, "Image format of the base image"),
            CreateOption("data_file", .text, "File name of an external data file"),
            CreateOption("data_file_raw", .boolean, "The external data file must stay valid as a raw image"),
            CreateOption("lazy_refcounts", .boolean, "Postpone refcount updates", default: "off"),
            CreateOption("refcount_bits", .number, "Width of a reference count entry in bits", default: "16"),
        ]
    }

    /// Images can name a backing file.
    public var supportsBacking: Bool { true }

    /// The options of `amend`, in the order in which they are told.
    public var amendOptions: [CreateOption] {
        let names: Set = [
            "backing_file", "backing_fmt", "compat", "data_file", "data_file_raw", "lazy_refcounts", "refcount_bits",
            "size",
        ]
        return createOptions.filter { names.contains($0.name) } + [
            CreateOption("encrypt.iter-time", .number, "Time to spend in PBKDF in milliseconds"),
            CreateOption("encrypt.keyslot", .number, "Select a single keyslot to modify explicitly"),
            CreateOption(
                "encrypt.new-secret", .text, "New secret to set in the matching keyslots. Empty string to erase"),
            CreateOption("encrypt.old-secret", .text, "Select all keyslots that match this password"),
            CreateOption("encrypt.state", .text, "Select new state of affected keyslots (active/inactive)"),
        ]
    }

    /// Makes an empty image. The header is written last, so that a file without it is no image.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let header = try makeHeader(request.options)
        let size = try Self.sizeOption(request.options)
        var mode = try Self.preallocation(request.options)
        // The tables must not be needed to read a raw data file, so they say that everything is there.
        if mode == .off, request.options.bool("data_file_raw") { mode = .metadata }
        try Self.checkCombination(request.options, header, mode)
        let encryption = try NewEncryption(request.options, ciphers, request.graph.secrets)
        // A file that could not be made anew is somebody's, and stays as it is.
        try createBelow(request, request.filename)
        do {
            if let name = request.options.string("data_file") { try createBelow(request, name) }
            try fill(request, header, size, encryption)
            if mode != .off || header.hasDataFile { try finish(request, size: size, mode) }
        } catch {
            // Half an image helps nobody; that it could not be made is what is told.
            let driver = try? request.graph.protocolDriver(for: request.filename)
            (driver as? any RemovingDriver)?.remove(request.filename)
            throw error
        }
    }

    private func fill(
        _ request: CreateRequest, _ header: Header, _ size: Int64, _ encryption: NewEncryption?
    ) throws(BlockError) {
        let file = try request.graph.openBelow(request.filename)
        do {
            try Self.format(file, header, size: size, encryption)
            try file.close()
        } catch {
            try? file.close()
            let isHost = error.kind == .noSpace || error.kind == .inputOutput
            throw isHost ? BlockError(system: error.errno, "Could not write qcow2 header") : error
        }
    }

    private func createBelow(_ request: CreateRequest, _ filename: String) throws(BlockError) {
        let driver = try request.graph.protocolDriver(for: filename)
        guard let creating = driver as? any CreatingDriver else {
            throw BlockError(.notSupported, "Protocol driver '\(driver.name)' does not support image creation")
        }
        var options = CreateOptions(creating.createOptions)
        for name in request.options.setNames
        where options.accepts(name) && !["size", "preallocation", "backing_file", "backing_fmt"].contains(name) {
            if let value = request.options.string(name) { try options.set(name, value) }
        }
        try creating.create(CreateRequest(filename: filename, options: options, graph: request.graph))
    }

    private func finish(_ request: CreateRequest, size: Int64, _ mode: Preallocation) throws(BlockError) {
        var flags = OpenFlags.writable
        flags.withoutBacking = true
        flags.mayResize = true
        var options = BlockOptions()
        if let data = request.options.string("data_file") {
            let driver = try request.graph.protocolDriver(for: data)
            options.add(try driver.parse(filename: data), under: "data-file")
            options["data-file.driver"] = .string(driver.name)
        }
        if let secret = request.options.string("encrypt.key-secret") {
            options["encrypt.key-secret"] = .string(secret)
        }
        let node = try request.graph.open(request.filename, format: "qcow2", options: options, flags: flags)
        guard let node = node as? QCOW2Node else { throw BlockError(.corrupt, "The new image is not qcow2") }
        do {
            try node.preallocate(mode, from: 0, to: size)
            if node.geometry.hasDataFile, let data = node.data as? any ResizableNode, data.length < size {
                try data.resize(to: size, preallocation: .off, exact: false)
            }
        } catch {
            try? node.close()
            throw error
        }
        try node.close()
    }

    private static func sizeOption(_ options: CreateOptions) throws(BlockError) -> Int64 {
        let size = options.number("size") ?? 0
        guard size <= Int64.max - 511 else { throw BlockError(.outOfRange, "Image size too large") }
        return (size + 511) & ~511
    }

    private static func preallocation(_ options: CreateOptions) throws(BlockError) -> Preallocation {
        guard let text = options.string("preallocation") else { return .off }
        guard let mode = Preallocation(rawValue: text) else {
            throw BlockError(.invalidArgument, "Parameter 'preallocation' does not accept value '\(text)'")
        }
        return mode
    }

    /// The header that the options ask for, without tables.
    func makeHeader(_ options: CreateOptions) throws(BlockError) -> Header {
        var header = Header()
        switch options.string("compat") {
        case nil, "1.1", "v3": header.version = 3
        case "0.10", "v2": header.version = 2
        case let other?: throw BlockError(.invalidArgument, "Parameter 'version' does not accept value '\(other)'")
        }
        let kind = options.string("compression_type") ?? "zlib"
        switch kind {
        case "zlib": header.compression = .zlib
        case "zstd": header.compression = .zstd
        default: throw BlockError(.invalidArgument, "Parameter 'compression-type' does not accept value '\(kind)'")
        }
        header.clusterBits = try Self.clusterBits(options)
        try Self.setFeatures(&header, options)
        try Self.setWidth(&header, options, newer: "version=v3 or greater")
        if let name = options.string("backing_file"), !name.isEmpty {
            guard name.utf8.count <= Format.maximumBackingName else {
                throw BlockError(.invalidArgument, "Backing file name too long")
            }
            header.backingName = name
        }
        if let format = options.string("backing_fmt") {
            guard header.backingName != nil else {
                throw BlockError(.invalidArgument, "Backing format cannot be used without backing file")
            }
            header.setExtension(Format.Extension.backingFormat, Array(format.utf8))
        }
        if let name = options.string("data_file") { header.setExtension(Format.Extension.dataFile, Array(name.utf8)) }
        if header.version >= 3 {
            header.setExtension(Format.Extension.featureNames, Header.featureNameTable)
        } else {
            header.headerLength = Format.version2HeaderLength
        }
        return header
    }

    static func clusterBits(_ options: CreateOptions) throws(BlockError) -> Int {
        let size = options.number("cluster_size") ?? 65536
        let bits = size > 0 ? size.trailingZeroBitCount : 0
        guard size > 0, size == 1 << Int64(bits), (Format.minimumClusterBits...Format.maximumClusterBits).contains(bits)
        else {
            throw BlockError(.invalidArgument, "Cluster size must be a power of two between 512 and 2048k")
        }
        return bits
    }

    private static func setFeatures(_ header: inout Header, _ options: CreateOptions) throws(BlockError) {
        let isOld = header.version < 3
        let newer = "compatibility level 1.1 and above (use version=v3 or greater)"
        if options.bool("extended_l2") {
            if header.clusterBits < Format.minimumSubclusteredBits {
                throw BlockError(
                    .invalidArgument,
                    "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes")
            }
            if isOld { throw BlockError(.invalidArgument, "Extended L2 entries are only supported with \(newer)") }
            header.incompatible |= Format.Incompatible.extendedL2
        }
        if options.string("data_file") != nil {
            if isOld { throw BlockError(.invalidArgument, "External data files are only supported with \(newer)") }
            header.incompatible |= Format.Incompatible.dataFile
        }
        if options.bool("data_file_raw") {
            if options.string("data_file") == nil {
                throw BlockError(.invalidArgument, "data-file-raw requires data-file")
            }
            if options.string("backing_file") != nil {
                throw BlockError(.invalidArgument, "Backing file and data-file-raw cannot be used at the same time")
            }
            header.autoClear |= Format.AutoClear.rawDataFile
        }
        if options.bool("lazy_refcounts") {
            if isOld { throw BlockError(.invalidArgument, "Lazy refcounts only supported with \(newer)") }
            header.compatible |= Format.lazyRefcounts
        }
        if header.compression != .zlib {
            if isOld {
                throw BlockError(.invalidArgument, "Non-zlib compression type is only supported with \(newer)")
            }
            header.incompatible |= Format.Incompatible.compression
        }
    }

    /// - Parameter newer: how to say which version is wanted.
    static func setWidth(
        _ header: inout Header, _ options: CreateOptions, newer: String
    ) throws(BlockError) {
        let bits = options.number("refcount_bits") ?? 16
        guard bits > 0, bits <= 64, bits & (bits - 1) == 0 else {
            throw BlockError(.invalidArgument, "Refcount width must be a power of two and may not exceed 64 bits")
        }
        if bits != 16, header.version < 3 {
            throw BlockError(
                .invalidArgument,
                "Different refcount widths than 16 bits require compatibility level 1.1 or above (use \(newer))")
        }
        header.refcountOrder = bits.trailingZeroBitCount
    }

    private static func checkCombination(
        _ options: CreateOptions, _ header: Header, _ mode: Preallocation
    ) throws(BlockError) {
        if header.backingName != nil, mode != .off, !header.hasExtendedL2 {
            throw BlockError(
                .invalidArgument,
                "Backing file and preallocation can only be used at the same time if extended_l2 is on")
        }
        let size = try sizeOption(options)
        guard header.l1EntriesNeeded(for: size) <= Format.maximumL1Size / 8 else {
            throw BlockError(
                .outOfRange, "The image size is too large for file format 'qcow2' (try using a larger cluster size)")
        }
    }

    /// Writes the tables of an empty image: refcounts, L1, the encryption's header, and after they are durable the
    /// header.
    static func format(
        _ file: any BlockNode, _ given: Header, size: Int64, _ encryption: NewEncryption? = nil
    ) throws(BlockError) {
        var header = given
        header.size = size
        header.l1Size = Int(header.l1EntriesNeeded(for: size))
        let geometry = Geometry(header)
        let cluster = header.clusterSize
        let l1Clusters = Int(geometry.clusters(Int64(header.l1Size) * 8))
        let secretLength = try encryption?.headerLength() ?? 0
        let layout = RefcountLayout(
            counts: [UInt16](repeating: 1, count: 1), geometry: geometry, order: header.refcountOrder,
            following: l1Clusters + Int(geometry.clusters(secretLength)))
        header.refcountTableOffset = layout.tableOffset
        header.refcountTableClusters = layout.tableClusters
        header.l1Offset = layout.end
        let buffer = AlignedBuffer(count: cluster)
        try layout.write(to: file, geometry: geometry, through: buffer)
        if header.l1Size > 0 {
            try file.writeZeroes(at: header.l1Offset, count: Int64(header.l1Size) * 8, flags: [])
        }
        if let encryption {
            header.cryptMethod = encryption.method.rawValue
            let offset = layout.end + Int64(l1Clusters * cluster)
            if secretLength > 0 {
                try file.writeZeroes(at: offset, count: geometry.roundUp(secretLength), flags: [])
                let place = AlignedBuffer(count: 16)
                place.region.storeBigEndian(offset, at: 0)
                place.region.storeBigEndian(secretLength, at: 8)
                header.setExtension(Format.Extension.encryption, place.region.bytes)
            }
            try encryption.create(file, at: offset)
        }
        try file.flush()
        let bytes = try header.serialize()
        buffer.region.copy(from: bytes)
        buffer.region.from(bytes.count).fill(0)
        try file.write(buffer.region, at: 0)
    }
}

extension QCOW2Driver {
    /// Writes the tables of an empty image to any node, which tests look over the shoulder of.
    package static func formatForTests(_ file: any BlockNode, _ options: CreateOptions) throws(BlockError) {
        try format(file, try QCOW2Driver().makeHeader(options), size: 0)
    }
}

extension BlockGraph {
    /// Opens the file itself for writing, without looking for a format.
    func openBelow(_ filename: String) throws(BlockError) -> any BlockNode {
        let driver = try protocolDriver(for: filename)
        var options = try driver.parse(filename: filename)
        options["driver"] = .string(driver.name)
        var flags = OpenFlags.writable
        flags.mayResize = true
        return try open(nil, options: options, flags: flags)
    }
}
