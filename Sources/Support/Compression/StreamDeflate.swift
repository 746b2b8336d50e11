// SPDX-License-Identifier: Apache-2.0

internal import CZlib

/// A zlib stream (RFC 1950) that is written piece by piece, each piece complete for a reader that has all before it.
///
/// One object serves one thread at a time.
@safe
public final class StreamDeflate {
    // Owned from init to deinit, at an address that zlib keeps.
    private let stream: UnsafeMutablePointer<z_stream>
    private var level: Int32

    /// A stream without any bytes yet.
    /// - Parameter level: 0 (stored) to 9 (small).
    public init(level: Int) throws(CompressionFailure) {
        self.level = Int32(max(0, min(level, 9)))
        unsafe stream = .allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        let size = unsafe Int32(MemoryLayout<z_stream>.size)
        guard unsafe deflateInit_(stream, self.level, ZLIB_VERSION, size) == Z_OK else {
            unsafe stream.deallocate()
            throw .outOfMemory
        }
    }

    deinit {
        _ = unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    /// Compresses `source` and appends what a reader needs for all of it (Z_SYNC_FLUSH).
    /// - Parameter level: from now on, 0...9.
    public func append(
        _ source: UnsafeRawBufferPointer, level: Int, to output: inout [UInt8]
    ) throws(CompressionFailure) {
        let level = Int32(max(0, min(level, 9)))
        let start = output.count
        // The bound of one piece, and room for the end of what an earlier level left.
        let bound = Int(unsafe deflateBound(stream, UInt(source.count))) + 64
        var used = 0
        var status = Z_OK
        output.append(contentsOf: repeatElement(0, count: bound))
        unsafe output.withUnsafeMutableBytes { room in
            // zlib reads inside the source and writes inside the output; both outlive the calls.
            unsafe stream.pointee.next_in = UnsafeMutablePointer(
                mutating: source.baseAddress?.assumingMemoryBound(to: UInt8.self))
            unsafe stream.pointee.avail_in = UInt32(clamping: source.count)
            unsafe stream.pointee.next_out = (room.baseAddress! + start).assumingMemoryBound(to: UInt8.self)
            unsafe stream.pointee.avail_out = UInt32(clamping: bound)
            if level != self.level, unsafe deflateParams(stream, level, Z_DEFAULT_STRATEGY) == Z_OK {
                self.level = level
            }
            status = unsafe deflate(stream, Z_SYNC_FLUSH)
            used = unsafe bound - Int(stream.pointee.avail_out)
        }
        output.removeLast(bound - used)
        guard status == Z_OK || status == Z_BUF_ERROR, unsafe stream.pointee.avail_in == 0 else { throw .tooLarge }
    }
}
