// SPDX-License-Identifier: Apache-2.0

internal import CBzip2

/// Decompression with bzip2.
public enum Bzip2 {
    /// Decompresses one stream until it ends or `output` is full.
    /// - Returns: the bytes put into `output`.
    public static func decompress(
        _ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CompressionFailure) -> Int {
        var stream = unsafe bz_stream()
        guard unsafe BZ2_bzDecompressInit(&stream, 0, 0) == BZ_OK else { throw .outOfMemory }
        defer { _ = unsafe BZ2_bzDecompressEnd(&stream) }
        // libbz2 does not write to its input; both buffers outlive the call.
        unsafe stream.next_in = UnsafeMutablePointer(
            mutating: source.baseAddress?.assumingMemoryBound(to: CChar.self))
        unsafe stream.avail_in = UInt32(clamping: source.count)
        unsafe stream.next_out = output.baseAddress?.assumingMemoryBound(to: CChar.self)
        unsafe stream.avail_out = UInt32(clamping: output.count)
        let result = unsafe BZ2_bzDecompress(&stream)
        guard result == BZ_STREAM_END || result == BZ_OK else { throw .malformed }
        return unsafe output.count - Int(stream.avail_out)
    }
}
