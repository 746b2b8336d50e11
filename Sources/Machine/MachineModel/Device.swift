// SPDX-License-Identifier: Apache-2.0

/// Anything on the machine's boards. All state is touched only with the machine lock held, unless the type says
/// otherwise; optional abilities are separate protocols.
public protocol Device: AnyObject {
    /// The name for logs, `info qtree` and state sections: "i8254", "virtio-blk-pci"...
    var name: String { get }
    /// Puts the state of power-on back: at start, and at each system reset.
    func reset()
}

/// A wire to an interrupt controller's input, or to a wire-or of several devices.
public final class InterruptLine: @unchecked Sendable {
    private let sink: (Bool) -> Void
    /// The level last driven.
    public private(set) var isAsserted = false

    /// A line that tells each change of its level to `sink`, with the machine lock held.
    public init(_ sink: @escaping (Bool) -> Void) { self.sink = sink }

    /// A line that goes nowhere.
    public static func unconnected() -> InterruptLine { InterruptLine { _ in } }

    /// Drives the line. The machine lock is held.
    public func set(_ level: Bool) {
        guard level != isAsserted else { return }
        isAsserted = level
        sink(level)
    }

    /// A short pulse, for edge-triggered inputs. The machine lock is held.
    public func pulse() {
        set(true)
        set(false)
    }
}

/// Where message-signalled interrupts go: the local APICs, or KVM.
public protocol MessageInterruptSink: AnyObject {
    /// Delivers one message (Intel SDM vol. 3, "Message Signalled Interrupts"). Callable on any thread, with or without
    /// the machine lock.
    func deliver(address: UInt64, data: UInt32)
}
