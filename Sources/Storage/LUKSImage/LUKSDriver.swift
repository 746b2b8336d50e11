// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import ByteCoding
internal import HostSystem

/// The `luks` format: version 1 to read and write, version 2 to read where the format is given. An image of version 2 is
/// not recognised by its content, as with QEMU: scripts copy such volumes as they are.
public struct LUKSDriver: ProbingDriver, MeasuringDriver, AmendingDriver {
    /// "luks".
    public let name = "luks"
    /// The driver.
    public init() {}

    /// The magic number with version 1.
    public func probe(head: [UInt8], filename: String) -> Int {
        let version: UInt16? = head.load(at: LUKSHeader.Offset.version, order: .big)
        return head.starts(with: LUKSHeader.magic) && version == 1 ? 100 : 0
    }

    /// Opens an image. `key-secret` names the passphrase; it is not needed to look at the metadata.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let secret = request.options.take("key-secret")
        return try request.withFile { (request, file) throws(BlockError) in
            if try Self.isVersion2(file) {
                return try Self.openVersion2(file, request.flags, secret, request.graph.secrets)
            }
            let volume = try LUKSVolume.open(file)
            if !request.flags.metadataOnly {
                guard let secret else {
                    throw BlockError(.invalidArgument, "Parameter 'key-secret' is required for cipher")
                }
                try volume.unlock(passphrase: try request.graph.secrets.secret(secret))
            }
            var own = BlockOptions()
            if let secret { own["key-secret"] = .string(secret) }
            return LUKSNode(
                file: file, volume: volume, secrets: request.graph.secrets,
                isReadOnly: !request.flags.isWritable || file.isReadOnly, ownOptions: own)
        }
    }

    private static func isVersion2(_ file: any BlockNode) throws(BlockError) -> Bool {
        guard file.length >= 8 else { return false }
        let head = try file.readBytes(at: 0, count: 8)
        return head.starts(with: LUKSHeader.magic) && head.load(UInt16.self, at: 6, order: .big) == 2
    }

    private static func openVersion2(
        _ file: any BlockNode, _ flags: OpenFlags, _ secret: String?, _ secrets: any SecretProvider
    ) throws(BlockError) -> any BlockNode {
        guard !flags.isWritable else {
            throw BlockError(
                .readOnly, "LUKS volumes of version 2 are only read", errno: .accessDenied,
                advice: "Convert it to a format that is written as well, like qcow2 with encrypt.format=luks")
        }
        if flags.metadataOnly { return try LUKS2Node(file: file, passphrase: nil) }
        guard let secret else { throw BlockError(.invalidArgument, "Parameter 'key-secret' is required for cipher") }
        return try LUKS2Node(file: file, passphrase: try secrets.secret(secret))
    }

    /// The options of `create`.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("key-secret", .text, "ID of the secret that provides the keyslot passphrase"),
            CreateOption("cipher-alg", .text, "Name of encryption cipher algorithm"),
            CreateOption("cipher-mode", .text, "Name of encryption cipher mode"),
            CreateOption("ivgen-alg", .text, "Name of IV generator algorithm"),
            CreateOption("ivgen-hash-alg", .text, "Name of IV generator hash algorithm"),
            CreateOption("hash-alg", .text, "Name of encryption hash algorithm"),
            CreateOption("iter-time", .number, "Time to spend in PBKDF in milliseconds"),
        ]
    }
    /// None.
    public var supportsBacking: Bool { false }

    /// The options of `amend`.
    public var amendOptions: [CreateOption] {
        [
            CreateOption("iter-time", .number, "Time to spend in PBKDF in milliseconds"),
            CreateOption("keyslot", .number, "Select a single keyslot to modify explicitly"),
            CreateOption("new-secret", .text, "New secret to set in the matching keyslots. Empty string to erase"),
            CreateOption("old-secret", .text, "Select all keyslots that match this password"),
            CreateOption("state", .text, "Select new state of affected keyslots (active/inactive)"),
        ]
    }

    /// Makes an image with one passphrase.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let size = try request.sectorSize()
        let options = request.options
        guard let secret = options.string("key-secret") else {
            throw BlockError(.invalidArgument, "Parameter 'key-secret' is required for cipher")
        }
        let passphrase = try request.graph.secrets.secret(secret)
        let payload = try LUKSVolume.headerLength { options.string($0) }
        guard size <= Int64.max - payload else {
            throw BlockError(.outOfRange, "The requested file size is too large")
        }
        let mode = try FileDriver.preallocation(
            options.accepts("preallocation") ? options.string("preallocation") : nil, allowed: [.off, .falloc, .full])
        try request.withNewFile { (file) throws(BlockError) in
            _ = try LUKSVolume.create(file, passphrase: passphrase) { options.string($0) }
            guard let file = file as? any ResizableNode else { return }
            try file.resize(to: payload + size, preallocation: mode, exact: false)
        }
    }

    /// Header and content; all of it is always there.
    public func measure(_ options: CreateOptions, source: (any BlockNode)?) throws(BlockError) -> ImageMeasure {
        guard options.string("key-secret") != nil else {
            throw BlockError(.invalidArgument, "Parameter 'key-secret' is required for cipher")
        }
        let payload = try LUKSVolume.headerLength { options.string($0) }
        let size = source?.length ?? options.number("size") ?? 0
        guard size <= Int64.max - payload - 511 else { throw BlockError(.outOfRange, "The image size is too large") }
        let total = payload + (size + 511) & ~511
        return ImageMeasure(required: total, fullyAllocated: total)
    }
}
