// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel

/// One IDE channel: a cable with up to two drives, its registers and its half of the bus master.
public final class IDEChannel {
    /// Ports of the command block, and the place of the control register.
    static let commandCount: UInt64 = 8
    private enum Control { static let noInterrupt: UInt8 = 2, reset: UInt8 = 4, highBytes: UInt8 = 0x80 }

    /// The drives, first and second.
    public private(set) var drives: [ATADrive?] = [nil, nil]
    private let interrupt: InterruptLine
    let busMaster: BusMaster
    /// The drive whose registers are read.
    private(set) var selected = 0
    private(set) var control: UInt8 = 0
    /// The selected drive asks for an interrupt.
    private(set) var isInterrupting = false

    /// - Parameter interrupt: ISA interrupt 14 or 15, or the function's pin.
    public init(memory: GuestMemory, interrupt: InterruptLine) {
        self.interrupt = interrupt
        busMaster = BusMaster(memory: memory)
    }

    /// Plugs a drive in as first (0) or second (1).
    public func attach(_ drive: ATADrive, at unit: Int) {
        drives[unit & 1] = drive
        drive.port = self
        drive.task.device = unit & 1 == 0 ? 0 : TaskFile.Selection.second
    }

    /// Power-on.
    public func reset() {
        for drive in drives { drive?.reset() }
        busMaster.reset()
        selected = 0
        control = 0
        setInterrupt(false)
    }

    /// What a saved machine keeps.
    struct State: Equatable, Sendable, Codable {
        var selected: Int
        var control: UInt8
        var isInterrupting: Bool
        var busMaster: BusMaster.State
        var drives: [ATADriveState?]
    }

    var state: State {
        State(
            selected: selected, control: control, isInterrupting: isInterrupting, busMaster: busMaster.state,
            drives: drives.map { $0.map(ATADriveState.init) })
    }

    /// Goes on where a saved channel stood, whose shape was checked.
    func restore(_ state: State) {
        selected = state.selected & 1
        control = state.control
        busMaster.state = state.busMaster
        for (drive, saved) in zip(drives, state.drives) { if let drive, let saved { saved.restore(drive) } }
        busMaster.expect(drives.first { $0?.state.phase == .dmaWaiting } ?? nil)
        setInterrupt(state.isInterrupting)
    }

    private func setInterrupt(_ asserted: Bool) {
        isInterrupting = asserted
        interrupt.set(asserted && control & Control.noInterrupt == 0)
    }

    private var drive: ATADrive? { drives[selected] }

    // MARK: Registers

    /// The command block: data at 0, status and command at 7.
    public private(set) lazy var commandBlock: any RegisterWindow = ChannelWindow(
        read: { [unowned self] in readCommandBlock($0, $1) }, write: { [unowned self] in writeCommandBlock($0, $1, $2) }
    )

    /// The control block: alternate status and device control in one byte.
    public private(set) lazy var controlBlock: any RegisterWindow = ChannelWindow(
        read: { [unowned self] _, _ in UInt64(status) },
        write: { [unowned self] _, _, value in
            writeControl(UInt8(truncatingIfNeeded: value))
        })

    /// Status of the selected drive; a place without drive reads 0.
    private var status: UInt8 { drive?.task.status ?? 0 }

    private func readCommandBlock(_ offset: UInt64, _ size: Int) -> UInt64 {
        if offset == 0 { return UInt64(readData(size)) }
        var value: UInt64 = 0
        for index in 0..<UInt64(min(size, 8)) where offset + index < Self.commandCount {
            value |= UInt64(readRegister(Int(offset + index))) << (index * 8)
        }
        return value
    }

    private func readData(_ size: Int) -> UInt32 {
        guard let drive else { return drives.allSatisfy { $0 == nil } ? .max : 0 }
        return drive.readData(size: min(size, 4))
    }

