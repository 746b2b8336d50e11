// SPDX-License-Identifier: Apache-2.0

extension ATADrive {
    /// Runs a command; the registers hold its parameters. A command while another runs is not taken, as by real drives.
    public func execute(_ command: UInt8) {
        guard state.phase == .idle || command == ATACommand.deviceReset else { return }
        state.command = command
        state.task.error = 0
        if isPacketDevice { executePacketDevice(command) } else { executeDisk(command) }
    }

    private func executePacketDevice(_ command: UInt8) {
        switch command {
        case ATACommand.deviceReset: deviceReset()
        case ATACommand.packet: beginPacket()
        case ATACommand.identifyPacketDevice: offer(packetIdentification(), phase: .blockIn)
        case ATACommand.identify, ATACommand.readSectors:
            // The abort shows the signature, by which hosts tell the kinds apart.
            showSignature()
            fail()
        case ATACommand.diagnose: diagnose()
        default: if !executeCommon(command) { fail() }
        }
    }

    private func deviceReset() {
        medium.cancelAll()
        packetCommands?.endCommand()
        state.phase = .idle
        state.block = []
        showSignature()
    }

    private func diagnose() {
        showSignature()
        state.task.status = isPacketDevice ? 0 : Self.readyStatus
        state.phase = .idle
        port?.driveEndedCommand(self)
        port?.driveInterrupts(self)
    }

    /// What disks and packet devices have in common.
    /// - Returns: false for a command that neither has.
    private func executeCommon(_ command: UInt8) -> Bool {
        switch command {
        case ATACommand.setFeatures: setFeatures()
        case ATACommand.flush, ATACommand.flushExtended: flush()
        case ATACommand.standbyImmediate, ATACommand.idleImmediate, ATACommand.standby, ATACommand.idle,
            ATACommand.sleep:
            succeed()
        case ATACommand.checkPower:
            // Active or idle.
            TaskFile.set(0xFF, in: &state.task.count)
            succeed()
        default: return false
        }
        return true
    }

    private func executeDisk(_ command: UInt8) {
        switch command {
        case ATACommand.identify: offer(diskIdentification(), phase: .blockIn)
        case ATACommand.readSectors, ATACommand.readSectorsOnce, ATACommand.readSectorsExtended,
            ATACommand.readMultiple, ATACommand.readMultipleExtended:
            if beginSectors() { readNextBlock() }
        case ATACommand.writeSectors, ATACommand.writeSectorsOnce, ATACommand.writeSectorsExtended,
            ATACommand.writeMultiple, ATACommand.writeMultipleExtended, ATACommand.writeMultipleForcedExtended:
            // The first block is asked for without an interrupt.
            if beginSectors() { askForBlock(interrupts: false) }
        case ATACommand.readDMA, ATACommand.readDMAOnce, ATACommand.readDMAExtended, ATACommand.writeDMA,
            ATACommand.writeDMAOnce, ATACommand.writeDMAExtended, ATACommand.writeDMAForcedExtended:
            if beginSectors() { waitForDMA() }
        case ATACommand.verify, ATACommand.verifyOnce, ATACommand.verifyExtended:
            if beginSectors() { succeed() }
        case ATACommand.dataSetManagement:
            // TRIM, the only function; the count is of blocks of ranges.
            guard state.task.feature & 1 != 0 else { return fail() }
            state.sectorsLeft = max(1, Int(state.task.count))
            waitForDMA()
        case ATACommand.seek, ATACommand.recalibrate, ATACommand.initializeParameters: succeed()
        case ATACommand.setMultiple: setMultiple()
        case ATACommand.readNativeMaximum, ATACommand.readNativeMaximumExtended:
            let is48Bit = ATACommand.is48Bit(command)
            let limit: UInt64 = is48Bit ? 1 << 48 : 1 << 28
            guard sectorCount > 0 else { return fail() }
            state.task.show(address: min(sectorCount, limit) - 1, is48Bit: is48Bit)
            succeed()
        case ATACommand.diagnose: diagnose()
        default: if !executeCommon(command) { fail() }
        }
    }

    private func setMultiple() {
        let count = Int(state.task.count & 0xFF)
        guard count <= Self.maximumMultiple, count & (count - 1) == 0 else { return fail() }
        state.multipleSectors = count
        succeed()
    }

    private func flush() {
        beginWork()
        medium.flush { [self] error in error == nil ? succeed() : fail() }
    }

