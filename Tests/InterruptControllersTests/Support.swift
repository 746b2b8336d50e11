// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import HostSystem
import InterruptControllers
import MachineModel

/// Records what the controllers tell a processor.
final class RecordingCPU: CPUSignals, TimestampCounter, @unchecked Sendable {
    var interruptRequest = false
    var nonMaskable = 0
    var initializations = 0
    var startups: [UInt8] = []
    var systemManagement = 0
    var timestamp: UInt64 { clock.now * 2 }
    let timestampFrequency: UInt64 = 2_000_000_000
    let clock: ManualClock

    init(clock: ManualClock) { self.clock = clock }
    func setInterruptRequest(_ asserted: Bool) { interruptRequest = asserted }
    func raiseNonMaskableInterrupt() { nonMaskable += 1 }
    func raiseInit() { initializations += 1 }
    func raiseStartup(vector: UInt8) { startups.append(vector) }
    func raiseSystemManagementInterrupt() { systemManagement += 1 }
}

/// All interrupt controllers of a PC with some processors that only record.
final class Bench {
    let clock = ManualClock()
    let machineLock = Lock()
    let controllers = SoftwareInterruptControllers()
    let routing: GSIRouting
    let ports: AddressSpace
    private(set) var apics: [LocalAPIC] = []
    private(set) var cpus: [RecordingCPU] = []

    init(processors: Int = 1, softwareEnabled: Bool = true) {
        routing = GSIRouting(sink: controllers)
        ports = AddressSpace(machineLock: machineLock)
        controllers.pic.map(in: ports)
        for index in 0..<processors {
            let apic = LocalAPIC(
                identifier: UInt32(index), isBootstrap: index == 0, bus: controllers.bus, machineLock: machineLock,
                clock: clock, physicalAddressBits: 40)
            let cpu = RecordingCPU(clock: clock)
            apic.attach(cpu, timestampCounter: cpu)
            apics.append(apic)
            cpus.append(cpu)
            if softwareEnabled { apic.writeRegister(offset: 0xF0, size: 4, value: 0x1FF) }
        }
    }

    var apic: LocalAPIC { apics[0] }
    var cpu: RecordingCPU { cpus[0] }

    func ioWrite(_ register: UInt8, _ value: UInt32) {
        controllers.ioAPIC.write(offset: 0, size: 4, value: UInt64(register))
        controllers.ioAPIC.write(offset: 0x10, size: 4, value: UInt64(value))
    }

    func ioRead(_ register: UInt8) -> UInt32 {
        controllers.ioAPIC.write(offset: 0, size: 4, value: UInt64(register))
        return UInt32(truncatingIfNeeded: controllers.ioAPIC.read(offset: 0x10, size: 4))
    }

    /// Sets a redirection entry: low word last, since it unmasks.
    func redirect(_ pin: UInt8, _ low: UInt32, destination: UInt8 = 0) {
        ioWrite(0x11 + pin * 2, UInt32(destination) << 24)
        ioWrite(0x10 + pin * 2, low)
    }

    /// Initializes both 8259As as PCs do: vectors 0x20 and 0x28, everything unmasked.
    func initializePIC(fourth: UInt8 = 0x01) {
        for (base, second, third) in [(0x20, 0x20, 0x04), (0xA0, 0x28, 0x02)] as [(UInt64, UInt64, UInt64)] {
            ports.write(base, size: 1, value: 0x11)
            ports.write(base + 1, size: 1, value: second)
            ports.write(base + 1, size: 1, value: third)
            ports.write(base + 1, size: 1, value: UInt64(fourth))
            ports.write(base + 1, size: 1, value: 0)
        }
    }
}

extension LocalAPIC {
    func write(_ offset: UInt64, _ value: UInt64) { writeRegister(offset: offset, size: 4, value: value) }
    func read(_ offset: UInt64) -> UInt64 { readRegister(offset: offset, size: 4) }
    func endInterrupt() { write(0xB0, 0) }
}
