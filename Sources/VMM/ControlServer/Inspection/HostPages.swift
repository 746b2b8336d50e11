// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// Where the host's kernel keeps this process's memory (`/proc/self/pagemap`; only root is told).
enum HostPages {
    private static let page: UInt64 = 4096, entryCount = 8
    private static let present: UInt64 = 1 << 63, frames: UInt64 = 1 << 55 - 1

    /// The host-physical address of a byte of this process; nil where the page is not in memory.
    static func physical(_ address: UInt64) throws(Errno) -> UInt64? {
        let file = try FileDescriptor.open("/proc/self/pagemap", flags: O_RDONLY)
        var entry = [UInt8](repeating: 0, count: entryCount)
        // The array lives through the call.
        let count = unsafe entry.withUnsafeMutableBytes {
            unsafe pread(file.number, $0.baseAddress, entryCount, Int(address / page) &* entryCount)
        }
        guard count == entryCount else { throw Errno.current }
        let value = entry.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard value & present != 0 else { return nil }
        return value & frames &* page | address & (page - 1)
    }
}