    private func readRegister(_ register: Int) -> UInt8 {
        guard let drive else { return 0 }
        let task = drive.task
        let shift: UInt16 = control & Control.highBytes != 0 ? 8 : 0
        func half(_ value: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: value >> shift) }
        switch register {
        case 1: return shift == 0 ? task.error : half(task.feature)
        case 2: return half(task.count)
        case 3: return half(task.low)
        case 4: return half(task.middle)
        case 5: return half(task.high)
        case 6: return task.device | 0xA0
        case 7:
            setInterrupt(false)
            return task.status
        default: return 0
        }
    }

    private func writeCommandBlock(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        if offset == 0 {
            drive?.writeData(UInt32(truncatingIfNeeded: value), size: min(size, 4))
            return
        }
        for index in 0..<UInt64(min(size, 8)) where offset + index < Self.commandCount {
            writeRegister(Int(offset + index), UInt8(truncatingIfNeeded: value >> (index * 8)))
        }
    }

    /// Both drives hear each write; only the selected one acts on a command.
    private func writeRegister(_ register: Int, _ value: UInt8) {
        if register == 7 {
            setInterrupt(false)
            if value == ATACommand.diagnose {
                selected = 0
                for drive in drives { drive?.execute(value) }
            } else {
                drive?.execute(value)
            }
            return
        }
        control &= ~Control.highBytes
        for case let drive? in drives where drive.state.phase == .idle || register == 6 {
            switch register {
            case 1: TaskFile.push(value, into: &drive.task.feature)
            case 2: TaskFile.push(value, into: &drive.task.count)
            case 3: TaskFile.push(value, into: &drive.task.low)
            case 4: TaskFile.push(value, into: &drive.task.middle)
            case 5: TaskFile.push(value, into: &drive.task.high)
            default: drive.task.device = value
            }
        }
        if register == 6 { selected = value & TaskFile.Selection.second != 0 ? 1 : 0 }
    }

    private func writeControl(_ value: UInt8) {
        let old = control
        control = value
        if old & Control.reset == 0, value & Control.reset != 0 {
            for drive in drives { drive?.softReset() }
            for case let drive? in drives {
                drive.task.status = TaskFile.Status.busy | TaskFile.Status.seekComplete
            }
            setInterrupt(false)
        } else if old & Control.reset != 0, value & Control.reset == 0 {
            for drive in drives { drive?.showSignature() }
            selected = 0
        }
        interrupt.set(isInterrupting && control & Control.noInterrupt == 0)
    }
}

extension IDEChannel: ATAPort {
    /// Only the selected drive's interrupt reaches the line and the bus master's status.
    public func driveInterrupts(_ drive: ATADrive) {
        guard drive === self.drive else { return }
        busMaster.noteInterrupt()
        setInterrupt(true)
    }

    /// The guest moves the block through the data port.
    public func driveHasBlock(_ drive: ATADrive) {}

    /// Begins when the guest starts the bus master, or now if it has.
    public func driveWantsDMA(_ drive: ATADrive) { busMaster.begin(drive) }

    /// Clears the bus master's active bit; a short table counts as success.
    public func driveEndedDMA(_ drive: ATADrive, byteCount: Int, isShort: Bool) {
        busMaster.end(failed: false)
    }

    /// Nothing: the guest sees it in the status register.
    public func driveEndedCommand(_ drive: ATADrive) {}
}

/// Registers answered by two closures.
final class ChannelWindow: RegisterWindow {
    private let reader: (UInt64, Int) -> UInt64
    private let writer: (UInt64, Int, UInt64) -> Void

    init(read: @escaping (UInt64, Int) -> UInt64, write: @escaping (UInt64, Int, UInt64) -> Void) {
        reader = read
        writer = write
    }

    func read(offset: UInt64, size: Int) -> UInt64 { reader(offset, size) }
    func write(offset: UInt64, size: Int, value: UInt64) { writer(offset, size, value) }
}
