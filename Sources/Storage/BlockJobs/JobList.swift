// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// What becomes of jobs, for QMP's clients.
public enum JobEvent: Sendable, Equatable {
    case statusChanged(identifier: String, JobStatus)
    /// A block job copies along with the guest's writes.
    case ready(JobReport)
    /// A block job waits to be finalized.
    case pending(JobReport)
    /// A block job ended; well where the report has no problem.
    case completed(JobReport)
    case cancelled(JobReport)
    /// A block job could not read or write, and what it does about that.
    case failed(identifier: String, isWrite: Bool, JobErrorAction)
}

/// Jobs that end together: all are well, or all are given up. Used on the loop's thread.
public final class JobGroup: @unchecked Sendable {
    var hasFailed = false
    /// A group without jobs.
    public init() {}
}

/// A wish that a job cannot follow.
public struct JobRefusal: Error, Equatable, CustomStringConvertible {
    /// One sentence.
    public let description: String
    /// There is no such job.
    public let isUnknown: Bool

    init(_ description: String, isUnknown: Bool = false) {
        self.description = description
        self.isUnknown = isUnknown
    }
}

/// The jobs of a machine. Everything is called on the loop's thread.
public final class JobList: @unchecked Sendable {
    private let onLoop: @Sendable (@escaping @Sendable () -> Void) -> Void
    /// Told of events.
    public var observer: (JobEvent) -> Void = { _ in }
    private var jobs: [Job] = []

    /// - Parameter onLoop: runs work on the loop's thread, soon.
    public init(onLoop: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) { self.onLoop = onLoop }

    /// All jobs, the newest first.
    public var reports: [JobReport] { jobs.reversed().map(\.report) }

    /// Whether anything is under way.
    public var isBusy: Bool { jobs.contains { $0.status != .concluded } }

    /// Whether images are being copied.
    public var isCopying: Bool { isCopying(butReady: false) }

    /// Whether images are being copied.
    /// - Parameter butReady: jobs that only follow the guest's writes do not count.
    public func isCopying(butReady: Bool) -> Bool {
        jobs.contains { job in
            job.kind.isBlockJob && job.status != .concluded && !(butReady && job.status == .ready)
        }
    }

    /// Starts a job.
    /// - Parameters:
    ///   - onLoopThread: the work is done soon on the loop's thread; else on a thread of the job's own.
    ///   - group: the jobs that it ends together with.
    public func start(
        _ kind: JobKind, _ options: JobOptions, _ work: any JobWork, onLoopThread: Bool = false,
        group: JobGroup? = nil
    ) throws(JobRefusal) {
        try checkName(options.identifier)
        let job = Job(kind, options, work: work)
        job.group = group
        jobs.append(job)
        change(job, .created)
        job.becameReady = { [self] in onLoop { [self] in ready(job) } }
        job.hadError = { [self] isWrite, action in onLoop { [self] in failed(job, isWrite: isWrite, action) } }
        change(job, .running)
        if onLoopThread {
            onLoop { [self] in finish(job, Self.outcome(job)) }
            return
        }
        do throws(Errno) {
            job.thread = try HostThread(name: "job") { [self] in
                let outcome = Self.outcome(job)
                onLoop { [self] in finish(job, outcome) }
            }
        } catch {
            jobs.removeAll { $0 === job }
            work.clean(job)
            throw JobRefusal("cannot start a thread for job '\(options.identifier)': \(error)")
        }
    }

    private static func outcome(_ job: Job) -> BlockError? {
        do throws(BlockError) { try job.work.run(job) } catch { return error }
        return nil
    }

    /// Whether a job can have that name.
    public func checkName(_ name: String) throws(JobRefusal) {
        guard Self.isName(name) else { throw JobRefusal("Invalid job ID '\(name)'") }
        guard !jobs.contains(where: { $0.options.identifier == name }) else {
            throw JobRefusal("Job ID '\(name)' already in use")
        }
    }

