// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import GuestMemory
internal import Virtio

/// Reads a request's header and checks its range (Virtio 1.2, 5.2.6).
enum VirtioBlockParser {
    enum Outcome {
        /// No correct driver sends it: the queue breaks.
        case malformed(String)
        /// Finished already, with a status and that many bytes of data written.
        case answer(status: UInt8, written: Int)
        /// The host has work to do.
        case perform
    }

    private enum Kind {
        static let read: UInt32 = 0, write: UInt32 = 1, flush: UInt32 = 4, identify: UInt32 = 8
        static let discard: UInt32 = 11, writeZeroes: UInt32 = 13
        /// Legacy drivers set it on any type.
        static let barrier: UInt32 = 0x8000_0000
    }
    private static let headerSize = 16, segmentSize = 16
    private static let identityCount = 20
    private static let unmapFlag: UInt32 = 1

    static func parse(_ request: BlockRequest, node: any BlockNode, options: VirtioBlockOptions) -> Outcome {
        let chain = request.chain
        guard chain.readableCount > 0, chain.writableCount > 0 else { return .malformed("virtio-blk missing headers") }
        guard let kind: UInt32 = chain.load(at: 0), let sector: UInt64 = chain.load(at: 8),
            chain.dropReadable(headerSize)
        else { return .malformed("virtio-blk request outhdr too short") }
        guard let status = chain.takeLastWritableByte() else {
            return .malformed("virtio-blk request inhdr too short")
        }
        request.statusAddress = status
        request.mayUnmap = false
        request.offset = 0
        request.count = 0
        switch kind & ~Kind.barrier {
        case Kind.read: return range(request, .read, sector: sector, count: chain.writableCount, node, options)
        case Kind.write:
            guard !node.isReadOnly else { return failed }
            return range(request, .write, sector: sector, count: chain.readableCount, node, options)
        case Kind.flush:
            request.operation = .flush
            return .perform
        case Kind.identify:
            request.operation = .read
            var identity = Array(options.serial.utf8.prefix(identityCount))
            if identity.count < identityCount { identity.append(0) }
            return .answer(status: BlockRequest.Status.done, written: chain.write(identity))
        case Kind.discard where options.hasDiscard: return segment(request, .discard, node, options)
        case Kind.writeZeroes where options.hasWriteZeroes: return segment(request, .writeZeroes, node, options)
        default: return .answer(status: BlockRequest.Status.unsupported, written: 0)
        }
    }

    private static let failed = Outcome.answer(status: BlockRequest.Status.failed, written: 0)

    /// Checks a range against the disk and its block size.
    private static func range(
        _ request: BlockRequest, _ operation: BlockOperation, sector: UInt64, count: Int,
        _ node: any BlockNode, _ options: VirtioBlockOptions
    ) -> Outcome {
        request.operation = operation
        let block = UInt64(options.logicalBlockSize)
        let sectors = UInt64(max(0, node.length / VirtioBlockDevice.sectorSize))
        let (offset, overflow) = sector.multipliedReportingOverflow(by: UInt64(VirtioBlockDevice.sectorSize))
        guard !overflow, offset % block == 0, UInt64(count) % block == 0, sector <= sectors,
            UInt64(count) / UInt64(VirtioBlockDevice.sectorSize) <= sectors - sector
        else { return failed }
        request.offset = Int64(offset)
        request.count = Int64(count)
        return count == 0 ? .answer(status: BlockRequest.Status.done, written: 0) : .perform
    }

    /// The one segment of a discard or zeroing request.
    private static func segment(
        _ request: BlockRequest, _ operation: BlockOperation, _ node: any BlockNode,
        _ options: VirtioBlockOptions
    ) -> Outcome {
        let chain = request.chain
        // One segment is the most that the registers allow.
        guard chain.readableCount == segmentSize, let sector: UInt64 = chain.load(at: 0),
            let count: UInt32 = chain.load(at: 8), let flags: UInt32 = chain.load(at: 12)
        else { return .answer(status: BlockRequest.Status.unsupported, written: 0) }
        guard !node.isReadOnly, count <= VirtioBlockDevice.maximumDiscard else { return failed }
        if flags & ~unmapFlag != 0 || (operation == .discard && flags != 0) {
            return .answer(status: BlockRequest.Status.unsupported, written: 0)
        }
        request.mayUnmap = flags & unmapFlag != 0
        let bytes = Int(count) * Int(VirtioBlockDevice.sectorSize)
        return range(request, operation, sector: sector, count: bytes, node, options)
    }
}
