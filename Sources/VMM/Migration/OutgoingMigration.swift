// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import StateCoding

/// Sends a machine away while it runs: all memory first, then what was written meanwhile, again and again, until the
/// rest fits into the time that the guest may stand still.
///
///     setup --▶ active (rounds on a thread) --▶ the guest stands still, on the loop's thread --▶ completed
///                 |                                         |
///                 +------ failed or cancelled: the guest goes on ------+
public final class OutgoingMigration: @unchecked Sendable {
    let machine: any MigratableMachine
    private let opener: MigrationChannel.Opener
    private let changed: @Sendable (MigrationReport) -> Void
    let passed: @Sendable (UInt64) -> Void
    let lock = Lock()
    // Guarded by `lock`.
    private var parameters: MigrationParameters
    var current = MigrationReport()
    var isCancelled = false
    var channel: MigrationChannel?
    private var others: [MigrationChannel] = []
    // Used by one thread at a time: the loop's while the guest stands still, else the move's own.
    var pages: PageSet
    var sender: MemorySender?
    private var throttle = 0, slowRounds = 0
    private var thread: HostThread?
    private var start = monotonicNanoseconds()
    var stopped: UInt64 = 0
    var wasRunning = false
    var hasReleasedDisks = false

    static let million: UInt64 = 1_000_000
    private static let second: UInt64 = 1_000_000_000
    private static let sleepUnit: UInt64 = 5_000_000
    /// Bytes that are not worth another round.
    private static let smallRest: UInt64 = 128 << 10

    /// - Parameters:
    ///   - passed: on the loop's thread, each time that the log of written pages was read, with how often that was.
    ///   - changed: on the loop's thread, each time that the status changes; the last time when it is over.
    public init(
        _ machine: any MigratableMachine, to opener: MigrationChannel.Opener, parameters: MigrationParameters,
        passed: @escaping @Sendable (UInt64) -> Void = { _ in },
        changed: @escaping @Sendable (MigrationReport) -> Void
    ) {
        self.machine = machine
        self.opener = opener
        self.parameters = parameters
        self.changed = changed
        self.passed = passed
        pages = PageSet(machine.memory, isFull: true)
        current.total = machine.memory.regions.reduce(0) { $0 + $1.count }
    }

    /// How it stands. Callable on any thread.
    public var report: MigrationReport {
        lock.withLock {
            var report = current
            if !report.status.isFinal { report.totalTime = elapsed }
            return report
        }
    }

    private var elapsed: UInt64 { (monotonicNanoseconds() &- start) / Self.million }

    /// Other limits from now on. Callable on any thread.
    public func set(_ new: MigrationParameters) {
        lock.withLock {
            parameters.maximumBandwidth = new.maximumBandwidth
            parameters.downtimeLimit = new.downtimeLimit
        }
    }

    /// Begins; on the loop's thread.
    public func begin() throws(UserError) {
        start = monotonicNanoseconds()
        wasRunning = machine.isRunning
        let header: StateRecord
        do throws(StateError) { header = try StateRecord(name: "machine", machine.stateHeader) } catch {
            throw UserError(error.description)
        }
        do throws(Errno) {
            thread = try HostThread(name: "migration") { [self] in
                let outcome: UserError?
                do throws(UserError) {
                    try connect(header)
                    try sendRounds()
                    outcome = nil
                } catch { outcome = error }
                machine.onLoop { [self] in finish(outcome) }
            }
        } catch { throw UserError("cannot start a thread", because: error) }
    }

    /// Gives up; the guest goes on. Too late once the guest stands still. Callable on any thread.
    public func cancel() {
        let status = lock.withLock { () -> MigrationReport.Status in
            let before = current.status
            if [.active, .setup, .preSwitchover].contains(before) {
                current.status = .cancelling
                isCancelled = true
            }
            return before
        }
        guard status == .active || status == .setup || status == .preSwitchover else { return }
        for way in lock.withLock({ (channel.map { [$0] } ?? []) + others }) { way.abort() }
        if status == .preSwitchover { machine.onLoop { [self] in end(UserError("cancelled")) } }
    }

