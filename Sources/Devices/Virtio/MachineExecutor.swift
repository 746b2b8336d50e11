// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// How a thread of a device gets at what the machine lock guards without ever waiting for that lock: the one who holds
/// it may be waiting for the device's thread to let go of a queue.
public struct MachineExecutor: Sendable {
    /// The machine lock.
    public let lock: Lock
    /// Runs a piece of work soon on a thread that holds no lock, as `EventLoop.post` does.
    public let post: @Sendable (@escaping @Sendable () -> Void) -> Void

    /// - Parameter post: `EventLoop.post` of the main loop.
    public init(lock: Lock, post: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) {
        self.lock = lock
        self.post = post
    }

    /// Runs `work` with the machine lock held: now, when the caller holds it, else soon.
    public func run(machineLockHeld: Bool, _ work: @escaping @Sendable () -> Void) {
        if machineLockHeld { return work() }
        post { [lock] in lock.withLock { work() } }
    }
}
