// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import LibvirtRPC
internal import ManagementModel
internal import StorageBackends

/// A volume's bytes on their way to a client or from one.
final class VolumeStream: StreamReceiver, @unchecked Sendable {
    private let file: FileDescriptor
    // Used by one call of the stream at a time.
    private var position: Int64
    private var left: Int64

    private init(_ file: consuming FileDescriptor, position: Int64, left: Int64) {
        self.file = file
        self.position = position
        self.left = left
    }

    private static func open(_ volume: Volume, _ flags: Int32, _ offset: UInt64, _ length: UInt64) throws
        -> VolumeStream
    {
        do throws(Errno) {
            let file = try FileDescriptor.open(volume.path, flags: flags)
            // A device has no length of its own, but an end.
            let size = max(try file.size(), Int64(lseek(file.number, 0, SEEK_END)))
            guard offset <= UInt64(Int64.max / 2), length <= UInt64(Int64.max / 2) else { throw .invalidArgument }
            let start = Int64(offset)
            let rest = max(0, size - start)
            let wanted = length == 0 ? (flags == O_WRONLY ? Int64.max / 2 : rest) : Int64(length)
            return VolumeStream(file, position: start, left: flags == O_WRONLY ? wanted : min(wanted, rest))
        } catch {
            throw ManagementError(.systemError, "cannot open volume '\(volume.path)': \(error)", from: .storage)
        }
    }

    private static let chunk = 262_120

    /// Sends a volume.
    /// - Parameter sparse: whether holes may be sent as such.
    static func download(_ volume: Volume, _ offset: UInt64, _ length: UInt64, sparse: Bool, _ call: IncomingCall)
        throws
    {
        let source = try open(volume, O_RDONLY, offset, length)
        let stream = try call.openStream(source)
        stream.produce { try source.next(sparse: sparse) }
    }

    /// Sends a file that a machine made in its own folder; a link that it put there leads nowhere.
    static func download(file path: String, _ call: IncomingCall) throws {
        let source: VolumeStream
        do throws(Errno) {
            let file = try FileDescriptor.open(path, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            let size = try file.size()
            source = VolumeStream(file, position: 0, left: size)
        } catch { throw ManagementError(.systemError, "cannot open '\(path)': \(error)", from: .streams) }
        let stream = try call.openStream(source)
        stream.produce { try source.next(sparse: false) }
    }

    /// Takes a volume.
    static func upload(_ volume: Volume, _ offset: UInt64, _ length: UInt64, _ call: IncomingCall) throws {
        _ = try call.openStream(try open(volume, O_WRONLY, offset, length))
    }

    private func next(sparse: Bool) throws -> StreamItem {
        guard left > 0 else { return .end }
        if sparse, let hole = holeHere(), hole > 0 {
            let count = min(hole, left)
            position += count
            left -= count
            return .hole(count)
        }
        var wanted = min(Int64(Self.chunk), left)
        // A device says nothing of holes.
        if sparse, case let hole = Int64(lseek(file.number, Int(position), SEEK_HOLE)), hole > position {
            wanted = min(wanted, hole - position)
        }
        var bytes = [UInt8](repeating: 0, count: Int(wanted))
        let place = position
        // The array lives for the call.
        let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(Errno) { return .success(try unsafe file.read(into: buffer, at: place)) } catch {
                return .failure(error)
            }
        }
        switch read {
        case .failure(let error):
            throw ManagementError(.systemError, "cannot read the volume: \(error)", from: .streams)
        case .success(0): return .end
        case .success(let count):
            position += Int64(count)
            left -= Int64(count)
            return .data(Array(bytes.prefix(count)))
        }
    }

    /// lseek(2)'s ways to look for data and for holes, which the C library hides behind _GNU_SOURCE.
    private let SEEK_DATA: Int32 = 3
    private let SEEK_HOLE: Int32 = 4

    /// Bytes until the next data; nil when data is here.
    private func holeHere() -> Int64? {
        let data = Int64(lseek(file.number, Int(position), SEEK_DATA))
        // None follows: all that is left is a hole.
        if data < 0 { return Errno.current.code == ENXIO ? left : nil }
        return data > position ? data - position : nil
    }

    func received(_ bytes: ArraySlice<UInt8>) throws {
        guard Int64(bytes.count) <= left else {
            throw ManagementError(.internalError, "more data than was announced", from: .streams)
        }
        var rest = bytes
        while !rest.isEmpty {
            let place = position
            // The slice's bytes live for the call.
            let written: Result<Int, Errno> = unsafe rest.withUnsafeBytes { buffer in
                do throws(Errno) { return .success(try unsafe file.write(buffer, at: place)) } catch {
                    return .failure(error)
                }
            }
            switch written {
            case .failure(let error):
                throw ManagementError(.systemError, "cannot write the volume: \(error)", from: .streams)
            case .success(let count):
                position += Int64(count)
                left -= Int64(count)
                rest = rest.dropFirst(count)
            }
        }
    }

    func receivedHole(_ count: Int64) throws {
        guard count <= left else {
            throw ManagementError(.internalError, "more data than was announced", from: .streams)
        }
        guard isRegular else { return try writeZeros(count) }
        let start = position
        position += count
        left -= count
        // What was there is cut off, so that nothing of it is left where the hole is; data that follow make the file
        // longer again. The file ends with its last hole, as with libvirt.
        guard ftruncate(file.number, Int(start)) == 0, ftruncate(file.number, Int(position)) == 0 else {
            throw ManagementError(
                .systemError, "cannot change the length of the volume: \(Errno.current)", from: .streams)
        }
    }

    /// Whether the volume is a file, and no device, which has no holes.
    private var isRegular: Bool {
        var information = stat()
        // The struct lives on this frame.
        return unsafe fstat(file.number, &information) == 0 && information.st_mode & S_IFMT == S_IFREG
    }

    private func writeZeros(_ count: Int64) throws {
        let zeros = [UInt8](repeating: 0, count: Int(min(count, Int64(Self.chunk))))
        var rest = count
        while rest > 0 {
            let part = zeros.prefix(Int(min(rest, Int64(zeros.count))))
            try received(part)
            rest -= Int64(part.count)
        }
    }

    func finished() throws {
        guard fdatasync(file.number) == 0 else {
            throw ManagementError(.systemError, "cannot write the volume: \(Errno.current)", from: .streams)
        }
    }

    func aborted() {}
}