    /// Lets a move that waits before its last part go on. On the loop's thread.
    public func switchOver() throws(UserError) {
        guard report.status == .preSwitchover else {
            throw UserError("Migration not in expected state: \(report.status.rawValue)")
        }
        end(nil)
    }

    // MARK: the move's thread

    private func connect(_ header: StateRecord) throws(UserError) {
        let main = try opener.open()
        lock.withLock { channel = main }
        if lock.withLock({ isCancelled }) { throw UserError("cancelled") }
        try main.write(StateFrame.magic + StateFrame(kind: .header, payload: header.frame.payload).encoded)
        let count = lock.withLock { parameters.channels }
        if count > 0, !opener.allowsSeveral {
            throw UserError("several channels need a socket", remedy: "turn multifd off, or use tcp: or unix:")
        }
        try MemorySender.announce(count, on: main)
        for _ in 0..<count {
            let way = try opener.open()
            lock.withLock { others.append(way) }
        }
        sender = try MemorySender(machine.memory, main: main, others: lock.withLock { others })
        // What was written before now goes with the first round.
        let failure: UserError? = onLoop { machine in
            machine.prepareForMove()
            do throws(UserError) {
                try machine.setDirtyLogging(true)
                var old = PageSet(machine.memory)
                try machine.collectDirty(into: &old)
                return nil
            } catch { return error }
        }
        if let failure { throw failure }
        let report = lock.withLock {
            if !isCancelled { current.status = .active }
            current.setupTime = elapsed
            current.rounds = 1
            return current
        }
        machine.onLoop { [self] in
            passed(1)
            changed(report)
        }
    }

    private func sendRounds() throws(UserError) {
        var previous = UInt64.max, hasFlushed = false
        while true {
            let roundStart = monotonicNanoseconds(), sentBefore = sender?.transferred ?? 0
            try sendPages(paced: true)
            try endRound()
            let duration = max(monotonicNanoseconds() &- roundStart, 1)
            let sent = (sender?.transferred ?? 0) &- sentBefore
            try collect()
            // Nanoseconds that the rest would take at the rate of this round.
            let rest = UInt64(pages.count) * GuestMemory.pageSize
            let rate = max(Double(sent) / Double(duration), 0.001)
            let expected = Double(rest) / rate
            let limit = lock.withLock { () -> Double in
                current.downtime = UInt64(min(expected / Double(Self.million), 1e12))
                current.dirtyRate = UInt64(Double(pages.count) / Double(duration) * 1e9)
                current.pageRate = UInt64(rate * 1e9 / Double(GuestMemory.pageSize))
                current.megabits = rate * 8000
                return Double(parameters.downtimeLimit) * Double(Self.million)
            }
            if expected <= limit {
                // Another round makes the pause shorter, as long as it leaves much less than the one before.
                if hasFlushed, rest <= Self.smallRest || rest > previous / 2 { return }
                if !hasFlushed {
                    // So that little is left to write out while the guest stands still.
                    let flush = onLoop { $0.diskFlush() }
                    try flush()
                    hasFlushed = true
                }
            }
            previous = rest
            if onLoop({ !$0.isRunning }) { return }
            slowDown(written: rest, sent: sent)
        }
    }

    /// Waits until the other side has put everything in its place: what is still on its way would be waited for while
    /// the guest stands still.
    private func endRound() throws(UserError) {
        guard let sender, let channel = lock.withLock({ channel }) else { return }
        try sender.endRound(asksForAnswer: channel.isConversation)
        guard channel.isConversation else { return }
        try channel.readRoundsAnswer()
    }

