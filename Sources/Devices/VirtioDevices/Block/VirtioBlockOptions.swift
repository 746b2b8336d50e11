// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import Virtio

/// What is done when the host fails a request: `werror=` and `rerror=`.
public enum BlockErrorPolicy: String, Sendable {
    /// The guest is told.
    case report
    /// The guest is not told.
    case ignore
    /// The machine stops; the request is made again when it goes on.
    case stop
    /// As `stop` when the host is out of space, else as `report`.
    case enospc
}

/// A request that the host failed.
public struct BlockIOError: Sendable {
    /// A write, discard or flush, not a read.
    public let isWrite: Bool
    /// The host has no space left.
    public let isNoSpace: Bool
    /// For people.
    public let message: String
    /// What was done about it.
    public let action: BlockErrorPolicy
}

/// What can be said of a disk on the command line.
public struct VirtioBlockOptions: Sendable {
    /// `serial=`: at most 20 bytes reach the guest.
    public var serial = ""
    /// `num-queues=`, 1...1024; QEMU's default is one for each vCPU.
    public var queueCount = 1
    /// `queue-size=`: a power of two, 4...1024.
    public var queueSize: UInt16 = 256
    /// `logical_block_size=` and `physical_block_size=`: powers of two, 512...2 MiB.
    public var logicalBlockSize = 512, physicalBlockSize = 512
    /// `min_io_size=` and `opt_io_size=`, bytes; 0 for no hint.
    public var minimumIOSize = 0, optimalIOSize = 0
    /// `write-cache=`: completed writes may be lost by a crash of the host until flushed.
    public var hasWriteCache = true
    /// `config-wce=`: the driver may switch the cache.
    public var canSwitchCache = true
    /// `discard=` and `write-zeroes=`.
    public var hasDiscard = true, hasWriteZeroes = true
    /// `discard_granularity=`: bytes; nil for the logical block size.
    public var discardGranularity: Int?
    /// `werror=` and `rerror=`.
    public var writeErrors = BlockErrorPolicy.enospc, readErrors = BlockErrorPolicy.report
    /// Told of each failed request, on an I/O thread. With `.stop` the machine is to be stopped.
    public var onError: (@Sendable (BlockIOError) -> Void)?

    /// QEMU's defaults.
    public init() {}
}

/// Feature bits of a block device (Virtio 1.2, 5.2.3).
extension VirtioFeatures {
    static let blockSegmentMaximum = VirtioFeatures(bit: 2), blockGeometry = VirtioFeatures(bit: 4)
    static let blockReadOnly = VirtioFeatures(bit: 5), blockSize = VirtioFeatures(bit: 6)
    static let blockFlush = VirtioFeatures(bit: 9), blockTopology = VirtioFeatures(bit: 10)
    static let blockSwitchCache = VirtioFeatures(bit: 11), blockMultiqueue = VirtioFeatures(bit: 12)
    static let blockDiscard = VirtioFeatures(bit: 13), blockWriteZeroes = VirtioFeatures(bit: 14)
}
