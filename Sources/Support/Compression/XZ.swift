// SPDX-License-Identifier: Apache-2.0

internal import CLZMA

/// Decompression of xz streams (LZMA2).
public enum XZ {
    /// The most memory that a stream's dictionary may take up.
    private static let mostMemory: UInt64 = 128 << 20

    /// Decompresses one stream until it ends or `output` is full.
    /// - Returns: the bytes put into `output`.
    public static func decompress(
        _ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CompressionFailure) -> Int {
        var stream = unsafe lzma_stream()
        guard unsafe lzma_stream_decoder(&stream, mostMemory, 0) == LZMA_OK else { throw .outOfMemory }
        defer { unsafe lzma_end(&stream) }
        // Both buffers outlive the calls, and the library keeps within the lengths that it is given.
        unsafe stream.next_in = source.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.avail_in = source.count
        unsafe stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.avail_out = output.count
        switch unsafe lzma_code(&stream, LZMA_FINISH) {
        case LZMA_OK, LZMA_STREAM_END, LZMA_BUF_ERROR: return unsafe output.count - stream.avail_out
        case LZMA_MEM_ERROR, LZMA_MEMLIMIT_ERROR: throw .outOfMemory
        default: throw .malformed
        }
    }
}
