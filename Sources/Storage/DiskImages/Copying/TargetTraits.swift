// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

// What a copy must know of the image that it writes to.
extension BlockNode {
    /// Whether an image that was just made reads as zeroes everywhere.
    var isZeroWhenNew: Bool {
        switch driverName {
        // What was never written reads as the decryption of whatever the storage has.
        case "luks", "nbd": false
        case "host_device": false
        case "raw": child("file")?.isZeroWhenNew ?? false
        default: !((self as? any DescribedNode)?.isEncrypted ?? false) || !isPreallocated
        }
    }

    private var isPreallocated: Bool {
        // The first cluster tells: preallocation is of the whole image.
        guard let status = try? status(at: 0, count: min(length, 1), detail: .allocation) else { return true }
        return status.isData
    }

    /// Whether the format can only store compressed blocks (VMDK's streamOptimized).
    var needsCompressedWrites: Bool {
        (self as? any CompressedWriting)?.storesOnlyCompressed ?? false
    }
}
