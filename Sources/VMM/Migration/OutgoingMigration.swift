// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import StateCoding

/// What can be set for a move (`migrate-set-parameters`).
public struct MigrationParameters: Equatable, Sendable {
    /// Bytes a second that are sent at most while the guest runs.
    public var maximumBandwidth: UInt64 = 128 << 20
    /// How long the guest may stand still, in milliseconds.
    public var downtimeLimit: UInt64 = 300
    /// QEMU's defaults.
    public init() {}
}

/// How a move stands (`query-migrate`).
public struct MigrationReport: Equatable, Sendable {
    /// QMP's `MigrationStatus`.
    public enum Status: String, Sendable {
        case setup, active, completed, failed, cancelling, cancelled
    }
    public var status = Status.setup
    /// Why it failed.
    public var problem: String?
    /// Milliseconds since it began, of standing still, and of preparation.
    public var totalTime: UInt64 = 0, downtime: UInt64 = 0, setupTime: UInt64 = 0
    /// Bytes of guest memory: sent, still to send, in all.
    public var transferred: UInt64 = 0, remaining: UInt64 = 0, total: UInt64 = 0
    /// Pages sent as zeros, and with their bytes.
    public var zeroPages: UInt64 = 0, dataPages: UInt64 = 0
    /// How often the log of written pages was read.
    public var rounds: UInt64 = 0
}

/// Sends a machine away while it runs: all memory first, then what was written meanwhile, again and again, until the
/// rest fits into the time that the guest may stand still.
///
///     setup --▶ active (rounds on a thread) --▶ the guest stands still, on the loop's thread --▶ completed
///                 |                                         |
///                 +------ failed or cancelled: the guest goes on ------+
public final class OutgoingMigration: @unchecked Sendable {
    private let machine: any MigratableMachine
    private let channel: MigrationChannel
    private let parameters: MigrationParameters
    private let ended: @Sendable (MigrationReport) -> Void
    private let lock = Lock()
    // Guarded by `lock`.
    private var current = MigrationReport()
    private var isCancelled = false
    // Used by one thread at a time: the loop's while the guest stands still, else the move's own.
    private var pages: PageSet
    private var thread: HostThread?
    private let start = monotonicNanoseconds()
    private var wasRunning = false

    private static let million: UInt64 = 1_000_000
    private static let sleepUnit: UInt64 = 5_000_000

    /// - Parameter ended: on the loop's thread, when it is over.
    public init(
        _ machine: any MigratableMachine, channel: MigrationChannel, parameters: MigrationParameters,
        ended: @escaping @Sendable (MigrationReport) -> Void
    ) {
        self.machine = machine
        self.channel = channel
        self.parameters = parameters
        self.ended = ended
        pages = PageSet(machine.memory, isFull: true)
        current.total = machine.memory.regions.reduce(0) { $0 + $1.count }
    }

    /// How it stands. Callable on any thread.
    public var report: MigrationReport {
        lock.withLock {
            var report = current
            if report.status == .active || report.status == .setup { report.totalTime = elapsed }
            return report
        }
    }

    private var elapsed: UInt64 { (monotonicNanoseconds() &- start) / Self.million }

    /// Begins; on the loop's thread.
    public func begin() throws(UserError) {
        wasRunning = machine.isRunning
        try machine.setDirtyLogging(true)
        // What was written before now goes with the first round.
        var old = PageSet(machine.memory)
        try machine.collectDirty(into: &old)
        let header: StateRecord
        do throws(StateError) { header = try StateRecord(name: "machine", machine.stateHeader) } catch {
            throw UserError(error.description)
        }
        do throws(Errno) {
            thread = try HostThread(name: "migration") { [self] in
                let outcome: UserError?
                do throws(UserError) {
                    try channel.write(
                        StateFrame.magic + StateFrame(kind: .header, payload: header.frame.payload).encoded)
                    try sendRounds()
                    outcome = nil
                } catch { outcome = error }
                machine.onLoop { [self] in finish(outcome) }
            }
        } catch { throw UserError("cannot start a thread", because: error) }
        lock.withLock {
            current.status = .active
            current.setupTime = elapsed
        }
    }

    /// Gives up; the guest goes on. Too late once the guest stands still. Callable on any thread.
    public func cancel() {
        let isActive = lock.withLock {
            guard current.status == .active || current.status == .setup else { return false }
            current.status = .cancelling
            isCancelled = true
            return true
        }
        if isActive { channel.abort() }
    }

    // MARK: the move's thread

    private func sendRounds() throws(UserError) {
        while true {
            let roundStart = monotonicNanoseconds(), sentBefore = channel.transferred
            try sendPages(paced: true)
            let duration = max(monotonicNanoseconds() &- roundStart, 1)
            let sent = channel.transferred &- sentBefore
            try collect()
            // Nanoseconds that the rest would take at the rate of this round.
            let rest = UInt64(pages.count) * GuestMemory.pageSize
            let rate = max(Double(sent) / Double(duration), 0.001)
            if !isRunningNow || Double(rest) / rate <= Double(parameters.downtimeLimit) * Double(Self.million) {
                return
            }
        }
    }

