// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// What a job does; the raw values are QMP's `JobType`.
public enum JobKind: String, Sendable {
    case commit, stream, mirror, backup, create
    case snapshotSave = "snapshot-save"
    case snapshotLoad = "snapshot-load"
    case snapshotDelete = "snapshot-delete"

    /// Whether the job also has its place in `query-block-jobs`.
    public var isBlockJob: Bool {
        switch self {
        case .commit, .stream, .mirror, .backup: true
        case .create, .snapshotSave, .snapshotLoad, .snapshotDelete: false
        }
    }
}

/// How a job stands; the raw values are QMP's `JobStatus`.
public enum JobStatus: String, Sendable {
    case created, running, paused, ready, standby, waiting, pending, aborting, concluded, null
}

/// A job as monitors show it.
public struct JobReport: Sendable, Equatable {
    /// `job-id=`, or the drive's identifier.
    public var identifier: String
    /// What QMP calls its type.
    public var kind: JobKind
    /// Where it is in the life cycle that `Job` shows.
    public var status: JobStatus
    /// Bytes done, and in all.
    public var offset: Int64, length: Int64
    /// Bytes a second; 0 for no limit.
    public var speed: Int64
    /// Stands still by `block-job-pause`; has all its data and waits for completion.
    public var isPaused: Bool, isReady: Bool
    /// As `auto-finalize=` and `auto-dismiss=` say.
    public var finalizesItself: Bool, dismissesItself: Bool
    /// Why it failed.
    public var problem: String?
    /// Whether an error made it stand still.
    public var ioStatus = JobIOStatus.ok
}

/// How a person wants a job.
public struct JobOptions: Sendable {
    /// Unique among the jobs that are not dismissed.
    public var identifier: String
    /// Bytes a second; 0 for no limit.
    public var speed: Int64 = 0
    /// Goes on by itself once its work is done (`auto-finalize`), and is forgotten by itself at its end.
    public var finalizesItself = true, dismissesItself = true
    /// What it does where it cannot read the source, or write the target.
    public var onSourceError = JobErrorPolicy.report, onTargetError = JobErrorPolicy.report

    /// A job of that name with QEMU's defaults.
    public init(_ identifier: String) { self.identifier = identifier }
}

/// The work of a job: its long part on a thread of its own, what changes the machine on the loop's thread.
public protocol JobWork: AnyObject, Sendable {
    /// The long part, on the job's thread.
    func run(_ job: Job) throws(BlockError)
    /// Makes the work count, on the loop's thread. Not called after a failure, nor for a job that was cancelled.
    func settle(_ job: Job) throws(BlockError)
    /// Afterwards in any case, on the loop's thread.
    func clean(_ job: Job)
}

/// One job.
///
///     created --▶ running --▶ [ready --complete, cancel--▶] waiting --▶ pending --finalize--▶ concluded --dismiss--▶ null
///                    |                 |                                  |                       ▲
///                    +-----------------+------- failed, cancelled -------▶ aborting --------------+
///
/// The status changes on the loop's thread only; what the work's thread shares with it is guarded by `lock`.
public final class Job: @unchecked Sendable {
    /// As the person gave them; the speed may have changed since.
    public let options: JobOptions
    /// What QMP calls its type.
    public let kind: JobKind
    let work: any JobWork
    private let lock = Lock()
    // Guarded by `lock`.
    private var offset: Int64 = 0, length: Int64 = 0, speed: Int64
    private var isCancelled = false, isForced = false, isPaused = false, wantsCompletion = false
    private var paceStart: UInt64 = 0, paceBytes: Int64 = 0
    private var reached = JobStatus.created
    private var failure: String?
    private var ioStatus = JobIOStatus.ok
    var thread: HostThread?
    /// Those that end together with it; nil for none.
    var group: JobGroup?
    /// Tells the list of an error and what is done about it; called on the work's thread.
    var hadError: @Sendable (_ isWrite: Bool, JobErrorAction) -> Void = { _, _ in }
    /// Tells the list that the job is ready; called on the work's thread.
    var becameReady: @Sendable () -> Void = {}

    init(_ kind: JobKind, _ options: JobOptions, work: any JobWork) {
        self.kind = kind
        self.options = options
        self.work = work
        speed = options.speed
    }

