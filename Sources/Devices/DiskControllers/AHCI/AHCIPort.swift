// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import GuestMemory

/// A port of an AHCI controller: takes commands from the guest's list, lets the drive do them, moves the data.
final class AHCIPort {
    /// What a saved machine keeps.
    struct State: Equatable, Sendable, Codable {
        var commandList: UInt64 = 0
        var received: UInt64 = 0
        var interruptStatus: UInt32 = 0
        var interruptEnable: UInt32 = 0
        var command: UInt32 = AHCI.Command.spinUp | AHCI.Command.powerOn
        var sataControl: UInt32 = 0
        var sataError: UInt32 = 0
        var sataActive: UInt32 = 0
        var issue: UInt32 = 0
        /// The slot whose command the drive works on.
        var busySlot: Int?
        /// Queued commands that the host's storage works on.
        var queued: UInt32 = 0
        /// The last registers that the drive sent: status and error.
        var taskFile: UInt32 = 0x7F
        var signature: UInt32 = .max
    }

    /// A command of the list, read once.
    struct Slot {
        var number: Int
        var isWrite: Bool
        var isPacket: Bool
        var header: UInt64
        var table: UInt64
        var entries: Int
        /// Bytes moved so far.
        var done = 0
    }

    var state = State()
    private(set) var drive: ATADrive?
    let memory: GuestMemory
    private let number: Int
    /// The controller looks at the interrupt again.
    var interruptChanged: () -> Void = {}
    /// The guest lets the controller reach memory.
    var isBusMaster: () -> Bool = { true }
    private var slot: Slot?
    private var isPumping = false
    private var mustPump = false
    private var isServing = false
    /// Software reset was asserted by a control frame.
    private var isResetting = false

    init(number: Int, memory: GuestMemory) {
        self.number = number
        self.memory = memory
    }

    func attach(_ drive: ATADrive) {
        self.drive = drive
        drive.port = self
        drive.task.device = 0
        linkReset()
    }

    /// A command is under way.
    var isWorking: Bool { state.busySlot != nil || state.queued != 0 }

    var isInterrupting: Bool { state.interruptStatus & state.interruptEnable != 0 }

    /// Power-on, or the host's reset.
    func reset() {
        drive?.reset()
        state = State()
        slot = nil
        isResetting = false
        linkReset()
        interruptChanged()
    }

    private func linkReset() {
        state.busySlot = nil
        state.queued = 0
        slot = nil
        guard let drive else {
            state.taskFile = 0x7F
            state.signature = .max
            return
        }
        drive.reset()
        state.taskFile = UInt32(drive.task.status) | UInt32(drive.task.error) << 8
        state.signature = drive.isPacketDevice ? AHCI.packetSignature : AHCI.diskSignature
    }

    func raise(_ events: UInt32) {
        state.interruptStatus |= events
        interruptChanged()
    }

    // MARK: Registers

    func read(_ register: UInt64) -> UInt32 {
        switch register {
        case AHCI.Port.commandList: UInt32(truncatingIfNeeded: state.commandList)
        case AHCI.Port.commandListHigh: UInt32(truncatingIfNeeded: state.commandList >> 32)
        case AHCI.Port.received: UInt32(truncatingIfNeeded: state.received)
        case AHCI.Port.receivedHigh: UInt32(truncatingIfNeeded: state.received >> 32)
        case AHCI.Port.interruptStatus: state.interruptStatus
        case AHCI.Port.interruptEnable: state.interruptEnable
        case AHCI.Port.command: commandRegister
        case AHCI.Port.taskFile: state.taskFile
        case AHCI.Port.signature: state.signature
        case AHCI.Port.sataStatus: drive == nil ? 0 : AHCI.linkUp
        case AHCI.Port.sataControl: state.sataControl
        case AHCI.Port.sataError: state.sataError
        case AHCI.Port.sataActive: state.sataActive
        case AHCI.Port.issue: state.issue
        default: 0
        }
    }

    private var commandRegister: UInt32 {
        var value = state.command
        if value & AHCI.Command.start != 0 { value |= AHCI.Command.running }
        if value & AHCI.Command.receive != 0 { value |= AHCI.Command.receiving }
        if let slot = state.busySlot { value |= UInt32(slot) << AHCI.Command.slotShift }
        return value
    }