    private var isRunningNow: Bool {
        onLoop { $0.isRunning }
    }

    private func collect() throws(UserError) {
        let before = pages
        let collected: Result<PageSet, UserError> = onLoop { machine in
            var taken = before
            do throws(UserError) { try machine.collectDirty(into: &taken) } catch { return .failure(error) }
            return .success(taken)
        }
        pages = try collected.get()
        lock.withLock { current.rounds += 1 }
    }

    /// Runs on the loop's thread and waits for it.
    private func onLoop<Answer: Sendable>(
        _ work: @escaping @Sendable (any MigratableMachine) -> Answer
    ) -> Answer {
        let gate = LoopGate<Answer>()
        machine.onLoop { [machine] in gate.open(work(machine)) }
        return gate.wait()
    }

    private func sendPages(paced: Bool) throws(UserError) {
        let begun = monotonicNanoseconds(), before = channel.transferred
        while let run = pages.takeRun(limit: MemoryFrames.runLimit) {
            if paced, lock.withLock({ isCancelled }) { throw UserError("cancelled") }
            for frame in MemoryFrames.frames(machine.memory, region: run.region, pages: run.pages) {
                try channel.write(frame.encoded)
            }
            let left = UInt64(pages.count) * GuestMemory.pageSize
            lock.withLock {
                current.transferred = channel.transferred
                current.remaining = left
                current.dataPages += UInt64(run.pages.count)
            }
            guard paced, parameters.maximumBandwidth > 0 else { continue }
            let due = (channel.transferred &- before) &* 1000 / max(parameters.maximumBandwidth / Self.million, 1)
            while monotonicNanoseconds() &- begun < due, !lock.withLock({ isCancelled }) {
                usleep(UInt32(Self.sleepUnit / 1000))
            }
        }
    }

    // MARK: the loop's thread

    private func finish(_ outcome: UserError?) {
        thread?.join()
        thread = nil
        var problem = outcome
        if problem == nil {
            do throws(UserError) { try sendRest() } catch { problem = error }
        }
        do throws(UserError) { try machine.setDirtyLogging(false) } catch { if problem == nil { problem = error } }
        let report = lock.withLock {
            current.totalTime = elapsed
            current.transferred = channel.transferred
            if let problem {
                current.status = isCancelled ? .cancelled : .failed
                current.problem = isCancelled ? nil : problem.description
            } else {
                current.status = .completed
                current.remaining = 0
            }
            return current
        }
        if problem == nil { machine.moveEnded() } else if wasRunning, !machine.isRunning { machine.goOn() }
        ended(report)
    }

    private func sendRest() throws(UserError) {
        guard lock.withLock({ !isCancelled }) else { throw UserError("cancelled") }
        let stopped = monotonicNanoseconds()
        let isRunning = machine.isRunning
        if isRunning { machine.stopForMove() }
        // Devices first: what they still have in flight ends in memory.
        let records = try savedSections(isRunning: isRunning)
        try machine.collectDirty(into: &pages)
        try sendPages(paced: false)
        for record in records { try channel.write(record.frame.encoded) }
        try channel.write(StateFrame(kind: .end, payload: []).encoded)
        if channel.isConversation { try awaitAnswer() }
        try channel.finish()
        lock.withLock { current.downtime = (monotonicNanoseconds() &- stopped) / Self.million }
    }

    private func savedSections(isRunning: Bool) throws(UserError) -> [StateRecord] {
        do throws(StateError) {
            return try machine.saveSections()
                + [try StateRecord(name: RunningState.name, RunningState(isRunning: isRunning))]
        } catch { throw UserError(error.description) }
    }

    /// Until the other side has said that the guest runs there, it may have to go on here; a side that is gone has said
    /// nothing.
    private func awaitAnswer() throws(UserError) {
        let kind = try channel.read(count: 1)[0]
        guard kind != MigrationAnswer.accepted else { return }
        let length = try channel.read(count: 2)
        let text = try channel.read(count: Int(length[0]) | Int(length[1]) << 8)
        throw UserError("the other side refuses: \(String(decoding: text, as: UTF8.self))")
    }
}

/// What the receiving side says in the end.
enum MigrationAnswer {
    static let accepted: UInt8 = 0x52
    static let refused: UInt8 = 0x45

    static func refusal(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8.prefix(4096))
        return [refused, UInt8(bytes.count & 0xFF), UInt8(bytes.count >> 8)] + bytes
    }
}

/// Carries a result from one thread to another that waits for it.
private final class LoopGate<Value>: @unchecked Sendable {
    // Guards `value`.
    private let lock = Lock()
    private var value: Value?

    func open(_ value: Value) {
        lock.withLock {
            self.value = value
            lock.broadcast()
        }
    }

    func wait() -> Value {
        lock.withLock {
            while true {
                if let value { return value }
                lock.wait()
            }
        }
    }
}
