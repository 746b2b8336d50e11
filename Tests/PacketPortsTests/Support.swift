// SPDX-License-Identifier: Apache-2.0

import HostIO
import HostSystem
import PacketPorts

/// Keeps what it receives; can be told to have no room.
final class Collector: PacketReceiver {
    var frames: [[UInt8]] = []
    var isBusy = false
    var refusals = 0
    var readiness = 0
    var links: [Bool] = []

    func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        if isBusy {
            refusals += 1
            return .busy
        }
        // The bytes are lent for this call, and copied.
        unsafe frames.append(Array(frame))
        return .accepted
    }
    func portIsReady() { readiness += 1 }
    func linkChanged(isUp: Bool) { links.append(isUp) }
}

extension EventLoop {
    /// Runs until something holds. False after ten seconds.
    func pump(until condition: () -> Bool) -> Bool {
        let deadline = monotonicNanoseconds() + 10_000_000_000
        while !condition() {
            guard monotonicNanoseconds() < deadline else { return false }
            runOnce(timeoutMilliseconds: 5)
        }
        return true
    }

    /// Runs what can be done now.
    func drain() { for _ in 0..<8 { runOnce(timeoutMilliseconds: 0) } }
}

/// A frame with `count` bytes that differ from those of other numbers.
func frame(_ number: Int, count: Int = 64) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }
}
