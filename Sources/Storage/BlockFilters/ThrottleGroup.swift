// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// Limits that several nodes share: requests wait until what went before is paid for.
public final class ThrottleGroup: @unchecked Sendable {
    /// What a limit counts.
    private enum Unit { case bytes, requests }

    /// One limit: so much of a unit in a second, of reads, writes or both.
    private struct Limit {
        let unit: Unit
        let reads: Bool
        let writes: Bool
        let perSecond: Double
        /// When the next request may begin, in nanoseconds of the monotonic clock. Guarded by the group's lock.
        var free: UInt64 = 0
    }

    private static let names: [(name: String, unit: Unit, reads: Bool, writes: Bool)] = [
        ("bps-total", .bytes, true, true), ("bps-read", .bytes, true, false), ("bps-write", .bytes, false, true),
        ("iops-total", .requests, true, true), ("iops-read", .requests, true, false),
        ("iops-write", .requests, false, true),
    ]

    private let lock = Lock()
    private var limits: [Limit] = []

    /// Takes `x-bps-total`, `limits.iops-read` and so on; 0 is no limit. Bursts are not told apart.
    init(_ options: inout BlockOptions) throws(BlockError) {
        for (name, unit, reads, writes) in Self.names {
            for key in ["x-\(name)", "limits.\(name)"] {
                guard let value = try options.takeSize(key), value > 0 else { continue }
                limits.append(Limit(unit: unit, reads: reads, writes: writes, perSecond: Double(value)))
            }
        }
        if let unknown = options.keys.first {
            throw BlockError(.notSupported, "Property 'throttle-group.\(unknown)' not found")
        }
    }

    /// Nanoseconds that one request can cost at most: more than thirty years.
    private static let longestWait = 1e18

    /// Returns when a request may begin.
    func wait(isWrite: Bool, bytes: Int) {
        lock.withLock {
            let now = monotonicNanoseconds()
            var start = now
            for index in limits.indices where isWrite ? limits[index].writes : limits[index].reads {
                start = max(start, limits[index].free)
                let cost = (limits[index].unit == .bytes ? Double(bytes) : 1) / limits[index].perSecond
                limits[index].free = max(limits[index].free, now) &+ UInt64(min(cost * 1e9, Self.longestWait))
            }
            while monotonicNanoseconds() < start { _ = lock.wait(until: start) }
        }
    }
}

/// The groups of `--object throttle-group`, by identifier.
public final class ThrottleGroups: @unchecked Sendable {
    // Guarded by `lock`.
    private var groups: [String: ThrottleGroup] = [:]
    private let lock = Lock()

    /// No groups yet.
    public init() {}

    /// Makes a group of an object's options, without its type.
    public func add(_ options: BlockOptions) throws(BlockError) {
        var options = options
        guard let identifier = options.take("id") else {
            throw BlockError(.invalidArgument, "Parameter 'id' is missing")
        }
        let group = try ThrottleGroup(&options)
        lock.withLock { groups[identifier] = group }
    }

    func group(_ identifier: String) -> ThrottleGroup? { lock.withLock { groups[identifier] } }
}

/// The `throttle` filter: another node's disk at the pace of a group.
public struct ThrottleDriver: BlockDriver {
    /// "throttle".
    public let name = "throttle"
    private let groups: ThrottleGroups

    /// - Parameter groups: where `throttle-group=` is looked up.
    public init(groups: ThrottleGroups) { self.groups = groups }

    /// Options: `throttle-group` and `file.*`.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        guard let identifier = request.options.take("throttle-group") else {
            throw BlockError(.invalidArgument, "Please specify a throttle group")
        }
        guard let group = groups.group(identifier) else {
            throw BlockError(.notFound, "Throttle group '\(identifier)' does not exist")
        }
        let node = try request.openAny("file", name: request.filename)
        request.filename = nil
        let extra = BlockOptions([("throttle-group", .string(identifier))])
        return ThrottleNode(node, group, location: .over(node.location, driver: "throttle", extra: extra))
    }
}

/// An opened `throttle` filter.
final class ThrottleNode: FilterNode, LockableNode, HostStorageNode {
    let driverName = "throttle"
    let filtered: any BlockNode
    let location: NodeLocation
    private let group: ThrottleGroup

    init(_ node: any BlockNode, _ group: ThrottleGroup, location: NodeLocation) {
        filtered = node
        self.group = group
        self.location = location
    }

    var length: Int64 { filtered.length }
    var isReadOnly: Bool { filtered.isReadOnly }
    var limits: BlockLimits { filtered.limits }
    var children: [NodeChild] { [NodeChild(role: "file", node: filtered)] }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        group.wait(isWrite: false, bytes: region.count)
        try filtered.read(region, at: offset)
    }

    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        group.wait(isWrite: true, bytes: region.count)
        try filtered.write(region, at: offset, flags: flags)
    }

    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        group.wait(isWrite: true, bytes: Int(truncatingIfNeeded: count))
        try filtered.writeZeroes(at: offset, count: count, flags: flags)
    }

    func discard(at offset: Int64, count: Int64) throws(BlockError) {
        group.wait(isWrite: true, bytes: Int(truncatingIfNeeded: count))
        try filtered.discard(at: offset, count: count)
    }

    func flush() throws(BlockError) { try filtered.flush() }
    func close() throws(BlockError) { try filtered.close() }

    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        try filtered.status(at: offset, count: count, detail: detail)
    }

    func allocatedBytes() -> Int64? { (filtered as? any HostStorageNode)?.allocatedBytes() }

    func lock(holds: FilePermissions, shares: FilePermissions) throws(BlockError) {
        try (filtered as? any LockableNode)?.lock(holds: holds, shares: shares)
    }
}
