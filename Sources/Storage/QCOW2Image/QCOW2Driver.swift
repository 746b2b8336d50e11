// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// The `qcow2` format.
public struct QCOW2Driver: ProbingDriver {
    /// "qcow2".
    public let name = "qcow2"
    let ciphers: (any ClusterCipherProvider)?

    /// The driver.
    /// - Parameter ciphers: opens encrypted images; without it they are refused.
    public init(ciphers: (any ClusterCipherProvider)? = nil) { self.ciphers = ciphers }

    /// The magic number and a version of at least 2.
    public func probe(head: [UInt8], filename: String) -> Int {
        guard head.count >= 8, head.starts(with: [0x51, 0x46, 0x49, 0xfb]) else { return 0 }
        let version = head[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return version >= 2 ? 100 : 0
    }

    /// Opens an image; see `takeOptions` for the options.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let file = try request.openFile()
        do {
            return try open(&request, file)
        } catch {
            try? file.close()
            throw error
        }
    }

    private func open(_ request: inout OpenRequest, _ file: any BlockNode) throws(BlockError) -> any BlockNode {
        var flags = request.flags
        flags.isWritable = flags.isWritable && !file.isReadOnly
        var header = try Header.read(
            file, forChecking: flags.forChecking, isWritable: flags.isWritable && !flags.forChecking)
        var overlaps = OverlapChecks()
        let l2Memory = try takeOptions(&request.options, header, &overlaps)
        var own = BlockOptions()
        let data = try openData(&request, header, file, &own)
        let cipher = try openCipher(&request, header, file, &own)
        if flags.isWritable { header.autoClear &= Format.AutoClear.known }
        let backing = try request.openBacking(
            name: header.backingName, format: header.extensionText(Format.Extension.backingFormat), parent: file)
        let node = try QCOW2Node(
            QCOW2Node.Parts(
                file: file, data: data, header: header, flags: flags, backing: backing, cipher: cipher,
                secrets: request.graph.secrets, l2Memory: l2Memory, overlaps: overlaps, ownOptions: own,
                warn: request.graph.warn))
        try node.finishOpening()
        return node
    }

    /// Tuning: `l2-cache-size` and `cache-size` bound the memory for L2 tables; the others are checked for their form
    /// and need nothing here: refcounts are never lazy, overlaps are always checked, caches shrink by themselves.
    private func takeOptions(
        _ options: inout BlockOptions, _ header: Header, _ overlaps: inout OverlapChecks
    ) throws(BlockError) -> Int {
        let lazy = try options.takeBool("lazy-refcounts")
        if lazy == true, header.version < 3 {
            throw BlockError(
                .invalidArgument,
                "Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level")
        }
        let l2Size = try options.takeSize("l2-cache-size")
        let total = try options.takeSize("cache-size")
        let refcountSize = try options.takeSize("refcount-cache-size")
        if let total, l2Size != nil, refcountSize != nil {
            throw BlockError(
                .invalidArgument,
                "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time (\(total))")
        }
        for (name, size) in [("l2-cache-size", l2Size), ("refcount-cache-size", refcountSize)] {
            if let total, let size, size > total {
                throw BlockError(.invalidArgument, "\(name) may not exceed cache-size")
            }
        }
        let entry = try options.takeSize("l2-cache-entry-size")
        if let entry, entry < 512 || entry > Int64(header.clusterSize) || entry & (entry - 1) != 0 {
            throw BlockError(
                .invalidArgument,
                "L2 cache entry size must be a power of two between 512 and the cluster size (\(header.clusterSize))")
        }
        _ = try options.takeNumber("cache-clean-interval")
        for name in ["pass-discard-request", "pass-discard-snapshot", "pass-discard-other"] {
            _ = try options.takeBool(name)
        }
        overlaps = try OverlapChecks(&options)
        let needed = (header.size >> Int64(header.clusterBits)) * (header.hasExtendedL2 ? 16 : 8)
        let bound = l2Size ?? total ?? Self.largestL2Memory
        return Int(max(min(needed, bound), Self.smallestL2Memory))
    }

    private static let largestL2Memory: Int64 = 16 << 20
    private static let smallestL2Memory: Int64 = 64 << 10

