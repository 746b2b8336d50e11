// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CLinux
internal import GuestMemory
internal import HostSystem
internal import Virtio

/// One request of a disk's driver, from the queue to its status byte. Reused; one thread at a time has it.
final class BlockRequest: @unchecked Sendable {
    enum Status {
        static let done: UInt8 = 0, failed: UInt8 = 1, unsupported: UInt8 = 2
    }

    /// Its number among the device's requests: the token of io_uring.
    let slot: Int
    let chain: DescriptorChain
    /// The status byte at the end of the chain, taken off it before the data is looked at.
    var statusAddress: UInt64 = 0
    var queue = 0
    var operation = BlockOperation.read
    /// The range of the disk, in bytes.
    var offset: Int64 = 0, count: Int64 = 0
    /// Monotonic time at which it was started.
    var startedAt: UInt64 = 0
    /// Zeroes may give their storage back.
    var mayUnmap = false
    /// The write is durable when it completes.
    var isForced = false
    /// Its range is held by `beginDirect`.
    var isDirect = false

    init(slot: Int, memory: GuestMemory) {
        self.slot = slot
        chain = DescriptorChain(memory: memory)
    }

    var isWrite: Bool { operation != .read }

    /// The data buffers: those that the device writes for a read, those that it reads for a write.
    var vectors: UnsafeMutableBufferPointer<iovec> {
        operation == .read ? unsafe chain.writableVectors : unsafe chain.readableVectors
    }

    /// The data buffers as the block layer takes them; they stay valid as long as the guest's memory.
    var regions: [ByteRegion] {
        let vectors = unsafe vectors
        return (0..<vectors.count).map { index in
            // A checked buffer of guest memory, which outlives the request.
            unsafe ByteRegion(unsafe: vectors[index].iov_base, count: vectors[index].iov_len)
        }
    }

    /// Does the work on the calling thread.
    func perform(on node: any BlockNode) throws(BlockError) {
        try operation.perform(
            on: node, regions: regions, at: offset, count: count, isForced: isForced, mayUnmap: mayUnmap)
    }
}
