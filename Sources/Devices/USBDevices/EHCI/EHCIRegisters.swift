// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// Registers and constants of EHCI (specification 1.0, chapters 2 and 3).
enum EHCI {
    static let portCount = 6
    static let windowCount: UInt64 = 0x1000
    /// CAPLENGTH: where the operational registers begin, and the first port behind them.
    static let operational: UInt64 = 0x20, firstPort: UInt64 = 0x64
    /// A millisecond, and the eighth of it that FRINDEX counts.
    static let frameTime: UInt64 = 1_000_000, microframe: UInt64 = 125_000
    static let indexMask: UInt32 = 0x3FFF

    enum Capability {
        /// Version 1.0, and the length of these registers.
        static let version: UInt32 = 0x0100_0020
        /// The extended capability in configuration space, whole frames are fetched ahead.
        static let parameters: UInt32 = 0x6880
        /// Where that is: USBLEGSUP (2.1.7), which no firmware owns.
        static let legacyPlace = 0x68
    }
    enum Command {
        static let run: UInt32 = 1, reset: UInt32 = 2, listSize: UInt32 = 0xC, periodic: UInt32 = 0x10
        static let asynchronous: UInt32 = 0x20, doorbell: UInt32 = 0x40
        static let initial: UInt32 = 0x8_0000
    }
    enum Status {
        static let complete: UInt32 = 1, error: UInt32 = 2, portChange: UInt32 = 4, rollover: UInt32 = 8
        static let hostError: UInt32 = 0x10, advanced: UInt32 = 0x20, halted: UInt32 = 0x1000
        static let periodic: UInt32 = 0x4000, asynchronous: UInt32 = 0x8000
        /// Those that the driver takes back by writing a one, and that interrupt.
        static let causes: UInt32 = 0x3F
    }
    enum Port {
        static let connected: UInt32 = 1, connectChanged: UInt32 = 2, enabled: UInt32 = 4, enableChanged: UInt32 = 8
        static let resume: UInt32 = 0x40, suspended: UInt32 = 0x80, reset: UInt32 = 0x100, power: UInt32 = 0x1000
        static let changes: UInt32 = connectChanged | enableChanged | 0x20
        /// Suspend, resume, reset, indicators, wake-ups.
        static let writable: UInt32 = resume | suspended | reset | 0x70_C000
    }
    enum Link {
        static let ends: UInt32 = 1, kindMask: UInt32 = 6, queue: UInt32 = 2
    }
    /// Words of a queue head, in bytes from its beginning.
    enum Queue {
        static let characteristics: UInt64 = 4, capabilities: UInt64 = 8, current: UInt64 = 12, next: UInt64 = 16
        static let alternate: UInt64 = 20, token: UInt64 = 24, buffers: UInt64 = 28
        static let isHead: UInt32 = 1 << 15, takesToggle: UInt32 = 1 << 14
        static let startMask: UInt32 = 0xFF
    }
    /// The token of a transfer.
    enum Token {
        static let active: UInt32 = 0x80, halted: UInt32 = 0x40, transactionError: UInt32 = 8
        static let interrupts: UInt32 = 1 << 15, toggle: UInt32 = 1 << 31, lengthMask: UInt32 = 0x7FFF
        static let results: UInt32 = 0x7D
    }
    static let bufferCount = 5, pageCount = 4096

    struct Registers: Equatable, Sendable, Codable {
        var command = Command.initial
        var status = Status.halted
        var interrupts: UInt32 = 0
        /// FRINDEX at the last look.
        var index: UInt32 = 0
        var periodicList: UInt32 = 0, asynchronousList: UInt32 = 0
        /// CONFIGFLAG: the driver has taken the ports.
        var isConfigured: UInt32 = 0
        var ports = [UInt32](repeating: Port.power, count: EHCI.portCount)
    }
}

/// The registers in memory.
final class EHCIWindow: RegisterWindow {
    private unowned let controller: EHCIController
    init(_ controller: EHCIController) { self.controller = controller }

