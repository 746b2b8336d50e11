// SPDX-License-Identifier: Apache-2.0

/// Something plugged into a PS/2 port. All calls are made with the machine lock held.
public protocol PS2Device: AnyObject {
    /// A byte from the host: a command or its argument.
    func receive(_ byte: UInt8)
    /// The next byte for the host; nil when there is none. The controller calls it when it has room.
    func takeByte() -> UInt8?
    /// The state of power-on.
    func reset()
    /// Called by the controller when it is plugged in: `notify` says that `takeByte` has something.
    func connect(_ notify: @escaping () -> Void)
}

/// The bytes that a PS/2 device has ready, in the order that the host gets them.
struct PS2Queue: Equatable, Sendable, Codable {
    private(set) var bytes: [UInt8] = []
    /// As many as real devices keep; what comes when it is full is lost, so that a guest that never reads costs nothing.
    static let capacity = 256

    mutating func append(_ byte: UInt8) { if bytes.count < Self.capacity { bytes.append(byte) } }
    mutating func append(_ more: [UInt8]) {
        // Half a key's sequence would confuse the host: all or nothing.
        if bytes.count + more.count <= Self.capacity { bytes += more }
    }
    mutating func take() -> UInt8? { bytes.isEmpty ? nil : bytes.removeFirst() }
    /// No more than it can hold by itself.
    var isBounded: Bool { bytes.count <= Self.capacity }
    mutating func removeAll() { bytes.removeAll() }
}