    private func setFeatures() {
        switch state.task.feature & 0xFF {
        case 0x02: state.hasWriteCache = true
        case 0x82:
            state.hasWriteCache = false
            return flush()
        case 0x03: guard setTransferMode(UInt8(truncatingIfNeeded: state.task.count)) else { return fail() }
        // Read look-ahead, keeping settings over resets, automatic power and noise management: nothing to change.
        case 0xCC, 0x66, 0xAA, 0x55, 0x05, 0x85, 0x69, 0x67, 0x96, 0x9A, 0x42, 0xC2, 0x10, 0x90: break
        default: return fail()
        }
        succeed()
    }

    private func setTransferMode(_ mode: UInt8) -> Bool {
        let chosen = UInt16(1) << (UInt16(mode & 7) + 8)
        switch mode >> 3 {
        case 0, 1: modes = (0x07, 0x07, 0x3F)
        case 2: modes = (0x07 | chosen, 0x07, 0x3F)
        case 4: modes = (0x07, 0x07 | chosen, 0x3F)
        case 8: modes = (0x07, 0x07, 0x3F | chosen)
        default: return false
        }
        return true
    }

    // MARK: Sectors

    /// Takes the address and the count from the registers.
    /// - Returns: false when the command has failed already.
    private func beginSectors() -> Bool {
        let command = state.command, task = state.task
        if ATACommand.isMultiple(command), state.multipleSectors == 0 {
            fail()
            return false
        }
        if ATACommand.is48Bit(command) {
            state.sector = task.address48
            state.sectorsLeft = task.count == 0 ? 65536 : Int(task.count)
        } else {
            state.sector = task.device & TaskFile.Selection.usesLBA != 0 ? task.address28 : cylinderAddress
            state.sectorsLeft = task.count & 0xFF == 0 ? 256 : Int(task.count & 0xFF)
        }
        guard state.sector <= sectorCount, UInt64(state.sectorsLeft) <= sectorCount - state.sector else {
            fail(TaskFile.Failure.notFound)
            return false
        }
        return true
    }

    /// The sector that cylinder, head and sector number name; past the end for sector 0.
    private var cylinderAddress: UInt64 {
        let (_, heads, sectors) = geometry
        let number = UInt64(state.task.low & 0xFF)
        guard number >= 1 else { return .max }
        let cylinder = UInt64(state.task.byteCount), head = UInt64(state.task.device & 0x0F)
        return (cylinder * UInt64(heads) + head) * UInt64(sectors) + number - 1
    }

    private var blockSectors: Int {
        min(state.sectorsLeft, ATACommand.isMultiple(state.command) ? state.multipleSectors : 1)
    }

    func readNextBlock() {
        beginWork()
        let offset = Int64(clamping: state.sector) * Int64(Self.sectorSize)
        medium.read(count: blockSectors * Self.sectorSize, at: offset) { [self] bytes, error in
            guard error == nil else { return failAtSector() }
            offer(bytes, phase: .blockIn)
        }
    }

    func diskBlockTaken() {
        if state.command == ATACommand.identify || state.command == ATACommand.identifyPacketDevice {
            return endTransfer()
        }
        advance(blockSectors)
        state.sectorsLeft > 0 ? readNextBlock() : endTransfer()
    }

    /// All data was taken: no further interrupt.
    private func endTransfer() {
        state.phase = .idle
        state.task.status = Self.readyStatus
        port?.driveEndedCommand(self)
    }

    private func askForBlock(interrupts: Bool) {
        offer(
            [UInt8](repeating: 0, count: blockSectors * Self.sectorSize), phase: .blockOut, interrupts: interrupts)
    }

    func diskBlockFilled(_ block: [UInt8]) {
        beginWork()
        let offset = Int64(clamping: state.sector) * Int64(Self.sectorSize)
        let isForced = ATACommand.isForced(state.command) || !state.hasWriteCache
        medium.write(block, at: offset, isForced: isForced) { [self] error in
            guard error == nil else { return failAtSector() }
            advance(block.count / Self.sectorSize)
            state.sectorsLeft > 0 ? askForBlock(interrupts: true) : succeed()
        }
    }

    func advance(_ sectors: Int) {
        state.sector &+= UInt64(sectors)
        state.sectorsLeft -= min(sectors, state.sectorsLeft)
        guard state.task.device & TaskFile.Selection.usesLBA != 0 else { return }
        state.task.show(address: state.sector, is48Bit: ATACommand.is48Bit(state.command))
    }

    func failAtSector() { fail(TaskFile.Failure.uncorrectable) }
}
