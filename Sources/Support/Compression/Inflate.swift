// SPDX-License-Identifier: Apache-2.0

internal import CZlib

/// Decompression with zlib, for streams that end early or are longer than what is wanted of them, where libdeflate
/// would refuse the whole.
public enum PartialInflate {
    /// Decompresses raw deflate data until `output` is full or the stream ends.
    /// - Parameter container: raw or zlib.
    /// - Returns: the bytes put into `output`.
    public static func decompress(
        _ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer,
        container: DeflateContainer = .raw
    ) throws(CompressionFailure) -> Int {
        var stream = unsafe z_stream()
        let windowBits: Int32 =
            switch container {
            case .raw: -15
            case .zlib: 15
            case .gzip: 31
            }
        let size = unsafe Int32(MemoryLayout<z_stream>.size)
        guard unsafe inflateInit2_(&stream, windowBits, ZLIB_VERSION, size) == Z_OK else { throw .outOfMemory }
        defer { _ = unsafe inflateEnd(&stream) }
        // zlib does not write to its input; both buffers outlive the call.
        unsafe stream.next_in = UnsafeMutablePointer(
            mutating: source.baseAddress?.assumingMemoryBound(to: UInt8.self))
        unsafe stream.avail_in = UInt32(clamping: source.count)
        unsafe stream.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        unsafe stream.avail_out = UInt32(clamping: output.count)
        let result = unsafe inflate(&stream, Z_FINISH)
        guard result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK else { throw .malformed }
        return unsafe output.count - Int(stream.avail_out)
    }
}
