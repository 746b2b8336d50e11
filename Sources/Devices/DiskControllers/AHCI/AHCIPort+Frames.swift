// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// Frames that a port puts into the guest's memory (Serial ATA, FIS).
extension AHCIPort {
    /// The last status and error that the drive sent.
    private func noteRegisters(_ drive: ATADrive) {
        state.taskFile = UInt32(drive.task.status) | UInt32(drive.task.error) << 8
    }

    private func registers(_ drive: ATADrive, type: UInt8, flags: UInt8) -> [UInt8] {
        func low(_ value: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: value) }
        func high(_ value: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: value >> 8) }
        let task = drive.task
        return [
            type, flags, task.status, task.error, low(task.low), low(task.middle), low(task.high), task.device,
            high(task.low), high(task.middle), high(task.high), 0, low(task.count), high(task.count), 0, 0, 0, 0, 0, 0,
        ]
    }

    private func receive(_ frame: [UInt8], at place: UInt64) {
        guard state.command & AHCI.Command.receive != 0, isBusMaster() else { return }
        // A guest that names no memory for its frames gets none.
        try? memory.write(frame, at: state.received &+ place)
    }

    /// The drive's registers, with an interrupt or without (D2H, SATA 3.0, 10.3.5).
    func sendRegisters(interrupts: Bool) {
        guard let drive else { return }
        noteRegisters(drive)
        receive(
            registers(drive, type: AHCI.Frame.deviceToHost, flags: interrupts ? AHCI.Frame.interrupt : 0),
            at: AHCI.Frame.registersPlace)
        var events = interrupts ? AHCI.Event.registers : 0
        if drive.task.status & TaskFile.Status.error != 0 { events |= AHCI.Event.taskFileError }
        if events != 0 { raise(events) }
    }

    /// What a drive sends before a block of programmed I/O (PIO setup, 10.3.11).
    func sendSetup(_ drive: ATADrive, count: Int, toHost: Bool) {
        var frame = registers(
            drive, type: AHCI.Frame.setup, flags: AHCI.Frame.interrupt | (toHost ? AHCI.Frame.toHost : 0))
        // The status after the data, and how much there is.
        frame[15] = drive.task.status & ~TaskFile.Status.dataRequest
        frame[16] = UInt8(truncatingIfNeeded: count)
        frame[17] = UInt8(truncatingIfNeeded: count >> 8)
        noteRegisters(drive)
        receive(frame, at: AHCI.Frame.setupPlace)
        raise(AHCI.Event.setup)
    }

    /// Queued commands that have finished (set device bits, 10.3.6).
    func sendBits(status: UInt8, error: UInt8, finished: UInt32) {
        var frame: [UInt8] = [AHCI.Frame.bits, AHCI.Frame.interrupt, status & 0x77, error]
        for shift: UInt32 in [0, 8, 16, 24] { frame.append(UInt8(truncatingIfNeeded: finished >> shift)) }
        state.taskFile = UInt32(status) | UInt32(error) << 8
        receive(frame, at: AHCI.Frame.bitsPlace)
        raise(AHCI.Event.deviceBits)
    }
}
