// SPDX-License-Identifier: Apache-2.0

import Virtio

/// A device that copies what it reads into what it writes.
final class EchoDevice: VirtioDevice {
    let name = "virtio-echo"
    let type = VirtioDeviceType.entropy
    let features = VirtioFeatures(bit: 3)
    let queueSizes: [UInt16] = [16, 0, 8]
    var registers: [UInt8] = [1, 2, 3, 4, 5]
    var context: VirtioActivation?
    var chain: DescriptorChain?
    var resets = 0
    var notifications: [Int] = []

    func readConfig() -> [UInt8] { registers }
    func writeConfig(offset: Int, size: Int, value: UInt64) {
        for index in 0..<size where registers.indices.contains(offset + index) {
            registers[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
    }
    func activate(_ context: VirtioActivation) {
        self.context = context
        chain = DescriptorChain(memory: context.memory)
    }
    func reset() {
        context = nil
        resets += 1
    }
    func notified(queue: Int) {
        notifications.append(queue)
        guard let context, let chain else { return }
        let source = context.queues[queue]
        while source.take(into: chain) {
            source.complete(chain.head, written: chain.write(chain.readBytes(limit: 4096)))
        }
        source.publish(context.interrupts, machineLockHeld: true)
    }
}
