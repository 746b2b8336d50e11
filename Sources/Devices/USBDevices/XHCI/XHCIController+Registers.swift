// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// The registers, four bytes at a time.
final class XHCIWindow: RegisterWindow {
    private unowned let controller: XHCIController
    init(_ controller: XHCIController) { self.controller = controller }

    func read(offset: UInt64, size: Int) -> UInt64 {
        let base = offset & ~3
        var value = UInt64(controller.readRegister(base))
        if size == 8 || offset & 3 != 0 { value |= UInt64(controller.readRegister(base &+ 4)) << 32 }
        return value >> ((offset & 3) * 8)
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        guard offset & 3 == 0, size >= 4 else { return }
        controller.writeRegister(offset, UInt32(truncatingIfNeeded: value))
        if size == 8 { controller.writeRegister(offset &+ 4, UInt32(truncatingIfNeeded: value >> 32)) }
    }
}

extension XHCIController {
    private static let microframe: UInt64 = 125_000, frameMask: UInt64 = 0x3FFF
    private static let necFirmwareVersion: UInt32 = 0x3025

    /// A guest's read at a multiple of 4.
    func readRegister(_ offset: UInt64) -> UInt32 {
        switch offset {
        case ..<XHCI.operational: capability(offset)
        case ..<XHCI.ports: operational(offset - XHCI.operational)
        case ..<XHCI.runtime: port(offset - XHCI.ports)
        case ..<XHCI.doorbells: runtime(offset - XHCI.runtime)
        default: 0
        }
    }

