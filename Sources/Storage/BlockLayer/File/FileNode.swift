// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem
internal import Synchronization

/// A file or block device of the host.
///
/// Requests are positioned system calls and need no lock. The length is atomic; the remembered extent is guarded by its
/// own lock. Reading past the end gives zeroes, writing past the end makes the file longer, as image formats need it.
public final class FileNode: HostStorageNode, ResizableNode, IdentifiedNode, LockableNode, DirectlyMappedNode,
    @unchecked Sendable
{
    /// "file" or "host_device".
    public let driverName: String
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// Alignment of direct I/O, or none.
    public let limits: BlockLimits
    /// The path.
    public let location: NodeLocation
    /// Which file it is.
    public let identity: FileIdentity

    let descriptor: FileDescriptor
    let isDevice: Bool
    let flags: OpenFlags
    let locking: FileLocks.Mode
    let path: String
    private let warn: @Sendable (String) -> Void
    let currentLength: Atomic<Int64>
    /// The length that requests of this process have seen or made: a file found shorter was cut by somebody else.
    let extents = ExtentMemory()
    private let bounceLock = Lock()

    /// Nothing is below a file.
    public var children: [NodeChild] { [] }

    /// The length in bytes, as of opening and this process's own writes.
    public var length: Int64 { currentLength.load(ordering: .acquiring) }

    init(
        descriptor: consuming FileDescriptor, path: String, flags: OpenFlags, kind: (isDevice: Bool, name: String),
        locking: FileLocks.Mode, facts: (length: Int64, alignment: Int, identity: FileIdentity),
        warn: @escaping @Sendable (String) -> Void
    ) {
        self.descriptor = descriptor
        self.path = path
        self.flags = flags
        self.locking = locking
        self.warn = warn
        isDevice = kind.isDevice
        driverName = kind.name
        isReadOnly = !flags.isWritable
        identity = facts.identity
        currentLength = Atomic(facts.length)
        limits = BlockLimits(
            requestAlignment: facts.alignment, memoryAlignment: facts.alignment > 1 ? 4096 : 1)
        location = NodeLocation(
            filename: path, path: path,
            options: BlockOptions([("driver", .string(kind.name)), ("filename", .string(path))]))
    }

    /// Opens what exists.
    static func open(
        _ path: String, flags: OpenFlags, isDevice: Bool, locking: FileLocks.Mode,
        warn: @escaping @Sendable (String) -> Void
    ) throws(BlockError) -> FileNode {
        let descriptor: FileDescriptor
        do {
            let access = (flags.isWritable ? O_RDWR : O_RDONLY) | (flags.cache.isDirect ? roost_o_direct : 0)
            // Without O_NONBLOCK a fifo that is named by mistake would be waited for.
            descriptor = try FileDescriptor.open(path, flags: access | O_NONBLOCK)
        } catch {
            if error != Errno(EISDIR) { try refuseDirectory(path, driver: isDevice ? "host_device" : "file") }
            throw BlockError(system: error, "Could not open '\(path)'").about(.file(path))
        }
        return try FileNode(opened: descriptor, path, flags, isDevice, locking, warn)
    }

    /// Makes a new file, or empties an existing one, for writing.
    static func create(_ path: String) throws(BlockError) -> FileNode {
        do {
            let descriptor = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o644)
            let node = try FileNode(opened: descriptor, path, .writable, false, .auto, { _ in })
            // Locked before it is emptied: the file of a running machine must not be destroyed.
            try node.lock(holds: [.write, .resize], shares: [.consistentRead, .writeUnchanged])
            try node.resize(to: 0, preallocation: .off, exact: true)
            return node
        } catch let error as Errno {
            throw BlockError(system: error, "Could not create '\(path)'").about(.file(path))
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "Could not create '\(path)': \(error)")
        }
    }

    private static func refuseDirectory(_ path: String, driver: String) throws(BlockError) {
        var information = stat()
        // stat fills the struct on this frame.
        guard unsafe stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR else { return }
        throw BlockError(.invalidArgument, "'\(driver)' driver requires '\(path)' to be a regular file")
    }

    private convenience init(
        opened descriptor: consuming FileDescriptor, _ path: String, _ flags: OpenFlags, _ isDevice: Bool,
        _ locking: FileLocks.Mode, _ warn: @escaping @Sendable (String) -> Void
    ) throws(BlockError) {
        let number = descriptor.number
        var information = stat()
        // fstat fills the struct on this frame.
        guard unsafe fstat(number, &information) == 0 else {
            throw BlockError(system: Errno.current, "Could not stat '\(path)'")
        }
        let kind = information.st_mode & S_IFMT
        let isBlock = kind == S_IFBLK || (kind == S_IFCHR && (isDevice || path.hasPrefix("/dev/")))
        guard isBlock || (kind == S_IFREG && !isDevice) else {
            throw BlockError(
                .invalidArgument,
                isDevice
                    ? "'host_device' driver requires '\(path)' to be either a character or block device"
                    : "'file' driver requires '\(path)' to be a regular file")
        }
        // Only the opening was meant not to wait.
        let status = roost_fcntl(number, F_GETFL, 0)
        _ = roost_fcntl(number, F_SETFL, Int(status & ~O_NONBLOCK))
        let length = isBlock ? Int64(lseek(number, 0, SEEK_END)) : Int64(information.st_size)
        guard length >= 0 else { throw BlockError(system: Errno.current, "Could not get the size of '\(path)'") }
        let alignment = flags.cache.isDirect ? Self.directAlignment(number, isBlock) : 1
        let identity = FileIdentity(device: UInt64(information.st_dev), inode: UInt64(information.st_ino))
        self.init(
            descriptor: descriptor, path: path, flags: flags,
            kind: (isBlock, isBlock ? "host_device" : "file"), locking: locking,
            facts: (length, alignment, identity), warn: warn)
    }

    /// The unit of direct I/O: the device's logical sector, and a page for files, of which nobody tells.
    private static func directAlignment(_ descriptor: Int32, _ isBlock: Bool) -> Int {
        guard isBlock else { return 4096 }
        var size: Int32 = 0
        // BLKSSZGET (0x1268) stores an int.
        guard unsafe roost_ioctl_pointer(descriptor, 0x1268, &size) == 0, size > 0 else { return 4096 }
        return Int(size)
    }

    /// Takes QEMU's locks, unless locking is off or the file system has none (then with a warning if asked for).
    public func lock(holds: FilePermissions, shares: FilePermissions) throws(BlockError) {
        guard locking != .off else { return }
        guard FileLocks.areSupported(descriptor.number) else {
            if locking == .on {
                warn("File lock requested but open file description locks are unavailable for '\(path)'")
            }
            return
        }
        try FileLocks.take(descriptor.number, path: path, holds: holds, shares: shares)
    }

    /// Flushes nothing by itself; gives the locks back. The descriptor closes with the last reference.
    public func close() throws(BlockError) {
        if locking != .off { FileLocks.release(descriptor.number) }
    }

    /// Makes completed writes durable, except with cache mode `unsafe`.
    public func flush() throws(BlockError) {
        if flags.cache == .unsafe || isReadOnly { return }
        do {
            _ = try retrying { fdatasync(descriptor.number) }
        } catch {
            throw BlockError(system: error, "Could not flush '\(path)'")
        }
    }

    /// The bytes that the host has allocated for the file.
    public func allocatedBytes() -> Int64? {
        var information = stat()
        // fstat fills the struct on this frame.
        guard unsafe fstat(descriptor.number, &information) == 0 else { return nil }
        return Int64(information.st_blocks) * 512
    }

    /// Any range that lies in the file and is aligned.
    public func beginDirect(at offset: Int64, count: Int, isWrite: Bool) -> DirectMapping? {
        guard offset >= 0, offset <= length, Int64(count) <= length - offset,
            !isWrite || (!isReadOnly && !flags.cache.isWriteThrough)
        else { return nil }
        let mask = Int64(limits.requestAlignment - 1)
        guard (offset | Int64(count)) & mask == 0 else { return nil }
        if isWrite { extents.forget() }
        return DirectMapping(
            descriptor: descriptor.number, offset: offset,
            memoryAlignment: limits.requestAlignment > 1 ? limits.memoryAlignment : 1)
    }

    /// Nothing was held.
    public func endDirect(at offset: Int64, count: Int, isWrite: Bool) {}

    /// Runs `body` while no other unaligned request does; for read-modify-write of direct I/O.
    func exclusively<R>(_ body: () throws(BlockError) -> R) throws(BlockError) -> R {
        try bounceLock.withLock(body)
    }
}