    /// A guest that keeps writing faster than it is sent gets less of its processors.
    private func slowDown(written: UInt64, sent: UInt64) {
        let settings = lock.withLock { parameters }
        guard settings.slowsDown, written > sent / 100 &* UInt64(max(settings.throttleTrigger, 1)) else {
            return slowRounds = 0
        }
        slowRounds += 1
        // Twice in a row, as a single round may be short.
        guard slowRounds >= 2 else { return }
        slowRounds = 0
        let more = throttle == 0 ? settings.throttleInitial : throttle + settings.throttleIncrement
        throttle = min(more, settings.throttleMaximum)
        lock.withLock { current.throttle = throttle }
        let percent = throttle
        onLoop { $0.setThrottle(percent) }
    }

    private func collect() throws(UserError) {
        let before = pages
        let collected: Result<PageSet, UserError> = onLoop { machine in
            var taken = before
            do throws(UserError) { try machine.collectDirty(into: &taken) } catch { return .failure(error) }
            return .success(taken)
        }
        pages = try collected.get()
        let number = lock.withLock { () -> UInt64 in
            current.rounds += 1
            return current.rounds
        }
        machine.onLoop { [self] in passed(number) }
    }

    /// Runs on the loop's thread and waits for it.
    private func onLoop<Answer: Sendable>(
        _ work: @escaping @Sendable (any MigratableMachine) -> Answer
    ) -> Answer {
        let gate = LoopGate<Answer>()
        machine.onLoop { [machine] in gate.open(work(machine)) }
        return gate.wait()
    }

    func sendPages(paced: Bool) throws(UserError) {
        guard let sender else { return }
        let begun = monotonicNanoseconds(), before = sender.transferred
        while let run = pages.takeRun(limit: MemoryFrames.runLimit) {
            if paced, lock.withLock({ isCancelled }) { throw UserError("cancelled") }
            try sender.send(region: run.region, pages: run.pages)
            let left = UInt64(pages.count) * GuestMemory.pageSize
            let sent = sender.sent, transferred = sender.transferred
            let bandwidth = lock.withLock {
                current.transferred = transferred
                current.channelBytes = sent.bytes
                current.remaining = left
                current.dataPages = sent.data
                current.zeroPages = sent.zero
                return parameters.maximumBandwidth
            }
            guard paced, bandwidth > 0 else { continue }
            let due = UInt64(Double(transferred &- before) / Double(bandwidth) * Double(Self.second))
            while monotonicNanoseconds() &- begun < due, !lock.withLock({ isCancelled }) {
                usleep(UInt32(Self.sleepUnit / 1000))
            }
        }
    }

    // MARK: the loop's thread

    private func finish(_ outcome: UserError?) {
        thread?.join()
        thread = nil
        guard outcome == nil, !lock.withLock({ isCancelled }) else { return end(outcome ?? UserError("cancelled")) }
        guard lock.withLock({ parameters.pausesBeforeSwitch }), wasRunning else { return end(nil) }
        stopped = monotonicNanoseconds()
        if machine.isRunning { machine.stopForMove() }
        let report = lock.withLock {
            current.status = .preSwitchover
            return current
        }
        changed(report)
    }

    private func end(_ outcome: UserError?) {
        var problem = outcome
        if problem == nil {
            do throws(UserError) { try sendRest() } catch { problem = error }
        }
        if throttle > 0 { machine.setThrottle(0) }
        if let reason = problem, !reason.description.hasPrefix(MigrationAnswer.refusalWords), let refusal = refusal() {
            problem = refusal
        }
        sender?.end(isGood: problem == nil)
        sender = nil
        do throws(UserError) { try machine.setDirtyLogging(false) } catch {
            // The move is over; what is logged in vain costs time only.
            Console.shared.warning("cannot end the log of written memory: \(error)")
        }
        if problem != nil { takeDisksBack(&problem) }
        let report = lock.withLock {
            current.totalTime = elapsed
            current.throttle = 0
            if let problem {
                current.status = isCancelled ? .cancelled : .failed
                current.problem = isCancelled ? nil : problem.description
            } else {
                current.status = .completed
                current.remaining = 0
            }
            channel = nil
            others = []
            return current
        }
        if problem == nil {
            machine.moveEnded()
        } else if wasRunning, !machine.isRunning, !hasReleasedDisks {
            machine.goOn()
        }
        changed(report)
    }
}
