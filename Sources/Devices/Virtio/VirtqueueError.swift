// SPDX-License-Identifier: Apache-2.0

/// What a driver did with a queue that no correct driver does. The queue is then broken until the device is reset.
public enum VirtqueueError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The rings are misaligned, not memory, or of a length that is no power of two.
    case badRing
    /// More requests made available at once than the ring holds.
    case availableIndexJumped(UInt16)
    /// More requests in flight than the ring holds.
    case tooManyInFlight
    /// A descriptor's number beyond the table.
    case descriptorOutOfRange(UInt16)
    /// The chain comes back to itself.
    case loop
    /// More descriptors than can be served at once.
    case chainTooLong
    /// An indirect table of a length that is no multiple of 16, empty, or inside another.
    case badIndirectTable
    /// A buffer of no bytes.
    case emptyBuffer
    /// A buffer that is not all memory.
    case notMemory(UInt64)
    /// A buffer for reading after one for writing.
    case readableAfterWritable
    /// A request that the device cannot make sense of; the text says why.
    case badRequest(String)

    /// For the log, in QEMU's words where it has any.
    public var description: String {
        switch self {
        case .badRing: "the rings are misaligned, not in memory, or of a length that is not a power of two"
        case .availableIndexJumped(let count): "\(count) requests made available at once, more than the ring holds"
        case .tooManyInFlight: "Virtqueue size exceeded"
        case .descriptorOutOfRange(let number): "descriptor \(number) is beyond the table"
        case .loop: "Looped descriptor"
        case .chainTooLong: "too many descriptors in one request"
        case .badIndirectTable: "Invalid size for indirect buffer table"
        case .emptyBuffer: "zero sized buffers are not allowed"
        case .notMemory(let address): "the buffer at 0x\(String(address, radix: 16)) is not memory"
        case .readableAfterWritable: "Incorrect order for descriptors"
        case .badRequest(let text): text
        }
    }
}
