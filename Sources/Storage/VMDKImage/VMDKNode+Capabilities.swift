// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import BlockMapping
internal import HostSystem

extension VMDKNode: DescribedNode, HostStorageNode, CheckableNode, BackedNode {
    /// Bytes of a grain; nil when no extent is sparse.
    public var clusterSize: Int? { extents.lazy.compactMap(\.extent.grainSize).first.map { Int($0) } }
    /// Never.
    public var isEncrypted: Bool { false }
    /// There is no such mark.
    public var isDirty: Bool { false }

    /// Identifiers, type and extents.
    public func specificInformation() throws(BlockError) -> SpecificInformation? {
        let descriptor = currentDescriptor()
        let list = extents.map { placed -> SpecificInformation.Fact in
            var facts: [(String, SpecificInformation.Fact)] = []
            if placed.extent.isCompressed { facts.append(("compressed", .flag(true))) }
            facts.append(("virtual-size", .number(placed.extent.mappedLength)))
            facts.append(("filename", .text(placed.extent.file.location.filename)))
            if let size = placed.extent.grainSize { facts.append(("cluster-size", .number(size))) }
            facts.append(("format", .text(placed.extent.type)))
            return .group(facts)
        }
        return SpecificInformation(
            type: "vmdk",
            facts: [
                ("cid", .number(Int64(descriptor.contentID))), ("parent-cid", .number(Int64(descriptor.parentID))),
                ("create-type", .text(descriptor.createType ?? "")), ("extents", .list(list)),
            ])
    }

    /// All files together.
    public func allocatedBytes() -> Int64? {
        var total = (file as? any HostStorageNode)?.allocatedBytes() ?? 0
        for placed in extents where placed.extent.file !== file {
            total += (placed.extent.file as? any HostStorageNode)?.allocatedBytes() ?? 0
        }
        return total
    }

    /// Nothing is repaired.
    public var canRepair: Bool { false }

    /// Checks that each grain lies in its file.
    public func check(repair: RepairOptions, report: (String) -> Void) throws(BlockError) -> CheckResult {
        if !repair.isEmpty { throw BlockError(.notSupported, "This image format does not support repairs") }
        var result = CheckResult()
        for placed in extents { result.corruptions += try placed.extent.check(report: report).corruptions }
        return result
    }

    /// The opened parent.
    public var backing: (any BlockNode)? { backingReference.node }
    /// The parent's name in the descriptor.
    public var backingName: String? { currentDescriptor().parentName }
    /// A parent is always VMDK.
    public var backingFormat: String? { backingName == nil ? nil : "vmdk" }

    /// The format has no way that qemu-img would take.
    public func changeBackingReference(name: String?, format: String?) throws(BlockError) {
        throw BlockError(.notSupported, "Operation not supported")
    }

    /// Reads of unallocated grains go to another node from now on.
    public func replaceBacking(_ node: (any BlockNode)?) throws(BlockError) { backingReference.node = node }
}

/// A disk of one extent whose grains are compressed.
public final class CompressedVMDKNode: VMDKNode, CompressedWriting, @unchecked Sendable {
    /// zlib over grains.
    public var compressor: ClusterCompressor {
        ClusterCompressor(clusterSize: clusterSize ?? 0) { (cluster, output) throws(BlockError) in
            let room = AlignedBuffer(count: GrainCompressor.bound(cluster.count)).region
            let count = try GrainCompressor.shared.compress(cluster, room)
            guard count <= output.count else { return nil }
            output.copy(from: room.slice(0, count))
            return count
        }
    }

    /// A stream holds nothing else.
    public var storesOnlyCompressed: Bool { true }

    /// Appends a grain. A grain beyond the end of the disk is cut off.
    public func writeCompressed(_ compressed: ByteRegion, at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        guard let extent = extents.first?.extent as? SparseExtent, offset % extent.blockSize == 0 else {
            throw BlockError(.invalidArgument, "\(location.filename): compressed grains are written whole")
        }
        try extent.lock.withLock { () throws(BlockError) in
            try extent.appendPacked(compressed, block: offset / extent.blockSize)
        }
    }

    /// As any write: all grains of the disk are compressed.
    public func writeCompressing(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try write(region, at: offset, flags: [])
    }
}
