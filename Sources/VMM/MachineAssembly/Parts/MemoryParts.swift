// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import Glibc
internal import GuestMemory
internal import HostSystem
internal import MachineSpec

/// What the machine's RAM is made of: -m alone, -mem-path, -mem-prealloc, or the object of `memory-backend=`.
struct MemoryParts: ~Copyable {
    /// How to map it.
    private(set) var backing = MemoryBacking()
    /// Open while it is mapped.
    private let file: FileDescriptor
    private static let none: Int32 = -1
    private static let sharedMemory = "/dev/shm"

    init(_ spec: MachineSpec) throws(UserError) {
        var backing = MemoryBacking()
        backing.isLeftOutOfDumps = !spec.board.dumpsGuestMemory
        backing.isMergeable = spec.board.mergesMemory
        backing.preallocates = spec.memory.preallocates
        let object = spec.memory.backend.flatMap { name in spec.objects.first { $0.identifier == name } }
        switch object?.kind {
        case .memory(_, let share, let preallocates):
            file = FileDescriptor(owning: Self.none)
            backing.isShared = share
            backing.preallocates = backing.preallocates || preallocates
        case .memoryFile(let bytes, let path, let share, let preallocates, let readOnly):
            if readOnly {
                throw UserError("readonly=on is not available for the machine's RAM", place: "-object \(path)")
            }
            file = try Self.open(path, bytes: bytes)
            backing.isShared = share
            backing.preallocates = backing.preallocates || preallocates
        case .memoryDescriptor(let bytes, let share, let preallocates):
            file = try Self.makeNameless(bytes: bytes)
            backing.isShared = share
            backing.preallocates = backing.preallocates || preallocates
        default:
            if let path = spec.memory.path {
                file = try Self.open(path, bytes: spec.memory.bytes)
            } else {
                file = FileDescriptor(owning: Self.none)
            }
        }
        backing.descriptor = file.number == Self.none ? nil : file.number
        self.backing = backing
    }

    /// Keeps every page of the process, now and later, in the host's memory.
    static func lockAll() throws(UserError) {
        do throws(Errno) { _ = try retrying { mlockall(MCL_CURRENT | MCL_FUTURE) } } catch {
            throw UserError(
                "mlockall", because: error, remedy: "raise the limit of locked memory (ulimit -l)",
                place: "-overcommit mem-lock=on")
        }
    }

    /// A file, made and made longer where needed; inside a directory one without a name.
    private static func open(_ path: String, bytes: UInt64) throws(UserError) -> FileDescriptor {
        do throws(Errno) {
            let file = try openOrMake(path)
            // A device has its own length.
            let size = try? file.size()
            if (size ?? 0) < Int64(clamping: bytes) {
                _ = try retrying { ftruncate(file.number, off_t(clamping: bytes)) }
            }
            return file
        } catch { throw UserError("can't open backing store \(path) for guest RAM", because: error) }
    }

    private static func openOrMake(_ path: String) throws(Errno) -> FileDescriptor {
        do throws(Errno) { return try FileDescriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600) } catch {
            guard error == Errno(EISDIR) else { throw error }
        }
        var template = Array("\(path)/qemu_back_mem.pc.ram.XXXXXX".utf8CString)
        // mkstemp replaces the six letters in place.
        let number = unsafe mkstemp(&template)
        guard number >= 0 else { throw Errno.current }
        // The array is terminated.
        _ = unsafe unlink(&template)
        return FileDescriptor(owning: number)
    }

    private static func makeNameless(bytes: UInt64) throws(UserError) -> FileDescriptor {
        do throws(Errno) {
            let file = try openOrMake(sharedMemory)
            _ = try retrying { ftruncate(file.number, off_t(clamping: bytes)) }
            return file
        } catch { throw UserError("can't make a memory file for guest RAM", because: error) }
    }
}
