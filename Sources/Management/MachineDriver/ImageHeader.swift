// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// The header of an image that no emulator has open.
package enum ImageHeader {
    /// Bytes that are read: a header's fixed part.
    private static let length = 32
    private static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xfb]
    /// Where qcow2 has the size that the guest sees (docs/interop/qcow2.txt, "Header").
    private static let sizePlace = 24

    /// The size in bytes that a guest sees; nil for a file that is no qcow2 image.
    package static func capacity(_ path: String) -> UInt64? {
        var bytes = [UInt8](repeating: 0, count: length)
        do throws(Errno) {
            let file = try FileDescriptor.open(path)
            // The array lives for the call.
            let count: Int? = unsafe bytes.withUnsafeMutableBytes { try? unsafe file.read(into: $0) }
            return count == length ? capacity(ofHeader: bytes) : nil
        } catch { return nil }
    }

    /// The size that a header of 32 bytes says.
    package static func capacity(ofHeader bytes: [UInt8]) -> UInt64? {
        guard bytes.count >= length, Array(bytes.prefix(magic.count)) == magic else { return nil }
        return bytes[sizePlace..<length].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
}
