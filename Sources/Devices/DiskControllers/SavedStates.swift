// SPDX-License-Identifier: Apache-2.0

internal import PCIBus
internal import StateCoding

/// What a saved machine keeps of a drive that works on nothing.
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

    /// Whether it can be of a drive like `other`. Only an idle drive's state has nothing that its work relies on.
    func isLike(_ other: ATADriveState) -> Bool {
        drive.phase == .idle && drive.block.isEmpty && drive.position == 0 && modes.count == other.modes.count
            && (packets == nil) == (other.packets == nil)
            && (0...ATADrive.maximumMultiple).contains(drive.multipleSectors)
    }

    func restore(_ target: ATADrive) {
        target.state = drive
        if let packets { target.packetCommands?.state = packets }
        target.modes = (modes[0], modes[1], modes[2])
    }

    /// - Throws: a command is under way: the machine can be saved when it is done.
    static func checkIdle(_ drives: [ATADrive?], of name: String) throws(StateError) {
        for drive in drives {
            if let drive, drive.state.phase != .idle {
                throw StateError("device '\(name)' cannot be saved while a drive works on a command; try again")
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
        guard ports.allSatisfy({ $0.registers.busySlot == nil && $0.registers.queued == 0 }) else {
            return "a command is under way"
        }
        return nil
    }
}
