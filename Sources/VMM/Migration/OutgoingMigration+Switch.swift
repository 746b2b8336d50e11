// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import StateCoding

/// The last part of a move, on the loop's thread: the guest stands still, and exactly one side goes on.
extension OutgoingMigration {
    /// How often and how long apart the disks are asked for back after a failure: a process that dies lets go soon.
    private static let attempts = 50, pause: UInt32 = 100_000

    var isCancelledNow: Bool { lock.withLock { isCancelled } }

    /// What the other side said before it went away, where it said anything.
    func refusal() -> UserError? {
        guard let channel = lock.withLock({ channel }), channel.isConversation, !isCancelledNow else { return nil }
        do throws(UserError) {
            try channel.setImpatient()
            try channel.readLastAnswer()
            return nil
        } catch { return error.description.hasPrefix(MigrationAnswer.refusalWords) ? error : nil }
    }

    func takeDisksBack(_ problem: inout UserError?) {
        guard hasReleasedDisks else { return }
        var last: UserError?
        for attempt in 0..<Self.attempts {
            if attempt > 0 { usleep(Self.pause) }
            do throws(UserError) {
                try machine.takeDisks()
                hasReleasedDisks = false
                return
            } catch { last = error }
        }
        // It must not go on without its disks; a person can repair it and say `cont`.
        if let last {
            problem = UserError(
                "\(problem?.description ?? ""); and the disks cannot be opened again, so that the machine stays stopped",
                because: last.description)
        }
    }

    func sendRest() throws(UserError) {
        guard !isCancelledNow, let channel = lock.withLock({ channel }) else { throw UserError("cancelled") }
        if stopped == 0 { stopped = monotonicNanoseconds() }
        var stages = PauseStages("source")
        let before = sender?.transferred ?? 0
        if machine.isRunning { machine.stopForMove() }
        lock.withLock { current.status = .device }
        stages.pass("stop")
        // Devices first: what they still have in flight ends in memory.
        let records = try savedSections(isRunning: wasRunning)
        stages.pass("sections")
        try machine.collectDirty(into: &pages)
        stages.pass("collect")
        let number = lock.withLock { () -> UInt64 in
            current.rounds += 1
            return current.rounds
        }
        let count = pages.count
        try sendPages(paced: false)
        try sender?.endRound(asksForAnswer: false)
        stages.pass("\(count) pages")
        // In one piece: the other side has less to wait for.
        var bytes: [UInt8] = []
        for record in records { bytes += record.frame.encoded }
        try channel.write(bytes)
        stages.pass("\(bytes.count) bytes of \(records.count) sections")
        hasReleasedDisks = true
        try machine.releaseDisks()
        stages.pass("disks")
        try channel.write(StateFrame(kind: .end, payload: []).encoded)
        if channel.isConversation { try channel.readLastAnswer() }
        try channel.finish()
        stages.pass("answer")
        let sent = (sender?.transferred ?? 0) &- before
        lock.withLock {
            current.downtime = (monotonicNanoseconds() &- stopped) / Self.million
            current.downtimeBytes = sent
            current.transferred = sender?.transferred ?? 0
        }
        // Whoever hears of it may take his time.
        passed(number)
    }

    private func savedSections(isRunning: Bool) throws(UserError) -> [StateRecord] {
        do throws(StateError) {
            return try machine.saveSections()
                + [try StateRecord(name: RunningState.name, RunningState(isRunning: isRunning))]
        } catch { throw UserError(error.description) }
    }
}
