// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import CPUInterface
internal import HostSystem

extension LocalAPIC {
    /// Takes part in fixed and lowest-priority delivery.
    var acceptsFixedLocked: Bool { current.isEnabled && current.isSoftwareEnabled }

    var processorPriorityLocked: UInt8 { current.processorPriority }

    /// Whether a message is addressed to this processor (SDM vol. 3, "Determining IPI Destination").
    func matchesLocked(_ message: InterruptMessage) -> Bool {
        if message.isBroadcast { return true }
        let destination = message.destination
        guard message.isLogical else { return destination == current.identifier }
        if current.isExtended {
            let own = current.extendedLogicalDestination
            return own >> 16 == destination >> 16 && own & destination & 0xFFFF != 0
        }
        // A wide destination beyond 8 bits means no processor in xAPIC mode.
        guard destination <= 0xFF else { return false }
        let own = UInt32(current.logicalDestination)
        guard current.usesClusters else { return own & destination != 0 }
        return own >> 4 == destination >> 4 && own & destination & 0xF != 0
    }

    /// Does what a message that is addressed to this processor says.
    func acceptLocked(_ message: InterruptMessage) {
        // INIT and start-up reach a processor whose APIC is off too; the rest needs the APIC.
        switch message.delivery {
        case .initialize:
            initializeLocked()
            signals?.raiseInit()
        case .startup: signals?.raiseStartup(vector: message.vector)
        case _ where !current.isEnabled: break
        case .fixed, .lowestPriority:
            acceptFixedLocked(message.vector, isLevelTriggered: message.isLevelTriggered)
        case .systemManagement: signals?.raiseSystemManagementInterrupt()
        case .nonMaskable: signals?.raiseNonMaskableInterrupt()
        case .external:
            current.hasExternalMessage = true
            updateRequestLocked()
        }
    }

    func acceptFixedLocked(_ vector: UInt8, isLevelTriggered: Bool) {
        guard acceptsFixedLocked else { return }
        guard vector >= 16 else { return noteErrorLocked(APICError.receiveIllegalVector) }
        Trace.emit(
            .localAPICDeliver, "cpu \(current.identifier) vector \(vector) trigger_mode \(isLevelTriggered ? 1 : 0)")
        current.requested.insert(vector)
        if isLevelTriggered {
            current.levelTriggered.insert(vector)
        } else {
            current.levelTriggered.remove(vector)
        }
        updateRequestLocked()
    }

    /// Collects an error for ESR and raises the error interrupt at its first occurrence.
    func noteErrorLocked(_ error: UInt32) {
        guard current.pendingErrors & error == 0 else { return }
        current.pendingErrors |= error
        let entry = current[.error]
        let vector = UInt8(truncatingIfNeeded: entry)
        // A bad vector in the error entry itself would never end.
        if entry & VectorEntryBits.masked == 0, vector >= 16 { acceptFixedLocked(vector, isLevelTriggered: false) }
    }

    /// An event of the processor itself: thermal sensor, performance counter overflow. Callable on any thread.
    public func raise(_ entry: LocalVectorEntry) {
        bus.lock.withLock {
            // The performance entry masks itself when it fires (SDM vol. 3, "Local Vector Table").
            let value = current[entry]
            if entry == .performance { current[entry] |= VectorEntryBits.masked }
            signalLocked(value)
        }
    }

    /// Delivers as a local vector table entry says.
    func signalLocked(_ entry: UInt32) {
        guard entry & VectorEntryBits.masked == 0 else { return }
        let vector = UInt8(truncatingIfNeeded: entry)
        switch InterruptMessage.Delivery(rawValue: UInt8(truncatingIfNeeded: entry >> 8) & 7) {
        case .fixed: acceptFixedLocked(vector, isLevelTriggered: entry & VectorEntryBits.remoteIRR != 0)
        case .nonMaskable: signals?.raiseNonMaskableInterrupt()
        case .systemManagement: signals?.raiseSystemManagementInterrupt()
        case .initialize:
            initializeLocked()
            signals?.raiseInit()
        // ExtINT follows the pin's level in updateRequestLocked; the other modes are reserved here.
        default: break
        }
    }

    /// The level of LINT0 or LINT1.
    func setPinLocked(_ pin: LocalVectorEntry, level: Bool) {
        let index = pin == .lint0 ? 0 : 1
        let rises = level && !current.pins[index]
        current.pins[index] = level
        if !current.isEnabled {
            // With the APIC off, LINT0 is INTR and LINT1 is NMI.
            if rises && pin == .lint1 { signals?.raiseNonMaskableInterrupt() }
        } else if isLevelFixed(current[pin]) {
            redeliverPinLocked(pin)
        } else if rises {
            signalLocked(current[pin])
        }
        updateRequestLocked()
    }

    private func isLevelFixed(_ entry: UInt32) -> Bool {
        entry & 0x700 == 0 && entry & VectorEntryBits.levelTriggered != 0
    }

    /// Delivers a level-triggered fixed pin that is high and not being served.
    private func redeliverPinLocked(_ pin: LocalVectorEntry) {
        let entry = current[pin]
        guard current.pins[pin == .lint0 ? 0 : 1], isLevelFixed(entry),
            entry & (VectorEntryBits.masked | VectorEntryBits.remoteIRR) == 0
        else { return }
        current[pin] |= VectorEntryBits.remoteIRR
        signalLocked(current[pin])
    }

    /// EOI: ends the service of the highest vector and tells the I/O APIC of level-triggered ones.
    func endOfInterruptLocked() {
        guard let vector = current.inService.highest else { return }
        current.inService.remove(vector)
        if current.levelTriggered.contains(vector) {
            for pin in [LocalVectorEntry.lint0, .lint1]
            where current[pin] & VectorEntryBits.remoteIRR != 0 && UInt8(truncatingIfNeeded: current[pin]) == vector {
                current[pin] &= ~VectorEntryBits.remoteIRR
                redeliverPinLocked(pin)
            }
            // Bit 12 of SVR suppresses the broadcast: software then writes the I/O APIC's own EOI register.
            if current.spurious & 1 << 12 == 0 { bus.endOfInterruptLocked(vector: vector) }
        }
        updateRequestLocked()
    }

    /// A write to the low half of ICR, or to the x2APIC's: sends the IPI.
    func sendCommandLocked() {
        let command = current.command
        let vector = UInt8(truncatingIfNeeded: command)
        guard
            let delivery = InterruptMessage.Delivery(rawValue: UInt8(truncatingIfNeeded: command >> 8) & 7),
            delivery != .external
        else { return }
        let isAsserted = command & 1 << 14 != 0
        // INIT level de-assert only synchronized the arbitration of the old serial bus.
        if delivery == .initialize && !isAsserted && command & 1 << 15 != 0 { return }
        if delivery == .fixed || delivery == .lowestPriority, vector < 16 {
            return noteErrorLocked(APICError.sendIllegalVector)
        }
        let isWide = current.isExtended
        let message = InterruptMessage(
            vector: vector, delivery: delivery, isLogical: command & 1 << 11 != 0,
            destination: UInt32(truncatingIfNeeded: isWide ? command >> 32 : command >> 56), hasWideDestination: isWide)
        switch command >> 18 & 3 {
        case 0: bus.sendLocked(message)
        case 1: acceptLocked(message)
        case 2: bus.sendLocked(message) { _ in true }
        default: bus.sendLocked(message) { $0 !== self }
        }
    }
}
