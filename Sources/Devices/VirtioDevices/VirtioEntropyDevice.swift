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
    public let name = "virtio-rng"
    public let type = VirtioDeviceType.entropy
    public let features: VirtioFeatures = []
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

    public func readConfig() -> [UInt8] { [] }
    public func writeConfig(offset: Int, size: Int, value: UInt64) {
        // There are no registers.
    }

    public func activate(_ context: VirtioActivation) {
        self.context = context
        chain = DescriptorChain(memory: context.memory)
        serve()
    }

    public func reset() {
        context = nil
        chain = nil
    }

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
