// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostIO
internal import HostSystem
internal import StateStore

/// Writes definitions so that what was acknowledged is there after a power failure, and soon.
///
/// The first definition opens the journal, on a thread of its own: until it is there files are flushed one by one.
final class DefinitionStore: @unchecked Sendable {
    private let spares: SpareFiles
    private let folder: String
    private let loop: EventLoop
    private let workers: WorkerPool
    private let lock = Lock()
    // Guarded by `lock`.
    private var journal: StateJournal?
    private var isOpening = false
    // Of the loop's thread.
    private var timer: LoopTimer?

    /// Nanoseconds between a record and the flush of the files.
    private static let patience: UInt64 = 5_000_000_000

    /// - Parameters:
    ///   - folder: of definitions.
    ///   - journal: the journal's folder.
    init(folder: String, journal: String, loop: EventLoop, workers: WorkerPool) {
        self.folder = journal
        self.loop = loop
        self.workers = workers
        spares = SpareFiles(folder: folder) { work in workers.submit(work) }
    }

    /// Puts back what a power failure took, before definitions are read.
    func recover() {
        if StateJournal.exists(in: folder) { open() }
    }

    private func open() {
        do throws(Errno) {
            let made = try StateJournal(folder: folder) { [weak self] in self?.settleSoon() }
            lock.withLock { journal = made }
        } catch {
            Console.shared.warning(
                "cannot use the journal in '\(folder)': \(error); definitions are flushed one by one")
        }
    }

    private func settleSoon() {
        loop.post { [weak self] in
            guard let self else { return }
            let timer =
                timer
                ?? loop.makeTimer { [weak self] in
                    self?.workers.submit { [weak self] in self?.current?.settle() }
                }
            self.timer = timer
            timer.arm(at: monotonicNanoseconds() &+ Self.patience)
        }
    }

    private var current: StateJournal? { lock.withLock { journal } }

    /// Writes a definition; it is there whole or not at all.
    func write(_ path: String, _ text: String) throws(Errno) {
        let opens = lock.withLock {
            defer { isOpening = true }
            return journal == nil && !isOpening
        }
        if opens { workers.submit { [weak self] in self?.open() } }
        try StateFiles.write(path, text, from: spares, noting: current)
    }

    /// Comes before a definition is removed.
    func willRemove(_ path: String) throws(Errno) { try current?.recordRemoval(of: path) }
}
