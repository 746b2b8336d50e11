// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Faults that tests put into the changes of files: the service is killed, or the disk is full, from one step on. Without
/// a test there are none, and looking costs nothing that a change of a file would notice.
package final class StateFaults: @unchecked Sendable {
    /// What goes wrong.
    package enum Kind: Sendable {
        /// Nothing happens any more, as after `kill -9`: what would clean up does not happen either.
        case killed
        /// Nothing more fits on the disk; removing still works.
        case full
    }

    /// A step of a change.
    package enum Step: Sendable {
        case make, write, sync, replace, remove, link

        fileprivate var needsSpace: Bool { self == .make || self == .write || self == .link }
    }

    /// What the changes of this task meet.
    @TaskLocal package static var current: StateFaults?

    private let kind: Kind
    private let first: Int
    private let lock = Lock()
    // Guarded by `lock`.
    private var count = 0

    /// - Parameter first: the step that goes wrong first, counted from 0; all behind it go wrong as well.
    package init(_ kind: Kind, from first: Int) {
        self.kind = kind
        self.first = first
    }

    /// Steps that were asked for.
    package var steps: Int { lock.withLock { count } }

    /// Whether a step was reached that goes wrong.
    package var struck: Bool { steps > first }

    /// The code of a step that does not happen because nobody is there any more.
    static let killedCode = Errno(ECANCELED)

    private func take(_ step: Step) throws(Errno) {
        let goesWrong = lock.withLock {
            defer { count += 1 }
            return count >= first
        }
        guard goesWrong else { return }
        switch kind {
        case .killed: throw Self.killedCode
        case .full: if step.needsSpace { throw .noSpace }
        }
    }

    /// Comes before each step.
    static func before(_ step: Step) throws(Errno) {
        if let current { try current.take(step) }
    }
}

internal import Glibc
