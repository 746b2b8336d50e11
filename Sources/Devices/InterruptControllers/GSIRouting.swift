// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import MachineModel

/// Takes the level of a global system interrupt: the software controllers, or KVM's (KVM_IRQ_LINE).
public protocol GSISink: AnyObject {
    /// The wire-or of all devices on `gsi` changed. The machine lock is held.
    func setGSI(_ gsi: Int, level: Bool)
}

/// The machine's interrupt wires: any number of devices on each global system interrupt, joined by a wire-or.
///
/// GSI 0...15 are the ISA interrupts, 16...23 the PCI ones of the I/O APIC. Guarded by the machine lock.
public final class GSIRouting {
    /// One I/O APIC's worth.
    public static let count = 24
    private let sink: any GSISink
    private var asserted = [Int](repeating: 0, count: GSIRouting.count)

    /// Wires that end at `sink`.
    public init(sink: any GSISink) { self.sink = sink }

    /// A new wire for one device; a number out of 0..<24 gives one that goes nowhere.
    public func interruptLine(gsi: Int) -> InterruptLine {
        guard asserted.indices.contains(gsi) else { return .unconnected() }
        return InterruptLine { [unowned self] level in change(gsi, level) }
    }

    private func change(_ gsi: Int, _ level: Bool) {
        let before = asserted[gsi]
        let after = level ? before &+ 1 : max(before &- 1, 0)
        asserted[gsi] = after
        if (before == 0) != (after == 0) { sink.setGSI(gsi, level: after != 0) }
    }
}

/// PIC, I/O APIC and the bus of local APICs for the software CPU, wired as on a PC.
public final class SoftwareInterruptControllers: GSISink, Device {
    /// For logs; each controller keeps its own saved state.
    public let name = "interrupt-controllers"
    /// Add one `LocalAPIC` for each vCPU.
    public let bus: APICBus
    /// Gets lines 0...15 but 2, its own cascade.
    public let pic: DualPIC
    /// Gets all 24 lines, line 0 on input 2 as the MADT tells.
    public let ioAPIC: IOAPIC
    /// How often each line rose, for `info irq`.
    public private(set) var riseCounts = [UInt64](repeating: 0, count: GSIRouting.count)
    private var levels: UInt32 = 0

    /// All controllers in the state of power-on, without processors.
    public convenience init() { self.init(bus: APICBus()) }

    init(bus: APICBus) {
        self.bus = bus
        pic = DualPIC(bus: bus)
        ioAPIC = IOAPIC(bus: bus)
    }

    /// GSI 0...15 go to the PIC and the I/O APIC, the rest to the I/O APIC alone. The ISA timer's GSI 0 arrives at I/O
    /// APIC pin 2, as the MADT's source override says; GSI 2 is the PIC's cascade and has no wire.
    public func setGSI(_ gsi: Int, level: Bool) {
        count(gsi, level)
        bus.lock.withLock {
            switch gsi {
            case 0:
                pic.setInputLocked(0, level: level)
                ioAPIC.setPinLocked(2, level: level)
            case 1, 3...15:
                pic.setInputLocked(gsi, level: level)
                ioAPIC.setPinLocked(gsi, level: level)
            case 16..<GSIRouting.count:
                ioAPIC.setPinLocked(gsi, level: level)
            default:
                break
            }
        }
    }

    /// Resets the PIC, the I/O APIC and every local APIC.
    private func count(_ gsi: Int, _ level: Bool) {
        guard riseCounts.indices.contains(gsi) else { return }
        let bit = UInt32(1) << UInt32(gsi)
        if level, levels & bit == 0 { riseCounts[gsi] &+= 1 }
        levels = level ? levels | bit : levels & ~bit
    }

    /// Resets the PICs, the I/O APIC and all local APICs.
    public func reset() {
        pic.reset()
        ioAPIC.reset()
        for apic in bus.localAPICs { apic.reset() }
    }
}
