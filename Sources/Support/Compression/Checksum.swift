// SPDX-License-Identifier: Apache-2.0

internal import CDeflate

/// CRC-32 as zlib, PNG and Ethernet have it.
public struct Checksum32: Sendable {
    /// The checksum of everything added so far.
    public private(set) var value: UInt32 = 0

    /// Of no bytes.
    public init() {}

    /// Adds bytes.
    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        // libdeflate reads only inside the buffer, which lives for the call.
        value = unsafe libdeflate_crc32(value, bytes.baseAddress, bytes.count)
    }

    /// Adds bytes.
    public mutating func add(_ bytes: [UInt8]) {
        // The array's storage lives for the call.
        unsafe bytes.withUnsafeBytes { unsafe add($0) }
    }
}
