// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// How fast a disk may be: for bytes and for requests, in all, read and written, an average and a burst.
public struct IOLimits: Equatable, Sendable {
    /// One limit; 0 is none.
    public struct Limit: Equatable, Sendable {
        /// A second, on average.
        public var average: UInt64 = 0
        /// A second, during a burst of at most `length` seconds; 0 for a tenth of a second's average at once.
        public var maximum: UInt64 = 0
        /// Seconds.
        public var length: UInt64 = 1
        /// No limit.
        public init() {}
    }

    /// What is limited; the raw values are those of `block_set_io_throttle`.
    public enum Kind: String, CaseIterable, Sendable {
        case bytes = "bps", readBytes = "bps_rd", writtenBytes = "bps_wr"
        case requests = "iops", reads = "iops_rd", writes = "iops_wr"

        var isBytes: Bool { self == .bytes || self == .readBytes || self == .writtenBytes }

        func concerns(isWrite: Bool) -> Bool {
            switch self {
            case .bytes, .requests: true
            case .readBytes, .reads: !isWrite
            case .writtenBytes, .writes: isWrite
            }
        }
    }

    /// By what they limit; those that are left out are none.
    public var limits: [Kind: Limit] = [:]
    /// Larger requests count as several of this many bytes; 0 for one each.
    public var requestSize: UInt64 = 0
    /// Disks of one name share their limits.
    public var group = ""

    /// No limits.
    public init() {}

    /// The largest value.
    public static let largest: UInt64 = 1_000_000_000_000_000

    /// Whether anything is limited.
    public var isOn: Bool { limits.values.contains { $0.average > 0 } }

    /// Why it cannot be; nil where it can.
    public var problem: String? {
        func isSet(_ kind: Kind) -> Bool { (limits[kind]?.average ?? 0) > 0 }
        func isBursting(_ kind: Kind) -> Bool { (limits[kind]?.maximum ?? 0) > 0 }
        for (total, parts) in [(Kind.bytes, [Kind.readBytes, .writtenBytes]), (.requests, [.reads, .writes])] {
            if isSet(total), parts.contains(where: isSet) || isBursting(total) && parts.contains(where: isBursting) {
                return "bps/iops/max total values and read/write values cannot be used at the same time"
            }
        }
        if requestSize > 0, ![Kind.requests, .reads, .writes].contains(where: isSet) {
            return "iops size requires an iops value to be set"
        }
        for limit in limits.values {
            if limit.average > Self.largest || limit.maximum > Self.largest {
                return "bps/iops/max values must be within [0, \(Self.largest)]"
            }
            if limit.length == 0 { return "the burst length cannot be 0" }
            if limit.length > 1, limit.maximum == 0 { return "burst length set without burst rate" }
            if limit.maximum > 0, limit.average == 0 { return "bps_max/iops_max require corresponding bps/iops values" }
            if limit.maximum > 0, limit.maximum < limit.average {
                return "bps_max/iops_max cannot be lower than bps/iops"
            }
        }
        return nil
    }
}

/// Makes requests wait as the limits say: each limit is a bucket that leaks at its average, and in a burst as fast as its
/// maximum; who would make it overflow waits until enough has leaked out.
public final class IOThrottle: @unchecked Sendable {
    private struct Bucket {
        let kind: IOLimits.Kind
        let limit: IOLimits.Limit
        /// What is in it, and in the second bucket that bounds a burst's rate.
        var level = 0.0, burst = 0.0
    }

    private let lock = Lock()
    // Guarded by `lock`.
    private var current = IOLimits()
    private var buckets: [Bucket] = []
    private var last: UInt64 = 0
    private var isOpen = false

    /// No limits.
    public init() {}

    /// What is set.
    public var limits: IOLimits {
        get { lock.withLock { current } }
        set {
            lock.withLock {
                current = newValue
                buckets = IOLimits.Kind.allCases.compactMap { kind in
                    guard let limit = newValue.limits[kind], limit.average > 0 else { return nil }
                    return Bucket(kind: kind, limit: limit)
                }
                last = monotonicNanoseconds()
                lock.broadcast()
            }
        }
    }

    /// Whether requests have to ask.
    var isOn: Bool { lock.withLock { !buckets.isEmpty } }

    /// Lets everybody through while the machine stands still, so that nothing is under way for long.
    public func setOpen(_ value: Bool) {
        lock.withLock {
            isOpen = value
            lock.broadcast()
        }
    }

    /// Waits until a request may begin.
    func pass(isWrite: Bool, bytes: Int64) {
        lock.withLock {
            while !isOpen, !buckets.isEmpty {
                let now = monotonicNanoseconds()
                leak(until: now)
                let delay = buckets.reduce(0.0) { max($0, $1.kind.concerns(isWrite: isWrite) ? Self.delay($1) : 0) }
                if delay <= 0 { break }
                _ = lock.wait(until: now &+ UInt64(min(delay * 1e9, 1e18)) &+ 1)
            }
            for index in buckets.indices where buckets[index].kind.concerns(isWrite: isWrite) {
                let size = current.requestSize
                let requests = size > 0 ? max(Double(bytes) / Double(size), 1) : 1
                let amount = buckets[index].kind.isBytes ? Double(bytes) : requests
                buckets[index].level += amount
                if buckets[index].limit.length > 1 { buckets[index].burst += amount }
            }
        }
    }

    private func leak(until now: UInt64) {
        let seconds = Double(now &- last) / 1e9
        last = now
        for index in buckets.indices {
            let limit = buckets[index].limit
            buckets[index].level = max(0, buckets[index].level - Double(limit.average) * seconds)
            buckets[index].burst = max(0, buckets[index].burst - Double(limit.maximum) * seconds)
        }
    }

    /// Seconds until a bucket has room again.
    private static func delay(_ bucket: Bucket) -> Double {
        let limit = bucket.limit, tenth = 0.1
        // A tenth of a second's worth may always come at once.
        let room =
            limit.maximum > 0
            ? Double(limit.maximum) * Double(limit.length) : Double(limit.average) * tenth
        let extra = bucket.level - room
        if extra > 0 { return extra / Double(limit.average) }
        guard limit.length > 1 else { return 0 }
        let burst = bucket.burst - Double(limit.maximum) * tenth
        return burst > 0 ? burst / Double(limit.maximum) : 0
    }
}

extension BlockDevices {
    /// Limits a disk, together with all of its group; no limits take it out.
    public func setLimits(_ limits: IOLimits, of device: String) throws(BlockError) {
        guard let backend = roots.first(where: { $0.drive == device })?.backend ?? backend(of: device) else {
            throw BlockError(.notFound, "Device '\(device)' not found")
        }
        if let problem = limits.problem { throw BlockError(.invalidArgument, problem) }
        guard limits.isOn else {
            backend.throttle = nil
            throttles = throttles.filter { entry in roots.contains { $0.backend.throttle === entry.value } }
            return
        }
        var limits = limits
        if limits.group.isEmpty { limits.group = backend.throttle?.limits.group ?? device }
        let throttle = throttles[limits.group] ?? IOThrottle()
        throttles[limits.group] = throttle
        throttle.limits = limits
        backend.throttle = throttle
    }

    /// Lets requests through at any speed, for the time that the machine stands still.
    public func setThrottlesOpen(_ isOpen: Bool) {
        for throttle in throttles.values { throttle.setOpen(isOpen) }
    }
}
