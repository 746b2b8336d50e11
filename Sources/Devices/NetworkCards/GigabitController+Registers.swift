// SPDX-License-Identifier: Apache-2.0

internal import MachineModel
internal import PCIBus

extension GigabitController {
    private typealias Register = GigabitRegister

    /// A guest's read of the register at a multiple of 4.
    func readRegister(_ offset: Int) -> UInt32 {
        guard (0..<GigabitRegister.count).contains(offset) else { return 0 }
        switch offset {
        case Register.cause: return readCause()
        case Register.causeSet: return 0
        case Register.maskClear: return self[Register.maskSet]
        case Register.eepromControl:
            return wires.value | (model.isExpress ? GigabitBit.EEPROM.loaded : 0)
        case Register.statistics:
            // Counters start again when they were read.
            defer { self[offset] = 0 }
            return self[offset]
        default: return self[offset]
        }
    }

    /// Reading the causes takes them back, in the ways that the manuals say.
    private func readCause() -> UInt32 {
        let value = self[Register.cause]
        if !model.isExpress || self[Register.maskSet] == 0 { self[Register.cause] = 0 }
        // An asserted interrupt is taken back by the read, whatever form it had (82574 datasheet, 10.2.4.1).
        if model.isExpress, value & GigabitBit.Cause.asserted != 0 {
            self[Register.cause] = 0
            if self[Register.extendedControl] & GigabitBit.Extended.autoMask != 0 {
                self[Register.maskSet] &= ~self[Register.autoMask]
            }
        }
        updateInterrupts()
        return value
    }

    /// A guest's write of the register at a multiple of 4.
    func writeRegister(_ offset: Int, _ value: UInt32) {
        guard (0..<GigabitRegister.count).contains(offset) else { return }
        switch offset {
        case Register.control: writeControl(value)
        case Register.status, Register.statistics, Register.managementEEPROM: break
        case Register.eepromControl: driveWires(value)
        case Register.eepromRead: self[offset] = readWord(value)
        case Register.mediaControl: media(value)
        case Register.cause:
            self[Register.cause] &= ~value
            // Taking back the gathered cause takes back what it stands for.
            if model.isExpress, value & GigabitBit.Cause.other != 0 {
                self[Register.cause] &= ~GigabitBit.Cause.others
            }
            updateInterrupts()
        case Register.causeSet: raise(value & ~GigabitBit.Cause.asserted)
        case Register.maskSet:
            self[Register.maskSet] |= value
            updateInterrupts()
        case Register.maskClear:
            self[Register.maskSet] &= ~value
            updateInterrupts()
        case Register.receiveControl:
            self[offset] = value
            releasePort()
        case Register.transmitControl:
            self[offset] = value
            kick()
        default: writeRing(offset, value)
        }
    }

    private func writeControl(_ value: UInt32) {
        typealias Control = GigabitBit.Control
        if value & Control.reset != 0 { return resetController() }
        if value & Control.phyReset != 0 { phy.reset() }
        self[Register.control] = value & ~(Control.reset | Control.phyReset)
        if value & Control.masterDisable != 0 {
            self[Register.status] &= ~GigabitBit.Status.masterEnable
        } else {
            self[Register.status] |= GigabitBit.Status.masterEnable
        }
    }

    private func media(_ value: UInt32) {
        typealias Media = GigabitBit.Media
        let place = Int(value >> 16 & 31)
        var result = value & ~(Media.ready | Media.failed)
        let onlyTransceiver: UInt32 = 1
        if value >> 21 & 31 != onlyTransceiver {
            result |= Media.failed
        } else if value & Media.read != 0 {
            result = result & ~0xFFFF | UInt32(phy.read(place))
        } else if value & Media.write != 0, phy.write(place, UInt16(truncatingIfNeeded: value)) {
            phy.setLink(isLinkUp)
            raise(GigabitBit.Cause.linkChanged)
        }
        self[Register.mediaControl] = result | Media.ready
        if value & Media.interrupt != 0 { raise(GigabitBit.Cause.media) }
    }

    private func writeRing(_ offset: Int, _ value: UInt32) {
        let lengthMask: UInt32 = 0xF_FF80, indexMask: UInt32 = 0xFFFF
        let rings = [
            Register.receiveBase, Register.receiveBase + Register.ringStep, Register.transmitBase,
            Register.transmitBase + Register.ringStep,
        ]
        guard let base = rings.first(where: { offset >= $0 && offset < $0 + 0x20 }) else {
            self[offset] = value
            return
        }
        switch offset - base {
        case GigabitRing.low: self[offset] = value & ~0xF
        case GigabitRing.length: self[offset] = value & lengthMask
        case GigabitRing.head, GigabitRing.tail:
            self[offset] = value & indexMask
            if offset - base == GigabitRing.tail {
                if base >= Register.transmitBase { kick() } else { releasePort() }
            }
        default: self[offset] = value
        }
    }
}

/// The registers in memory, four bytes at a time.
final class GigabitWindow: RegisterWindow {
    private unowned let card: GigabitController
    init(_ card: GigabitController) { self.card = card }

    func read(offset: UInt64, size: Int) -> UInt64 {
        let shift = (offset & 3) * 8
        let place = Int(truncatingIfNeeded: offset & 0x1_FFFC)
        var value = UInt64(card.readRegister(place))
        if size == 8, offset & 3 == 0 { value |= UInt64(card.readRegister(place + 4)) << 32 }
        return value >> shift
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        // Narrower writes do nothing on the chip.
        guard size >= 4, offset & 3 == 0 else { return }
        let place = Int(truncatingIfNeeded: offset & 0x1_FFFC)
        card.writeRegister(place, UInt32(truncatingIfNeeded: value))
        if size == 8 { card.writeRegister(place + 4, UInt32(truncatingIfNeeded: value >> 32)) }
    }
}

/// The registers behind an address and a data port.
final class GigabitPorts: RegisterWindow {
    private unowned let card: GigabitController
    init(_ card: GigabitController) { self.card = card }

    func read(offset: UInt64, size: Int) -> UInt64 {
        switch offset {
        case 0: UInt64(card.ioAddress)
        case 4: UInt64(card.readRegister(Int(card.ioAddress & 0x1_FFFC)))
        default: 0
        }
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        switch offset {
        case 0: card.ioAddress = UInt32(truncatingIfNeeded: value)
        case 4: card.writeRegister(Int(card.ioAddress & 0x1_FFFC), UInt32(truncatingIfNeeded: value))
        default: break
        }
    }
}

/// The place of a flash chip that is not there.
final class GigabitFlash: RegisterWindow {
    func read(offset: UInt64, size: Int) -> UInt64 { 0 }
    func write(offset: UInt64, size: Int, value: UInt64) {}
}
