// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import GuestMemory
internal import HostSystem
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

    private var context: VirtioActivation?
    private var chain: DescriptorChain?

    /// A source without bounds.
    public init() {}

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
                while queue.take(into: chain) {
                    let wanted = min(chain.writableCount, buffer.count)
                    let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
                    // The kernel fills at most the part's length. It fails only before the host has gathered any
                    // entropy at all, and then the driver gets no bytes and asks again.
                    let count = (try? retrying { unsafe getrandom(part.baseAddress, part.count, 0) }) ?? 0
                    let written = unsafe chain.write(UnsafeRawBufferPointer(rebasing: part[..<count]))
                    queue.complete(chain.head, written: written)
                }
            } while queue.enableNotifications()
        }
        queue.publish(context.interrupts, machineLockHeld: true)
    }
}
