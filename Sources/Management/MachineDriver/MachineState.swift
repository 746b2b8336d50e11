// SPDX-License-Identifier: Apache-2.0

/// What a machine does, and why, in libvirt's numbers.
public struct MachineState: Equatable, Sendable {
    public var state: Int32
    public var reason: Int32

    public static let runningBooted = MachineState(state: 1, reason: 1)
    public static let runningUnpaused = MachineState(state: 1, reason: 5)
    public static let runningRestored = MachineState(state: 1, reason: 3)
    public static let runningMigrated = MachineState(state: 1, reason: 2)
    public static let runningFromSnapshot = MachineState(state: 1, reason: 4)
    public static let runningSaveCancelled = MachineState(state: 1, reason: 7)
    public static let runningMigrationCancelled = MachineState(state: 1, reason: 6)
    public static let runningWokenUp = MachineState(state: 1, reason: 8)
    public static let pausedByUser = MachineState(state: 3, reason: 1)
    public static let pausedForSave = MachineState(state: 3, reason: 3)
    public static let pausedForDump = MachineState(state: 3, reason: 4)
    public static let pausedForMigration = MachineState(state: 3, reason: 2)
    public static let pausedFromSnapshot = MachineState(state: 3, reason: 7)
    public static let pausedForSnapshot = MachineState(state: 3, reason: 9)
    public static let pausedByIOError = MachineState(state: 3, reason: 5)
    public static let pausedByWatchdog = MachineState(state: 3, reason: 6)
    public static let pausedStarting = MachineState(state: 3, reason: 11)
    public static let shuttingDown = MachineState(state: 4, reason: 1)
    public static let shutOff = MachineState(state: 5, reason: 0)
    public static let shutOffByGuest = MachineState(state: 5, reason: 1)
    public static let shutOffDestroyed = MachineState(state: 5, reason: 2)
    public static let shutOffCrashed = MachineState(state: 5, reason: 3)
    public static let shutOffMigrated = MachineState(state: 5, reason: 4)
    public static let shutOffFromSnapshot = MachineState(state: 5, reason: 7)
    public static let shutOffSaved = MachineState(state: 5, reason: 5)
    public static let shutOffFailed = MachineState(state: 5, reason: 6)
    public static let crashed = MachineState(state: 6, reason: 1)
    public static let suspended = MachineState(state: 7, reason: 0)

    public var isRunning: Bool { state == 1 }
    public var isPaused: Bool { state == 3 }

    static let names = ["nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"]
}

/// Lifecycle events, in libvirt's numbers.
enum Lifecycle {
    static let definedAdded: (Int32, Int32) = (0, 0)
    static let definedUpdated: (Int32, Int32) = (0, 1)
    static let undefined: (Int32, Int32) = (1, 0)
    static let startedBooted: (Int32, Int32) = (2, 0)
    static let startedMigrated: (Int32, Int32) = (2, 1)
    static let startedRestored: (Int32, Int32) = (2, 2)
    static let startedFromSnapshot: (Int32, Int32) = (2, 3)
    static let suspendedPaused: (Int32, Int32) = (3, 0)
    static let suspendedForMigration: (Int32, Int32) = (3, 1)
    static let suspendedByIOError: (Int32, Int32) = (3, 2)
    static let suspendedByWatchdog: (Int32, Int32) = (3, 3)
    static let suspendedFromSnapshot: (Int32, Int32) = (3, 5)
    static let resumedUnpaused: (Int32, Int32) = (4, 0)
    static let resumedMigrated: (Int32, Int32) = (4, 1)
    static let resumedFromSnapshot: (Int32, Int32) = (4, 2)
    static let stoppedByGuest: (Int32, Int32) = (5, 0)
    static let stoppedDestroyed: (Int32, Int32) = (5, 1)
    static let stoppedCrashed: (Int32, Int32) = (5, 2)
    static let stoppedMigrated: (Int32, Int32) = (5, 3)
    static let stoppedSaved: (Int32, Int32) = (5, 4)
    static let stoppedFromSnapshot: (Int32, Int32) = (5, 6)
    static let stoppedFailed: (Int32, Int32) = (5, 5)
    static let shutdownByGuest: (Int32, Int32) = (6, 1)
    static let shutdownByHost: (Int32, Int32) = (6, 2)
    static let crashedPanicked: (Int32, Int32) = (8, 0)
}
