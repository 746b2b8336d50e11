// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// What the first bytes of an image say: enough to list a folder of images without opening each as a disk.
package struct ImageProbe: Equatable {
    /// `raw`, `qcow2`, `vmdk`...
    package var format = "raw"
    /// Bytes that a guest sees; nil when the first bytes do not say.
    package var capacity: UInt64?
    /// The name of the image below, as the header has it.
    package var backingFile: String?
    /// `1.1` for version 3 of qcow2.
    package var compatibility: String?
    /// Whether its content needs a key.
    package var isEncrypted = false
    /// Bytes in front of what is encrypted, of a LUKS image.
    package var payloadOffset: UInt64 = 0
    /// Bytes of a cluster, of qcow2.
    package var clusterSize: UInt64?

    private static let headerCount = 4096

    /// Reads the head of a file; nil when it cannot be read.
    init?(path: String) {
        guard let file = try? FileDescriptor.open(path, flags: O_NONBLOCK) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.headerCount)
        // The array lives for the call.
        let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(Errno) { return .success(try unsafe file.read(into: buffer, at: 0)) } catch {
                return .failure(error)
            }
        }
        guard case .success(let count) = read else { return nil }
        self.init(header: Array(bytes.prefix(count)))
    }

    /// Looks at the first bytes of a file.
    package init(header: [UInt8]) {
        func big(_ offset: Int, _ count: Int) -> UInt64 {
            guard offset >= 0, offset + count <= header.count else { return 0 }
            return header[offset..<(offset + count)].reduce(0) { $0 << 8 | UInt64($1) }
        }
        func begins(_ magic: [UInt8], at offset: Int = 0) -> Bool {
            offset + magic.count <= header.count && Array(header[offset..<(offset + magic.count)]) == magic
        }
        if begins([0x51, 0x46, 0x49, 0xfb]), (2...3).contains(big(4, 4)) {
            format = "qcow2"
            capacity = big(24, 8)
            compatibility = big(4, 4) == 3 ? "1.1" : nil
            isEncrypted = big(32, 4) != 0
            let bits = big(20, 4)
            if (9...21).contains(bits) { clusterSize = 1 << bits }
            let (offset, count) = (Int(truncatingIfNeeded: big(8, 8)), Int(big(16, 4)))
            if offset > 0, count > 0, count < 1024, offset < header.count, offset + count <= header.count {
                backingFile = String(decoding: header[offset..<(offset + count)], as: UTF8.self)
            }
        } else if begins([0x51, 0x46, 0x49, 0xfb]), big(4, 4) == 1 {
            format = "qcow"
            capacity = big(24, 8)
            isEncrypted = big(36, 4) != 0
        } else if begins(Array("QED\0".utf8)) {
            format = "qed"
            // Everything in its header is little-endian.
            capacity = (0..<8).reduce(UInt64(0)) {
                $0 | UInt64(48 + $1 < header.count ? header[48 + $1] : 0) << (8 * UInt64($1))
            }
        } else if begins(Array("KDMV".utf8)) {
            format = "vmdk"
            let sectors = (0..<8).reduce(UInt64(0)) {
                $0 | UInt64(12 + $1 < header.count ? header[12 + $1] : 0) << (8 * UInt64($1))
            }
            capacity = sectors &* 512
        } else if begins(Array("conectix".utf8)) {
            format = "vpc"
            capacity = big(48, 8)
        } else if begins([0x7f, 0x10, 0xda, 0xbe], at: 64) {
            format = "vdi"
            capacity = (0..<8).reduce(UInt64(0)) {
                $0 | UInt64(368 + $1 < header.count ? header[368 + $1] : 0) << (8 * UInt64($1))
            }
        } else if begins(Array("vhdxfile".utf8)) {
            format = "vhdx"
        } else if begins(Array("LUKS".utf8) + [0xba, 0xbe]) {
            format = "luks"
            isEncrypted = true
            // Version 1 has the place of the contents at byte 104, in sectors.
            if big(6, 2) == 1 { payloadOffset = big(104, 4) &* 512 }
        }
    }
}
