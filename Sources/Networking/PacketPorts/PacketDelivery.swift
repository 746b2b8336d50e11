// SPDX-License-Identifier: Apache-2.0

/// Hands frames to a receiver in order, and keeps those for which it has no room. For ports whose source cannot wait.
public struct PacketDelivery {
    private var waiting: FrameQueue
    private var isDelivering = false
    /// Frames that were lost because the queue was full.
    public private(set) var dropped = 0

    /// - Parameter limit: frames that are kept.
    public init(limit: Int = 1024) { waiting = FrameQueue(limit: limit) }

    /// Frames wait for the receiver.
    public var isBlocked: Bool { !waiting.isEmpty }

    /// Delivers a frame, or keeps a copy.
    public mutating func deliver(_ frame: UnsafeRawBufferPointer, to receiver: (any PacketReceiver)?) {
        guard let receiver else { return }
        if waiting.isEmpty, unsafe receiver.receive(frame) == .accepted { return }
        if unsafe !waiting.append(frame) { dropped += 1 }
    }

    /// Delivers what waits, until the receiver has no room again.
    public mutating func resume(_ receiver: (any PacketReceiver)?) {
        guard let receiver else { return }
        while let frame = waiting.first {
            // The array lives for the call.
            guard unsafe frame.withUnsafeBytes({ unsafe receiver.receive($0) }) == .accepted else { return }
            waiting.removeFirst()
        }
    }
}
