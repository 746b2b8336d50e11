// SPDX-License-Identifier: Apache-2.0

/// What can be set for a move (`migrate-set-parameters`, `migrate-set-capabilities`).
public struct MigrationParameters: Equatable, Sendable {
    /// Bytes a second that are sent at most while the guest runs; 0 for no limit.
    public var maximumBandwidth: UInt64 = 128 << 20
    /// How long the guest may stand still, in milliseconds.
    public var downtimeLimit: UInt64 = 300
    /// Channels for memory beside the main one; 0 for none.
    public var channels = 0
    /// The processors are slowed down while the guest writes faster than it is sent (`auto-converge`).
    public var slowsDown = false
    /// Per cent: by how much first, more each time, and at most; and what part of the bytes sent may be dirty again.
    public var throttleInitial = 20, throttleIncrement = 10, throttleMaximum = 99, throttleTrigger = 50
    /// The guest is stopped before its last part is sent, and somebody says when to go on
    /// (`pause-before-switchover`).
    public var pausesBeforeSwitch = false
    /// QEMU's defaults.
    public init() {}
}

/// How a move stands (`query-migrate`).
public struct MigrationReport: Equatable, Sendable {
    /// QMP's `MigrationStatus`.
    public enum Status: String, Sendable {
        case setup, active, completed, failed, cancelling, cancelled
        case preSwitchover = "pre-switchover"
        case device

        /// Nothing more happens.
        public var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
    }
    /// The step, in the order in which they come.
    public var status = Status.setup
    /// Why it failed.
    public var problem: String?
    /// Milliseconds since it began, of standing still (expected, until it is known), and of preparation.
    public var totalTime: UInt64 = 0, downtime: UInt64 = 0, setupTime: UInt64 = 0
    /// Bytes of guest memory: sent, still to send, in all, sent while the guest stood still, and by further channels.
    public var transferred: UInt64 = 0, remaining: UInt64 = 0, total: UInt64 = 0, downtimeBytes: UInt64 = 0
    /// The last of those.
    public var channelBytes: UInt64 = 0
    /// Pages sent as zeros, and with their bytes.
    public var zeroPages: UInt64 = 0, dataPages: UInt64 = 0
    /// How often the log of written pages was read.
    public var rounds: UInt64 = 0
    /// Pages a second that the guest wrote in the last round, and that were sent.
    public var dirtyRate: UInt64 = 0, pageRate: UInt64 = 0
    /// Megabits a second of the last round.
    public var megabits = 0.0
    /// Per cent that is taken from the processors.
    public var throttle = 0
}
