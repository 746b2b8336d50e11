// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Takes everything and says nothing (`null`).
public final class NullStream: CharacterBackend, @unchecked Sendable {
    /// The identifier of -chardev, or the one made for it.
    public let label: String
    /// As `info chardev` calls it.
    public let filename = "null"
    /// Always: nobody can go away.
    public let isOpen = true
    /// Told `.opened` when it is set, and nothing after.
    public weak var frontend: (any CharacterFrontend)? {
        didSet { frontend?.handle(.opened) }
    }

    /// A stream to nowhere.
    public init(label: String) { self.label = label }

    /// Takes everything and keeps nothing.
    public func send(_ bytes: ArraySlice<UInt8>) -> Int { bytes.count }
    /// There is never any input.
    public func resumeInput() {}
    /// Nothing was opened.
    public func close() {}
}

/// Keeps the last bytes of output (`ringbuf`).
public final class RingStream: CharacterBackend, @unchecked Sendable {
    /// The identifier of -chardev, or the one made for it.
    public let label: String
    /// As `info chardev` calls it.
    public let filename = "ringbuf"
    /// Always: nobody can go away.
    public let isOpen = true
    /// Told `.opened` when it is set, and nothing after.
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

    /// Takes everything; the oldest bytes over the capacity are lost.
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

    /// There is never any input.
    public func resumeInput() {}
    /// Nothing was opened.
    public func close() {}
}
