// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// Registers and constants of UHCI (Design Guide 1.1, chapters 2 and 3).
enum UHCI {
    static let portCount = 2
    static let portsCount: UInt64 = 32
    /// A millisecond.
    static let frameTime: UInt64 = 1_000_000
    static let frameMask: UInt16 = 0x7FF, listMask: UInt16 = 0x3FF

    enum Command {
        static let run: UInt16 = 1, reset: UInt16 = 2, globalReset: UInt16 = 4, suspend: UInt16 = 8
        static let resume: UInt16 = 0x10
    }
    enum Status {
        static let interrupt: UInt16 = 1, error: UInt16 = 2, resume: UInt16 = 4, hostError: UInt16 = 8
        static let processError: UInt16 = 0x10, halted: UInt16 = 0x20
    }
    enum Interrupt {
        static let error: UInt16 = 1, resume: UInt16 = 2, complete: UInt16 = 4, shortPacket: UInt16 = 8
    }
    enum Port {
        static let connected: UInt16 = 1, connectChanged: UInt16 = 2, enabled: UInt16 = 4, enableChanged: UInt16 = 8
        static let resume: UInt16 = 0x40, reserved: UInt16 = 0x80, reset: UInt16 = 0x200, suspended: UInt16 = 0x1000
        static let writable: UInt16 = enabled | resume | reset | suspended
    }
    enum Link {
        static let ends: UInt32 = 1, isQueue: UInt32 = 2, isDepthFirst: UInt32 = 4
    }
    /// The control and status word of a transfer descriptor.
    enum Control {
        static let lengthMask: UInt32 = 0x7FF, timeout: UInt32 = 1 << 18, notReady: UInt32 = 1 << 19
        static let stalled: UInt32 = 1 << 22, active: UInt32 = 1 << 23, interrupts: UInt32 = 1 << 24
        static let isochronous: UInt32 = 1 << 25, detectsShort: UInt32 = 1 << 29
        static let results: UInt32 = 0x7E << 16
    }
    enum Packet { static let `in`: UInt32 = 0x69, out: UInt32 = 0xE1, setup: UInt32 = 0x2D }
}

/// The registers in port space.
final class UHCIWindow: RegisterWindow {
    private unowned let controller: UHCIController
    init(_ controller: UHCIController) { self.controller = controller }

    func read(offset: UInt64, size: Int) -> UInt64 {
        (0..<min(size, 4)).reduce(0) { $0 | UInt64(controller.readByte(offset &+ UInt64($1))) << UInt64($1 * 8) }
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        if size == 4, offset != 8 {
            // Two registers side by side.
            controller.write(offset, UInt16(truncatingIfNeeded: value))
            return controller.write(offset &+ 2, UInt16(truncatingIfNeeded: value >> 16))
        }
        if offset & ~3 == 8 { return controller.writeList(offset & 3, size, UInt32(truncatingIfNeeded: value)) }
        controller.write(offset, UInt16(truncatingIfNeeded: value))
    }
}

extension UHCIController {
    func readByte(_ offset: UInt64) -> UInt8 {
        func byte(_ word: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: word >> UInt16((offset & 1) * 8)) }
        switch offset {
        case 0x00...0x01: return byte(registers.command)
        case 0x02...0x03: return byte(registers.status)
        case 0x04...0x05: return byte(registers.interrupts)
        case 0x06...0x07: return byte(registers.frame)
        case 0x08...0x0B: return UInt8(truncatingIfNeeded: registers.list >> UInt32((offset & 3) * 8))
        case 0x0C: return registers.modify
        case 0x10...0x13: return byte(registers.ports[Int(offset - 0x10) / 2])
        // Beyond the ports, drivers look for a bit that is always one in ports.
        default: return byte(0xFF7F)
        }
    }

    func writeList(_ offset: UInt64, _ size: Int, _ value: UInt32) {
        let mask: UInt32 = (size >= 4 ? .max : (1 << UInt32(size * 8)) - 1) << UInt32(offset * 8)
        registers.list = registers.list & ~mask | value << UInt32(offset * 8) & mask
        registers.list &= ~0xFFF
    }

    func write(_ offset: UInt64, _ value: UInt16) {
        switch offset {
        case 0x00: writeCommand(value)
        case 0x02:
            registers.status &= ~(value & ~UHCI.Status.halted)
            if value & UHCI.Status.interrupt != 0 { registers.causes = 0 }
        case 0x04: registers.interrupts = value & 0xF
        case 0x06 where registers.status & UHCI.Status.halted != 0: registers.frame = value & UHCI.frameMask
        case 0x0C: registers.modify = UInt8(truncatingIfNeeded: value & 0x7F)
        case 0x10, 0x12: writePort(Int(offset - 0x10) / 2, value)
        default: break
        }
        updatePin()
    }

    private func writeCommand(_ value: UInt16) {
        if value & UHCI.Command.reset != 0 { return resetController() }
        if value & UHCI.Command.globalReset != 0 {
            for port in 0..<UHCI.portCount { resetDevice(port) }
            return resetController()
        }
        let wasRunning = isRunning
        registers.command = value & 0xFF
        if isRunning, !wasRunning {
            registers.status &= ~UHCI.Status.halted
            start()
        } else if !isRunning {
            registers.status |= UHCI.Status.halted
            stop()
        }
    }

    private func writePort(_ index: Int, _ value: UInt16) {
        let old = registers.ports[index]
        if value & UHCI.Port.reset != 0, old & UHCI.Port.reset == 0 { resetDevice(index) }
        var writable = UHCI.Port.writable
        if old & UHCI.Port.connected == 0 { writable &= ~UHCI.Port.enabled }
        let cleared = value & (UHCI.Port.connectChanged | UHCI.Port.enableChanged)
        registers.ports[index] = (old & ~UHCI.Port.writable | value & writable) & ~cleared
    }
}
