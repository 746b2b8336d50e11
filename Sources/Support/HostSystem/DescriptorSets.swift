// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// Descriptors that a management program opened beforehand, in numbered sets (`-add-fd`, `add-fd`): a file name
/// "/dev/fdset/N" stands for the one of set N with the wanted access.
public final class DescriptorSets: @unchecked Sendable {
    /// The process's own.
    public static let shared = DescriptorSets()

    /// One descriptor of a set.
    public struct Entry: Sendable {
        /// The descriptor in this process; the set owns it.
        public let number: Int32
        /// The management program's note.
        public let opaque: String?
    }

    // Guarded by `lock`: files are opened on several threads.
    private var kept: [Int: [Entry]] = [:]
    private let lock = Lock()
    private static let prefix = "/dev/fdset/"

    /// No sets.
    public init() {}

    /// All sets with their descriptors, oldest first.
    public var sets: [Int: [Entry]] { lock.withLock { kept } }

    /// Adds a descriptor, which then belongs to the set, to it or to a new set with the lowest free number.
    /// - Returns: the set's number.
    public func add(_ number: Int32, set: Int?, opaque: String?) -> Int {
        lock.withLock {
            var chosen = set ?? 0
            if set == nil { while kept[chosen] != nil { chosen += 1 } }
            kept[chosen, default: []].append(Entry(number: number, opaque: opaque))
            return chosen
        }
    }

    /// Removes a set, or one descriptor of it, and closes what it removes.
    /// - Returns: false when there is nothing like that.
    public func remove(set: Int, descriptor: Int32?) -> Bool {
        lock.withLock {
            guard let entries = kept[set] else { return false }
            let (removed, left) = (
                entries.filter { descriptor == nil || $0.number == descriptor },
                entries.filter { descriptor != nil && $0.number != descriptor }
            )
            kept[set] = left.isEmpty ? nil : left
            for entry in removed { _ = close(entry.number) }
            return !removed.isEmpty
        }
    }

    /// A duplicate of the descriptor that a file name of a set stands for; nil for other names.
    /// - Throws: EACCES where no descriptor of the set has this access, ENOENT where there is no set.
    func open(_ path: String, flags: Int32) throws(Errno) -> Int32? {
        guard path.hasPrefix(Self.prefix) else { return nil }
        guard let set = Int(path.dropFirst(Self.prefix.utf8.count)), let entries = sets[set] else { throw .noEntry }
        let wanted = flags & O_ACCMODE
        for entry in entries {
            let access = roost_fcntl(entry.number, F_GETFL, 0)
            guard access >= 0, access & O_ACCMODE == wanted else { continue }
            return try retrying { roost_fcntl(entry.number, F_DUPFD_CLOEXEC, 3) }
        }
        throw Errno(EACCES)
    }
}
