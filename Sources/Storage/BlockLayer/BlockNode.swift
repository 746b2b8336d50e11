// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// A flat, byte-addressed disk: a file on the host, an image format over one, or a filter over another node.
///
/// All requests are synchronous and may come from several threads at once; a node orders only what overlaps. Offsets and
/// lengths are in bytes; a request must lie in `0 ..< length` except where a driver that grows says otherwise, and must
/// be aligned to `limits.requestAlignment`. After `flush` returns, all writes that had returned before it was called
/// survive a crash of the host.
public protocol BlockNode: AnyObject, Sendable {
    /// The driver's name as in `driver=`: "qcow2", "raw", "file".
    var driverName: String { get }
    /// The current length in bytes.
    var length: Int64 { get }
    /// Whether writes are refused.
    var isReadOnly: Bool { get }
    /// Alignment, sizes and defaults for requests.
    var limits: BlockLimits { get }
    /// How the node was named and could be opened again.
    var location: NodeLocation { get }
    /// The nodes below, by their role: "file", "backing", "data-file".
    var children: [NodeChild] { get }

    /// Fills the regions, one after the other, with the bytes from `offset` on.
    func read(_ regions: [ByteRegion], at offset: Int64) throws(BlockError)
    /// Fills the region with the bytes from `offset` on.
    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError)
    /// Writes the regions' bytes, one after the other, from `offset` on.
    func write(_ regions: [ByteRegion], at offset: Int64, flags: WriteFlags) throws(BlockError)
    /// Writes the region's bytes from `offset` on.
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError)
    /// Makes a range read as zeroes, as cheaply as the driver can.
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError)
    /// Tells that a range's content is not needed any more. It is a hint; what it reads as afterwards is the driver's.
    func discard(at offset: Int64, count: Int64) throws(BlockError)
    /// Makes all completed writes durable.
    func flush() throws(BlockError)
    /// What a range of this node alone (not its backing node) holds; covers at least one byte and at most `count`.
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus
    /// Writes out everything cached and marks the image as cleanly closed. The node must not be used afterwards.
    func close() throws(BlockError)
}

/// A child of a node.
public struct NodeChild: Sendable {
    /// "file", "backing", "data-file" or a driver's own name.
    public let role: String
    /// The node below.
    public let node: any BlockNode

    /// Names a child.
    public init(role: String, node: any BlockNode) {
        self.role = role
        self.node = node
    }
}

/// What a write promises.
public struct WriteFlags: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// From the bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Durable when the call returns.
    public static let forceUnitAccess = WriteFlags(rawValue: 1)
}

/// How zeroes may be made.
public struct ZeroFlags: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// From the bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The storage may be given back.
    public static let mayUnmap = ZeroFlags(rawValue: 1)
    /// Fail with `.notSupported` rather than write zero bytes one by one.
    public static let noFallback = ZeroFlags(rawValue: 2)
    /// Durable when the call returns.
    public static let forceUnitAccess = ZeroFlags(rawValue: 4)
}

/// Sizes in bytes that requests should respect.
public struct BlockLimits: Sendable, Equatable {
    /// Offsets and lengths must be multiples of this (a power of two, 1 for buffered files).
    public var requestAlignment: Int
    /// Memory must be aligned to this.
    public var memoryAlignment: Int
    /// The unit in which discarding and zeroing is cheap; 0 when any.
    public var clusterSize: Int
    /// The longest request that makes sense; 0 for no bound.
    public var maximumTransfer: Int

    /// Limits of a buffered file unless told otherwise.
    public init(
        requestAlignment: Int = 1, memoryAlignment: Int = 1, clusterSize: Int = 0, maximumTransfer: Int = 0
    ) {
        self.requestAlignment = requestAlignment
        self.memoryAlignment = memoryAlignment
        self.clusterSize = clusterSize
        self.maximumTransfer = maximumTransfer
    }
}

/// How much trouble a status query may take.
public enum StatusDetail: Sendable {
    /// Only allocation and zeroes by the node's own metadata.
    case allocation
    /// Also ask the layers below whether data clusters are holes there.
    case zeroes
    /// Also where the data is; answers may be shorter.
    case mapping
}

