// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// The `blkdebug` filter: shows another node's disk, and lets chosen requests fail.
public struct FaultDriver: ProtocolDriver {
    /// "blkdebug".
    public let name = "blkdebug"
    /// The driver.
    public init() {}

    /// "blkdebug".
    public var schemes: [String] { ["blkdebug"] }

    private static let largestFile = 1 << 20

    /// `blkdebug:CONFIG:IMAGE`; the configuration may be empty.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        let body = filename.hasPrefix("blkdebug:") ? filename.dropFirst("blkdebug:".count) : Substring(filename)
        guard let colon = body.firstIndex(of: ":") else {
            return BlockOptions([("x-image", .string(String(body)))])
        }
        var options = BlockOptions()
        let config = String(body[..<colon])
        if !config.isEmpty { options["config"] = .string(config) }
        options["x-image"] = .string(String(body[body.index(after: colon)...]))
        return options
    }

    /// Options: `config` (a file with rules), `inject-error.N.*`, `set-state.N.*`, `align`, `image.*`.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        var given = request.options
        let config = request.options.take("config")
        let image = request.options.take("x-image")
        var rules: [FaultRule] = []
        if let config {
            // What is no file has no rules, as for QEMU when the image is only looked at.
            rules = try FaultRules.parse(try Self.read(config))
        }
        rules += try FaultRules.take(from: &request.options)
        let alignment = try request.options.takeSize("align")
        if let alignment, alignment <= 0 || alignment & (alignment - 1) != 0 || alignment >= Int64(Int32.max) {
            throw BlockError(.invalidArgument, "Cannot meet constraints with align \(alignment)")
        }
        for key in Self.ignoredLimits where try request.options.takeSize(key) != nil {
            throw BlockError(.notSupported, "blkdebug's option '\(key)' is not supported; leave it out")
        }
        let node = try request.openAny("image", name: image)
        _ = given.takeSubtree("image")
        for key in ["config", "x-image", "image", "driver"] { given[key] = nil }
        return FaultNode(
            node, rules: FaultRules(rules), alignment: Int(alignment ?? 1),
            location: Self.location(node, config: config, others: given))
    }

    private static let ignoredLimits = [
        "max-transfer", "opt-write-zero", "max-write-zero", "opt-discard", "max-discard",
    ]

    private static func read(_ path: String) throws(BlockError) -> String {
        do throws(Errno) {
            let file = try FileDescriptor.open(path)
            let buffer = AlignedBuffer(count: largestFile)
            // The descriptor writes only inside the buffer, which lives for the call.
            let count = try unsafe file.read(into: buffer.region.buffer)
            return String(decoding: buffer.region.slice(0, count).bytes, as: UTF8.self)
        } catch {
            throw BlockError(system: error, "Could not read blkdebug config file")
        }
    }

    private static func location(_ image: any BlockNode, config: String?, others: BlockOptions) -> NodeLocation {
        var extra = others
        if let config { extra["config"] = .string(config) }
        var location = NodeLocation.over(image.location, driver: "blkdebug", as: "image", extra: extra)
        if !others.isEmpty {
            location.filename = location.options.jsonName
        } else if !image.location.filename.hasPrefix("json:") {
            location.filename = "blkdebug:\(config ?? ""):\(image.location.filename)"
        }
        return location
    }
}

/// An opened `blkdebug` filter.
public final class FaultNode: FilterNode, EventNode, LockableNode, HostStorageNode, ResizableNode {
    /// "blkdebug".
    public let driverName = "blkdebug"
    /// The node whose disk this is.
    public let filtered: any BlockNode
    /// Where both are.
    public let location: NodeLocation
    /// The image's, with the alignment that was asked for.
    public let limits: BlockLimits
    private let rules: FaultRules

    init(_ image: any BlockNode, rules: FaultRules, alignment: Int, location: NodeLocation) {
        filtered = image
        self.rules = rules
        self.location = location
        var limits = image.limits
        limits.requestAlignment = max(limits.requestAlignment, alignment)
        self.limits = limits
    }

    /// The image's.
    public var length: Int64 { filtered.length }
    /// The image's.
    public var isReadOnly: Bool { filtered.isReadOnly }
    /// The image.
    public var children: [NodeChild] { [NodeChild(role: "image", node: filtered)] }

    /// Rules may wait for it.
    public func note(event: String) { rules.note(event) }

    /// Reads, or fails.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try rules.check(.read, at: offset, count: Int64(region.count))
        try filtered.read(region, at: offset)
    }

    /// Writes, or fails.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try rules.check(.write, at: offset, count: Int64(region.count))
        try filtered.write(region, at: offset, flags: flags)
    }

    /// Writes zeroes, or fails.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try rules.check(.writeZeroes, at: offset, count: count)
        try filtered.writeZeroes(at: offset, count: count, flags: flags)
    }

    /// Discards, or fails.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try rules.check(.discard, at: offset, count: count)
        try filtered.discard(at: offset, count: count)
    }

    /// Flushes, or fails.
    public func flush() throws(BlockError) {
        try rules.check(.flush, at: 0, count: 0)
        try filtered.flush()
    }

    /// The image's answer, or fails.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        try rules.check(.blockStatus, at: offset, count: count)
        return try filtered.status(at: offset, count: count, detail: detail)
    }

    /// Closes the image.
    public func close() throws(BlockError) { try filtered.close() }

    /// The image's.
    public func allocatedBytes() -> Int64? { nil }

    /// Locks the image.
    public func lock(holds: FilePermissions, shares: FilePermissions) throws(BlockError) {
        try (filtered as? any LockableNode)?.lock(holds: holds, shares: shares)
    }

    /// Resizes the image.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        guard let image = filtered as? any ResizableNode else {
            throw BlockError(.notSupported, "Image format driver does not support resize")
        }
        try image.resize(to: length, preallocation: preallocation, exact: exact)
    }
}
