// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Takes everything and says nothing (`null`).
public final class NullStream: CharacterBackend, @unchecked Sendable {
    public let label: String
    public let filename = "null"
    public let isOpen = true
    public weak var frontend: (any CharacterFrontend)? {
        didSet { frontend?.handle(.opened) }
    }

    /// A stream to nowhere.
    public init(label: String) { self.label = label }

    public func send(_ bytes: ArraySlice<UInt8>) -> Int { bytes.count }
    public func resumeInput() {}
    public func close() {}
}

/// Keeps the last bytes of output (`ringbuf`).
public final class RingStream: CharacterBackend, @unchecked Sendable {
    public let label: String
    public let filename = "ringbuf"
    public let isOpen = true
    public weak var frontend: (any CharacterFrontend)? {
        didSet { frontend?.handle(.opened) }
    }
    // Guarded by `lock`.
    private var bytes: [UInt8] = []
    private let lock = Lock()
    private let capacity: Int

    /// Keeps `capacity` bytes, 1 or more.
    public init(label: String, capacity: Int) {
        self.label = label
        self.capacity = max(capacity, 1)
    }

    public func send(_ more: ArraySlice<UInt8>) -> Int {
        lock.withLock {
            bytes.append(contentsOf: more.suffix(capacity))
            if bytes.count > capacity { bytes.removeFirst(bytes.count - capacity) }
        }
        return more.count
    }

    /// Takes the oldest bytes out.
    public func take(_ count: Int) -> [UInt8] {
        lock.withLock {
            let taken = Array(bytes.prefix(max(count, 0)))
            bytes.removeFirst(taken.count)
            return taken
        }
    }

    public func resumeInput() {}
    public func close() {}
}
