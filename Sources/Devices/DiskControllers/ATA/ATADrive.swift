// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// What a drive calls itself.
public struct DriveIdentity: Sendable {
    /// Words 27...46 of IDENTIFY DEVICE: at most 40 characters, padded with spaces.
    public var model: String
    /// Words 10...19: at most 20 characters.
    public var serial: String
    /// Words 23...26: at most 8 characters.
    public var firmware = "2.5+"
    /// World wide name; nil for none.
    public var worldWideName: UInt64?
    /// Revolutions a minute; 1 for solid state, 0 for not told.
    public var rotationRate: UInt16 = 0
    /// Bytes of a physical sector: 512 or a larger power of two.
    public var physicalSectorSize = 512
    /// The write cache is on at power-on.
    public var hasWriteCache = true

    /// Names as QEMU gives them.
    /// - Parameter number: counts the drives from 1.
    public init(model: String, number: Int) {
        self.model = model
        let digits = String(number)
        serial = "QM" + String(repeating: "0", count: max(0, 5 - digits.utf8.count)) + digits
    }
}

/// A drive at the end of an ATA cable: a disk, or a packet device such as a CD-ROM drive (ATA/ATAPI-8 ACS).
///
/// ```
/// idle --command--> working --host's storage--> blockIn / blockOut / dma --all data--> idle (status, interrupt)
///                                  ^---------------- next block -------------|
/// ```
/// The controllers share it: a channel of a PIIX lets the guest move blocks through the data port, an AHCI port moves
/// them itself. All is guarded by the machine lock; work of the host is done by `DriveMedium`'s threads.
public final class ATADrive {
    /// What the drive waits for.
    public enum Phase: String, Equatable, Sendable, Codable {
        case idle
        /// For the host's storage.
        case working
        /// For the host to take the block.
        case blockIn
        /// For the host to fill the block.
        case blockOut
        /// For the controller to call `startDMA`.
        case dmaWaiting
        case dmaRunning
    }

    /// Everything of the guest's view that a saved machine keeps; `working` and `dmaRunning` are waited out before.
    public struct State: Equatable, Sendable, Codable {
        /// The registers that the guest reads and writes.
        public var task = TaskFile()
        /// Who moves next; `working` and `dmaRunning` never get into a saved state.
        public var phase = Phase.idle
        /// The command that runs, or ran last.
        public var command: UInt8 = 0
        /// Bytes on their way between drive and host, and how many of them were moved.
        public var block: [UInt8] = []
        /// How many bytes of `block` were moved.
        public var position = 0
        /// What is left of a disk command: the next sector and how many.
        public var sector: UInt64 = 0
        /// Sectors of 512 bytes that the command has still to move.
        public var sectorsLeft = 0
        /// Sectors of one block; 0 when READ MULTIPLE is not set up.
        public var multipleSectors = 16
        /// Off means that each write is flushed before it counts as done (SET FEATURES 02h, 82h).
        public var hasWriteCache = true
        /// The packet command under way.
        public var packet = PacketTransfer()
    }

    static let sectorSize = 512
    /// Most sectors of one block of READ MULTIPLE.
    static let maximumMultiple = 16

    /// The guest's view.
    public internal(set) var state = State()
    /// The storage.
    public let medium: DriveMedium
    /// The names.
    public let identity: DriveIdentity
    /// The packet commands; nil for a disk.
    public let packetCommands: CDROMCommands?
    /// The other end of the cable.
    public weak var port: (any ATAPort)?
    /// Transfer modes for IDENTIFY words 62, 63 and 88: low byte what can be, high byte what is chosen.
    var modes: (single: UInt16, multi: UInt16, ultra: UInt16) = (0x07, 0x07, 0x203F)

    /// A disk.
    public init(disk medium: DriveMedium, identity: DriveIdentity) {
        self.medium = medium
        self.identity = identity
        packetCommands = nil
        reset()
    }

    /// A CD-ROM drive.
    public init(cdrom commands: CDROMCommands, identity: DriveIdentity) {
        medium = commands.medium
        self.identity = identity
        packetCommands = commands
        reset()
    }

    /// The registers as the guest reads them.
    public var task: TaskFile {
        get { state.task }
        set { state.task = newValue }
    }

    /// A packet device.
    public var isPacketDevice: Bool { packetCommands != nil }

    /// Sectors of a disk.
    var sectorCount: UInt64 { medium.count(of: Self.sectorSize) }