    /// A letter, then letters, digits, `-`, `.` and `_`: what jobs, nodes and exports can be called.
    static func isName(_ name: String) -> Bool {
        let first = name.utf8.first.map { $0 | 0x20 } ?? 0
        return (0x61...0x7A).contains(first)
            && name.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
                    || [0x2D, 0x2E, 0x5F].contains(byte)
            }
    }

    // MARK: wishes

    private func find(_ name: String, block: Bool) throws(JobRefusal) -> Job {
        if let job = jobs.first(where: { $0.options.identifier == name && (!block || $0.kind.isBlockJob) }) {
            return job
        }
        throw JobRefusal(block ? "Block job '\(name)' not found" : "Job not found", isUnknown: block)
    }

    private func check(_ job: Job, _ verb: String, in allowed: [JobStatus]) throws(JobRefusal) {
        let status = job.status
        guard allowed.contains(status) else {
            throw JobRefusal(
                "Job '\(job.options.identifier)' in state '\(status.rawValue)' cannot accept command verb '\(verb)'")
        }
    }

    /// Gives a job up; a ready one ends well without its last step unless `force`.
    public func cancel(_ name: String, block: Bool, force: Bool) throws(JobRefusal) {
        let job = try find(name, block: block)
        try check(job, "cancel", in: [.created, .running, .paused, .ready, .standby, .waiting, .pending])
        let isDone = job.status == .pending || job.status == .waiting
        job.cancel(force: force)
        if isDone { giveUp(job, Self.cancelled) }
    }

    private static let cancelled = BlockError(.cancelled, "Operation canceled")

    /// Lets a ready job do its last step.
    public func complete(_ name: String, block: Bool) throws(JobRefusal) {
        let job = try find(name, block: block)
        guard job.status == .ready else {
            try check(job, "complete", in: [.ready])
            return
        }
        job.complete()
    }

    /// Sets the speed in bytes a second.
    public func setSpeed(_ name: String, to bytes: Int64) throws(JobRefusal) {
        let job = try find(name, block: true)
        try check(job, "set-speed", in: [.created, .running, .paused, .ready, .standby])
        guard bytes >= 0 else { throw JobRefusal("Parameter 'speed' expects a non-negative value") }
        job.setSpeed(bytes)
    }

    /// Halts a job, or lets it go on.
    public func pause(_ name: String, block: Bool, _ isPaused: Bool) throws(JobRefusal) {
        let job = try find(name, block: block)
        try check(
            job, isPaused ? "pause" : "resume", in: [.created, .running, .paused, .ready, .standby, .waiting])
        guard job.setPaused(isPaused) else {
            throw JobRefusal(isPaused ? "Job is already paused" : "Can't resume a job that was not paused")
        }
        switch (job.status, isPaused) {
        case (.running, true): change(job, .paused)
        case (.ready, true): change(job, .standby)
        case (.paused, false): change(job, .running)
        case (.standby, false): change(job, .ready)
        default: break
        }
    }

    /// Lets a pending job change the machine.
    public func finalize(_ name: String, block: Bool) throws(JobRefusal) {
        let job = try find(name, block: block)
        try check(job, "finalize", in: [.pending])
        settle(companions(of: job))
    }

    /// Forgets a job that has concluded.
    public func dismiss(_ name: String, block: Bool) throws(JobRefusal) {
        let job = try find(name, block: block)
        try check(job, "dismiss", in: [.concluded])
        forget(job)
    }

    /// Gives everything up and waits for it: at the end of the process, or before the disks go away.
    public func endAll() {
        for job in jobs {
            job.cancel(force: true)
            job.thread?.join()
            job.thread = nil
            job.work.clean(job)
        }
        jobs = []
    }

    // MARK: the way of a job

    private func change(_ job: Job, _ status: JobStatus) {
        job.setStatus(status)
        observer(.statusChanged(identifier: job.options.identifier, status))
    }

    private func ready(_ job: Job) {
        guard job.status == .running else { return }
        change(job, .ready)
        observer(.ready(job.report))
    }

    private func failed(_ job: Job, isWrite: Bool, _ action: JobErrorAction) {
        guard jobs.contains(where: { $0 === job }) else { return }
        observer(.failed(identifier: job.options.identifier, isWrite: isWrite, action))
        // Somebody may have let it go on already.
        guard action == .stop, job.standsStill else { return }
        switch job.status {
        case .running: change(job, .paused)
        case .ready: change(job, .standby)
        default: break
        }
    }

    /// The job, and those of its group that have not concluded.
    private func companions(of job: Job) -> [Job] {
        guard let group = job.group else { return [job] }
        return jobs.filter { $0.group === group && $0.status != .concluded }
    }

    private func finish(_ job: Job, _ outcome: BlockError?) {
        // A job that was given up at the process's end is not in the list any more.
        guard jobs.contains(where: { $0 === job }) else { return }
        job.thread?.join()
        job.thread = nil
        if let outcome { return giveUp(job, outcome) }
        if job.group?.hasFailed == true { return abort(job, Self.cancelled) }
        change(job, .waiting)
        let group = companions(of: job)
        guard group.allSatisfy({ $0.status == .waiting }) else { return }
        for member in group {
            change(member, .pending)
            if member.kind.isBlockJob, !member.options.finalizesItself { observer(.pending(member.report)) }
        }
        if group.allSatisfy(\.options.finalizesItself) { settle(group) }
    }

    private func settle(_ group: [Job]) {
        for job in group {
            // One before it may have failed.
            guard job.status != .concluded, jobs.contains(where: { $0 === job }) else { continue }
            do throws(BlockError) { try job.work.settle(job) } catch {
                giveUp(job, error)
                continue
            }
            job.work.clean(job)
            if job.kind.isBlockJob { observer(.completed(job.report)) }
            conclude(job)
        }
    }

    /// Ends a job that has failed, and its group with it.
    private func giveUp(_ job: Job, _ error: BlockError) {
        let others = companions(of: job).filter { $0 !== job }
        job.group?.hasFailed = true
        abort(job, error)
        for other in others {
            if other.status == .waiting || other.status == .pending {
                abort(other, Self.cancelled)
            } else {
                other.cancel(force: true)
            }
        }
    }

    private func abort(_ job: Job, _ error: BlockError) {
        job.fail(error.description)
        change(job, .aborting)
        job.work.clean(job)
        if job.kind.isBlockJob {
            observer(error.kind == .cancelled ? .cancelled(job.report) : .completed(job.report))
        }
        conclude(job)
    }

    private func conclude(_ job: Job) {
        change(job, .concluded)
        // Jobs of `snapshot-…` wait for somebody who has seen how they ended.
        if job.options.dismissesItself { forget(job) }
    }

    private func forget(_ job: Job) {
        change(job, .null)
        jobs.removeAll { $0 === job }
    }
}
