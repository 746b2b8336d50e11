// SPDX-License-Identifier: Apache-2.0

/// What a machine does, and why, in libvirt's numbers.
public struct MachineState: Equatable, Sendable {
    /// libvirt's virDomainState: 1 running, 3 paused, 4 shutting down, 5 off, 6 crashed, 7 suspended.
    public var state: Int32
    /// The reason's number, whose meaning depends on `state`.
    public var reason: Int32

    /// Started from its definition.
    public static let runningBooted = MachineState(state: 1, reason: 1)
    /// A client let it go on.
    public static let runningUnpaused = MachineState(state: 1, reason: 5)
    /// Started from a saved state.
    public static let runningRestored = MachineState(state: 1, reason: 3)
    /// Came from another host.
    public static let runningMigrated = MachineState(state: 1, reason: 2)
    /// Reverted to a snapshot that ran.
    public static let runningFromSnapshot = MachineState(state: 1, reason: 4)
    /// Goes on after a save that failed or was given up.
    public static let runningSaveCancelled = MachineState(state: 1, reason: 7)
    public static let runningMigrationCancelled = MachineState(state: 1, reason: 6)
    /// Woke up from the guest's own sleep.
    public static let runningWokenUp = MachineState(state: 1, reason: 8)
    /// A client paused it.
    public static let pausedByUser = MachineState(state: 3, reason: 1)
    /// Stands still while its state is written.
    public static let pausedForSave = MachineState(state: 3, reason: 3)
    /// Stands still while its memory is dumped.
    public static let pausedForDump = MachineState(state: 3, reason: 4)
    /// Stands still for the end of a migration.
    public static let pausedForMigration = MachineState(state: 3, reason: 2)
    /// Reverted to a snapshot that was paused.
    public static let pausedFromSnapshot = MachineState(state: 3, reason: 7)
    /// Stands still while a snapshot is made.
    public static let pausedForSnapshot = MachineState(state: 3, reason: 9)
    /// A disk failed, and its policy is to stop.
    public static let pausedByIOError = MachineState(state: 3, reason: 5)
    /// The watchdog ran out, and its action is to pause.
    public static let pausedByWatchdog = MachineState(state: 3, reason: 6)
    /// The process runs, but the guest has not begun.
    public static let pausedStarting = MachineState(state: 3, reason: 11)
    /// The guest was asked to power off and is on its way.
    public static let shuttingDown = MachineState(state: 4, reason: 1)
    /// Not started since it was defined.
    public static let shutOff = MachineState(state: 5, reason: 0)
    /// The guest powered off.
    public static let shutOffByGuest = MachineState(state: 5, reason: 1)
    /// A client ended it by force.
    public static let shutOffDestroyed = MachineState(state: 5, reason: 2)
    /// The guest or its process crashed.
    public static let shutOffCrashed = MachineState(state: 5, reason: 3)
    /// Runs on another host now.
    public static let shutOffMigrated = MachineState(state: 5, reason: 4)
    /// Reverted to a snapshot of a machine that was off.
    public static let shutOffFromSnapshot = MachineState(state: 5, reason: 7)
    /// Its state was saved; the next start goes on from there.
    public static let shutOffSaved = MachineState(state: 5, reason: 5)
    /// The emulator could not be started.
    public static let shutOffFailed = MachineState(state: 5, reason: 6)
    /// The guest said that it panicked, and the policy keeps it.
    public static let crashed = MachineState(state: 6, reason: 1)
    /// The guest sleeps (S3) and waits for a wake-up.
    public static let suspended = MachineState(state: 7, reason: 0)

    /// Whether the guest executes.
    public var isRunning: Bool { state == 1 }
    /// Whether it stands still, for whatever reason.
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
