// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostSystem

/// What was written to state files since they were last flushed, in files of a fixed size.
///
/// A new file costs a flush of its bytes and another of the file system's own journal. Here a change is first written over
/// bytes that the disk has already, which one flush settles; the file itself gets to the disk when the host likes, or by
/// `settle`. A start after a power failure puts back what the disk lost, so that what was acknowledged is there; after a
/// mere crash of the service the files are right, and are flushed.
///
/// There are two halves. One takes records while the files of the other are flushed:
///
///     empty ──record──▶ open ──settle: the other half is open now──▶ closed ──all files are flushed──▶ empty
public final class StateJournal: @unchecked Sendable {
    /// Bytes of each half.
    public static let usualSize = 1 << 20

    private final class Half {
        let file: FileDescriptor
        var epoch: UInt64 = 0
        var end = JournalRecord.headerCount
        /// Files with a record here.
        var paths: Set<String> = []
        init(_ file: consuming FileDescriptor) { self.file = file }
    }

    private let size: Int
    private let halves: [Half]
    private let soon: @Sendable () -> Void
    private let lock = Lock()
    // Guarded by `lock`.
    private var open = 0
    private var sequence: UInt64 = 0
    private var isSettling = false

    /// Opens or makes the journal in a folder, and puts back what a power failure took.
    /// - Parameters:
    ///   - boot: names the time since the host's start.
    ///   - soon: called when a record is written into an empty half: `settle` is to be called some seconds later, on a
    ///     thread that may wait.
    /// - Throws: the host's error when there is no room, or what was to be put back cannot be.
    public init(
        folder: String, size: Int = usualSize, boot: String = StateJournal.currentBoot,
        soon: @escaping @Sendable () -> Void
    ) throws(Errno) {
        self.size = size
        self.soon = soon
        var halves: [Half] = []
        var records: [JournalRecord] = []
        var isSameBoot = true
        for number in 0...1 {
            let half = Half(try Self.openHalf("\(folder)/.journal\(number)", size))
            if let found = JournalRecord.all(in: try Self.bytes(of: half.file, size)) {
                records += found.records
                if found.boot != boot { isSameBoot = false }
            }
            halves.append(half)
        }
        self.halves = halves
        bootName = boot
        records.sort { $0.sequence < $1.sequence }
        var last: [String: JournalRecord] = [:]
        for record in records { last[record.path] = record }
        if !isSameBoot { for record in last.values { try record.putBack() } }
        Self.flush(Set(last.keys))
        for half in halves { try start(half) }
    }

    private let bootName: String

    /// Nanoseconds since 1970.
    private static var clock: UInt64 {
        var now = timespec()
        // Filled on this frame.
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(max(0, now.tv_sec)) &* 1_000_000_000 &+ UInt64(max(0, now.tv_nsec))
    }

    /// Whether a folder has a journal.
    public static func exists(in folder: String) -> Bool { StateFiles.exists("\(folder)/.journal0") }

