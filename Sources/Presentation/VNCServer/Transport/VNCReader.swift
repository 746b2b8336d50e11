// SPDX-License-Identifier: Apache-2.0

/// Reads a client's messages, which are numbers in network order and runs of bytes. Every run has a bound.
package final class VNCReader {
    private let channel: any VNCChannel
    private var buffer = [UInt8](repeating: 0, count: 8192)
    private var start = 0, end = 0
    /// Takes more than was asked for, to save calls. Off while what follows may belong to another channel.
    package var readsAhead = false

    /// Reads no more than is asked for until `readsAhead` is set.
    package init(_ channel: any VNCChannel) { self.channel = channel }

    /// A byte.
    package func byte() throws(VNCFailure) -> UInt8 {
        if start == end { try fill(1) }
        defer { start += 1 }
        return buffer[start]
    }

    /// Two bytes.
    package func short() throws(VNCFailure) -> UInt16 { UInt16(try byte()) << 8 | UInt16(try byte()) }

    /// Four bytes.
    package func long() throws(VNCFailure) -> UInt32 { UInt32(try short()) << 16 | UInt32(try short()) }

    /// A run of bytes.
    /// - Parameter count: at most 1 MiB.
    package func bytes(_ count: Int) throws(VNCFailure) -> [UInt8] {
        guard count <= Self.longestRun else { throw VNCFailure("a message of \(count) bytes is too long") }
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            if start == end { try fill(count - result.count) }
            let part = min(count - result.count, end - start)
            result += buffer[start..<start + part]
            start += part
        }
        return result
    }

    /// Passes over a run of bytes.
    package func skip(_ count: Int) throws(VNCFailure) { _ = try bytes(count) }

    private static let longestRun = 1 << 20

    private func fill(_ wanted: Int) throws(VNCFailure) {
        (start, end) = (0, 0)
        let limit = readsAhead ? buffer.count : min(wanted, buffer.count)
        var failure: VNCFailure?
        var count = 0
        unsafe buffer.withUnsafeMutableBytes { room in
            // At most `limit` bytes of the buffer are written.
            do throws(VNCFailure) {
                count = try unsafe channel.receive(into: UnsafeMutableRawBufferPointer(rebasing: room[..<limit]))
            } catch { failure = error }
        }
        if let failure { throw failure }
        guard count > 0 else { throw .closed }
        end = min(count, limit)
    }
}