    /// Puts the drive's state of power-on back. The host has finished with all requests when this returns.
    public func reset() {
        medium.cancelAll()
        let device = state.task.device & TaskFile.Selection.second
        state = State()
        state.task.device = device
        state.hasWriteCache = identity.hasWriteCache
        modes = (0x07, 0x07, 0x203F)
        packetCommands?.reset()
        showSignature()
    }

    /// The registers after a reset or a diagnosis say what the drive is.
    func showSignature() {
        state.task.feature = 0
        state.task.count = 1
        state.task.low = 1
        state.task.middle = isPacketDevice ? 0x14 : 0
        state.task.high = isPacketDevice ? 0xEB : 0
        state.task.error = 1
        // A packet device is not ready before its first command.
        state.task.status = isPacketDevice ? 0 : TaskFile.Status.ready | TaskFile.Status.seekComplete
    }

    /// Software reset from the device control register: also ends what is under way.
    public func softReset() {
        medium.cancelAll()
        let multiple = state.multipleSectors, cache = state.hasWriteCache
        state = State()
        state.multipleSectors = multiple
        state.hasWriteCache = cache
        packetCommands?.endCommand()
        showSignature()
    }

    // MARK: Ending a command

    static let readyStatus = TaskFile.Status.ready | TaskFile.Status.seekComplete

    func succeed(interrupts: Bool = true) {
        state.phase = .idle
        state.block = []
        state.position = 0
        state.task.error = 0
        state.task.status = Self.readyStatus
        port?.driveEndedCommand(self)
        if interrupts { port?.driveInterrupts(self) }
    }

    func fail(_ error: UInt8 = TaskFile.Failure.aborted) {
        state.phase = .idle
        state.block = []
        state.position = 0
        state.task.error = error
        state.task.status = Self.readyStatus | TaskFile.Status.error
        port?.driveEndedCommand(self)
        port?.driveInterrupts(self)
    }

    func beginWork() {
        state.phase = .working
        state.task.status = TaskFile.Status.busy | TaskFile.Status.seekComplete
    }

    /// Offers a block to the host, or asks for one.
    func offer(_ block: [UInt8], phase: Phase, interrupts: Bool = true) {
        state.block = block
        state.position = 0
        state.phase = phase
        state.task.error = 0
        state.task.status = Self.readyStatus | TaskFile.Status.dataRequest
        if interrupts { port?.driveInterrupts(self) }
        port?.driveHasBlock(self)
    }

    // MARK: Blocks

    /// Bytes of the block that were not moved yet.
    public var blockRest: Int { state.block.count - state.position }

    /// Takes 1, 2 or 4 bytes through the data port; zeroes where there is no data.
    public func readData(size: Int) -> UInt32 {
        guard state.phase == .blockIn else { return 0 }
        var value: UInt32 = 0
        for index in 0..<min(size, blockRest) {
            value |= UInt32(state.block[state.position + index]) << UInt32(index * 8)
        }
        state.position += min(size, blockRest)
        if blockRest == 0 { blockDone() }
        return value
    }

    /// Gives 1, 2 or 4 bytes through the data port; dropped where none are wanted.
    public func writeData(_ value: UInt32, size: Int) {
        guard state.phase == .blockOut else { return }
        for index in 0..<min(size, blockRest) {
            state.block[state.position + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
        }
        state.position += min(size, blockRest)
        if blockRest == 0 { blockDone() }
    }

    /// Takes the whole block; the drive goes on.
    public func takeBlock() -> [UInt8] {
        guard state.phase == .blockIn else { return [] }
        let block = Array(state.block[state.position...])
        blockDone()
        return block
    }

    /// Fills the block; what is missing stays zero. The drive goes on.
    public func fillBlock(_ bytes: [UInt8]) {
        guard state.phase == .blockOut else { return }
        let length = min(bytes.count, blockRest)
        state.block.replaceSubrange(state.position..<state.position + length, with: bytes.prefix(length))
        blockDone()
    }

    private func blockDone() {
        let block = state.block
        let wasIn = state.phase == .blockIn
        state.phase = .working
        state.block = []
        state.position = 0
        if isPacketDevice && state.command == ATACommand.packet {
            wasIn ? packetBlockTaken() : packetBlockFilled(block)
        } else {
            wasIn ? diskBlockTaken() : diskBlockFilled(block)
        }
    }
}