    /// The kernel's name for the time since its start.
    public static var currentBoot: String {
        let path = "/proc/sys/kernel/random/boot_id"
        // Files of /proc have no size: it is read as far as a name can be.
        guard let file = try? FileDescriptor.open(path) else { return "" }
        var bytes = [UInt8](repeating: 0, count: 36)
        // The array lives for the call.
        let count = unsafe bytes.withUnsafeMutableBytes { (try? unsafe file.read(into: $0)) ?? 0 }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// A file whose bytes all have their place on the disk.
    private static func openHalf(_ path: String, _ size: Int) throws(Errno) -> FileDescriptor {
        let file = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
        guard try file.size() != Int64(size) else { return file }
        try FileDescriptor.writeAll([UInt8](repeating: 0, count: size), to: file.number)
        _ = try retrying { fsync(file.number) }
        return file
    }

    private static func bytes(of file: borrowing FileDescriptor, _ size: Int) throws(Errno) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: JournalRecord.headerCount + 8)
        try read(file, into: &header, at: 0)
        // Only what records follow on is read whole.
        guard JournalRecord.hasRecords(header) else { return header }
        var bytes = [UInt8](repeating: 0, count: size)
        try read(file, into: &bytes, at: 0)
        return bytes
    }

    private static func read(
        _ file: borrowing FileDescriptor, into bytes: inout [UInt8], at offset: Int
    ) throws(Errno) {
        let number = file.number
        // The array lives for the call.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(number, $0.baseAddress, $0.count, offset) }
        guard count >= 0 else { throw .current }
    }

    private static func write(_ file: borrowing FileDescriptor, _ bytes: [UInt8], at offset: Int) throws(Errno) {
        let number = file.number
        // The array lives for the call.
        let count = unsafe bytes.withUnsafeBytes { unsafe pwrite(number, $0.baseAddress, $0.count, offset) }
        guard count == bytes.count else { throw count < 0 ? .current : .noSpace }
    }

    /// Empties a half.
    private func start(_ half: Half) throws(Errno) {
        var random = SystemRandomNumberGenerator()
        half.epoch = random.next()
        half.end = JournalRecord.headerCount
        half.paths = []
        try Self.write(half.file, JournalRecord.header(epoch: half.epoch, boot: bootName), at: 0)
    }

    // MARK: changes

    /// Notes what a file is to hold, and returns when the disk has it.
    /// - Returns: false when it is longer than the journal; then the file is to be flushed itself.
    /// - Throws: the host's error.
    package func record(_ path: String, _ bytes: [UInt8]) throws(Errno) -> Bool {
        guard let half = try append(JournalRecord(path: path, content: bytes)) else { return false }
        // Records of several threads share a flush where they meet.
        let number = half.file.number
        _ = try retrying { fdatasync(number) }
        return true
    }

    /// Notes what a file holds that was not changed after all.
    package func recordUnchanged(_ path: String) throws(Errno) {
        let content = StateFiles.exists(path) ? try StateFiles.readBytes(path, limit: size) : nil
        _ = try append(JournalRecord(path: path, content: content))
    }

    /// Notes that a file is to go, if there is a record of it.
    package func recordRemoval(of path: String) throws(Errno) {
        guard lock.withLock({ halves.contains { $0.paths.contains(path) } }) else { return }
        guard try append(JournalRecord(path: path, content: nil)) == nil else { return }
        // No room even after all was settled, so nothing is remembered either.
    }

    /// Adds a record, with whatever must happen before there is room.
    private func append(_ record: JournalRecord) throws(Errno) -> Half? {
        for _ in 0...1 {
            if let half = try tryAppend(record) { return half }
            settle()
        }
        return nil
    }

    private func tryAppend(_ record: JournalRecord) throws(Errno) -> Half? {
        let result: Result<(half: Half, isFirst: Bool)?, Errno> = lock.withLock {
            let half = halves[open]
            // Later than all that an earlier start may have left on the disk.
            sequence = max(sequence + 1, Self.clock)
            let bytes = record.encoded(epoch: half.epoch, sequence: sequence)
            guard half.end + bytes.count <= size else { return .success(nil) }
            do throws(Errno) { try Self.write(half.file, bytes, at: half.end) } catch { return .failure(error) }
            let isFirst = half.end == JournalRecord.headerCount
            half.end += bytes.count
            half.paths.insert(record.path)
            return .success((half, isFirst))
        }
        guard let done = try result.get() else { return nil }
        if done.isFirst { soon() }
        return done.half
    }

    /// Flushes all files that have records, and forgets the records. On a thread that may wait; several may call it.
    public func settle() {
        let closed: Half? = lock.withLock {
            while isSettling { lock.wait() }
            let half = halves[open]
            guard half.end > JournalRecord.headerCount, (try? start(halves[1 - open])) != nil else { return nil }
            open = 1 - open
            isSettling = true
            return half
        }
        guard let closed else { return }
        Self.flush(closed.paths)
        lock.withLock {
            // What cannot be emptied stays, and is put back once more; later records come behind it.
            try? start(closed)
            isSettling = false
            lock.broadcast()
        }
    }

    /// Brings files and their names to the disk; what is gone needs nothing.
    private static func flush(_ paths: Set<String>) {
        guard !paths.isEmpty else { return }
        var files: [FileHolder] = []
        var folders: Set<String> = []
        for path in paths {
            folders.insert(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
            guard let file = try? FileDescriptor.open(path, flags: O_RDONLY) else { continue }
            // Begun for all, so that the first flush below finds them on their way.
            _ = posix_fadvise(file.number, 0, 0, POSIX_FADV_DONTNEED)
            files.append(FileHolder(file))
            if files.count >= 256 {
                for file in files { _ = fdatasync(file.file.number) }
                files = []
            }
        }
        for file in files { _ = fdatasync(file.file.number) }
        for folder in folders {
            guard let file = try? FileDescriptor.open(folder, flags: O_RDONLY | O_DIRECTORY) else { continue }
            _ = fsync(file.number)
        }
    }

    private final class FileHolder {
        let file: FileDescriptor
        init(_ file: consuming FileDescriptor) { self.file = file }
    }
}
