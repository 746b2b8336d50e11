// SPDX-License-Identifier: Apache-2.0

package import BlockLayer
internal import HostSystem

/// What a job does where it cannot read or write; the raw values are QMP's `BlockdevOnError`.
public enum JobErrorPolicy: String, Sendable, CaseIterable {
    /// It fails.
    case report
    /// It leaves the part for later, and a stream leaves it out.
    case ignore
    /// It stands still where the target has no space left, else it fails.
    case enospc
    /// It stands still until it is told to go on, and tries again.
    case stop
    /// As `enospc`.
    case auto

    package func action(on error: BlockError) -> JobErrorAction {
        switch self {
        case .report: .report
        case .ignore: .ignore
        case .stop: .stop
        case .enospc, .auto: error.kind == .noSpace ? .stop : .report
        }
    }
}

/// What was done about an error of a job; the raw values are QMP's `BlockErrorAction`.
public enum JobErrorAction: String, Sendable {
    /// The job has failed.
    case report
    /// It goes on.
    case ignore
    /// It stands still.
    case stop
}

/// How the disks of a job were last; the raw values are QMP's `BlockDeviceIoStatus`.
public enum JobIOStatus: String, Sendable {
    /// No error made the job stand still.
    case ok
    /// One did.
    case failed
    /// The target was full.
    case noSpace = "nospace"
}

/// A step of a copy that failed, and on which side.
struct CopyFailure: Error {
    let error: BlockError
    /// Reading failed; else writing.
    let isSource: Bool

    /// Does what concerns the source.
    static func reading<Result>(_ body: () throws(BlockError) -> Result) throws(CopyFailure) -> Result {
        do throws(BlockError) { return try body() } catch { throw CopyFailure(error: error, isSource: true) }
    }

    /// Does what concerns the target.
    static func writing<Result>(_ body: () throws(BlockError) -> Result) throws(CopyFailure) -> Result {
        do throws(BlockError) { return try body() } catch { throw CopyFailure(error: error, isSource: false) }
    }

    /// For those whom the side does not concern.
    static func merging<Result>(_ body: () throws(CopyFailure) -> Result) throws(BlockError) -> Result {
        do throws(CopyFailure) { return try body() } catch { throw error.error }
    }
}

extension Job {
    /// Between attempts of a step whose errors are ignored.
    private static let pauseAfterError: UInt64 = 100_000_000

    /// Does a step, again and again as long as the person wishes that after an error.
    /// - Returns: nil where it failed and the job is to go on without it.
    /// - Throws: the error that ends the job, or the job was cancelled.
    func attempt<Result>(_ body: () throws(CopyFailure) -> Result) throws(BlockError) -> Result? {
        while true {
            do throws(CopyFailure) { return try body() } catch {
                guard try goesOn(after: error) else { return nil }
            }
        }
    }

    /// Says what becomes of an error, and waits where that is to stand still.
    /// - Returns: whether to try again; else the step is left out for now.
    func goesOn(after failure: CopyFailure) throws(BlockError) -> Bool {
        let policy = failure.isSource ? options.onSourceError : options.onTargetError
        let action = policy.action(on: failure.error)
        if action == .stop { holdAfterError(isFull: failure.error.kind == .noSpace) }
        hadError(!failure.isSource, action)
        switch action {
        case .report: throw failure.error
        case .ignore: try rest(until: monotonicNanoseconds() &+ Self.pauseAfterError)
        case .stop: try waitWhilePaused()
        }
        return action == .stop
    }

    /// As `attempt` for a step that the job cannot be without.
    func insist(_ body: () throws(CopyFailure) -> Void) throws(BlockError) {
        while try attempt(body) == nil {}
    }
}
