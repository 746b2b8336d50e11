// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import Glibc
internal import HostSystem

/// Memory for host code: one memfd mapped twice, so that no address is both writable and executable.
final class CodeArea {
    private let writableMapping: MemoryMapping
    private let executableMapping: MemoryMapping
    let count: Int

    /// - Parameter count: bytes, a multiple of the page size. Host memory is taken up only where code was written.
    init(count: Int) throws(Errno) {
        let descriptor = FileDescriptor(owning: try retrying { roost_memfd("roost-jit") })
        _ = try retrying { ftruncate(descriptor.number, count) }
        writableMapping = try MemoryMapping.map(
            count: count, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, descriptor: descriptor.number)
        executableMapping = try MemoryMapping.map(
            count: count, protection: PROT_READ | PROT_EXEC, flags: MAP_SHARED, descriptor: descriptor.number)
        self.count = count
    }

    /// Where code is written.
    var start: UnsafeMutablePointer<UInt8> { writableMapping.base.assumingMemoryBound(to: UInt8.self) }

    /// Gives the memory from a place on back to the host, by whole pages; it reads as zeros then.
    func discard(from place: UnsafeMutablePointer<UInt8>) {
        let pageMask = 4095
        let offset = (place - start + pageMask) & ~pageMask
        // A hole in the file, which both mappings show. Where the host refuses, the memory stays.
        if offset < count { madvise(writableMapping.base + offset, count - offset, MADV_REMOVE) }
    }

    /// Where code that was written at a place is run.
    @inline(__always)
    func executable(_ place: UnsafeMutablePointer<UInt8>) -> UnsafeRawPointer {
        UnsafeRawPointer(executableMapping.base) + (place - start)
    }
}
