// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// The `raw` format: the bytes of the file are the bytes of the disk.
public struct RawDriver: ProbingDriver, MeasuringDriver, AmendingDriver {
    /// The driver.
    public init() {}

    /// "raw".
    public let name = "raw"

    /// Anything can be raw, but every other format comes first.
    public func probe(head: [UInt8], filename: String) -> Int { 1 }

    /// Opens the node; options `offset` and `size` select a part of the file.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let given = ["offset", "size"].map { ($0, request.options[$0]) }
        let offset = try request.options.takeSize("offset") ?? 0
        let size = try request.options.takeSize("size")
        let isPart = offset != 0 || size != nil
        let file = try request.openFile(access: isPart && request.flags.isWritable ? .format : .passThrough)
        guard offset <= file.length else {
            throw BlockError(
                .invalidArgument,
                "Offset (\(offset)) cannot be greater than size of the containing file (\(file.length))")
        }
        if let size, size > file.length - offset {
            throw BlockError(
                .invalidArgument,
                "The sum of offset (\(offset)) and size (\(size)) has to be smaller or equal to the  actual size of the containing file (\(file.length))"
            )
        }
        let isGuessed = request.isProbed && request.flags.isWritable
        if isGuessed { request.graph.warn(Self.guessWarning(file.location.filename)) }
        let graph = request.graph
        let looksRaw: RawNode.HeadGuard = { head in
            (graph.bestMatch(head: head, filename: "")?.name ?? "raw") == "raw"
        }
        return RawNode(
            file: file, start: offset, size: size, isReadOnly: !request.flags.isWritable || file.isReadOnly,
            given: BlockOptions(given.compactMap { pair in pair.1.map { (pair.0, $0) } }),
            headGuard: isGuessed ? looksRaw : nil)
    }

    private static func guessWarning(_ filename: String) -> String {
        """
        WARNING: Image format was not specified for '\(filename)' and probing guessed raw.
                 Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.
                 Specify the 'raw' format explicitly to remove the restrictions.
        """
    }

    /// Only the size is the format's; the rest is for the file below.
    public var createOptions: [CreateOption] { [CreateOption("size", .size, "Virtual disk size")] }
    /// A raw image cannot name another one.
    public var supportsBacking: Bool { false }
    /// Nothing can be amended.
    public var amendOptions: [CreateOption] { [] }

    /// Makes the file.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let driver = try request.graph.protocolDriver(for: request.filename)
        guard let creating = driver as? any CreatingDriver else {
            throw BlockError(.notSupported, "Protocol driver '\(driver.name)' does not support image creation")
        }
        try creating.create(request)
    }

    /// Exactly the size, whatever the content.
    public func measure(_ options: CreateOptions, source: (any BlockNode)?) throws(BlockError) -> ImageMeasure {
        let size = source?.length ?? options.number("size") ?? 0
        let rounded = size > Int64.max - 511 ? size : (size + 511) & ~511
        return ImageMeasure(required: rounded, fullyAllocated: rounded)
    }
}