    func write(_ register: UInt64, _ value: UInt32) {
        switch register {
        case AHCI.Port.commandList:
            state.commandList = state.commandList & ~0xFFFF_FFFF | UInt64(value & ~0x3FF)
        case AHCI.Port.commandListHigh:
            state.commandList = state.commandList & 0xFFFF_FFFF | UInt64(value) << 32
        case AHCI.Port.received: state.received = state.received & ~0xFFFF_FFFF | UInt64(value & ~0xFF)
        case AHCI.Port.receivedHigh: state.received = state.received & 0xFFFF_FFFF | UInt64(value) << 32
        case AHCI.Port.interruptStatus:
            state.interruptStatus &= ~value
            interruptChanged()
        case AHCI.Port.interruptEnable:
            state.interruptEnable = value & 0xFDC0_00FF
            interruptChanged()
        case AHCI.Port.command: writeCommand(value)
        case AHCI.Port.sataControl:
            let wasResetting = state.sataControl & 0xF == 1
            state.sataControl = value
            if wasResetting, value & 0xF == 0 {
                linkReset()
                state.sataError = 0
                if drive != nil { sendSignature() }
            }
        case AHCI.Port.sataError: state.sataError &= ~value
        case AHCI.Port.sataActive: state.sataActive |= value
        case AHCI.Port.issue:
            guard state.command & AHCI.Command.start != 0 else { return }
            state.issue |= value
            serve()
        default: break
        }
    }

    private func writeCommand(_ value: UInt32) {
        let old = state.command
        state.command = value & AHCI.Command.writable | AHCI.Command.spinUp | AHCI.Command.powerOn
        if value & AHCI.Command.override != 0 {
            state.taskFile &= ~UInt32(TaskFile.Status.busy | TaskFile.Status.dataRequest)
        }
        if old & AHCI.Command.start != 0, value & AHCI.Command.start == 0 { stop() }
        if old & AHCI.Command.receive == 0, value & AHCI.Command.receive != 0, drive != nil { sendSignature() }
        serve()
    }

    /// The guest stopped the command engine: nothing stays under way.
    private func stop() {
        if state.busySlot != nil || state.queued != 0 { drive?.softReset() }
        state.issue = 0
        state.sataActive = 0
        state.queued = 0
        state.busySlot = nil
        slot = nil
    }

    private func sendSignature() {
        guard let drive else { return }
        state.signature = drive.isPacketDevice ? AHCI.packetSignature : AHCI.diskSignature
        sendRegisters(interrupts: false)
    }

    // MARK: Commands

    /// Starts what the guest has issued, one command at a time; queued ones all.
    func serve() {
        guard !isServing else { return }
        isServing = true
        defer { isServing = false }
        for number in 0..<AHCI.slotCount {
            guard state.command & AHCI.Command.start != 0, state.busySlot == nil else { return }
            let bit = UInt32(1) << UInt32(number)
            if state.issue & bit != 0, state.queued & bit == 0 { start(number) }
        }
    }

    private func start(_ number: Int) {
        let header = state.commandList &+ UInt64(number * 32)
        guard let drive, isBusMaster(), let flags = try? memory.load(UInt32.self, at: header),
            let table = try? memory.load(UInt64.self, at: header &+ 8),
            let frame = try? memory.read(at: table & ~0x7F, count: 20)
        else {
            state.issue &= ~(1 << UInt32(number))
            return raise(drive == nil ? 0 : AHCI.Event.hostError)
        }
        let slot = Slot(
            number: number, isWrite: flags & 1 << 6 != 0, isPacket: flags & 1 << 5 != 0, header: header,
            table: table & ~0x7F, entries: Int(flags >> 16))
        guard frame[0] == AHCI.Frame.hostToDevice, frame[1] & 0x0F == 0 else {
            return finishSlot(number)
        }
        guard frame[1] & 0x80 != 0 else { return control(frame[15], slot, drive) }
        if frame[2] == ATACommand.readQueued || frame[2] == ATACommand.writeQueued {
            return startQueued(frame, slot, drive)
        }
        self.slot = slot
        state.busySlot = number
        setCount(0, slot)
        load(frame, into: drive)
        state.taskFile |= UInt32(TaskFile.Status.busy)
        drive.execute(frame[2])
    }

    private func load(_ frame: [UInt8], into drive: ATADrive) {
        func pair(_ low: Int, _ high: Int) -> UInt16 { UInt16(frame[low]) | UInt16(frame[high]) << 8 }
        drive.task.feature = pair(3, 11)
        drive.task.low = pair(4, 8)
        drive.task.middle = pair(5, 9)
        drive.task.high = pair(6, 10)
        drive.task.device = frame[7] & ~TaskFile.Selection.second
        drive.task.count = pair(12, 13)
    }

    /// A frame that only sets the device control register.
    private func control(_ value: UInt8, _ slot: Slot, _ drive: ATADrive) {
        let reset: UInt8 = 4
        finishSlot(slot.number)
        if value & reset != 0 {
            isResetting = true
        } else if isResetting {
            isResetting = false
            drive.softReset()
            sendSignature()
        }
    }

    private func finishSlot(_ number: Int) {
        state.issue &= ~(1 << UInt32(number))
        if state.busySlot == number { state.busySlot = nil }
    }

