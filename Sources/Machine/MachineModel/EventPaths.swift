// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// A guest's write that signals an event file instead of coming to the run loop.
public struct WatchedWrite: Equatable, Sendable {
    /// Port or guest-physical address.
    public var address: UInt64
    /// Bytes of the write: 1, 2, 4, 8, or 0 for any.
    public var count: Int
    /// Only this value; nil for any.
    public var value: UInt64?
    /// In port space.
    public var isPort: Bool

    /// Everything by name.
    public init(address: UInt64, count: Int, value: UInt64? = nil, isPort: Bool = false) {
        self.address = address
        self.count = count
        self.value = value
        self.isPort = isPort
    }
}

/// What an engine can do past the run loop, where it can: a capability of the machine's `MessageInterruptSink`.
public protocol EventPaths: AnyObject {
    /// Signals `event`, and does nothing else, for such writes.
    /// - Returns: false where the engine cannot; the write then reaches its register window.
    func watch(_ write: WatchedWrite, signalling event: EventFile) -> Bool
    /// Undoes `watch` with the same arguments.
    func unwatch(_ write: WatchedWrite, signalling event: EventFile)
    /// A way for one message; nil where the engine has no more of them.
    func makeMessageRoute() -> (any MessageRoute)?
}

/// One message-signalled interrupt that an event file delivers. Callable on any thread.
public protocol MessageRoute: AnyObject, Sendable {
    /// The message from now on.
    /// - Returns: false where the engine refuses it; `signal` then delivers nothing.
    func setMessage(address: UInt64, data: UInt32) -> Bool
    /// Delivers it.
    func signal()
}
