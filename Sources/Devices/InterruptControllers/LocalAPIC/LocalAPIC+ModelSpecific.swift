// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import Synchronization

extension LocalAPIC {
    private static let baseRegister: UInt32 = 0x1B
    private static let timestampDeadlineRegister: UInt32 = 0x6E0
    private static let extendedRange: ClosedRange<UInt32> = 0x800...0x8FF

    /// IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC at 800h...8FFh; nil raises #GP.
    public func readModelSpecificRegister(_ index: UInt32) -> UInt64? {
        switch index {
        case Self.baseRegister: publishedBase.load(ordering: .relaxed)
        case Self.timestampDeadlineRegister: bus.lock.withLock { current.timestampDeadline }
        case Self.extendedRange: bus.lock.withLock { readExtendedLocked(Int(index - 0x800)) }
        default: nil
        }
    }

    /// False raises #GP: a reserved bit, a read-only register, or no x2APIC mode.
    public func writeModelSpecificRegister(_ index: UInt32, value: UInt64) -> Bool {
        switch index {
        case Self.baseRegister:
            return machineLock.withLock { bus.lock.withLock { setBaseLocked(value) } }
        case Self.timestampDeadlineRegister:
            machineLock.withLock { bus.lock.withLock { setTimestampDeadlineLocked(value) } }
            return true
        case Self.extendedRange: return writeExtended(Int(index - 0x800), value)
        default: return false
        }
    }

    /// IA32_APIC_BASE (SDM vol. 3, "x2APIC State Transitions").
    private func setBaseLocked(_ value: UInt64) -> Bool {
        guard value & reservedBaseBits == 0 else { return false }
        let enabled = value & APICBaseBits.enabled != 0
        let extended = value & APICBaseBits.extended != 0
        if extended && !enabled { return false }
        // Into x2APIC mode only from xAPIC mode; out of it only by disabling.
        if extended && !current.isEnabled { return false }
        if current.isExtended && enabled && !extended { return false }

        let wasEnabled = current.isEnabled
        let wasExtended = current.isExtended
        current.apicBase = value
        if wasEnabled && !enabled {
            let pins = current.pins
            current = State(identifier: initialIdentifier, isBootstrap: isBootstrap)
            current.apicBase = value
            current.pins = pins
            armHostTimerLocked()
        } else if extended && !wasExtended {
            current.identifier = initialIdentifier
            current.command &= 0xFFFF_FFFF
        }
        publishLocked()
        updateRequestLocked()
        return true
    }

    private func readExtendedLocked(_ number: Int) -> UInt64? {
        guard current.isExtended else { return nil }
        switch number {
        case APICRegister.command: return current.command
        case APICRegister.commandHigh: return nil
        default: return readLocked(number).map(UInt64.init)
        }
    }

    private func writeExtended(_ number: Int, _ value: UInt64) -> Bool {
        guard needsMachineLock(number) else {
            return bus.lock.withLock { current.isExtended && writeExtendedLocked(number, value) }
        }
        return machineLock.withLock {
            bus.lock.withLock {
                guard current.isExtended, isValidLocked(number, value) else { return false }
                writeTimerLocked(number, UInt32(truncatingIfNeeded: value))
                return true
            }
        }
    }

    private func writeExtendedLocked(_ number: Int, _ value: UInt64) -> Bool {
        guard isValidLocked(number, value) else { return false }
        switch number {
        case APICRegister.command:
            current.command = value & ~UInt64(VectorEntryBits.deliveryStatus)
            sendCommandLocked()
            return true
        case APICRegister.selfInterrupt:
            let vector = UInt8(truncatingIfNeeded: value)
            if vector < 16 {
                noteErrorLocked(APICError.sendIllegalVector)
            } else {
                acceptFixedLocked(vector, isLevelTriggered: false)
            }
            return true
        default: return writeCommonLocked(number, UInt32(truncatingIfNeeded: value))
        }
    }

    /// Whether a WRMSR leaves the reserved bits 0 (SDM vol. 3, "x2APIC Register Address Space").
    private func isValidLocked(_ number: Int, _ value: UInt64) -> Bool {
        let allowed: UInt64
        switch number {
        case APICRegister.command: allowed = 0xFFFF_FFFF_000C_DFFF
        case APICRegister.taskPriority, APICRegister.selfInterrupt: allowed = 0xFF
        case APICRegister.endOfInterrupt, APICRegister.errorStatus: allowed = 0
        case APICRegister.spurious: allowed = UInt64(Self.spuriousBits)
        case APICRegister.initialCount: allowed = 0xFFFF_FFFF
        case APICRegister.divideConfiguration: allowed = 0xB
        case APICRegister.vectors:
            guard let entry = LocalVectorEntry(rawValue: number - 0x32) else { return false }
            // Read-only status bits may be written back as they were read.
            allowed = UInt64(entry.writableBits | VectorEntryBits.deliveryStatus | VectorEntryBits.remoteIRR)
        default: return false
        }
        return value & ~allowed == 0
    }
}
