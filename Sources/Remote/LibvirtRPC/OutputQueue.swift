// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Bytes that wait to be sent, each item with at most one descriptor that goes out with its first byte. Guarded by the
/// lock of its connection.
struct OutputQueue {
    private var items: [(bytes: [UInt8], descriptor: Int32)] = []
    private var head = 0
    /// Bytes of the first item that have gone out.
    private(set) var offset = 0
    /// Bytes that have not gone out.
    private(set) var byteCount = 0

    /// Items that went out are forgotten together, so that taking one costs the same however many wait.
    private static let compaction = 64

    var isEmpty: Bool { head == items.count }

    /// What goes out next.
    var first: (bytes: [UInt8], descriptor: Int32)? { isEmpty ? nil : items[head] }

    /// Adds bytes, and a descriptor which becomes the queue's.
    mutating func append(_ bytes: [UInt8], passing descriptor: Int32 = -1) {
        items.append((bytes, descriptor))
        byteCount += bytes.count
    }

    /// `count` bytes of the first item have gone out, and its descriptor with them: the client has its own now.
    mutating func sent(_ count: Int) {
        offset += count
        byteCount -= count
        if items[head].descriptor >= 0 {
            _ = FileDescriptor(owning: items[head].descriptor)
            items[head].descriptor = -1
        }
        guard offset == items[head].bytes.count else { return }
        items[head].bytes = []
        offset = 0
        head += 1
        if head == items.count || head >= Self.compaction && head > items.count / 2 {
            items.removeFirst(head)
            head = 0
        }
    }

    /// Drops everything.
    mutating func removeAll() {
        for item in items[head...] where item.descriptor >= 0 { _ = FileDescriptor(owning: item.descriptor) }
        self = OutputQueue()
    }
}
