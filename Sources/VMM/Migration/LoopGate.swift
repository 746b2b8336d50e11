// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Carries a result from one thread to another that waits for it.
final class LoopGate<Value>: @unchecked Sendable {
    // Guards `value`.
    private let lock = Lock()
    private var value: Value?

    func open(_ value: Value) {
        lock.withLock {
            self.value = value
            lock.broadcast()
        }
    }

    func wait() -> Value {
        lock.withLock {
            while true {
                if let value { return value }
                lock.wait()
            }
        }
    }
}
