// SPDX-License-Identifier: Apache-2.0

/// What the machine is doing; the raw values are QMP's `RunState`.
public enum RunState: String, Sendable {
    /// Made with `-S` and not started.
    case prelaunch
    case running
    /// Stopped by `stop`, or before `cont`.
    case paused
    /// The guest powered off and `-no-shutdown` keeps the process.
    case shutdown
    /// The debugger holds the vCPUs.
    case debug
    /// A disk's error policy stopped the machine.
    case ioError = "io-error"
    /// A vCPU cannot go on.
    case internalError = "internal-error"
    /// Waits for a saved machine (`-incoming`).
    case inMigrate = "inmigrate"
    /// Stands still while the last part of it is sent.
    case finishMigrate = "finish-migrate"
    /// Stands still while it is saved into a disk, or loaded from one.
    case saveVM = "save-vm"
    case restoreVM = "restore-vm"
    /// It was sent, and runs elsewhere.
    case postMigrate = "postmigrate"
    /// The guest said that it panicked.
    case guestPanicked = "guest-panicked"
}

/// Why the machine shuts down or resets; the raw values are QMP's `ShutdownCause`.
public enum ShutdownCause: String, Sendable {
    case hostError = "host-error"
    case hostQMPQuit = "host-qmp-quit"
    case hostQMPSystemReset = "host-qmp-system-reset"
    case hostSignal = "host-signal"
    case hostUI = "host-ui"
    case guestShutdown = "guest-shutdown"
    case guestReset = "guest-reset"
    case guestPanic = "guest-panic"

    /// QMP's `guest` member of SHUTDOWN and RESET.
    public var isFromGuest: Bool {
        switch self {
        case .guestShutdown, .guestReset, .guestPanic: true
        case .hostError, .hostQMPQuit, .hostQMPSystemReset, .hostSignal, .hostUI: false
        }
    }
}

/// What the machine tells its watchers; on the event loop's thread.
public enum MachineEvent: Equatable, Sendable {
    case stopped
    case resumed
    case reset(ShutdownCause)
    case powerdown
    case shutdown(ShutdownCause)
    /// The guest said that it crashed; what follows, in QMP's words ("pause", "poweroff", "run").
    case guestPanicked(action: String)
    /// As above, of a guest that goes on into a crash kernel.
    case guestCrashLoaded(action: String)
    /// A disk's request failed.
    case blockError(BlockFailure)
    /// The guest's balloon holds another amount: bytes that the guest has now.
    case balloonChanged(actualBytes: UInt64)
    /// A port of a virtio serial bus was opened or closed by the guest.
    case serialPortChanged(identifier: String, isOpen: Bool)
    /// A vCPU stopped for the debugger.
    case debug(cpu: Int, DebugStopReason)

    /// What QMP's BLOCK_IO_ERROR says.
    public struct BlockFailure: Equatable, Sendable {
        /// The drive's identifier; empty for a node of -blockdev.
        public var device: String
        /// The node of -blockdev; empty where `device` names a drive.
        public var nodeName: String
        /// A write, flush or discard failed, not a read.
        public var isWrite: Bool
        /// "report", "ignore" or "stop".
        public var action: String
        /// The host has no space left: `werror=enospc` stops for this alone.
        public var isNoSpace: Bool
        /// The host's words.
        public var reason: String
        /// Everything by name.
        public init(
            device: String, nodeName: String, isWrite: Bool, action: String, isNoSpace: Bool, reason: String
        ) {
            self.device = device
            self.nodeName = nodeName
            self.isWrite = isWrite
            self.action = action
            self.isNoSpace = isNoSpace
            self.reason = reason
        }
    }

    /// As `CPUInterface.DebugStop`, without its payloads' module.
    public enum DebugStopReason: Equatable, Sendable {
        case step
        case breakpoint
        case watchpoint(address: UInt64)
    }
}

/// What follows a guest's reset and power-off: `-no-reboot`, `-no-shutdown`, `-action`.
public struct LifecyclePolicy: Equatable, Sendable {
    /// A reset ends the machine instead.
    public var resetShutsDown = false
    /// A power-off stops the vCPUs and keeps the process.
    public var shutdownPauses = false
    /// What follows a guest's panic, in QMP's words: pause, shutdown, exit-failure, none.
    public var panicAction = "shutdown"
    /// The defaults: reset resets, power-off ends.
    public init() {}
}
