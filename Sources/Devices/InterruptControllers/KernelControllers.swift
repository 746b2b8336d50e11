// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import MachineModel

/// Local APICs that are not ours but the kernel's, behind our PIC and I/O APIC. Called with the bus's lock held.
public protocol KernelLocalControllers: AnyObject {
    /// Sends an interrupt message.
    func deliver(address: UInt64, data: UInt32)
    /// What an unmasked input of the I/O APIC leads to now: the kernel tells the end of level-triggered ones only.
    func setRoute(pin: Int, address: UInt64, data: UInt32)
    /// The PIC's INT output.
    func setExternalRequest(_ level: Bool)
}

/// The PIC and the I/O APIC of a machine whose local APICs are the kernel's.
public final class SplitInterruptControllers: GSISink, Device {
    /// For logs; each controller keeps its own saved state.
    public let name = "interrupt-controllers"
    private let controllers: SoftwareInterruptControllers

    /// - Parameter kernel: gets what the controllers send.
    public init(kernel: any KernelLocalControllers) {
        controllers = SoftwareInterruptControllers(bus: APICBus(kernel: kernel))
    }

    /// Ports and saved state of the PIC.
    public var pic: DualPIC { controllers.pic }
    /// Registers and saved state of the I/O APIC.
    public var ioAPIC: IOAPIC { controllers.ioAPIC }

    /// As a PC is wired.
    public func setGSI(_ gsi: Int, level: Bool) { controllers.setGSI(gsi, level: level) }

    /// Both as at power-on.
    public func reset() { controllers.reset() }

    /// A processor ended the service of a level-triggered vector.
    public func endOfInterrupt(vector: UInt8) {
        controllers.bus.lock.withLock { controllers.bus.endOfInterruptLocked(vector: vector) }
    }

    /// The PIC's answer to a processor that takes its interrupt; nil where it asks for none any more.
    public func acknowledgeExternal() -> UInt8? {
        controllers.bus.lock.withLock { controllers.pic.isRequestingLocked ? controllers.pic.acknowledgeLocked() : nil }
    }
}

extension InterruptMessage {
    /// The address and data of the same message as a device writes it (SDM vol. 3, "Message Signalled Interrupts").
    var encoded: (address: UInt64, data: UInt32) {
        let logical: UInt64 = isLogical ? 1 << 2 : 0
        let level: UInt32 = isLevelTriggered ? 1 << 15 | 1 << 14 : 0
        return (
            MessageWindow.base | UInt64(destination & 0xFF) << 12 | logical,
            level | UInt32(delivery.rawValue) << 8 | UInt32(vector)
        )
    }
}