    private func startQueued(_ frame: [UInt8], _ slot: Slot, _ drive: ATADrive) {
        let tag = Int(frame[12] >> 3)
        let bit = UInt32(1) << UInt32(tag)
        // Tag and slot are the same in AHCI.
        guard tag == slot.number, !drive.isPacketDevice else {
            finishSlot(slot.number)
            return failQueued(bit)
        }
        let count = Int(frame[3]) | Int(frame[11]) << 8
        var sector: UInt64 = 0
        for (index, place) in [4, 5, 6, 8, 9, 10].enumerated() {
            sector |= UInt64(frame[place]) << UInt64(index * 8)
        }
        let sectors = count == 0 ? 65536 : count
        let segments = segments(of: slot, from: 0, count: sectors * ATADrive.sectorSize)
        // The drive has taken the command: the slot's bit goes, the bit of the active register stays until the end.
        state.issue &= ~bit
        state.queued |= bit
        sendRegisters(interrupts: false)
        drive.startQueued(
            isWrite: frame[2] == ATACommand.writeQueued, isForced: frame[7] & 0x80 != 0, sector: sector,
            count: sectors, segments: segments
        ) { [self] succeeded in
            setCount(succeeded ? sectors * ATADrive.sectorSize : 0, slot)
            state.queued &= ~bit
            succeeded ? finishQueued(bit) : failQueued(bit)
        }
    }

    private func finishQueued(_ bits: UInt32) {
        state.sataActive &= ~bits
        sendBits(status: ATADrive.readyStatus, error: 0, finished: bits)
    }

    private func failQueued(_ bits: UInt32) {
        let status = ATADrive.readyStatus | TaskFile.Status.error
        sendBits(status: status, error: TaskFile.Failure.aborted, finished: 0)
        raise(AHCI.Event.taskFileError)
    }

    // MARK: Scatter lists

    /// Pieces of the command's list from a byte on.
    private func segments(of slot: Slot, from offset: Int, count: Int) -> [GuestSegment] {
        var found: [GuestSegment] = []
        var skip = offset, left = count
        for index in 0..<slot.entries where left > 0 {
            let place = slot.table &+ 0x80 &+ UInt64(index * 16)
            guard let address = try? memory.load(UInt64.self, at: place),
                let control = try? memory.load(UInt32.self, at: place &+ 12)
            else { break }
            let size = Int(control & 0x3F_FFFF) + 1
            guard skip < size else {
                skip -= size
                continue
            }
            let length = min(size - skip, left)
            found.append(GuestSegment(address: address &+ UInt64(skip), count: length))
            skip = 0
            left -= length
        }
        return found
    }

    /// The count of moved bytes in the command's header.
    private func setCount(_ count: Int, _ slot: Slot) {
        // The header was readable; where it is ROM now, nobody reads the count.
        try? memory.store(UInt32(truncatingIfNeeded: count), at: slot.header &+ 4)
    }
}

extension AHCIPort: ATAPort {
    /// Frames carry the interrupts.
    func driveInterrupts(_ drive: ATADrive) {}

    func driveHasBlock(_ drive: ATADrive) {
        // The drive may have its next block at once: blocks are moved in a loop, not by recursion.
        mustPump = true
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        while mustPump {
            mustPump = false
            moveBlock(drive)
        }
    }

    private func moveBlock(_ drive: ATADrive) {
        guard var slot else { return }
        switch drive.state.phase {
        case .blockIn:
            let count = drive.blockRest
            sendSetup(drive, count: count, toHost: true)
            let target = segments(of: slot, from: slot.done, count: count)
            slot.done += count
            self.slot = slot
            setCount(slot.done, slot)
            _ = memory.scatter(drive.takeBlock(), into: target)
        case .blockOut where drive.isPacketDevice && slot.isPacket && drive.state.packet.awaitsCommand:
            let command = (try? memory.read(at: slot.table &+ 0x40, count: ATADrive.packetSize)) ?? []
            drive.fillBlock(command)
        case .blockOut:
            let count = drive.blockRest
            sendSetup(drive, count: count, toHost: false)
            let source = segments(of: slot, from: slot.done, count: count)
            slot.done += count
            self.slot = slot
            setCount(slot.done, slot)
            drive.fillBlock(memory.gather(source, count: count))
        default: break
        }
    }

    func driveWantsDMA(_ drive: ATADrive) {
        guard let slot else { return }
        drive.startDMA(segments(of: slot, from: 0, count: drive.dmaByteCount))
    }

    func driveEndedDMA(_ drive: ATADrive, byteCount: Int, isShort: Bool) {
        if let slot { setCount(byteCount, slot) }
    }

    func driveEndedCommand(_ drive: ATADrive) {
        guard let number = state.busySlot else { return }
        slot = nil
        finishSlot(number)
        sendRegisters(interrupts: true)
        serve()
    }
}
