// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import GuestMemory
internal import HostSystem
public import MachineModel
public import Virtio

/// `virtio-rng`: random bytes of the host's kernel (Virtio 1.2, 5.4). Works on the vCPU's thread with the machine lock
/// held: a request takes microseconds.
public final class VirtioEntropyDevice: VirtioDevice {
    /// The transport adds `-pci` or `-device`.
    public let name = "virtio-rng"
    /// Device type 4 (5.4.1).
    public let type = VirtioDeviceType.entropy
    /// None of its own.
    public let features: VirtioFeatures = []
    /// One queue for requests (5.4.2).
    public let queueSizes: [UInt16] = [8]
    /// Random bytes given for one request; the rest of a longer buffer stays as it is.
    private static let largestRequest = 4096

    private let limit: Limit?
    private var timer: (any MachineTimer)?
    /// Bytes that may still be given in this period.
    private var left: UInt64 = 0
    private var context: VirtioActivation?
    private var chain: DescriptorChain?

    /// `max-bytes=` in each `period=`.
    public struct Limit {
        let bytes: UInt64
        let period: UInt64
        let clock: any MachineClock

        /// - Parameters:
        ///   - bytes: more than 0.
        ///   - milliseconds: the period, more than 0.
        public init(bytes: UInt64, milliseconds: UInt32, clock: any MachineClock) {
            precondition(bytes > 0 && milliseconds > 0)
            self.bytes = bytes
            period = UInt64(milliseconds) * 1_000_000
            self.clock = clock
        }
    }

    /// A source, without bounds unless told otherwise.
    public init(limit: Limit? = nil) {
        self.limit = limit
        left = limit?.bytes ?? .max
        timer = limit?.clock.makeTimer { [weak self] in self?.beginPeriod() }
    }

    private func beginPeriod() {
        left = limit?.bytes ?? .max
        serve()
    }

    /// Counts bytes given, and starts the clock of a period with its first ones.
    private func spend(_ count: Int) {
        guard let limit else { return }
        left -= UInt64(count)
        if let timer, timer.deadline == nil { timer.arm(at: limit.clock.now + limit.period) }
    }

    /// There are no registers (5.4.4).
    public func readConfig() -> [UInt8] { [] }
    /// There are no registers: the write is dropped, as the specification wants.
    public func writeConfig(offset: Int, size: Int, value: UInt64) {
        // There are no registers.
    }

    /// Fills the buffers that were queued before the driver was ready.
    public func activate(_ context: VirtioActivation) {
        self.context = context
        chain = DescriptorChain(memory: context.memory)
        serve()
    }

    /// Lets go of the queue; a limit's period goes on.
    public func reset() {
        context = nil
        chain = nil
    }

    /// Fills the new buffers at once, as far as the limit allows.
    public func notified(queue: Int) { serve() }

    private func serve() {
        guard let context, let chain, let queue = context.queues.first else { return }
        unsafe withUnsafeTemporaryAllocation(byteCount: Self.largestRequest, alignment: 8) { buffer in
            repeat {
                queue.disableNotifications()
                while left > 0, queue.take(into: chain) {
                    let wanted = Int(min(UInt64(min(chain.writableCount, buffer.count)), left))
                    let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
                    // The kernel fills at most the part's length. It fails only before the host has gathered any
                    // entropy at all, and then the driver gets no bytes and asks again.
                    let count = (try? retrying { unsafe getrandom(part.baseAddress, part.count, 0) }) ?? 0
                    let written = unsafe chain.write(UnsafeRawBufferPointer(rebasing: part[..<count]))
                    spend(written)
                    queue.complete(chain.head, written: written)
                }
            } while left > 0 && queue.enableNotifications()
        }
        queue.publish(context.interrupts, machineLockHeld: true)
    }
}
