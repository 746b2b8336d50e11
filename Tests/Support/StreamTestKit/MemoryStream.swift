// SPDX-License-Identifier: Apache-2.0

public import CharacterStreams

/// A stream whose other end is the test: what was sent is kept, what the test types is delivered at once.
public final class MemoryStream: CharacterBackend, @unchecked Sendable {
    /// The character device's identifier.
    public let label: String
    /// Where monitors say it comes from.
    public let filename = "memory"
    /// The other end is there.
    public private(set) var isOpen: Bool
    /// What it is the back end of.
    public weak var frontend: (any CharacterFrontend)? {
        didSet { if isOpen { frontend?.handle(.opened) } }
    }
    /// What was sent since it was taken last.
    public private(set) var sent: [UInt8] = []
    /// Bytes that `send` takes before it refuses more; nil for all.
    public var room: Int?
    private var waiting: [UInt8] = []

    /// A stream with that identifier.
    public init(_ label: String = "test", isOpen: Bool = true) {
        self.label = label
        self.isOpen = isOpen
    }

    /// Takes what there is room for.
    public func send(_ bytes: ArraySlice<UInt8>) -> Int {
        let taken = min(bytes.count, room ?? bytes.count)
        sent += bytes.prefix(taken)
        room = room.map { $0 - taken }
        return taken
    }

    /// The front end takes bytes again.
    public func resumeInput() { deliver() }
    /// The front end lets go of it.
    public func close() { isOpen = false }

    /// Delivers bytes as far as the front end takes them, and keeps the rest.
    public func type(_ text: String) {
        waiting += Array(text.utf8)
        deliver()
    }

    /// Delivers bytes as far as the front end takes them, and keeps the rest.
    public func type(_ bytes: [UInt8]) {
        waiting += bytes
        deliver()
    }

    private func deliver() {
        while !waiting.isEmpty, let capacity = frontend?.receiveCapacity, capacity > 0 {
            let part = Array(waiting.prefix(capacity))
            waiting.removeFirst(part.count)
            frontend?.receive(part[...])
        }
    }

    /// The other end goes away or comes back.
    public func setOpen(_ open: Bool) {
        isOpen = open
        frontend?.handle(open ? .opened : .closed)
    }

    /// What was sent since the last call.
    public func takeText() -> String {
        defer { sent = [] }
        return String(decoding: sent, as: UTF8.self)
    }

    /// The lines that were sent since the last call, without their ends.
    public func takeLines() -> [String] {
        takeText().replacing("\r\n", with: "\n").split(separator: "\n").map(String.init)
    }
}