    /// How it stands. Callable on any thread.
    public var report: JobReport {
        lock.withLock {
            JobReport(
                identifier: options.identifier, kind: kind, status: reached, offset: offset, length: length,
                speed: speed, isPaused: isPaused,
                isReady: reached == .ready || (reached == .standby),
                finalizesItself: options.finalizesItself, dismissesItself: options.dismissesItself, problem: failure,
                ioStatus: ioStatus)
        }
    }

    // MARK: the work's side

    /// Says how much there is to do, in bytes.
    public func setLength(_ bytes: Int64) { lock.withLock { length = bytes } }

    /// Adds to what is done and waits where the speed says so. In small pieces, so that a person's wish is heard soon.
    /// - Throws: the job was cancelled.
    public func advance(_ bytes: Int64, paced: Bool = true) throws(BlockError) {
        try lock.withLock { () throws(BlockError) in
            offset += bytes
            paceBytes += paced ? bytes : 0
            while true {
                if isCancelled { throw BlockError(.cancelled, "Operation canceled") }
                if isPaused {
                    lock.wait()
                    continue
                }
                guard speed > 0, paced else {
                    (paceStart, paceBytes) = (monotonicNanoseconds(), 0)
                    return
                }
                let due = paceStart &+ UInt64(Double(paceBytes) / Double(speed) * 1e9)
                guard monotonicNanoseconds() < due else { return }
                _ = lock.wait(until: due)
            }
        }
    }

    /// Adds to what is done, from another thread than the job's: neither waits nor fails.
    public func note(_ bytes: Int64) { lock.withLock { offset += bytes } }

    /// Waits until then, or until the job is given up.
    /// - Throws: the job was cancelled.
    public func rest(until deadline: UInt64) throws(BlockError) {
        try lock.withLock { () throws(BlockError) in
            while !isCancelled {
                guard lock.wait(until: deadline) else { return }
            }
            throw BlockError(.cancelled, "Operation canceled")
        }
    }

    /// Stands still from now on, as after `block-job-pause`.
    func holdAfterError(isFull: Bool) {
        lock.withLock {
            isPaused = true
            ioStatus = isFull ? .noSpace : .failed
        }
    }

    /// Waits until somebody lets the job go on.
    /// - Throws: the job was cancelled.
    func waitWhilePaused() throws(BlockError) { try advance(0, paced: false) }

    /// Work that came up again: a guest wrote what was copied already.
    public func addLength(_ bytes: Int64) { lock.withLock { length += bytes } }

    /// What a ready job is asked to do.
    public enum Wish: Sendable { case goOn, complete, leave }

    /// Says that the copy is complete and follows the guest's writes; waits a short time for what a person wants.
    public func waitReady(until deadline: UInt64) throws(BlockError) -> Wish {
        let isNew = lock.withLock { reached == .running }
        if isNew { becameReady() }
        return try lock.withLock { () throws(BlockError) in
            if !isCancelled, !wantsCompletion { _ = lock.wait(until: deadline) }
            if isCancelled, isForced { throw BlockError(.cancelled, "Operation canceled") }
            if isCancelled { return .leave }
            return wantsCompletion ? .complete : .goOn
        }
    }

    /// A ready job was told to end without exchanging anything.
    public var leaves: Bool { lock.withLock { isCancelled } }

    // MARK: the loop's side

    var status: JobStatus { lock.withLock { reached } }
    func setStatus(_ status: JobStatus) { lock.withLock { reached = status } }
    func fail(_ text: String) { lock.withLock { if failure == nil { failure = text } } }
    var problem: String? { lock.withLock { failure } }
    /// Somebody, or an error, made it stand still.
    var standsStill: Bool { lock.withLock { isPaused } }

    func cancel(force: Bool) {
        lock.withLock {
            // Only a ready job can end well without its last step.
            let isReady = reached == .ready || reached == .standby
            isForced = isForced || force || !isReady
            isCancelled = true
            isPaused = false
            lock.broadcast()
        }
    }

    func complete() {
        lock.withLock {
            wantsCompletion = true
            lock.broadcast()
        }
    }

    func setSpeed(_ bytes: Int64) {
        lock.withLock {
            speed = bytes
            (paceStart, paceBytes) = (monotonicNanoseconds(), 0)
            lock.broadcast()
        }
    }

    func setPaused(_ value: Bool) -> Bool {
        lock.withLock {
            guard isPaused != value else { return false }
            isPaused = value
            ioStatus = .ok
            (paceStart, paceBytes) = (monotonicNanoseconds(), 0)
            lock.broadcast()
            return true
        }
    }
}
