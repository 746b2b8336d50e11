// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Lets the processors of a machine run one at a time, in the order in which they ask (`-accel tcg,thread=single`). Each
/// keeps its turn until it halts, is stopped, or has had it for a slice while others wait.
public final class ProcessorTurns: @unchecked Sendable {
    /// Guards the fields below.
    private let lock = Lock()
    private var nextTicket: UInt64 = 0
    private var served: UInt64 = 0
    /// Whose turn it is; processors live as long as their threads, which are all that comes here.
    private var holder: Unmanaged<SoftCPU>?

    /// Nanoseconds that a processor may keep others waiting.
    private static let slice: UInt64 = 1_000_000

    /// Nobody's turn.
    public init() {}

    /// Waits for the processor's turn.
    func take(_ cpu: SoftCPU) {
        lock.lock()
        defer { lock.unlock() }
        let ticket = nextTicket
        nextTicket &+= 1
        while served != ticket {
            if !lock.wait(until: monotonicNanoseconds() &+ Self.slice) {
                holder?._withUnsafeGuaranteedRef { $0.raiseAttention(Attention.turnOver) }
            }
        }
        holder = .passUnretained(cpu)
    }

    /// Ends the turn of the processor that has it.
    func release() {
        lock.withLock {
            holder = nil
            served &+= 1
            lock.broadcast()
        }
    }
}
