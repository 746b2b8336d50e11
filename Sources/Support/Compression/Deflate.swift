// SPDX-License-Identifier: Apache-2.0

internal import CDeflate

/// What compressed data can be wrong with.
public enum CompressionFailure: Error, Sendable, Hashable {
    /// Not a stream of this kind, or damaged.
    case malformed
    /// The output does not fit.
    case tooLarge
    /// The library could not get memory.
    case outOfMemory
}

/// The frames around deflate data (RFC 1951).
public enum DeflateContainer: Sendable, Hashable {
    /// None, as in qcow2.
    case raw
    /// zlib's header and Adler-32 (RFC 1950), as in VMDK.
    case zlib
    /// gzip's header and CRC-32 (RFC 1952).
    case gzip
}

/// Compresses whole buffers with libdeflate. One object serves one thread at a time.
@safe
public final class DeflateCompressor: @unchecked Sendable {
    // Owned from init to deinit.
    private let handle: OpaquePointer

    /// A compressor of a level from 1 (fast) to 12 (small).
    public init(level: Int) throws(CompressionFailure) {
        guard let handle = unsafe libdeflate_alloc_compressor(Int32(max(1, min(level, 12)))) else {
            throw .outOfMemory
        }
        unsafe self.handle = handle
    }

    deinit { unsafe libdeflate_free_compressor(handle) }

    /// Compresses `source` into `output`.
    /// - Returns: the compressed length, nil when it is more than `output` holds.
    public func compress(
        _ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer,
        container: DeflateContainer = .raw
    ) -> Int? {
        // libdeflate reads and writes only inside the two buffers.
        let call =
            switch container {
            case .raw: unsafe libdeflate_deflate_compress
            case .zlib: unsafe libdeflate_zlib_compress
            case .gzip: unsafe libdeflate_gzip_compress
            }
        let count = unsafe call(handle, source.baseAddress, source.count, output.baseAddress, output.count)
        return count == 0 ? nil : count
    }
}

/// Decompresses whole buffers with libdeflate. One object serves one thread at a time.
@safe
public final class DeflateDecompressor: @unchecked Sendable {
    // Owned from init to deinit.
    private let handle: OpaquePointer

    /// A decompressor.
    public init() throws(CompressionFailure) {
        guard let handle = unsafe libdeflate_alloc_decompressor() else { throw .outOfMemory }
        unsafe self.handle = handle
    }

    deinit { unsafe libdeflate_free_decompressor(handle) }

    /// Decompresses one stream from the beginning of `source`, behind which there may be other bytes.
    /// - Returns: the bytes taken from `source` and the bytes put into `output`.
    public func decompress(
        _ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer,
        container: DeflateContainer = .raw
    ) throws(CompressionFailure) -> (consumed: Int, produced: Int) {
        var consumed = 0
        var produced = 0
        let call =
            switch container {
            case .raw: unsafe libdeflate_deflate_decompress_ex
            case .zlib: unsafe libdeflate_zlib_decompress_ex
            case .gzip: unsafe libdeflate_gzip_decompress_ex
            }
        // libdeflate reads and writes only inside the two buffers, and the two counts on this frame.
        let result = unsafe call(
            handle, source.baseAddress, source.count, output.baseAddress, output.count, &consumed, &produced)
        switch result {
        case LIBDEFLATE_SUCCESS: return (consumed, produced)
        case LIBDEFLATE_INSUFFICIENT_SPACE: throw .tooLarge
        default: throw .malformed
        }
    }
}
