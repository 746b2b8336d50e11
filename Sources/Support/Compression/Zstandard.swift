// SPDX-License-Identifier: Apache-2.0

internal import CZstd

/// Compresses whole buffers with zstd (RFC 8878). One object serves one thread at a time.
@safe
public final class ZstdCompressor: @unchecked Sendable {
    // Owned from init to deinit.
    private let handle: OpaquePointer
    private let level: Int32

    /// A compressor of a level from 1 to 22; 3 is zstd's own default.
    public init(level: Int = 3) throws(CompressionFailure) {
        guard let handle = unsafe ZSTD_createCCtx() else { throw .outOfMemory }
        unsafe self.handle = handle
        self.level = Int32(level)
    }

    deinit { _ = unsafe ZSTD_freeCCtx(handle) }

    /// Compresses `source` into `output` as one frame.
    /// - Returns: the compressed length, nil when it is more than `output` holds.
    public func compress(_ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        // zstd reads and writes only inside the two buffers.
        let count = unsafe ZSTD_compressCCtx(
            handle, output.baseAddress, output.count, source.baseAddress, source.count, level)
        return ZSTD_isError(count) != 0 ? nil : count
    }
}

/// Decompresses whole buffers with zstd. One object serves one thread at a time.
@safe
public final class ZstdDecompressor: @unchecked Sendable {
    // Owned from init to deinit.
    private let handle: OpaquePointer

    /// A decompressor.
    public init() throws(CompressionFailure) {
        guard let handle = unsafe ZSTD_createDCtx() else { throw .outOfMemory }
        unsafe self.handle = handle
    }

    deinit { _ = unsafe ZSTD_freeDCtx(handle) }

    /// Decompresses frames from the beginning of `source` until `output` is full; bytes may follow.
    /// - Returns: the bytes put into `output`.
    public func decompress(
        _ source: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CompressionFailure) -> Int {
        var input = unsafe ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
        var result = unsafe ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        _ = unsafe ZSTD_DCtx_reset(handle, ZSTD_reset_session_only)
        while unsafe result.pos < result.size {
            let before = unsafe (input.pos, result.pos)
            // zstd keeps both positions inside the buffers, which outlive the call.
            let status = unsafe ZSTD_decompressStream(handle, &result, &input)
            if ZSTD_isError(status) != 0 { throw .malformed }
            if unsafe before == (input.pos, result.pos) { break }
        }
        return unsafe result.pos
    }
}
