// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams

/// Bytes on their way to a client that may read slowly. Bounded by whoever fills it: see `isCongested`.
struct OutputQueue {
    private var waiting: [UInt8] = []
    private var sent = 0
    /// Above this a session takes no further commands and drops events.
    private static let congestion = 1 << 20

    var isCongested: Bool { waiting.count - sent > Self.congestion }
    var isEmpty: Bool { sent == waiting.count }

    /// Sends, and keeps what the stream does not take now.
    mutating func send(_ bytes: [UInt8], to stream: any CharacterBackend) {
        waiting += bytes
        flush(to: stream)
    }

    /// Sends what waits.
    mutating func flush(to stream: any CharacterBackend) {
        while sent < waiting.count {
            let taken = stream.send(waiting[sent...])
            if taken <= 0 { break }
            sent += taken
        }
        if sent == waiting.count || sent > Self.congestion {
            waiting.removeFirst(sent)
            sent = 0
        }
    }

    /// Forgets everything: the client is gone.
    mutating func clear() {
        waiting = []
        sent = 0
    }
}
