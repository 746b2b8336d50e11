// SPDX-License-Identifier: Apache-2.0

/// `null-co` and `null-aio`: a disk of a given size that stores nothing.
public struct NullDriver: ProtocolDriver {
    /// "null-co" or "null-aio".
    public let name: String

    /// The driver by one of its names.
    public init(name: String = "null-co") { self.name = name }

    /// The driver's name.
    public var schemes: [String] { [name] }

    /// `null-co://`, without further parts.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        guard filename == "\(name)://" else {
            throw BlockError(.invalidArgument, "The only allowed filename for this driver is '\(name)://'")
        }
        return BlockOptions()
    }

    /// Options: `size` in bytes (1 GiB), `read-zeroes`, `latency-ns` is not known.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        var given = BlockOptions([("driver", .string(name))])
        for key in request.options.keys where ["size", "read-zeroes"].contains(key) {
            given[key] = request.options[key]
        }
        let size = try request.options.takeSize("size") ?? 1 << 30
        let zeroes = try request.options.takeBool("read-zeroes") ?? false
        return NullNode(
            driverName: name, length: size, readsZeroes: zeroes, isReadOnly: !request.flags.isWritable, given: given)
    }
}

/// A disk that stores nothing.
final class NullNode: HostStorageNode {
    let driverName: String
    let length: Int64
    let isReadOnly: Bool
    let limits = BlockLimits()
    let location: NodeLocation
    let children: [NodeChild] = []
    private let readsZeroes: Bool

    init(driverName: String, length: Int64, readsZeroes: Bool, isReadOnly: Bool, given: BlockOptions) {
        self.driverName = driverName
        self.length = length
        self.readsZeroes = readsZeroes
        self.isReadOnly = isReadOnly
        location = NodeLocation(
            filename: given.keys.count > 1 ? given.jsonName : "\(driverName)://", options: given)
    }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        if readsZeroes { region.fill(0) }
    }

    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: Int64(region.count))
    }

    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
    }

    func allocatedBytes() -> Int64? { 0 }
    func discard(at offset: Int64, count: Int64) throws(BlockError) { try checkRange(at: offset, count: count) }
    func flush() throws(BlockError) {}
    func close() throws(BlockError) {}

    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let limit = max(min(count, length - offset), 0)
        return BlockStatus(
            count: limit, isZero: readsZeroes, isAllocated: false, offset: offset, file: self,
            isEnd: offset + limit >= length)
    }
}
