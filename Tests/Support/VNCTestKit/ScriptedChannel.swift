// SPDX-License-Identifier: Apache-2.0

package import VNCServer

/// A channel whose client has said everything in advance; what it is sent is kept.
package final class ScriptedChannel: VNCChannel, @unchecked Sendable {
    private var input: ArraySlice<UInt8>
    /// Everything that was sent to the client.
    package private(set) var output: [UInt8] = []
    /// Called before input is read, with what was sent so far; gives more input.
    package var answer: (([UInt8]) -> [UInt8])?

    package init(_ input: [UInt8]) { self.input = input[...] }

    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(VNCFailure) -> Int {
        if input.isEmpty, let answer { input = answer(output)[...] }
        let count = min(buffer.count, input.count)
        // `count` is at most the buffer's.
        unsafe buffer.copyBytes(from: input.prefix(count))
        input = input.dropFirst(count)
        return count
    }

    package func send(_ bytes: UnsafeRawBufferPointer) throws(VNCFailure) { unsafe output.append(contentsOf: bytes) }
    package func shutDown() { input = [] }
}
