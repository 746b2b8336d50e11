// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Register numbers: the page offset divided by 16, and the distance from MSR 0x800.
enum APICRegister {
    static let identifier = 0x02
    static let version = 0x03
    static let taskPriority = 0x08
    static let arbitrationPriority = 0x09
    static let processorPriority = 0x0A
    static let endOfInterrupt = 0x0B
    static let remoteRead = 0x0C
    static let logicalDestination = 0x0D
    static let destinationFormat = 0x0E
    static let spurious = 0x0F
    static let inService = 0x10...0x17
    static let levelTriggered = 0x18...0x1F
    static let requested = 0x20...0x27
    static let errorStatus = 0x28
    static let command = 0x30
    static let commandHigh = 0x31
    static let vectors = 0x32...0x37
    static let timerVector = 0x32
    static let initialCount = 0x38
    static let currentCount = 0x39
    static let divideConfiguration = 0x3E
    static let selfInterrupt = 0x3F
}

extension LocalAPIC {
    /// Version 0x14 with six vector entries and EOI-broadcast suppression.
    static let versionValue: UInt32 = 1 << 24 | 5 << 16 | 0x14
    /// Vector, software enable, focus checking and EOI-broadcast suppression.
    static let spuriousBits: UInt32 = 0x13FF

    /// A load from the register page; `offset` from its start, one register in 16 bytes.
    public func readRegister(offset: UInt64, size: Int) -> UInt64 {
        let byte = offset & 0xF
        // Only the first four bytes of each sixteen hold a register.
        guard byte < 4 else { return 0 }
        let value = bus.lock.withLock { () -> UInt32 in
            let number = Int(truncatingIfNeeded: offset >> 4 & 0xFF)
            if let value = readLocked(number) { return value }
            noteErrorLocked(APICError.illegalRegister)
            return 0
        }
        return UInt64(value) >> (byte * 8)
    }

    /// A store to the register page; takes the machine lock only for the timer's registers.
    public func writeRegister(offset: UInt64, size: Int, value: UInt64) {
        // Narrower and misaligned stores are undefined (SDM vol. 3, "Local APIC Register Address Map"); dropped.
        guard size >= 4, offset & 0xF == 0 else { return }
        let number = Int(truncatingIfNeeded: offset >> 4 & 0xFF)
        let word = UInt32(truncatingIfNeeded: value)
        guard !needsMachineLock(number) else {
            return machineLock.withLock { bus.lock.withLock { writeTimerLocked(number, word) } }
        }
        bus.lock.withLock { writeLocked(number, word) }
    }

    func needsMachineLock(_ number: Int) -> Bool {
        switch number {
        case APICRegister.timerVector, APICRegister.initialCount, APICRegister.divideConfiguration: true
        default: false
        }
    }

    /// A register of either mode; nil where there is none.
    func readLocked(_ number: Int) -> UInt32? {
        switch number {
        case APICRegister.identifier: current.isExtended ? current.identifier : current.identifier << 24
        case APICRegister.version: Self.versionValue
        case APICRegister.taskPriority: UInt32(current.taskPriority)
        case APICRegister.arbitrationPriority, APICRegister.remoteRead: current.isExtended ? nil : 0
        case APICRegister.processorPriority: UInt32(current.processorPriority)
        case APICRegister.endOfInterrupt: current.isExtended ? nil : 0
        case APICRegister.logicalDestination:
            current.isExtended ? current.extendedLogicalDestination : UInt32(current.logicalDestination) << 24
        case APICRegister.destinationFormat:
            current.isExtended ? nil : (current.usesClusters ? 0x0FFF_FFFF : 0xFFFF_FFFF)
        case APICRegister.spurious: current.spurious
        case APICRegister.inService: current.inService.registerWord(number - 0x10)
        case APICRegister.levelTriggered: current.levelTriggered.registerWord(number - 0x18)
        case APICRegister.requested: current.requested.registerWord(number - 0x20)
        case APICRegister.errorStatus: current.errors
        case APICRegister.command: UInt32(truncatingIfNeeded: current.command)
        case APICRegister.commandHigh: UInt32(truncatingIfNeeded: current.command >> 32)
        case APICRegister.vectors: current.vectors[number - 0x32]
        case APICRegister.initialCount: current.initialCount
        case APICRegister.currentCount: currentCountLocked()
        case APICRegister.divideConfiguration: current.divideConfiguration
        default: nil
        }
    }

    /// The three registers that need the machine lock too.
    func writeTimerLocked(_ number: Int, _ value: UInt32) {
        switch number {
        case APICRegister.timerVector: setTimerEntryLocked(maskedEntryLocked(.timer, value))
        case APICRegister.initialCount: setInitialCountLocked(value)
        default: setDivideConfigurationLocked(value)
        }
    }

    /// All other registers, in xAPIC mode.
    private func writeLocked(_ number: Int, _ value: UInt32) {
        switch number {
        case APICRegister.identifier:
            current.identifier = value >> 24
            publishLocked()
        case APICRegister.logicalDestination: current.logicalDestination = UInt8(truncatingIfNeeded: value >> 24)
        case APICRegister.destinationFormat: current.usesClusters = value >> 28 == 0
        case APICRegister.commandHigh:
            current.command = current.command & 0xFFFF_FFFF | UInt64(value & 0xFF00_0000) << 32
        case APICRegister.command:
            current.command = (current.command & ~0xFFFF_FFFF) | UInt64(value & ~VectorEntryBits.deliveryStatus)
            sendCommandLocked()
        // Read-only registers ignore the write.
        case APICRegister.version, APICRegister.arbitrationPriority, APICRegister.processorPriority,
            APICRegister.remoteRead, APICRegister.currentCount, APICRegister.inService,
            APICRegister.levelTriggered, APICRegister.requested:
            break
        default:
            if !writeCommonLocked(number, value) { noteErrorLocked(APICError.illegalRegister) }
        }
    }

    /// What xAPIC and x2APIC mode share.
    /// - Returns: false where no such register is.
    func writeCommonLocked(_ number: Int, _ value: UInt32) -> Bool {
        switch number {
        case APICRegister.taskPriority:
            current.taskPriority = UInt8(truncatingIfNeeded: value)
            updateRequestLocked()
        case APICRegister.endOfInterrupt: endOfInterruptLocked()
        case APICRegister.spurious: setSpuriousLocked(value)
        case APICRegister.errorStatus:
            current.errors = current.pendingErrors
            current.pendingErrors = 0
        case APICRegister.vectors:
            guard let entry = LocalVectorEntry(rawValue: number - 0x32) else { return false }
            current[entry] = maskedEntryLocked(entry, value)
            // A level that is already there counts at once.
            if entry == .lint0 || entry == .lint1 {
                setPinLocked(entry, level: current.pins[entry == .lint0 ? 0 : 1])
            }
        default: return false
        }
        return true
    }

    private func maskedEntryLocked(_ entry: LocalVectorEntry, _ value: UInt32) -> UInt32 {
        var result = value & entry.writableBits
        if !current.isSoftwareEnabled { result |= VectorEntryBits.masked }
        let keepsRemote = entry == .lint0 || entry == .lint1
        return keepsRemote ? result | current[entry] & VectorEntryBits.remoteIRR : result
    }

    private func setSpuriousLocked(_ value: UInt32) {
        current.spurious = value & Self.spuriousBits
        if !current.isSoftwareEnabled {
            for entry in LocalVectorEntry.allCases { current[entry] |= VectorEntryBits.masked }
        }
        updateRequestLocked()
    }
}