/// What a range of a node holds.
public struct BlockStatus: Sendable, Equatable {
    /// The range's length in bytes, at least 1 and at most what was asked for (0 only at the end of the node).
    public var count: Int64
    /// Reading needs the storage below: there are bytes.
    public var isData: Bool
    /// The range reads as zeroes.
    public var isZero: Bool
    /// The content comes from this layer and not from its backing node.
    public var isAllocated: Bool
    /// The bytes are compressed (or otherwise not found one by one at `offset`).
    public var isCompressed: Bool
    /// Where the first byte is in `file`, nil when not stored one by one.
    public var offset: Int64?
    /// The node that `offset` counts in.
    public var file: (any BlockNode)?
    /// The range ends at the end of the node.
    public var isEnd: Bool

    /// All parts, with the common defaults.
    public init(
        count: Int64, isData: Bool = false, isZero: Bool = false, isAllocated: Bool = true,
        isCompressed: Bool = false, offset: Int64? = nil, file: (any BlockNode)? = nil, isEnd: Bool = false
    ) {
        self.count = count
        self.isData = isData
        self.isZero = isZero
        self.isAllocated = isAllocated
        self.isCompressed = isCompressed
        self.offset = offset
        self.file = file
        self.isEnd = isEnd
    }

    /// Equal in all parts; nodes by identity.
    public static func == (a: BlockStatus, b: BlockStatus) -> Bool {
        a.count == b.count && a.isData == b.isData && a.isZero == b.isZero && a.isAllocated == b.isAllocated
            && a.isCompressed == b.isCompressed && a.offset == b.offset && a.file === b.file && a.isEnd == b.isEnd
    }
}

/// How a node was named.
public struct NodeLocation: Sendable, Equatable {
    /// What people are shown: a path, a URL or a `json:` name.
    public var filename: String
    /// The plain path when there is one, against which relative names in the image are resolved.
    public var path: String?
    /// The driver options that open the node again.
    public var options: BlockOptions

    /// All parts.
    public init(filename: String, path: String? = nil, options: BlockOptions = BlockOptions()) {
        self.filename = filename
        self.path = path
        self.options = options
    }
}

extension BlockNode {
    /// Region by region; drivers with a vectored call below do better.
    public func read(_ regions: [ByteRegion], at offset: Int64) throws(BlockError) {
        var position = offset
        for region in regions {
            try read(region, at: position)
            position &+= Int64(region.count)
        }
    }

    /// Region by region; drivers with a vectored call below do better.
    public func write(_ regions: [ByteRegion], at offset: Int64, flags: WriteFlags) throws(BlockError) {
        var position = offset
        for region in regions {
            try write(region, at: position, flags: flags)
            position &+= Int64(region.count)
        }
    }

    /// Writes without a promise beyond the next flush.
    public func write(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try write(region, at: offset, flags: [])
    }

    /// Writes an array's bytes; for headers and tests, not for the request path (it copies).
    public func write(_ bytes: [UInt8], at offset: Int64) throws(BlockError) {
        try bytes.withRegion { (region) throws(BlockError) in try write(region, at: offset, flags: []) }
    }

    /// Reads `count` bytes into a new array; for headers and tests.
    public func readBytes(at offset: Int64, count: Int) throws(BlockError) -> [UInt8] {
        let buffer = AlignedBuffer(count: count)
        try read(buffer.region, at: offset)
        return buffer.region.bytes
    }

    /// The child with a role.
    public func child(_ role: String) -> (any BlockNode)? { children.first { $0.role == role }?.node }

    /// Fails unless the range lies in `0 ..< length`.
    public func checkRange(at offset: Int64, count: Int64) throws(BlockError) {
        guard offset >= 0, count >= 0, offset <= length, count <= length - offset else {
            throw BlockError(
                .outOfRange,
                "\(location.filename): the range of \(count) bytes at \(offset) is not inside the \(length) bytes there",
                errno: .inputOutput)
        }
    }

    /// Fails when the node was opened for reading.
    public func checkWritable() throws(BlockError) {
        if isReadOnly { throw BlockError(.readOnly, "\(location.filename): opened for reading only") }
    }
}
