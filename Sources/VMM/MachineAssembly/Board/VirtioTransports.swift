// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import FirmwareTables
internal import GuestMemory
internal import InterruptControllers
internal import MachineModel
internal import Virtio

/// The places for virtio devices in a microvm's memory, each with registers and an interrupt of its own, as QEMU has them
/// with one I/O APIC.
final class VirtioTransports {
    /// Guest-physical address of the first.
    static let base: UInt64 = 0xFEB0_0000
    private static let count = 8
    /// Global interrupts of the first place: with ACPI those that no ISA device has, without it ISA interrupts.
    private static let firstInterrupt = (withACPI: 16, withoutACPI: 5)
    private static let busName = "virtio-mmio-bus."

    private let space: AddressSpace
    private let routing: GSIRouting
    private let firstInterrupt: Int
    /// Places that are taken, in the order in which devices came.
    private var taken: [Int] = []
    /// The devices in that order.
    private(set) var devices: [VirtioMMIODevice] = []

    init(space: AddressSpace, routing: GSIRouting, hasACPI: Bool) {
        self.space = space
        self.routing = routing
        firstInterrupt = hasACPI ? Self.firstInterrupt.withACPI : Self.firstInterrupt.withoutACPI
    }

    /// Puts a device into a place: that of `bus`, or the free one with the highest number, as QEMU does.
    func add(
        _ device: any VirtioDevice, bus: String?, isLegacy: Bool, memory: GuestMemory, executor: MachineExecutor,
        hasPackedRings: Bool
    ) throws(UserError) {
        let place: Int
        if let bus {
            guard bus.hasPrefix(Self.busName), let number = Int(bus.dropFirst(Self.busName.utf8.count)),
                (0..<Self.count).contains(number)
            else {
                throw UserError(
                    "Bus '\(bus)' not found",
                    remedy: "the buses are \(Self.busName)0 to \(Self.busName)\(Self.count - 1)")
            }
            guard !taken.contains(number) else { throw UserError("Bus '\(bus)' is full") }
            place = number
        } else {
            guard let free = (0..<Self.count).last(where: { !taken.contains($0) }) else {
                throw UserError(
                    "No 'virtio-bus' bus found for device", because: "all \(Self.count) places are taken")
            }
            place = free
        }
        let line = routing.interruptLine(gsi: firstInterrupt + place)
        let transport = VirtioMMIODevice(
            device, isLegacy: isLegacy, line: line, memory: memory, executor: executor,
            hasPackedRings: hasPackedRings)
        space.map(transport, at: address(place), count: VirtioMMIODevice.windowSize, name: "virtio-mmio")
        taken.append(place)
        devices.append(transport)
    }

    private func address(_ place: Int) -> UInt64 { Self.base + UInt64(place) * VirtioMMIODevice.windowSize }

    /// For the tables.
    var descriptions: [MachineDescription.VirtioDevice] {
        taken.sorted().map { place in
            MachineDescription.VirtioDevice(
                base: UInt32(truncatingIfNeeded: address(place)), count: UInt32(VirtioMMIODevice.windowSize),
                interrupt: UInt32(firstInterrupt + place))
        }
    }

    /// What tells a kernel without ACPI of the devices: words for its command line.
    var kernelWords: String {
        taken.map { place in
            " virtio_mmio.device=\(VirtioMMIODevice.windowSize)@0x\(String(address(place), radix: 16)):"
                + "\(firstInterrupt + place)"
        }.joined()
    }
}
