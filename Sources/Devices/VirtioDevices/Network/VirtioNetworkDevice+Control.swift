// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import HostIO
internal import HostSystem
internal import PacketPorts
internal import Virtio

/// The control queue (Virtio 1.2, 5.1.6.5). On the vCPU's thread with the machine lock held.
extension VirtioNetworkDevice {
    private enum Command {
        static let receive: UInt8 = 0, address: UInt8 = 1, vlan: UInt8 = 2, announce: UInt8 = 3, offloads: UInt8 = 5
    }
    private enum Answer {
        static let done: UInt8 = 0, refused: UInt8 = 1
    }
    /// The longest message: two full tables of addresses that are still read.
    private static let longestMessage = 65536

    func serveControl() {
        guard let context = lock.withLock({ context }), context.queues.count > QueueNumber.control else { return }
        let queue = context.queues[QueueNumber.control]
        let chain = DescriptorChain(memory: context.memory)
        repeat {
            queue.disableNotifications()
            while queue.take(into: chain) {
                guard chain.readableCount >= 2, chain.writableCount >= 1 else {
                    queue.fail(.badRequest("virtio-net ctrl missing headers"))
                    return
                }
                let message = chain.readBytes(limit: Self.longestMessage)
                let accepted = lock.withLock { obey(message[0], message[1], message[2...], context.features) }
                chain.store(accepted ? Answer.done : Answer.refused, at: 0)
                queue.complete(chain.head, written: 1)
            }
        } while queue.enableNotifications()
        queue.publish(context.interrupts, machineLockHeld: true)
    }

    /// One command; false refuses it. `lock` is held.
    private func obey(
        _ group: UInt8, _ command: UInt8, _ data: ArraySlice<UInt8>, _ features: VirtioFeatures
    ) -> Bool {
        switch group {
        case Command.receive: return setMode(command, data)
        case Command.address where command == 0: return filter.setTables(data)
        case Command.address where command == 1:
            guard data.count == VirtioNetworkFilter.addressCount else { return false }
            filter.address = Array(data)
            return true
        case Command.vlan where command < 2:
            guard data.count == 2, let low = data.first, let high = data.last else { return false }
            return filter.setVLAN(UInt16(low) | UInt16(high) << 8, command == 0)
        case Command.announce where command == 0:
            guard announcePending else { return false }
            announcePending = false
            return true
        case Command.offloads where command == 0: return setOffloads(data, features)
        default: return false
        }
    }

    private func setMode(_ command: UInt8, _ data: ArraySlice<UInt8>) -> Bool {
        guard data.count == 1, let on = data.first.map({ $0 != 0 }) else { return false }
        switch command {
        case 0: filter.isPromiscuous = on
        case 1: filter.takesAllMulticast = on
        case 2: filter.takesAllUnicast = on
        case 3: filter.refusesMulticast = on
        case 4: filter.refusesUnicast = on
        case 5: filter.refusesBroadcast = on
        default: return false
        }
        return true
    }

    /// The driver may give back some of what it had accepted.
    private func setOffloads(_ data: ArraySlice<UInt8>, _ features: VirtioFeatures) -> Bool {
        guard data.count == 8, features.contains(.networkControlOffloads) else { return false }
        var bits: UInt64 = 0
        for byte in data.reversed() { bits = bits << 8 | UInt64(byte) }
        let wanted = VirtioFeatures(rawValue: bits)
        let possible: VirtioFeatures = [
            .networkGuestChecksum, .networkGuestTCP4, .networkGuestTCP6, .networkGuestCongestion, .networkGuestUDP,
        ]
        guard wanted.isSubset(of: possible.intersection(features)) else { return false }
        setReceiveOffloads(Self.receiveOffloads(wanted))
        return true
    }
}