    func read(offset: UInt64, size: Int) -> UInt64 {
        var value = UInt64(controller.readRegister(offset & ~3))
        if size == 8 { value |= UInt64(controller.readRegister(offset & ~3 &+ 4)) << 32 }
        return value >> ((offset & 3) * 8)
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        // The specification has no smaller accesses (2.3).
        guard offset & 3 == 0, size >= 4 else { return }
        controller.writeRegister(offset, UInt32(truncatingIfNeeded: value))
        if size == 8 { controller.writeRegister(offset &+ 4, UInt32(truncatingIfNeeded: value >> 32)) }
    }
}

extension EHCIController {
    func readRegister(_ offset: UInt64) -> UInt32 {
        switch offset {
        case 0: return EHCI.Capability.version
        case 4:
            // Ports; companions, and ports of each (2.2.3).
            return UInt32(EHCI.portCount) | (companions.isEmpty ? 0 : UInt32(companions.count) << 12 | 2 << 8)
        case 8: return EHCI.Capability.parameters
        case 0x20: return registers.command
        case 0x24: return registers.status
        case 0x28: return registers.interrupts
        case 0x2C: return frameIndex
        case 0x34: return registers.periodicList
        case 0x38: return registers.asynchronousList
        case 0x60: return registers.isConfigured
        default: return portIndex(offset).map { registers.ports[$0] } ?? 0
        }
    }

    private func portIndex(_ offset: UInt64) -> Int? {
        guard offset >= EHCI.firstPort else { return nil }
        let index = Int((offset - EHCI.firstPort) / 4)
        return registers.ports.indices.contains(index) ? index : nil
    }

    func writeRegister(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case 0x20: writeCommand(value)
        case 0x24: registers.status &= ~(value & EHCI.Status.causes)
        case 0x28: registers.interrupts = value & EHCI.Status.causes
        case 0x2C where !isRunning: setFrameIndex(value)
        case 0x34: registers.periodicList = value & ~0xFFF
        case 0x38: registers.asynchronousList = value & ~0x1F
        case 0x60: registers.isConfigured = value & 1
        default: if let index = portIndex(offset) { writePort(index, value) }
        }
        updatePin()
    }

    private func writeCommand(_ value: UInt32) {
        if value & EHCI.Command.reset != 0 { return resetController() }
        let wasRunning = isRunning, index = frameIndex
        // The size of the periodic list is fixed.
        registers.command = value & ~EHCI.Command.listSize
        if isRunning != wasRunning { setFrameIndex(index) }
        if isRunning {
            registers.status &= ~EHCI.Status.halted
        } else {
            registers.status |= EHCI.Status.halted
        }
        followSchedules()
        if registers.command & EHCI.Command.doorbell != 0, !works { ringBack() }
    }

    /// Whoever waits for the asynchronous list to be left alone hears of it (4.8.2).
    func ringBack() {
        registers.command &= ~EHCI.Command.doorbell
        registers.status |= EHCI.Status.advanced
    }

    private func writePort(_ index: Int, _ value: UInt32) {
        let old = registers.ports[index]
        var new = old & ~(value & EHCI.Port.changes)
        // A driver can only switch a port off; a reset switches it on.
        if value & EHCI.Port.enabled == 0 { new &= ~EHCI.Port.enabled }
        new = new & ~EHCI.Port.writable | value & EHCI.Port.writable
        if value & EHCI.Port.reset != 0, old & EHCI.Port.reset == 0 {
            new &= ~EHCI.Port.enabled
        } else if value & EHCI.Port.reset == 0, old & EHCI.Port.reset != 0 {
            new &= ~(EHCI.Port.suspended | EHCI.Port.resume)
            if resetDevice(index) { new |= EHCI.Port.enabled }
        }
        // The end of a resume.
        if old & EHCI.Port.resume != 0, value & EHCI.Port.resume == 0 { new &= ~EHCI.Port.suspended }
        registers.ports[index] = new
    }
}
