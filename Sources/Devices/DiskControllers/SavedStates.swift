// SPDX-License-Identifier: Apache-2.0

internal import PCIBus
internal import StateCoding

/// What a saved machine keeps of a drive. Nothing is under way on the host's side; the guest may be in the middle of
/// moving a block, or about to start a transfer.
struct ATADriveState: Equatable, Sendable, Codable {
    var drive: ATADrive.State
    /// Of a CD-ROM drive.
    var packets: CDROMCommands.State?
    /// Transfer modes: single-word DMA, multi-word DMA, Ultra DMA.
    var modes: [UInt16]

    init(_ drive: ATADrive) {
        self.drive = drive.state
        packets = drive.packetCommands?.state
        modes = [drive.modes.single, drive.modes.multi, drive.modes.ultra]
    }

    /// Whether it can be of a drive like `other`, with nothing in it that would mislead the drive's work.
    func isLike(_ other: ATADriveState) -> Bool {
        modes.count == other.modes.count && (packets == nil) == (other.packets == nil)
            && (0...ATADrive.maximumMultiple).contains(drive.multipleSectors) && isWhole
    }

    /// Most bytes of a block, and of what a packet command has ready: all that a CD-ROM drive reads at a time.
    private static let largestBlock = 64 << 10
    /// Sectors of one command at most, and the last one whose place in bytes can be said.
    private static let largestCount = 65536, lastSector = UInt64(Int64.max) >> 10

    private var isWhole: Bool {
        let packet = drive.packet
        let phases: [ATADrive.Phase] = [.idle, .blockIn, .blockOut, .dmaWaiting]
        return phases.contains(drive.phase) && drive.block.count <= Self.largestBlock
            && (0...drive.block.count).contains(drive.position)
            && (drive.phase == .blockIn || drive.phase == .blockOut) == !drive.block.isEmpty
            && (packets != nil || drive.block.count % ATADrive.sectorSize == 0) && drive.sector <= Self.lastSector
            && (!ATACommand.isMultiple(drive.command) || drive.multipleSectors > 0 || drive.phase == .idle)
            && (0...Self.largestCount).contains(drive.sectorsLeft) && (0...0xFFFF).contains(packet.byteCountLimit)
            && packet.data.count <= Self.largestBlock && (0...Int64.max / 2).contains(packet.offset)
            && (0...Int(UInt32.max)).contains(packet.mediumRest)
            && (!packet.awaitsCommand || drive.phase != .blockOut || drive.block.count == ATADrive.packetSize)
    }

    func restore(_ target: ATADrive) {
        target.state = drive
        if let packets { target.packetCommands?.state = packets }
        target.modes = (modes[0], modes[1], modes[2])
    }

    /// Waits for what the host has under way.
    /// - Throws: a request waits for the machine to go on after an error.
    static func settle(_ drives: [ATADrive?], of name: String) throws(StateError) {
        for drive in drives {
            guard let drive else { continue }
            guard drive.medium.settle(), drive.state.phase != .working, drive.state.phase != .dmaRunning else {
                throw StateError(
                    "device '\(name)' cannot be saved while a request waits that failed; mend its cause and say 'cont'")
            }
        }
    }
}

/// Whether two lists of drives are of the same places, each with a drive like the other's.
private func areAlike(_ saved: [ATADriveState?], _ here: [ATADriveState?]) -> Bool {
    guard saved.count == here.count else { return false }
    return zip(saved, here).allSatisfy { pair in
        switch pair {
        case (nil, nil): true
        case (let saved?, let here?): saved.isLike(here)
        default: false
        }
    }
}

/// What a saved machine keeps of the PIIX's IDE function.
struct IDEControllerState: SavedState, Equatable {
    var function: PCIDeviceState
    var channels: [IDEChannel.State]

    func problem(replacing current: IDEControllerState) -> String? {
        if let problem = function.problem(replacing: current.function) { return problem }
        guard channels.count == current.channels.count,
            zip(channels, current.channels).allSatisfy({ areAlike($0.drives, $1.drives) })
        else { return "it has other drives" }
        return nil
    }
}

/// What a saved machine keeps of an AHCI controller.
struct AHCIControllerState: SavedState, Equatable {
    struct Port: Codable, Equatable, Sendable {
        var registers: AHCIPort.State
        var drive: ATADriveState?
    }
    var function: PCIDeviceState
    var control: UInt32, index: UInt32
    var ports: [Port]

    func problem(replacing current: AHCIControllerState) -> String? {
        if let problem = function.problem(replacing: current.function) { return problem }
        guard areAlike(ports.map(\.drive), current.ports.map(\.drive)) else { return "it has other drives" }
        // A port moves blocks by itself, so that its drive is never seen in the middle of one.
        let areIdle = ports.allSatisfy {
            $0.registers.busySlot == nil && $0.registers.queued == 0 && ($0.drive?.drive.phase ?? .idle) == .idle
        }
        guard areIdle else {
            return "a command is under way"
        }
        return nil
    }
}
