// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostSystem

/// Files without a name in one folder, made ahead of their use.
///
/// To find a place for a new file takes some file systems longer than to write it, and nobody waits for one that is there
/// already. Such a file is gone when the service ends, however it ends, so that there is nothing to clean up. Where the
/// file system has none, `take` gives nothing and the file is made when it is needed.
public final class SpareFiles: @unchecked Sendable {
    private let folder: String
    private let capacity: Int
    private let later: @Sendable (@escaping @Sendable () -> Void) -> Void
    private let lock = Lock()
    // Guarded by `lock`.
    private var ready: [Int32] = []
    private var isFilling = false
    private var isSupported = true

    /// Files that are kept; each is an open descriptor.
    public static let usualCapacity = 16

    /// - Parameters:
    ///   - folder: where the files get their names; it need not be there yet.
    ///   - capacity: how many are kept, at least 1.
    ///   - later: does something soon, on a thread that may wait.
    public init(
        folder: String, capacity: Int = usualCapacity,
        later: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) {
        self.folder = folder
        self.capacity = max(1, capacity)
        self.later = later
    }

    deinit { for file in ready { close(file) } }

    /// An empty file that only its user may read, open for writing; nil when none is ready. More are made soon.
    public func take() -> FileDescriptor? {
        let taken: (file: Int32?, fills: Bool) = lock.withLock {
            let file = ready.popLast()
            let fills = isSupported && !isFilling && ready.count < capacity
            if fills { isFilling = true }
            return (file, fills)
        }
        if taken.fills { later { [weak self] in self?.fill() } }
        return taken.file.map { FileDescriptor(owning: $0) }
    }

    private func fill() {
        while true {
            let made: Result<Int32, Errno>
            do throws(Errno) {
                made = .success(
                    try FileDescriptor.open(folder, flags: O_WRONLY | Self.withoutName, mode: 0o600).release())
            } catch { made = .failure(error) }
            let isDone = lock.withLock {
                switch made {
                case .success(let file): ready.append(file)
                case .failure(let error) where Self.unsupported.contains(error.code): isSupported = false
                // A full disk, say: the next one who asks tries again.
                case .failure: break
                }
                if case .failure = made { isFilling = false } else { isFilling = ready.count < capacity }
                return !isFilling
            }
            if isDone { return }
        }
    }

    /// O_TMPFILE, whose definition the importer does not take.
    private static let withoutName = 0o20000000 | O_DIRECTORY
    private static let unsupported: Set<Int32> = [EOPNOTSUPP, EISDIR, EINVAL]
}

extension StateFiles {
    /// Writes a file as `write(_:_:mode:)` does, readable by its user alone, with one of the spare ones when there is one.
    public static func write(_ path: String, _ text: String, from spares: SpareFiles) throws(Errno) {
        guard let file = spares.take() else { return try write(path, text) }
        try StateFaults.before(.make)
        try StateFaults.before(.write)
        try file.writeAll(Array(text.utf8))
        try StateFaults.before(.sync)
        _ = try retrying { fdatasync(file.number) }
        try StateFaults.before(.replace)
        // A name that is taken gets the file by way of another name, so that it is never without one.
        do throws(Errno) { try name(file.number, path) } catch {
            guard error.code == EEXIST else { throw error }
            let temporary = path + ".new"
            // unlink copies the path; what is there is of a write that was not finished.
            _ = unsafe unlink(temporary)
            try name(file.number, temporary)
            // rename copies both paths.
            do throws(Errno) { _ = try retrying { unsafe rename(temporary, path) } } catch {
                _ = unsafe unlink(temporary)
                throw error
            }
        }
    }

    private static func name(_ file: Int32, _ path: String) throws(Errno) {
        // linkat copies both paths; the first one stands for the open file.
        _ = try retrying { unsafe linkat(AT_FDCWD, "/proc/self/fd/\(file)", AT_FDCWD, path, AT_SYMLINK_FOLLOW) }
    }
}