    /// A guest's write at a multiple of 4.
    func writeRegister(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case ..<XHCI.operational: break
        case ..<XHCI.ports: writeOperational(offset - XHCI.operational, value)
        case ..<XHCI.runtime: writePort(offset - XHCI.ports, value)
        case ..<XHCI.doorbells: writeRuntime(offset - XHCI.runtime, value)
        default: ringDoorbell(Int((offset - XHCI.doorbells) / 4), Int(value & 0xFF))
        }
    }

    /// 5.3 and 7: constants.
    private func capability(_ offset: UInt64) -> UInt32 {
        let supportedProtocol: UInt32 = 2, nextByWords: UInt32 = 4 << 8, name: UInt32 = 0x2042_5355
        switch offset {
        case 0x00: return XHCI.Capability.version | UInt32(XHCI.operational)
        case 0x04:
            return UInt32(portTotal) << 24 | UInt32(XHCI.interrupterCount) << 8 | UInt32(XHCI.slotCount)
        case 0x08: return XHCI.Capability.isochronousThreshold
        case 0x10: return XHCI.Capability.parameters
        case 0x14: return UInt32(XHCI.doorbells)
        case 0x18: return UInt32(XHCI.runtime)
        case 0x20: return 0x0200_0000 | nextByWords | supportedProtocol
        case 0x24, 0x34: return name
        case 0x28: return UInt32(counts.usb2) << 8 | 1
        case 0x30: return 0x0300_0000 | supportedProtocol
        case 0x38: return UInt32(counts.usb3) << 8 | UInt32(counts.usb2 + 1)
        default: return 0
        }
    }

    private func operational(_ offset: UInt64) -> UInt32 {
        switch offset {
        case 0x00: registers.command
        case 0x04: registers.status
        case 0x08: 1
        case 0x14: registers.notifications
        case 0x18: registers.isCommandRingRunning ? UInt32(XHCI.CommandRing.running) : 0
        case 0x30: UInt32(truncatingIfNeeded: registers.contexts)
        case 0x34: UInt32(truncatingIfNeeded: registers.contexts >> 32)
        case 0x38: registers.configure
        default: 0
        }
    }

    private func writeOperational(_ offset: UInt64, _ value: UInt32) {
        switch offset {
        case 0x00: writeCommand(value)
        case 0x04:
            registers.status &= ~(value & XHCI.Status.clearable)
            updatePin()
        case 0x14: registers.notifications = value & 0xFFFF
        case 0x18: writeCommandRing(value)
        case 0x1C:
            guard !registers.isCommandRingRunning else { return }
            registers.commandRing.address = registers.commandRing.address & 0xFFFF_FFFF | UInt64(value) << 32
        case 0x30: registers.contexts = registers.contexts & ~0xFFFF_FFFF | UInt64(value & ~0x3F)
        case 0x34: registers.contexts = registers.contexts & 0xFFFF_FFFF | UInt64(value) << 32
        case 0x38: registers.configure = value & 0xFF
        default: break
        }
    }

    private func writeCommand(_ value: UInt32) {
        if value & (XHCI.Command.reset | XHCI.Command.lightReset) != 0 {
            for (_, device) in devices { device.reset() }
            return resetController()
        }
        let wasRunning = isRunning
        // Nothing is kept in a state of the controller's own, so that restoring one fails, as the driver can see.
        if value & XHCI.Command.restore != 0 { registers.status |= XHCI.Status.restoreError }
        registers.command = value & XHCI.Command.kept
        if isRunning, !wasRunning {
            guard registers.status & XHCI.Status.controllerError == 0 else {
                registers.command &= ~XHCI.Command.run
                return
            }
            registers.status &= ~XHCI.Status.halted
            registers.frameStart = clock.now
        } else if !isRunning, wasRunning {
            registers.status |= XHCI.Status.halted
            registers.isCommandRingRunning = false
        }
        updatePin()
        // Changes of ports from before are told now.
        guard isRunning, !wasRunning else { return }
        for (hub, port) in registers.ports.enumerated() where port & XHCI.Port.changes != 0 {
            post(
                XHCIInterrupter.Event(
                    XHCI.BlockType.portEvent, parameter: UInt64(hub + 1) << 24, code: XHCI.Completion.success))
        }
    }

    private func writeCommandRing(_ value: UInt32) {
        if registers.isCommandRingRunning {
            guard UInt64(value) & (XHCI.CommandRing.stop | XHCI.CommandRing.abort) != 0 else { return }
            registers.isCommandRingRunning = false
            return post(
                XHCIInterrupter.Event(
                    XHCI.BlockType.commandEvent, parameter: registers.commandRing.address,
                    code: XHCI.Completion.ringStopped))
        }
        let high = registers.commandRing.address & ~0xFFFF_FFFF
        registers.commandRing = XHCIRing(pointer: UInt64(value & ~0x3E))
        registers.commandRing.address |= high
    }

    // MARK: ports

    private func port(_ offset: UInt64) -> UInt32 {
        let number = Int(offset / XHCI.portStride)
        guard registers.ports.indices.contains(number), offset % XHCI.portStride == 0 else { return 0 }
        return registers.ports[number]
    }

    private func writePort(_ offset: UInt64, _ value: UInt32) {
        let number = Int(offset / XHCI.portStride)
        guard registers.ports.indices.contains(number), offset % XHCI.portStride == 0 else { return }
        let isSuper = number >= counts.usb2
        if value & XHCI.Port.warmReset != 0, isSuper { return resetPort(number, isWarm: true) }
        if value & XHCI.Port.reset != 0 { return resetPort(number, isWarm: false) }
        var port = registers.ports[number]
        port &= ~(value & XHCI.Port.changes)
        // Writing one disables a port of USB 2.
        if value & port & XHCI.Port.enabled != 0, !isSuper { port &= ~XHCI.Port.enabled }
        port = port & ~XHCI.Port.writable | value & XHCI.Port.writable
        registers.ports[number] = port
        if value & XHCI.Port.linkStrobe != 0 {
            setLink(number, to: (value & XHCI.Port.linkMask) >> XHCI.Port.linkShift)
        }
    }

    private func link(_ number: Int) -> UInt32 { (registers.ports[number] & XHCI.Port.linkMask) >> XHCI.Port.linkShift }

    private func setLink(_ number: Int, to new: UInt32) {
        let old = link(number)
        switch new {
        case XHCI.Link.on where old != XHCI.Link.on && registers.ports[number] & XHCI.Port.enabled != 0:
            move(number, to: XHCI.Link.on)
            portChanged(number, XHCI.Port.linkChanged)
            deviceWoke(number)
        case XHCI.Link.suspended where old < XHCI.Link.suspended: move(number, to: XHCI.Link.suspended)
        case XHCI.Link.noDevice where old != XHCI.Link.noDevice && number >= counts.usb2: move(number, to: new)
        default: break
        }
    }

    private func move(_ number: Int, to link: UInt32) {
        registers.ports[number] = registers.ports[number] & ~XHCI.Port.linkMask | link << XHCI.Port.linkShift
    }

    private func resetPort(_ number: Int, isWarm: Bool) {
        guard let device = device(atHubPort: number + 1) else { return }
        device.reset()
        registers.ports[number] |= XHCI.Port.enabled
        move(number, to: XHCI.Link.on)
        if isWarm { registers.ports[number] |= XHCI.Port.warmResetChanged }
        portChanged(number, XHCI.Port.resetChanged)
    }

    /// A device behind a suspended port has something to say.
    /// - Returns: whether the port sleeps, so that nothing else is to be done.
    func wakeSuspended(_ device: USBDevice) -> Bool {
        guard let hub = hubPort(of: device) else { return true }
        guard link(hub) == XHCI.Link.suspended else { return link(hub) == XHCI.Link.resuming }
        if device.common.mayWake {
            move(hub, to: XHCI.Link.resuming)
            portChanged(hub, XHCI.Port.linkChanged)
        }
        return true
    }

    // MARK: runtime

    private func runtime(_ offset: UInt64) -> UInt32 {
        guard offset >= XHCI.interrupters else {
            let now = clock.now
            let frame = now >= registers.frameStart ? (now - registers.frameStart) / Self.microframe : 0
            return offset == 0 ? UInt32(frame & Self.frameMask) : 0
        }
        let number = Int((offset - XHCI.interrupters) / XHCI.interrupterStride)
        guard interrupters.indices.contains(number) else { return 0 }
        let interrupter = interrupters[number]
        switch (offset - XHCI.interrupters) % XHCI.interrupterStride {
        case 0x00: return interrupter.management
        case 0x04: return interrupter.moderation
        case 0x08: return interrupter.tableSize
        case 0x10: return UInt32(truncatingIfNeeded: interrupter.tableAddress)
        case 0x14: return UInt32(truncatingIfNeeded: interrupter.tableAddress >> 32)
        case 0x18: return UInt32(truncatingIfNeeded: interrupter.dequeue)
        case 0x1C: return UInt32(truncatingIfNeeded: interrupter.dequeue >> 32)
        default: return 0
        }
    }

    private func writeRuntime(_ offset: UInt64, _ value: UInt32) {
        guard offset >= XHCI.interrupters else { return }
        let number = Int((offset - XHCI.interrupters) / XHCI.interrupterStride)
        guard interrupters.indices.contains(number) else { return }
        let low = UInt64(value), high = UInt64(value) << 32, lowMask: UInt64 = 0xFFFF_FFFF
        switch (offset - XHCI.interrupters) % XHCI.interrupterStride {
        case 0x00:
            interrupters[number].management &= ~(value & XHCI.Interrupter.pending)
            interrupters[number].management =
                interrupters[number].management & ~XHCI.Interrupter.enabled | value & XHCI.Interrupter.enabled
            updatePin()
        case 0x04: interrupters[number].moderation = value
        case 0x08: interrupters[number].tableSize = value & 0xFFFF
        case 0x10:
            interrupters[number].tableAddress = interrupters[number].tableAddress & ~lowMask | low & ~0x3F
            interrupters[number].startRing(memory)
        case 0x14:
            interrupters[number].tableAddress = interrupters[number].tableAddress & lowMask | high
            interrupters[number].startRing(memory)
        case 0x18: writeDequeue(number, value)
        case 0x1C: interrupters[number].dequeue = interrupters[number].dequeue & lowMask | high
        default: break
        }
    }

    /// The driver has read events: there may be room, and more to tell.
    private func writeDequeue(_ number: Int, _ value: UInt32) {
        let busy = XHCI.Interrupter.handlerBusy
        let kept = interrupters[number].dequeue & ~(0xFFFF_FFFF & ~busy)
        interrupters[number].dequeue = kept & ~(UInt64(value) & busy) | UInt64(value & ~0xF)
        guard isRunning else { return }
        guard interrupters[number].flush(memory) else { return fail() }
        if interrupters[number].dequeue & busy == 0, interrupters[number].hasUnread { raise(number) }
    }
}
