// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import HostSystem

/// A kernel, an initrd or a module: bytes that are loaded into guest memory.
///
/// A file is read piece by piece, straight into guest memory, so that a large one costs nothing twice.
public final class BootFile: @unchecked Sendable {
    private enum Source: ~Copyable {
        case bytes([UInt8])
        case file(FileDescriptor)
    }

    /// For messages, and where a protocol passes it on: the path as it was typed.
    public let name: String
    /// Length in bytes.
    public let count: Int
    // Set once; a FileDescriptor is only read with explicit offsets, so any thread may do so.
    private let source: Source

    /// Bytes that are already there.
    public init(name: String, bytes: [UInt8]) {
        self.name = name
        count = bytes.count
        source = .bytes(bytes)
    }

    /// Opens a file.
    /// - Throws: it cannot be opened or is empty.
    public init(path: String) throws(BootError) {
        name = path
        do throws(Errno) {
            let file = try FileDescriptor.open(path)
            let size = try file.size()
            // A read tells a directory from a file.
            try Self.probe(file)
            count = Int(clamping: size)
            source = .file(file)
        } catch {
            throw BootError("cannot read '\(path)': \(error)")
        }
        guard count > 0 else { throw BootError("'\(path)' is empty, or not a regular file") }
    }

    private static func probe(_ file: borrowing FileDescriptor) throws(Errno) {
        var byte: UInt8 = 0
        var failure: Errno?
        // One byte on this frame.
        unsafe withUnsafeMutableBytes(of: &byte) { buffer in
            do throws(Errno) { _ = try unsafe file.read(into: buffer, at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// A copy of at most `count` bytes from `offset`; fewer at the end.
    public func bytes(at offset: Int, count wanted: Int) throws(BootError) -> [UInt8] {
        guard offset >= 0, wanted > 0, offset < count else { return [] }
        let length = min(wanted, count - offset)
        var result = [UInt8](repeating: 0, count: length)
        var failure: BootError?
        // The array's storage lives for the call and has `length` bytes.
        unsafe result.withUnsafeMutableBytes { buffer in
            do throws(BootError) { try unsafe read(into: buffer, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
        return result
    }

    /// Fills the buffer from `offset` on.
    private func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(BootError) {
        switch source {
        case .bytes(let bytes):
            guard offset <= bytes.count, buffer.count <= bytes.count - offset else { throw shortened }
            // Both ranges were just checked.
            unsafe bytes.withUnsafeBytes {
                unsafe buffer.copyMemory(from: .init(rebasing: $0[offset..<offset + buffer.count]))
            }
        case .file(let file):
            var done = 0
            while done < buffer.count {
                let got: Int
                do throws(Errno) {
                    // `done` is below the count, so the rest lies inside the buffer.
                    got = try unsafe file.read(into: .init(rebasing: buffer[done...]), at: Int64(offset + done))
                } catch { throw BootError("cannot read '\(name)': \(error)") }
                if got == 0 { throw shortened }
                done += got
            }
        }
    }

    private var shortened: BootError { BootError("'\(name)' became shorter while it was read") }

    /// Copies a part of the file into guest memory.
    /// - Parameter what: what this part is, for the message when guest memory has no room there.
    func load(
        from offset: Int, count length: Int, into memory: GuestMemory, at address: UInt64, as what: String
    ) throws(BootError) {
        guard length > 0 else { return }
        guard offset >= 0, offset <= count, length <= count - offset else {
            throw BootError(
                "'\(name)' is truncated: its \(what) ends \(length &- (count &- offset)) bytes after the file")
        }
        var done = 0
        while done < length {
            let place = address &+ UInt64(done)
            guard let region = memory.region(at: place) else {
                throw BootError(
                    "'\(name)': its \(what) at \(hex(address)), \(length) bytes, is not within the machine's memory; "
                        + "give it more with -m")
            }
            let piece = Int(min(UInt64(length - done), region.end - place))
            // `piece` bytes lie in one region that lives as long as `memory`.
            let target = unsafe UnsafeMutableRawBufferPointer(
                start: region.base + Int(place - region.start), count: piece)
            try unsafe read(into: target, at: offset + done)
            memory.markWritten(at: place, count: piece)
            done += piece
        }
    }
}

/// An address as people read it.
func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

/// A size as people read it.
func mebibytes(_ value: UInt64) -> String { "\((value &+ 0xF_FFFF) >> 20) MiB" }