    private func openData(
        _ request: inout OpenRequest, _ header: Header, _ file: any BlockNode, _ own: inout BlockOptions
    ) throws(BlockError) -> any BlockNode {
        let isNamed = request.options.hasSubtree("data-file")
        guard header.hasDataFile else {
            if isNamed {
                throw BlockError(.invalidArgument, "'data-file' can only be set for images with an external data file")
            }
            return file
        }
        if isNamed { return try request.openFile("data-file") }
        guard let stored = header.extensionText(Format.Extension.dataFile), !stored.isEmpty else {
            throw BlockError(.invalidArgument, "'data-file' is required for this image")
        }
        if request.flags.metadataOnly, request.flags.withoutBacking, request.flags.forceShare { return file }
        // Unlike a backing file's name, the name counts from the current folder: QEMU takes it so.
        let driver = try request.graph.protocolDriver(for: stored)
        request.options.add(try driver.parse(filename: stored), under: "data-file")
        request.options["data-file.driver"] = .string(driver.name)
        return try request.openFile("data-file")
    }

    private func openCipher(
        _ request: inout OpenRequest, _ header: Header, _ file: any BlockNode, _ own: inout BlockOptions
    ) throws(BlockError) -> (any ClusterCipher)? {
        var options = request.options.takeSubtree("encrypt")
        if let secret = request.options.take("encrypt-key-secret") { options["key-secret"] = .string(secret) }
        guard header.cryptMethod != 0 else {
            // A secret alone does no harm.
            if let format = options.string("format") {
                throw BlockError(
                    .invalidArgument, "No encryption in image header, but options specified format '\(format)'")
            }
            return nil
        }
        guard let ciphers else {
            throw BlockError(
                .notSupported, "The image is encrypted (method \(header.cryptMethod)), which this build cannot open")
        }
        if let secret = options.string("key-secret") { own["encrypt.key-secret"] = .string(secret) }
        let range = header.encryptionHeader
        if header.cryptMethod == 2 {
            guard let range else {
                throw BlockError(
                    .invalidArgument, "Missing CRYPTO header for crypt method \(header.cryptMethod)")
            }
            guard range.lowerBound & Int64(header.clusterSize - 1) == 0 else {
                throw BlockError(
                    .invalidArgument,
                    "Encryption header offset '\(range.lowerBound)' is not a multiple of cluster size '\(header.clusterSize)'"
                )
            }
        }
        guard let method = EncryptionMethod(rawValue: header.cryptMethod) else {
            throw BlockError(.invalidArgument, "Unsupported encryption method \(header.cryptMethod)")
        }
        let cipher = try ciphers.open(
            method, file: file, headerRange: range, options: &options,
            secrets: request.graph.secrets, metadataOnly: request.flags.metadataOnly || request.flags.forChecking)
        request.options.add(options, under: "encrypt")
        return cipher
    }
}

extension QCOW2Node {
    /// Loads what is needed beyond L1, and repairs an image that was not closed cleanly.
    func finishOpening() throws(BlockError) {
        // A check reads this table itself, and tells what is wrong with it.
        if !flags.forChecking { try loadSnapshots() }
        try loadBitmaps()
        try loadProtected()
        collectReserved()
        guard !isReadOnly else { return }
        if header.version >= 3 { try clearUnknownFeatures() }
        guard !flags.forChecking else { return }
        if header.incompatible & Format.Incompatible.dirty != 0 {
            do throws(BlockError) {
                let result = try check(repair: [.leaks, .errors], report: warn)
                if result.checkErrors > 0 { throw BlockError(system: .inputOutput) }
            } catch {
                throw BlockError(system: error.errno, "Could not repair dirty image")
            }
        }
    }

    /// Bits of features that this program does not know and that must be cleared by who writes.
    private func clearUnknownFeatures() throws(BlockError) {
        let stored = try file.readBytes(at: 88, count: 8)[...].withRegionOfCopy { $0.bigEndian(at: 0, as: UInt64.self) }
        if stored != header.autoClear { try writeFixedHeader() }
    }
}

extension ArraySlice<UInt8> {
    func withRegionOfCopy<R>(_ body: (ByteRegion) throws(BlockError) -> R) throws(BlockError) -> R {
        let copy = AlignedBuffer(count: count)
        copy.region.copy(from: Array(self))
        return try body(copy.region)
    }
}
