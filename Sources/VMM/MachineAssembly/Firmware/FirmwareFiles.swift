// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import MachineSpec

/// Finds firmware and option ROMs where QEMU on Debian finds them.
struct FirmwareFiles {
    /// Directories of -L first, then those of Debian's packages seabios, qemu-system-data, ipxe-qemu and ovmf.
    let directories: [String]
    /// More than any firmware for a PC has.
    private static let largest = 64 << 20

    init(extra: [String]) { directories = extra + MachineArguments.dataDirectories }

    /// The path of a file: as it stands when it exists there, else in the directories.
    func path(of name: String) -> String? {
        if Self.isReadable(name) { return name }
        guard !name.contains("/") else { return nil }
        return directories.map { "\($0)/\(name)" }.first { Self.isReadable($0) }
    }

    private static func isReadable(_ path: String) -> Bool {
        // access(2) reads only the string.
        unsafe access(path, R_OK) == 0
    }

    /// All bytes of a file.
    func read(_ path: String) throws(UserError) -> [UInt8] {
        let bytes: [UInt8]
        do throws(Errno) { bytes = try Self.contents(path) } catch {
            throw UserError("cannot read '\(path)'", because: error)
        }
        guard !bytes.isEmpty else { throw UserError("'\(path)' is empty, or too large for firmware") }
        return bytes
    }

    private static func contents(_ path: String) throws(Errno) -> [UInt8] {
        let file = try FileDescriptor.open(path)
        let size = try file.size()
        guard size > 0, size <= largest else { return [] }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        var failure: Errno?
        var done = 0
        // The kernel fills at most the rest of the buffer.
        unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(Errno) {
                while done < buffer.count {
                    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
                    let count = try unsafe file.read(into: rest)
                    if count == 0 { break }
                    done += count
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return Array(bytes.prefix(done))
    }
}
