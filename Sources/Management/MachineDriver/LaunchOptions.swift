// SPDX-License-Identifier: Apache-2.0

/// How a machine is started.
struct LaunchOptions {
    /// What it starts from, for its state and its events.
    enum Origin {
        case booted, restored, snapshot, migrated
    }

    /// Whether its processors stay stopped.
    var paused = false
    /// A descriptor from which its memory is read; negative when it boots.
    var memory: Int32 = -1
    /// Where it waits for its memory, in the emulator's words; nil when it does not.
    var incoming: String?
    /// A snapshot inside its disks to start from.
    var snapshot: String?
    var origin = Origin.booted
    /// Whether the firmware begins with the variables of its maker.
    var resetsVariables = false

    var state: MachineState {
        switch origin {
        case .booted: .runningBooted
        case .restored: .runningRestored
        case .snapshot: .runningFromSnapshot
        case .migrated: .runningMigrated
        }
    }

    var pausedState: MachineState { origin == .snapshot ? .pausedFromSnapshot : .pausedByUser }

    var started: (Int32, Int32) {
        switch origin {
        case .booted: Lifecycle.startedBooted
        case .restored: Lifecycle.startedRestored
        case .snapshot: Lifecycle.startedFromSnapshot
        case .migrated: Lifecycle.startedMigrated
        }
    }

    var resumed: (Int32, Int32) {
        switch origin {
        case .snapshot, .restored: Lifecycle.resumedFromSnapshot
        case .migrated: Lifecycle.resumedMigrated
        default: Lifecycle.resumedUnpaused
        }
    }
}
